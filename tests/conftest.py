"""Fixtures that more than one test file uses."""

import pytest

from .media_factory import Clips


@pytest.fixture(scope="session")
def clips(tmp_path_factory):
    """Small recordings by name, each made once a session when it is first asked for."""
    return Clips(tmp_path_factory.mktemp("clips"))


@pytest.fixture(autouse=True, scope="session")
def screen_is_read_where_it_is_asked_for():
    """With "auto" every film of every test would be read where rapidocr happens to be installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mmvideo.encode.can_read_screen", lambda: False)
        yield


@pytest.fixture(scope="session")
def database():
    """A real PostgreSQL server for the whole session, in a folder with a short name: its sockets want that."""
    import shutil
    import tempfile
    from pathlib import Path

    from .database import Server

    folder = Path(tempfile.mkdtemp(prefix="pg"))
    server = Server(folder)
    yield server
    server.stop()
    shutil.rmtree(folder)
