"""One process that decodes, the pipes to it, and what one file asks of it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from threading import Event, Timer
from typing import Any, BinaryIO

from ..address import Address
from ..errors import MediaError
from .wire import LARGEST_RANGE, WireError, receive, send

_START = 120.0  # seconds that a worker may take to start, on a cold and busy disk
_CODE = "import sys; sys.path[:] = sys.argv[2:]; from mmvideo.sandbox.worker import main; main(int(sys.argv[1]))"
_LAST = ("media", "picture", "end", "refused", "failed")  # what ends a task


class Task:
    """What one file asks of a worker."""

    def __init__(self, worker: Worker, path: Path, patience: float) -> None:
        self._worker, self._path, self._patience = worker, path, patience
        self._content: BinaryIO | None = None  # of an address: the worker has no network, it asks us
        self.asked = self.done = False

    def ask(self, task: dict[str, Any], most: int) -> tuple[dict[str, Any], bytearray]:
        """Give the task, and return the first answer."""
        self._worker.send(task)
        self.asked = True
        return self.answer(most)

    def answer(self, most: int) -> tuple[dict[str, Any], bytearray]:
        """Return the next answer, with at most `most` bytes of data. Raises `MediaError` where it is a refusal."""
        header, data = self._worker.receive(most, self._patience)
        while header.get("kind") == "read":
            self._worker.send({}, self._range(int(header["offset"]), int(header["size"])))
            header, data = self._worker.receive(most, self._patience)
        kind = header.get("kind")
        self.done = kind in _LAST
        if kind == "refused":
            raise MediaError(str(header["message"]))
        if kind == "failed":
            raise MediaError(f"{self._path}: cannot be read ({header['message']})")
        return header, data

    def _range(self, offset: int, size: int) -> bytes:
        """Return a range of the one recording that this task is about; of files of this machine, none."""
        if not isinstance(self._path, Address) or not (offset >= 0 and 0 <= size <= LARGEST_RANGE):
            raise WireError(f"{size} bytes from {offset} were asked for")
        self._content = self._content or self._path.open()
        self._content.seek(offset)
        return self._content.read(size)

    def close(self) -> None:
        """Close what was read for the worker."""
        if self._content is not None:
            self._content.close()


class Worker:
    """One process, and the pipes to it."""

    def __init__(self, memory: int) -> None:
        self.tasks = 0
        self._owner = os.getpid()
        self._late = Event()
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter, our own code
            # -I and our own path: a folder that one happens to stand in must not provide modules.
            [sys.executable, "-I", "-c", _CODE, str(memory), *sys.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # it multiplies nothing; 0.08 s less to start
            start_new_session=True,  # Ctrl-C is for us, and its ffmpeg ends with it
        )
        try:
            self.receive(0, _START)
        except WireError as error:
            self.end()
            raise MediaError(f"the process that decodes could not be started ({self.death()})") from error

    def alive(self) -> bool:
        """Tell whether the process runs, and is ours: after a fork it serves the parent only."""
        return self._owner == os.getpid() and self._process.poll() is None

    def send(self, task: dict[str, Any], data: bytes = b"") -> None:
        """Give it a task, or what it asked for."""
        assert self._process.stdin is not None  # noqa: S101 - a pipe was asked for
        send(self._process.stdin, task, data)  # type: ignore[arg-type]  # unbuffered: a FileIO

    def receive(self, most: int, patience: float) -> tuple[dict[str, Any], bytearray]:
        """Return what it says. Raises `WireError` when it ends instead, or says nothing for `patience` seconds."""
        assert self._process.stdout is not None  # noqa: S101 - a pipe was asked for
        watch = Timer(patience, self._give_up, (patience,))
        watch.daemon = True
        watch.start()
        try:
            return receive(self._process.stdout, most)  # type: ignore[arg-type]  # unbuffered: a FileIO
        except WireError:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(2.0)  # so that how it died is known
            raise
        finally:
            watch.cancel()

    def _give_up(self, patience: float) -> None:
        self._patience = patience
        self._late.set()
        self._kill()

    def _kill(self) -> None:
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        if self._process.poll() is None:
            self._process.kill()

    def death(self) -> str:
        """Say how it ended."""
        if self._late.is_set():
            return f"nothing came of it for {self._patience:.0f} s"
        status = self._process.poll()
        if status is not None and status < 0:
            return f"the decoder crashed: {signal.Signals(-status).name}"
        return f"the decoder ended with status {status}"

    def end(self) -> None:
        """End it, with all that it started, and wait until it is gone. After a fork only the pipes are closed."""
        if self._owner == os.getpid():
            self._kill()
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
