"""The process that opens media for another: it reads tasks from standard input and answers on standard output.

It imports libav, decord and NumPy, no model. It ends with its parent, also when that is killed while a decoder hangs:
one thread does nothing but read tasks, and the end of the pipe is the end of the process and of the ffmpeg it started.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, BinaryIO

import numpy as np

from ..address import Address, ranges, reading, stored
from ..decode import frame_at, read_audio, sample_frames
from ..decode.excerpt import excerpt
from ..errors import MMVideoError
from ..media import probe
from ..picture import as_picture
from .wire import LARGEST_RANGE, Pipe, WireError, media_from_json, media_to_json, receive, send

_LONGEST = 500  # characters of a message or note
_MOST_NOTES = 20
_LARGEST = 100_000_000  # bytes of a task: it may name the time of every frame


def main(memory: int) -> None:
    """Serve tasks until standard input ends. `memory` (bytes, 0 for none) bounds the address space."""
    _bound(memory)
    # Libraries that print must not disturb the answers.
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 1)
    asked = os.fdopen(os.dup(0), "rb", buffering=0)
    os.dup2(nowhere, 0)
    tasks: SimpleQueue[tuple[dict[str, Any], bytearray]] = SimpleQueue()
    Thread(target=_read_tasks, args=(asked, tasks), name="tasks", daemon=True).start()
    send(answers, {"kind": "ready"})
    while True:
        task, _ = tasks.get()
        reading(partial(Asking, task, answers, tasks))
        _serve(task, answers)


def _bound(memory: int) -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    with contextlib.suppress(ValueError, OSError):  # a lower limit is already set
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if memory:
            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


def _read_tasks(asked: Pipe, tasks: SimpleQueue[tuple[dict[str, Any], bytearray]]) -> None:
    try:
        while True:
            tasks.put(receive(asked, LARGEST_RANGE, largest=_LARGEST))
    except (WireError, OSError):
        if hasattr(os, "killpg") and os.getpgid(0) == os.getpid():  # a session of our own, with our ffmpeg in it
            os.killpg(0, signal.SIGKILL)
        os._exit(0)


def _serve(task: dict[str, Any], answers: Pipe) -> None:
    try:
        _TASKS[task["task"]](task, answers)
    except BrokenPipeError:
        os._exit(0)
    except MMVideoError as error:
        send(answers, {"kind": "refused", "message": str(error)[: _LONGEST + len(str(task.get("path", "")))]})
    except MemoryError:
        send(answers, {"kind": "failed", "message": "it needs more memory than a recording may take"})
    except Exception as error:  # whatever a decoder throws is the file's fault here, and said with its name
        send(answers, {"kind": "failed", "message": f"{type(error).__name__}: {error}"[:_LONGEST]})


# Recordings at addresses


class Asking:
    """Has the process that gave the task read its recording: there is no network here, and no password."""

    def __init__(
        self, task: dict[str, Any], answers: Pipe, replies: SimpleQueue[tuple[dict[str, Any], bytearray]]
    ) -> None:
        self._state = task.get("state") or (task["media"]["size"], task["media"]["mtime_ns"])
        self._answers, self._replies = answers, replies

    def state(self, address: Address) -> tuple[int, int]:
        """Return (size, version), as the task says."""
        size, version = self._state
        return int(size), int(version)

    def open(self, address: Address) -> BinaryIO:
        """Return the recording, to read."""
        return ranges(int(self._state[0]), self._read)

    def _read(self, offset: int, size: int) -> bytes:
        send(self._answers, {"kind": "read", "offset": offset, "size": min(size, LARGEST_RANGE)})
        return bytes(self._replies.get()[1])


def _probe(task: dict[str, Any], answers: Pipe) -> None:
    send(answers, {"kind": "media", "media": media_to_json(probe(stored(task["path"])))})


def _frames(task: dict[str, Any], answers: Pipe) -> None:
    with sample_frames(media_from_json(task["media"]), **task["options"]) as frames:
        for some in frames:
            about = {"kind": "frames", "shape": some.images.shape, **_account(frames)}
            send(answers, about, np.ascontiguousarray(some.times), np.ascontiguousarray(some.images))
        send(answers, {"kind": "end", **_account(frames)})


def _frame(task: dict[str, Any], answers: Pipe) -> None:
    one = frame_at(media_from_json(task["media"]), task["time"], short_side=task["short_side"])
    about = {"kind": "picture", "shape": one.images.shape}
    send(answers, about, np.ascontiguousarray(one.times), np.ascontiguousarray(one.images))


def _excerpt(task: dict[str, Any], answers: Pipe) -> None:
    begins = excerpt(media_from_json(task["media"]), task["start"], task["end"], Path(task["out"]))
    send(answers, {"kind": "end", "begins": begins})


def _picture(task: dict[str, Any], answers: Pipe) -> None:
    image = as_picture(Path(task["path"]), formats=task["formats"], most_pixels=task["most_pixels"])
    send(answers, {"kind": "picture", "shape": image.shape}, np.ascontiguousarray(image))


def _sound(task: dict[str, Any], answers: Pipe) -> None:
    with read_audio(media_from_json(task["media"]), **task["options"]) as sound:
        for block in sound:
            send(answers, {"kind": "sound", "start": block.start, "rate": block.rate, **_account(sound)}, block.samples)
        send(answers, {"kind": "end", **_account(sound)})


def _account(stream: Any) -> dict[str, Any]:
    notes = [str(note)[:_LONGEST] for note in stream.notes[:_MOST_NOTES]]
    return {"decoder": stream.decoder, "why": stream.why[:_LONGEST], "notes": notes}


_TASKS: dict[str, Callable[[dict[str, Any], Pipe], None]] = {
    "probe": _probe,
    "frames": _frames,
    "frame": _frame,
    "sound": _sound,
    "picture": _picture,
    "excerpt": _excerpt,
}
