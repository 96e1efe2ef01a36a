"""Frames at a steady pace, or the one at a moment, upright, scaled by the decoder, with their own times.

The frame taken for a moment is the one on screen then, not the next one: in a recording of slides a frame may stay
for minutes, and the next may come too late to show what was said. Where the packets tell when each frame is shown, only
what those frames need is decoded (`planned`); should that fail, decord tries; other files are decoded whole by PyAV.
decord's `get_batch` was the first choice once: reading one frame a second it was 1.5 times slower than `planned`,
keyframes twice, and it may number frames wrongly (`timeline`); `skip_frames` gave wrong pictures.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..address import Address
from ..datatypes import Frames, Images, Media, VideoStream
from ..errors import MediaError
from .picture import Painter, decoded, shown_from
from .planned import frames_of
from .stream import Account, Stream
from .timeline import EPSILON, INDEXED, Timeline, moments, on_screen, read_timeline

log = logging.getLogger(__name__)

_LONGEST = 8  # times the shorter side


_BRIEF = 60.0  # seconds: for a stretch as short, seeking costs less than reading when each frame is shown


@dataclass(frozen=True, slots=True)
class _Pace:
    """When to look: every `interval` seconds in [start, stop), counted from the first frame where `start` is None; or
    at the times `at`. A `keyframe_gap` lets keyframes stand for what follows them for as many seconds."""

    interval: float
    start: float | None
    stop: float
    keyframe_gap: float = 0.0
    at: NDArray[np.float64] | None = None

    def moments(self, first: float) -> NDArray[np.float64]:
        """Return when to look, ascending, in a video whose first frame is shown at `first`."""
        if self.at is not None:
            return self.at
        if self.start is not None:
            return moments(max(first, self.start), self.interval, self.stop)
        when = moments(first, self.interval, self.stop)
        return when if len(when) else np.array([first])

    def choose(self, timeline: Timeline) -> NDArray[np.int64]:
        """Return the numbers of the frames to take, ascending."""
        when = self.moments(float(timeline.times[0]))
        if not self.keyframe_gap or self.at is not None or not len(when):
            return on_screen(timeline.times, when)
        keys = timeline.keyframes()
        chosen = keys[on_screen(keys, when)]
        borders = np.append(chosen, min(timeline.end, self.stop))
        wide = np.flatnonzero(np.diff(borders) > self.keyframe_gap + EPSILON)
        between = [moments(borders[i], self.interval, borders[i + 1] - self.interval / 2)[1:] for i in wide]
        return on_screen(timeline.times, np.concatenate([chosen, *between, self._changed(timeline, chosen)]))

    def _changed(self, timeline: Timeline, chosen: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return when the picture changes between the frames chosen, at most once an interval."""
        found: list[float] = []
        for time in timeline.changes():
            before = chosen[int(np.searchsorted(chosen, time)) - 1]
            if chosen[0] < time < self.stop and time >= max(before, found[-1] if found else before) + self.interval / 2:
                found.append(float(time))
        return np.array(found)

    def brief(self) -> bool:
        """Tell whether all of it lies close together."""
        if self.at is not None:
            return len(self.at) > 0 and float(self.at[-1] - self.at[0]) <= _BRIEF / 4
        return self.start is not None and self.stop - self.start <= _BRIEF


def sample_frames(
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
    """Return the frames on screen every `interval` seconds, in batches of at most `batch`, times strictly increasing.

    Their times are their own, so they differ from the moments asked for, and a frame that stays is given once. Without
    `start` there is at least one. `short_side` (pixels) bounds the shorter side; nothing is enlarged. `start` and `end`
    (seconds on the media's timeline) bound the moments, so the first frame may begin before `start`.

    With a `keyframe_gap` (seconds) the keyframe before each moment is taken instead, except where the next one is
    farther away than that, or the packets tell that the picture changes before it. `at` names the moments (seconds,
    ascending) instead of `interval`. Raises `MediaError` at once for a media without video, and on
    reading if no frame can be decoded; what is only damaged or cut short is told in the stream's `notes`.
    """
    if not interval > 0 or batch < 1:
        raise ValueError(f"interval and batch must be positive, not {interval} and {batch}")
    video = _video(media)
    named = None if at is None else np.asarray(at, np.float64)
    begin = start if named is None else float(named[0]) if len(named) else media.end
    pace = _Pace(interval, begin, media.end if end is None else end, keyframe_gap, named)
    size = scaled_size(video, short_side)
    account = Account("pyav")
    if media.container not in INDEXED:
        account.why = f"{media.container} files are not indexed"
    elif not pace.brief():
        timeline = read_timeline(media)
        if timeline.end < media.end - max(1.0, 0.01 * media.duration):
            account.note(f"cut short: it ends at {timeline.end:.1f} s of {media.end:.1f} s")
        if timeline.planned:
            return Stream(_by_plan(media, timeline, pace, size, batch, account), account)
        account.why = timeline.doubt
    return Stream(_by_pyav(media, pace, size, batch, account), account)


def chosen_times(media: Media, *, interval: float, keyframe_gap: float = 0.0) -> NDArray[np.float64] | None:
    """Return the times (n,) of the frames that `sample_frames` would take of the whole media, without decoding; given
    as `at`, in parts, they are the same frames. None where that is known only by decoding."""
    if media.video is None or media.container not in INDEXED:
        return None
    timeline = read_timeline(media)
    if not timeline.planned:
        return None
    return timeline.times[_Pace(interval, None, media.end, keyframe_gap).choose(timeline)]


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


# Planned, and decord


def _by_plan(
    media: Media, timeline: Timeline, pace: _Pace, size: tuple[int, int], batch: int, account: Account
) -> Generator[Frames]:
    """Yield the frames that were chosen; where PyAV fails on all of them, through decord."""
    painter = Painter(size, _video(media).rotation)
    numbers = pace.choose(timeline)
    found = False
    try:
        for frames in _batches(frames_of(media, timeline, numbers, account), painter, batch):
            found = True
            yield frames
    except MediaError as error:
        if found or timeline.doubt:
            raise
        account.why = str(error).removeprefix(f"{media.path}: ")
    if found or not len(numbers):
        return
    if not timeline.doubt and not isinstance(media.path, Address):
        account.decoder, account.why = "decord", account.why or "PyAV decodes none of its pictures"
        yield from _by_decord(media, timeline.times, numbers, size, batch)
    elif pace.start is None:
        raise _undecodable(media)


def _batches(frames: Iterable[tuple[float, Any]], painter: Painter, batch: int) -> Iterator[Frames]:
    """Yield the pictures of frames in batches."""
    images: list[Images] = []
    times: list[float] = []
    for at, frame in frames:
        images.append(painter.paint(frame))
        times.append(at)
        if len(times) == batch:
            yield Frames(np.stack(images), np.array(times))
            images, times = [], []
    if times:
        yield Frames(np.stack(images), np.array(times))


def _by_decord(
    media: Media, times: NDArray[np.float64], numbers: NDArray[np.int64], size: tuple[int, int], batch: int
) -> Generator[Frames]:
    """Yield frames by number through decord, of a video whose frames have these times."""
    reader = None
    try:
        reader = _reader(media, times, size)
        for position in range(0, len(numbers), batch):
            some = numbers[position : position + batch]
            images = reader.get_batch(some).asnumpy()
            if images.shape != (len(some), size[1], size[0], 3):
                raise RuntimeError(f"pictures of shape {images.shape}")  # noqa: TRY301 - all its failures are one
            yield Frames(images, times[some])
    except Exception as error:  # its own errors, assertions, StopIteration
        log.debug("decord: %s", " ".join(str(error).split())[:200])  # a time of day, and lines of C++
        raise _undecodable(media) from error
    finally:
        del reader  # it holds the file, threads and pictures


def _undecodable(media: Media) -> MediaError:
    return MediaError(f"{media.path}: no frame can be decoded; see if a player shows it")


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


def _by_pyav(media: Media, pace: _Pace, size: tuple[int, int], batch: int, account: Account) -> Generator[Frames]:
    """Yield the frames through PyAV, which decodes all that lies between the first and the last."""
    painter = Painter(size, _video(media).rotation)
    frames = decoded(media, account) if pace.start is None else shown_from(media, pace.start, account)
    found = False
    for some in _batches(_paced(frames, pace), painter, batch):
        found = True
        yield some
    if not found and pace.start is None:
        raise _undecodable(media)


def _paced(frames: Iterable[tuple[float, Any]], pace: _Pace) -> Iterator[tuple[float, Any]]:
    """Yield of frames in order those that are on screen when to look: `moments` and `on_screen`, as they come."""
    held: tuple[float, Any] | None = None
    when = np.zeros(0)
    position = 0  # of the next moment
    for at, frame in frames:
        if held is None:
            when = pace.moments(at)
        elif position == len(when):
            return
        elif when[position] + EPSILON < at:
            yield held
            position = int(np.searchsorted(when, at - EPSILON))
        held = at, frame
    if held is not None and position < len(when):
        yield held
