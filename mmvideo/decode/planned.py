"""Decoding only what is wanted: which packets a decoder needs for a choice of frames, and feeding it those.

Within a group of pictures nothing refers to what comes later in decoding order, so packets after the last wanted one
are left out; in H.264 a picture that no other refers to is passed over by the decoder itself. All other pictures are
decoded as ever, so what comes out is what decoding everything would give (`tests/test_decode.py` holds it). For one
frame a second of a 720p film with B-frames that takes 0.55 of the processor time of decoding all of it, for its
keyframes alone less than a tenth (`benchmarks/decoding.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..datatypes import Media
from .stream import Account
from .timeline import FAILURES, Timeline, moving_picture, opened

_SKIPPABLE = frozenset({"h264"})
"""Codecs whose unreferenced pictures may be passed over. In HEVC a layer above may refer to them."""

_MARGIN = 1.0  # seconds before the first packet needed to seek to: an index may count in decoding times
_FAR = 10.0  # seconds from which seeking is worth it


def plan(timeline: Timeline, wanted: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which packets (n,), in decoding order, the decoder needs to give the wanted ones.

    A group's leading pictures (after its keyframe in decoding order, shown before it) refer to the group before; where
    any of them is wanted, the whole group before is needed, and where that is not decoded, none of them.
    """
    group = np.cumsum(timeline.keys) - 1
    groups = int(group[-1]) + 1 if len(group) else 0
    last = np.full(groups, -1)
    np.maximum.at(last, group[wanted], np.flatnonzero(wanted))
    leading = timeline.stamps < timeline.stamps[timeline.keys][group]
    reaching = np.unique(group[leading & wanted])
    before = reaching[reaching > 0] - 1
    last[before] = len(group)  # all of it
    needed = np.arange(len(group)) <= last[group]
    whole = np.zeros(groups + 1, bool)
    whole[before + 1] = True
    return np.asarray(needed & (~leading | whole[group]), bool)


def frames_of(media: Media, timeline: Timeline, numbers: NDArray[np.int64], account: Account) -> Iterator[Any]:
    """Yield (time, frame as PyAV has it) of the frames with these numbers (ascending) in the order shown."""
    import av

    stamps = np.sort(timeline.stamps)[numbers]
    isin = np.isin(timeline.stamps, stamps)
    needed = {int(stamp) for stamp in timeline.stamps[plan(timeline, isin)]}
    wanted = dict(zip(stamps.tolist(), timeline.times[numbers].tolist(), strict=True))
    if not wanted:
        return
    with opened(media.path) as container:
        stream = moving_picture(container)
        stream.thread_type = "AUTO"
        context = stream.codec_context
        passing = "NONREF" if context.name in _SKIPPABLE else "DEFAULT"
        first = (min(needed) - int(timeline.stamps.min())) * float(stream.time_base)
        if first > _FAR:
            container.seek(min(needed) - int(_MARGIN / stream.time_base), stream=stream, backward=True)
        failures = 0
        for packet in container.demux(stream):
            if packet.size:
                if packet.pts not in needed:
                    continue
                context.skip_frame = "DEFAULT" if packet.pts in wanted else passing
            try:
                frames = context.decode(packet if packet.size else None)
            except av.FFmpegError:
                failures += 1
                if failures > FAILURES:
                    break
                continue
            failures = 0
            for frame in frames:
                if frame.pts in wanted and not frame.is_corrupt:
                    yield wanted.pop(frame.pts), frame
            if not wanted:
                return
    account.note("damaged: some pictures cannot be decoded and are left out")
