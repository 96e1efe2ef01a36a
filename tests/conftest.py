"""Fixtures that more than one test file uses."""

import pytest

from .media_factory import Clips


@pytest.fixture(scope="session")
def clips(tmp_path_factory):
    """Small recordings by name, each made once a session when it is first asked for."""
    return Clips(tmp_path_factory.mktemp("clips"))
