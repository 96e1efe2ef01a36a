"""When each frame is shown, read from the packets without decoding, and whether decord may number them.

decord finds a frame by its number, which is right only where seeking is. Measured with decord2 3.4.0 against PyAV,
every wrong picture was in a file with keyframes that are not the first of their group to be shown (open groups: HEVC,
MPEG-2, MPEG-4 with B-frames: about half of the frames), with packets that an edit list hides (all after the first
group), without times (AVI, MPEG-PS), or in MPEG-TS, where it loses the first group even when reading in order. In MP4,
MOV, Matroska and WebM free of these all pictures were right. Its own times are float32 and count from the first frame,
so they serve only as a check.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..address import opening
from ..datatypes import Media
from ..errors import MediaError

EPSILON = 5e-4
"""Seconds by which a frame may be late and still be on screen: containers round times to the millisecond."""

OPEN = "open groups of pictures"
"""A doubt that concerns decord alone: read in order, such files are decoded right."""

_CHANGED = 0.5  # of its keyframe's bytes
_SPIKE = 10.0  # times the 90th percentile of its group
_LEAST = 0.02  # of its keyframe's bytes, for a spike

INDEXED = frozenset({"mov", "mp4", "m4a", "3gp", "3g2", "mj2", "matroska", "webm"})
"""Containers that know where each keyframe is, and how long the whole is."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """The frames' times in the order shown, (n,) float64 seconds; `end` is when the last packet of any stream ends.

    `stamps` are the same times in decoding order, in the stream's own units, and `keys` tells which of them are
    keyframes, `sizes` how many bytes each takes. `doubt` says why decord's frame numbers cannot be trusted; it is empty
    where they can. `planned` tells whether one can know what a frame needs to be decoded.
    """

    times: NDArray[np.float64]
    end: float
    doubt: str = ""
    stamps: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    keys: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))
    sizes: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def planned(self) -> bool:
        """Tell whether every packet has a time of its own and the first is a keyframe."""
        return self.doubt in ("", OPEN) and len(self.stamps) == len(self.times) > 0

    def keyframes(self) -> NDArray[np.float64]:
        """Return the times of the keyframes, (k,) float64 seconds, ascending."""
        return self.times[np.isin(np.sort(self.stamps), self.stamps[self.keys])]

    def changes(self) -> NDArray[np.float64]:
        """Return the times of frames, keyframes aside, that took many bytes, (c,) float64 seconds, ascending.

        Such a frame shares little with those before it: of a cut where no keyframe was put, or of fast movement, when
        it takes more than half of its keyframe's bytes (of still pictures and slow movement even the largest took a
        quarter, of cuts and cyclists riding past more than half); of a text that appears on a still picture, when it
        takes ten times as many as nine in ten frames of its group (50 and more, where those of slow fades took 5).
        """
        changed = np.zeros(len(self.keys), bool)
        starts = np.flatnonzero(self.keys)
        for first, stop in zip(starts, [*starts[1:], len(self.keys)], strict=True):
            sizes = self.sizes[first + 1 : stop]
            if len(sizes):
                usual = max(_SPIKE * float(np.percentile(sizes, 90)), _LEAST * self.sizes[first])
                changed[first + 1 : stop] = sizes > min(usual, _CHANGED * self.sizes[first])
        return self.times[np.isin(np.sort(self.stamps), self.stamps[changed])]


FAILURES = 100
"""Packets in a row that do not decode: libav goes on after damage, but may also stand still."""


def packetwise(container: Any, stream: Any, failed: Callable[[str], object] = lambda _: None) -> Iterator[Any]:
    """Yield the frames of a stream, None for each packet that does not decode, of which `failed` is told why."""
    import av

    packets = container.demux(stream)
    failures = 0
    while failures < FAILURES:
        try:
            packet = next(packets, None)
            if packet is None:
                return
            frames = packet.decode()
        except av.EOFError:
            return
        except av.FFmpegError as error:
            failures += 1
            failed(error.strerror)
            yield None
            continue
        failures = 0
        yield from frames


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open a file with PyAV, quietly; what libav throws meanwhile becomes a `MediaError`.

    Nothing that belongs to the container may be touched after it: libav crashes where Python would raise.
    """
    import av

    av.logging.set_level(None)
    try:
        with ExitStack() as stack:
            yield stack.enter_context(av.open(**opening(path, stack)))
    except (av.FFmpegError, OSError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise MediaError(f"{path}: cannot be read ({why}); see if it is still there and a player opens it") from error


def moving_picture(container: Any) -> Any:
    """Return the first video stream that is not a cover, as `mmvideo.media.probe` chose it."""
    from av.stream import Disposition

    covers = Disposition.attached_pic | Disposition.timed_thumbnails
    for stream in container.streams.video:
        if not stream.disposition & covers:
            return stream
    raise MediaError(f"{container.name.removeprefix('file:')}: no video in it any more; add it again")


def read_timeline(media: Media) -> Timeline:
    """Return when each frame of an `INDEXED` container is shown, from one pass over the packets (20 ms for 100 s)."""
    import av

    times: list[int] = []
    keys: list[bool] = []
    sizes: list[int] = []
    end = media.start
    doubt = ""
    with opened(media.path) as container:
        picture = moving_picture(container)
        if len(container.streams.video) > 1:
            doubt = "several video streams"
        try:
            for packet in container.demux(*container.streams.video, *container.streams.audio):
                if packet.size == 0:  # libav's "flush", after the last one
                    continue
                if packet.pts is not None:
                    end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
                if packet.stream_index != picture.index:
                    continue
                if packet.pts is None or packet.is_discard or packet.is_corrupt:
                    doubt = doubt or "packets without a time, hidden or damaged"
                else:
                    times.append(packet.pts)
                    keys.append(packet.is_keyframe)
                    sizes.append(packet.size)
        except av.FFmpegError as error:
            doubt = f"damaged ({error.strerror})"
        numerator, denominator = float(picture.time_base.numerator), float(picture.time_base.denominator)
    stamps = np.array(times, np.int64)
    shown = np.unique(stamps).astype(np.float64) * numerator / denominator  # as PyAV computes `frame.time`
    keyed = np.array(keys, bool)
    return Timeline(shown, end, doubt or _disorder(stamps, keyed), stamps, keyed, np.array(sizes, np.int64))


def _disorder(stamps: NDArray[np.int64], keys: NDArray[np.bool_]) -> str:
    """Say what is wrong with the order of packets, given as times and keyframe flags in decoding order."""
    if not len(stamps) or not keys[0]:
        return "does not start with a keyframe"
    if len(np.unique(stamps)) < len(stamps):
        return "two frames at one time"
    newest = np.maximum.accumulate(stamps)  # of this and all before
    oldest = np.minimum.accumulate(stamps[::-1])[::-1]  # of this and all after
    if (newest != stamps)[keys].any() or (oldest != stamps)[keys].any():
        return OPEN
    return ""


def moments(first: float, interval: float, stop: float) -> NDArray[np.float64]:
    """Return first, first + interval, … below `stop` (m,) float64: when to look."""
    count = max(0, int(np.ceil((stop - first - EPSILON) / interval)))
    return first + interval * np.arange(count, dtype=np.float64)


def on_screen(times: NDArray[np.float64], when: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the numbers of the frames that are on screen at these moments, each frame once, ascending."""
    at = np.searchsorted(times, when + EPSILON, side="right") - 1
    return np.unique(np.maximum(at, 0)).astype(np.int64)
