"""Frames at a steady pace, or the one at a moment, upright, scaled by the decoder, with their own times.

The frame taken for a moment is the one on screen then, not the next one: in a recording of slides a frame may stay
for minutes, and the next may come too late to show what was said. decord's `get_batch` was as fast as
`ffmpeg -vf fps=1` (35 times real time for 720p H.264 on two cores), `next` for every frame half as fast, and
`skip_frames` gave wrong pictures.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..datatypes import Frames, Images, Media, VideoStream
from ..errors import MediaError
from .picture import Painter, decoded, shown_from
from .stream import Account, Stream
from .timeline import EPSILON, INDEXED, Timeline, moments, on_screen, read_timeline

log = logging.getLogger(__name__)

_LONGEST = 8  # times the shorter side


@dataclass(frozen=True, slots=True)
class _Pace:
    """When to look: every `interval` seconds in [start, stop), counted from the first frame where `start` is None."""

    interval: float
    start: float | None
    stop: float

    def begin(self, first: float) -> float:
        """The first moment, in a video whose first frame is shown at `first`."""
        return first if self.start is None else max(first, self.start)


def sample_frames(
    media: Media,
    *,
    interval: float,
    short_side: int | None = None,
    batch: int = 32,
    start: float | None = None,
    end: float | None = None,
) -> Stream[Frames]:
    """Return the frames on screen every `interval` seconds, in batches of at most `batch`, times strictly increasing.

    Their times are their own, so they differ from the moments asked for, and a frame that stays is given once. Without
    `start` there is at least one. `short_side` (pixels) bounds the shorter side; nothing is enlarged. `start` and `end`
    (seconds on the media's timeline) bound the moments, so the first frame may begin before `start`. Raises
    `MediaError` at once for a media without video, and on reading if no frame can be decoded; what is only damaged or
    cut short is told in the stream's `notes`.
    """
    if not interval > 0 or batch < 1:
        raise ValueError(f"interval and batch must be positive, not {interval} and {batch}")
    video = _video(media)
    pace = _Pace(interval, start, media.end if end is None else end)
    size = scaled_size(video, short_side)
    account = Account("decord")
    timeline = read_timeline(media) if media.container in INDEXED else None
    account.why = f"{media.container} files are not indexed" if timeline is None else timeline.doubt
    if timeline is not None and timeline.end < media.end - max(1.0, 0.01 * media.duration):
        account.note(f"cut short: it ends at {timeline.end:.1f} s of {media.end:.1f} s")
    if account.why or timeline is None:
        account.decoder = "pyav"
        return Stream(_by_pyav(media, pace, size, batch, account), account)
    return Stream(_by_decord(media, timeline, pace, size, batch, account), account)


def frame_at(media: Media, time: float, *, short_side: int | None = None) -> Frames:
    """Return the one frame (n = 1) on screen at `time` seconds: the last that begins at or before it, else the first.

    Raises `MediaError` for a media without video or when no frame can be decoded.
    """
    painter = Painter(scaled_size(_video(media), short_side), _video(media).rotation)
    held: tuple[float, Any] | None = None
    for at, frame in shown_from(media, min(time, media.end), Account("pyav")):
        if held is not None and at > time + EPSILON:
            break
        held = at, frame
    if held is None:
        raise MediaError(f"{media.path}: no frame can be decoded; see if a player shows it")
    return Frames(painter.paint(held[1])[None], np.array([held[0]]))


def scaled_size(video: VideoStream, short_side: int | None) -> tuple[int, int]:
    """Return (width, height) in pixels, upright, of the picture with a shorter side of at most `short_side`,
    and a longer one of at most eight times that (a strip of 300 × 65535 pixels would fill the memory)."""
    width, height = video.width, video.height
    if video.rotation % 180:
        width, height = height, width
    if short_side is None:
        return width, height
    scale = min(short_side / max(1, min(width, height)), _LONGEST * short_side / max(1, width, height))
    if scale >= 1:
        return width, height
    return max(1, round(width * scale)), max(1, round(height * scale))


def _video(media: Media) -> VideoStream:
    if media.video is None:
        raise MediaError(f"{media.path}: no video in it, only sound")
    return media.video


# decord


def _by_decord(
    media: Media, timeline: Timeline, pace: _Pace, size: tuple[int, int], batch: int, account: Account
) -> Generator[Frames]:
    """Yield the frames through decord; from where it fails, if it does, through PyAV, on the same moments."""
    times = timeline.times
    when = moments(pace.begin(times[0]), pace.interval, pace.stop)
    if pace.start is None and not len(when):
        when = times[:1]
    chosen = on_screen(times, when)
    last = -math.inf
    reader = None
    try:
        reader = _reader(media, times, size)
        for position in range(0, len(chosen), batch):
            some = chosen[position : position + batch]
            images = reader.get_batch(some).asnumpy()
            if images.shape != (len(some), size[1], size[0], 3):
                raise RuntimeError(f"pictures of shape {images.shape}")  # noqa: TRY301 - all its failures are one
            yield Frames(images, times[some])
            last = float(times[some[-1]])
        return
    except Exception as error:  # its own errors, assertions, StopIteration: all mean that PyAV must do it
        account.decoder, account.why = "pyav", f"decord: {_reason(error)}"
    finally:
        del reader  # it holds the file, threads and pictures
    rest = when[when > last + EPSILON]
    if last == -math.inf:
        yield from _by_pyav(media, pace, size, batch, account)
    elif len(rest):
        yield from _by_pyav(media, _Pace(pace.interval, float(rest[0]), pace.stop), size, batch, account, after=last)


def _reason(error: Exception) -> str:
    """Return why decord was given up. Its own messages are a time of day, a line of C++, and not always the same."""
    text = " ".join(str(error).split())[:200]
    log.debug("decord: %s", text)
    return "it fails on this file" if type(error).__name__ == "DECORDError" else text


def _reader(media: Media, times: NDArray[np.float64], size: tuple[int, int]) -> Any:
    """Open decord, and see that it counts the same frames at the same times."""
    import decord

    decord.logging.set_level(decord.logging.QUIET)
    reader = decord.VideoReader(str(media.path), width=size[0], height=size[1])
    if len(reader) != len(times):
        raise RuntimeError(f"{len(reader)} frames instead of {len(times)}")
    own = reader.get_frame_timestamp(np.arange(len(times)))[:, 0].astype(np.float64)
    wanted = times - times[0]
    if not np.all(np.abs(own - own[0] - wanted) <= 2e-3 + 1e-6 * wanted):  # it has them as float32
        raise RuntimeError("frames at other times")
    return reader


# PyAV


def _by_pyav(
    media: Media, pace: _Pace, size: tuple[int, int], batch: int, account: Account, after: float = -math.inf
) -> Generator[Frames]:
    """Yield the frames through PyAV, those after `after`."""
    painter = Painter(size, _video(media).rotation)
    frames = decoded(media, account) if pace.start is None else shown_from(media, pace.start, account)
    images: list[Images] = []
    times: list[float] = []
    found = False
    for at, frame in _paced(frames, pace):
        found = True
        if at <= after:
            continue
        images.append(painter.paint(frame))
        times.append(at)
        if len(times) == batch:
            yield Frames(np.stack(images), np.array(times))
            images, times = [], []
    if times:
        yield Frames(np.stack(images), np.array(times))
    if not found and pace.start is None:
        raise MediaError(f"{media.path}: no frame can be decoded; see if a player shows it")


def _paced(frames: Iterable[tuple[float, Any]], pace: _Pace) -> Iterator[tuple[float, Any]]:
    """Yield of frames in order those that are on screen when to look: `moments` and `on_screen`, as they come."""
    held: tuple[float, Any] | None = None
    look, looks = 0.0, 0  # the next moment, and how many were before it

    def due() -> bool:
        return look < pace.stop - EPSILON or (pace.start is None and looks == 0)

    for at, frame in frames:
        if held is None:
            begin = look = pace.begin(at)
        elif not due():
            return
        elif look + EPSILON < at:
            yield held
            looks = math.ceil((at - EPSILON - begin) / pace.interval)
            look = begin + looks * pace.interval
        held = at, frame
    if held is not None and due():
        yield held
