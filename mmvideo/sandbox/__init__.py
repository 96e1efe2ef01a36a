"""Media are opened in a process of their own, which may crash, hang or run out of memory alone.

libav, decord, ffmpeg and Pillow read whatever a file says about itself; a file that kills them costs that file, not the
library's process. A worker serves many files, and is started anew when it died. It is given up when nothing has come
from it for `patience` seconds and the time that reading the file once at 10 MB/s takes. Pictures and sound come through
a pipe as raw bytes; what that costs is in docs/RELIABILITY.md.
"""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import numpy as np

from ..address import Address
from ..datatypes import SAMPLE_RATE, Audio, Frames, Images, Media
from ..decode import Stream, frame_at, read_audio, sample_frames
from ..decode.frames import scaled_size
from ..decode.stream import Account
from ..errors import MediaError, QueryError
from ..media import probe
from ..picture import MOST_PIXELS, as_picture
from .process import Task, Worker
from .wire import WireError, media_from_json, media_to_json

PATIENCE = 60.0
"""Seconds without an answer after which a file is given up (and a second per 10 MB)."""

MEMORY = 8 * 1024**3
"""Bytes of address space that a worker may take: frames of 8K HEVC in all threads are 2 GiB."""

BLOCK = 120.0
"""Seconds of sound that come at a time: 8 MB, of which some copies are held while clips are cut."""

log = logging.getLogger(__name__)

_READING = 10_000_000  # bytes per second: a slow disk
_FILES = 200  # tasks after which a worker is replaced: what a decoder leaks, it leaks here


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

    def frame_at(self, media: Media, time: float, *, short_side: int | None = None) -> Frames:
        """Return the one picture shown at a time; see `mmvideo.decode.frame_at`."""
        ...

    def read_audio(self, media: Media, *, block_seconds: float = BLOCK, rate: int = SAMPLE_RATE) -> Stream[Audio]:
        """Return its sound; see `mmvideo.decode.read_audio`."""
        ...

    def picture(self, path: Path, *, formats: tuple[str, ...] | None = None, most_pixels: int = MOST_PIXELS) -> Images:
        """Return a picture that is no recording; see `mmvideo.picture.as_picture`."""
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

    def frame_at(self, media: Media, time: float, *, short_side: int | None = None) -> Frames:
        """Return the one picture shown at a time."""
        return frame_at(media, time, short_side=short_side)

    def read_audio(self, media: Media, *, block_seconds: float = BLOCK, rate: int = SAMPLE_RATE) -> Stream[Audio]:
        """Return its sound."""
        return read_audio(media, block_seconds=block_seconds, rate=rate)

    def picture(self, path: Path, *, formats: tuple[str, ...] | None = None, most_pixels: int = MOST_PIXELS) -> Images:
        """Return a picture."""
        return as_picture(path, formats=formats, most_pixels=most_pixels)

    def close(self) -> None:
        """Do nothing: there is nothing to end."""


class Sandbox:
    """Decoding in processes of their own; as many as are asked for at a time, usually two. Close it at the end."""

    def __init__(self, *, patience: float = PATIENCE, memory: int = MEMORY) -> None:
        self.patience = patience
        self.memory = memory
        self._idle: list[Worker] = []
        self._lock = Lock()
        self._finalizer = weakref.finalize(self, _end_all, self._idle)

    def close(self) -> None:
        """End the workers that are idle; a later task starts new ones."""
        with self._lock:
            _end_all(self._idle)

    def probe(self, path: Path) -> Media:
        """Return what a file is. Raises `MediaError` also where it crashes or hangs the decoder."""
        state = path.state() if isinstance(path, Address) else None
        size = state[0] if state else path.stat().st_size if path.is_file() else 0
        with self._worker(path, size) as worker:
            header, _ = worker.ask({"task": "probe", "path": str(path), "state": state}, 0)
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

    def frame_at(self, media: Media, time: float, *, short_side: int | None = None) -> Frames:
        """Return the one picture shown at a time. Raises `MediaError` also where it crashes or hangs the decoder."""
        task = {"task": "frame", "media": media_to_json(media), "time": time, "short_side": short_side}
        with self._worker(media.path, media.size) as worker:
            return _frames(*worker.ask(task, _most_frames(media, short_side, 1)))

    def read_audio(self, media: Media, *, block_seconds: float = BLOCK, rate: int = SAMPLE_RATE) -> Stream[Audio]:
        """Return its sound; what can go wrong is raised on reading."""
        most = 4 * (round(rate * block_seconds) + 1)
        return self._stream(
            media, {"task": "sound", "options": {"block_seconds": block_seconds, "rate": rate}}, most, _audio
        )

    def picture(self, path: Path, *, formats: tuple[str, ...] | None = None, most_pixels: int = MOST_PIXELS) -> Images:
        """Return a picture. Raises `QueryError` also where it crashes or hangs the decoder."""
        path = Path(os.path.abspath(path))  # noqa: PTH100 - the worker may stand elsewhere
        task = {"task": "picture", "path": str(path), "formats": formats, "most_pixels": most_pixels}
        try:
            with self._worker(path, 0) as worker:
                header, data = worker.ask(task, 3 * most_pixels)
                height, width, _ = _shape(header)
                return np.frombuffer(data, np.uint8).reshape(height, width, 3)
        except MediaError as error:
            raise QueryError(str(error)) from error

    def excerpt(self, media: Media, start: float, end: float, out: Path) -> float:
        """Copy a stretch of a recording; see `mmvideo.decode.excerpt`."""
        task = {"task": "excerpt", "media": media_to_json(media), "start": start, "end": end, "out": str(out)}
        with self._worker(media.path, media.size) as worker:
            return float(worker.ask(task, 0)[0]["begins"])

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
    def _worker(self, path: Path, size: int) -> Iterator[Task]:
        """Lend a worker for one task; one that died, or was left in the middle of its task, is not used again."""
        with self._lock:
            worker = self._idle.pop() if self._idle else None
        while worker is not None and not worker.alive():  # struck while it was idle, or the other side of a fork
            worker.end()
            with self._lock:
                worker = self._idle.pop() if self._idle else None
        if worker is None:
            worker = Worker(self.memory)
            log.debug("started a process to decode in")
        task = Task(worker, path, self.patience + size / _READING)
        try:
            yield task
        except (WireError, OSError, KeyError, TypeError, ValueError) as error:
            if isinstance(error, OSError) and worker.alive() and not task.asked:
                raise
            reason = f"the decoder said what cannot be understood: {error}" if worker.alive() else worker.death()
            log.warning("%s: %s", path, reason)
            raise MediaError(f"{path}: cannot be read ({reason})") from error
        finally:
            task.close()
            worker.tasks += 1
            if task.done and worker.tasks < _FILES and worker.alive():
                with self._lock:
                    self._idle.append(worker)
            else:
                worker.end()


def _end_all(workers: list[Worker]) -> None:
    while workers:
        workers.pop().end()


_shared: Sandbox | None = None
_sharing = Lock()


def shared() -> Sandbox:
    """Return the sandbox that looking at single pictures shares where no library is at hand; it ends with us."""
    global _shared
    with _sharing:
        _shared = _shared or Sandbox()
        return _shared


def _most_frames(media: Media, short_side: int | None, batch: int = 32) -> int:
    if media.video is None:
        return 0
    width, height = scaled_size(media.video, short_side)
    return batch * (8 + width * height * 3)


def _frames(header: dict[str, Any], data: bytearray) -> Frames:
    count, height, width = _shape(header)
    times = np.frombuffer(data, np.float64, count).copy()  # whoever keeps the times must not keep the pictures
    return Frames(np.frombuffer(data, np.uint8, offset=8 * count).reshape(count, height, width, 3), times)


def _shape(header: dict[str, Any]) -> tuple[int, int, int]:
    """Return (count, height, width) of frames, (height, width, 3) of a picture. Raises `WireError` for others."""
    *shape, colours = (int(length) for length in header["shape"])
    if colours != 3 or not shape or min(shape) < 1:
        raise WireError(f"pictures of shape {header['shape']}")
    return (shape[0], shape[1], shape[2]) if len(shape) > 2 else (shape[0], shape[1], 3)


def _audio(header: dict[str, Any], data: bytearray) -> Audio:
    return Audio(np.frombuffer(data, np.float32), float(header["start"]), int(header["rate"]))
