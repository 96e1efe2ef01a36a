"""Media are opened in a process of their own, which may crash, hang or run out of memory alone.

libav, decord and ffmpeg read whatever a file says about itself; a file that kills them costs that file, not the
library's process. A worker serves many files, and is started anew when it died. It is given up when nothing has come
from it for `patience` seconds and the time that reading the file once at 10 MB/s takes. Pictures and sound come through
a pipe as raw bytes; what that costs is in docs/RELIABILITY.md.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import weakref
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event, Lock, Timer
from typing import Any, Protocol

import numpy as np

from ..datatypes import SAMPLE_RATE, Audio, Frames, Media
from ..decode import Stream, read_audio, sample_frames
from ..decode.frames import scaled_size
from ..decode.stream import Account
from ..errors import MediaError
from ..media import probe
from .wire import WireError, media_from_json, media_to_json, receive, send

PATIENCE = 60.0
"""Seconds without an answer after which a file is given up (and a second per 10 MB)."""

MEMORY = 8 * 1024**3
"""Bytes of address space that a worker may take: frames of 8K HEVC in all threads are 2 GiB."""

log = logging.getLogger(__name__)

_START = 120.0  # seconds that a worker may take to start, on a cold and busy disk
_READING = 10_000_000  # bytes per second: a slow disk
_FILES = 200  # tasks after which a worker is replaced: what a decoder leaks, it leaks here
_CODE = "import sys; sys.path[:] = sys.argv[2:]; from mmvideo.sandbox.worker import main; main(int(sys.argv[1]))"


class Decoding(Protocol):
    """Where what is in files comes from."""

    def probe(self, path: Path) -> Media:
        """Return what a file is; see `mmvideo.media.probe`."""
        ...

    def sample_frames(
        self,
        media: Media,
        *,
        interval: float,
        short_side: int | None = None,
        batch: int = 32,
        start: float | None = None,
        end: float | None = None,
        keyframe_gap: float = 0.0,
        at: Sequence[float] | None = None,
    ) -> Stream[Frames]:
        """Return its pictures; see `mmvideo.decode.sample_frames`."""
        ...

    def read_audio(self, media: Media, *, rate: int = SAMPLE_RATE) -> Stream[Audio]:
        """Return its sound; see `mmvideo.decode.read_audio`."""
        ...


class Direct:
    """Decoding in this process: a file that crashes a decoder takes the process with it."""

    def probe(self, path: Path) -> Media:
        """Return what a file is."""
        return probe(path)

    def sample_frames(
        self,
        media: Media,
        *,
        interval: float,
        short_side: int | None = None,
        batch: int = 32,
        start: float | None = None,
        end: float | None = None,
        keyframe_gap: float = 0.0,
        at: Sequence[float] | None = None,
    ) -> Stream[Frames]:
        """Return its pictures."""
        return sample_frames(
            media,
            interval=interval,
            short_side=short_side,
            batch=batch,
            start=start,
            end=end,
            keyframe_gap=keyframe_gap,
            at=at,
        )

    def read_audio(self, media: Media, *, rate: int = SAMPLE_RATE) -> Stream[Audio]:
        """Return its sound."""
        return read_audio(media, rate=rate)

    def close(self) -> None:
        """Do nothing: there is nothing to end."""


class Sandbox:
    """Decoding in processes of their own; as many as are asked for at a time, usually two. Close it at the end."""

    def __init__(self, *, patience: float = PATIENCE, memory: int = MEMORY) -> None:
        self.patience = patience
        self.memory = memory
        self._idle: list[_Worker] = []
        self._lock = Lock()
        self._finalizer = weakref.finalize(self, _end_all, self._idle)

    def close(self) -> None:
        """End the workers that are idle; a later task starts new ones."""
        with self._lock:
            _end_all(self._idle)

    def probe(self, path: Path) -> Media:
        """Return what a file is. Raises `MediaError` also where it crashes or hangs the decoder."""
        size = path.stat().st_size if path.is_file() else 0
        with self._worker(path, size) as worker:
            header, _ = worker.ask({"task": "probe", "path": str(path)}, 0)
            return replace(media_from_json(header["media"]), path=path)

    def sample_frames(
        self,
        media: Media,
        *,
        interval: float,
        short_side: int | None = None,
        batch: int = 32,
        start: float | None = None,
        end: float | None = None,
        keyframe_gap: float = 0.0,
        at: Sequence[float] | None = None,
    ) -> Stream[Frames]:
        """Return its pictures; what can go wrong is raised on reading."""
        options: dict[str, Any] = {"interval": interval, "short_side": short_side, "batch": batch}
        options |= {"start": start, "end": end, "keyframe_gap": keyframe_gap}
        options["at"] = None if at is None else [float(time) for time in at]
        most = _most_frames(media, short_side, batch)
        return self._stream(media, {"task": "frames", "options": options}, most, _frames)

    def read_audio(self, media: Media, *, rate: int = SAMPLE_RATE) -> Stream[Audio]:
        """Return its sound; what can go wrong is raised on reading."""
        return self._stream(media, {"task": "sound", "options": {"rate": rate}}, 4 * rate * 600, _audio)

    def _stream(self, media: Media, task: dict[str, Any], most: int, convert: Any) -> Stream[Any]:
        account = Account("sandbox")

        def items() -> Generator[Any]:
            with self._worker(media.path, media.size) as worker:
                header, data = worker.ask({**task, "media": media_to_json(media)}, most)
                while True:
                    account.decoder, account.why = str(header["decoder"]), str(header["why"])
                    account.notes[:] = [str(note) for note in header["notes"]]
                    if header["kind"] == "end":
                        return
                    yield convert(header, data)
                    header, data = worker.answer(most)

        return Stream(items(), account)

    @contextmanager
    def _worker(self, path: Path, size: int) -> Iterator[_Task]:
        """Lend a worker for one task; one that died, or was left in the middle of its task, is not used again."""
        with self._lock:
            worker = self._idle.pop() if self._idle else None
        if worker is None or not worker.alive():
            if worker is not None:
                worker.end()
            worker = _Worker(self.memory)
            log.debug("started a process to decode in")
        task = _Task(worker, path, self.patience + size / _READING)
        try:
            yield task
        except (WireError, OSError, KeyError, TypeError, ValueError) as error:
            if isinstance(error, OSError) and worker.alive() and not task.asked:
                raise
            reason = f"the decoder said what cannot be understood: {error}" if worker.alive() else worker.death()
            log.warning("%s: %s", path, reason)
            raise MediaError(f"{path}: cannot be read ({reason}); it was left out") from error
        finally:
            worker.tasks += 1
            if task.done and worker.tasks < _FILES and worker.alive():
                with self._lock:
                    self._idle.append(worker)
            else:
                worker.end()


class _Task:
    """What one file asks of a worker."""

    def __init__(self, worker: _Worker, path: Path, patience: float) -> None:
        self._worker, self._path, self._patience = worker, path, patience
        self.asked = self.done = False

    def ask(self, task: dict[str, Any], most: int) -> tuple[dict[str, Any], bytearray]:
        """Give the task, and return the first answer."""
        self._worker.send(task)
        self.asked = True
        return self.answer(most)

    def answer(self, most: int) -> tuple[dict[str, Any], bytearray]:
        """Return the next answer, with at most `most` bytes of data. Raises `MediaError` where it is a refusal."""
        header, data = self._worker.receive(most, self._patience)
        kind = header.get("kind")
        self.done = kind in ("media", "end", "refused", "failed")
        if kind == "refused":
            raise MediaError(str(header["message"]))
        if kind == "failed":
            raise MediaError(f"{self._path}: cannot be read ({header['message']})")
        return header, data


class _Worker:
    """One process, and the pipes to it."""

    def __init__(self, memory: int) -> None:
        self.tasks = 0
        self._late = Event()
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter, our own code
            # -I and our own path: a folder that one happens to stand in must not provide modules.
            [sys.executable, "-I", "-c", _CODE, str(memory), *sys.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,  # Ctrl-C is for us, and its ffmpeg ends with it
        )
        try:
            self.receive(0, _START)
        except WireError as error:
            self.end()
            raise MediaError(f"the process that decodes could not be started ({self.death()})") from error

    def alive(self) -> bool:
        """Tell whether the process runs."""
        return self._process.poll() is None

    def send(self, task: dict[str, Any]) -> None:
        """Give it a task."""
        assert self._process.stdin is not None  # noqa: S101 - a pipe was asked for
        send(self._process.stdin, task)  # type: ignore[arg-type]  # unbuffered: a FileIO

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
        """End it, with all that it started, and wait until it is gone."""
        self._kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def _end_all(workers: list[_Worker]) -> None:
    while workers:
        workers.pop().end()


def _most_frames(media: Media, short_side: int | None, batch: int = 32) -> int:
    if media.video is None:
        return 0
    width, height = scaled_size(media.video, short_side)
    return batch * (8 + width * height * 3)


def _frames(header: dict[str, Any], data: bytearray) -> Frames:
    count, height, width, colours = (int(length) for length in header["shape"])
    if count < 1 or height < 1 or width < 1 or colours != 3:
        raise WireError(f"pictures of shape {header['shape']}")
    times = np.frombuffer(data, np.float64, count)
    return Frames(np.frombuffer(data, np.uint8, offset=8 * count).reshape(count, height, width, 3), times)


def _audio(header: dict[str, Any], data: bytearray) -> Audio:
    return Audio(np.frombuffer(data, np.float32), float(header["start"]), int(header["rate"]))
