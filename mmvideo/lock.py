"""One writer at a time, held by the operating system: a lock dies with its process, however that dies.

The lock itself is a lock of filelock on `writer.lock`; `writer.json` beside it says who holds it, for the message that
the next one gets. That file may be stale or missing; it is only ever read when the lock is held.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import LibraryError


@contextmanager
def writing(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the writer's lock of the library `folder`. Raises `LibraryError`, naming the holder, if it is taken.

    With `wait`, wait for it instead, however long that takes.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / "writer.lock")
    try:
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout:
        raise LibraryError(
            f"{folder}: {_holder(folder)} is writing to this library; wait until it is done, or say --wait"
        ) from None
    except (OSError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or error
        raise LibraryError(f"{folder}: the library cannot be written to ({reason})") from error
    try:
        _sign(folder)
        yield
    finally:
        lock.release()


def _sign(folder: Path) -> None:
    who = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
    try:
        (folder / "writer.json").write_text(json.dumps(who), encoding="utf-8")
    except OSError as error:
        raise LibraryError(f"{folder}: the library cannot be written to ({error.strerror})") from error


def _holder(folder: Path) -> str:
    try:
        who = json.loads((folder / "writer.json").read_text(encoding="utf-8"))
        return f"another mmvideo (process {who['pid']} on {who['host']}, since {who['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another mmvideo"
