"""A server of a library on a free port of this machine, in a thread."""

import threading
import time

import uvicorn

from mmvideo.server import create_app


class Served:
    """`url` answers while the context is open."""

    def __init__(self, library, **options):
        self.library = library
        self.url = ""
        config = uvicorn.Config(create_app(library, **options), port=0, log_level="error", ws="none", lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def __enter__(self):
        self._thread.start()
        deadline = time.monotonic() + 20
        while not self._server.started:
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.02)
        self.url = f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}"
        return self

    def __exit__(self, *_):
        self._server.should_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive()
