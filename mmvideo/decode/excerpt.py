"""A stretch of a recording copied into a file of its own, without decoding: what it takes of one at an address."""

from __future__ import annotations

from pathlib import Path

from ..datatypes import Media
from .timeline import moving_picture, opened

LATER = 10
"""Seconds by which the copy's clock is ahead of the recording's: the container of the copy has no time before 0."""

_AFTER = 2.0  # seconds of packets behind the end: sound and picture are not stored at the same place


def excerpt(media: Media, start: float, end: float, out: Path) -> float:
    """Write the packets of picture and sound from the keyframe before `start` to `end` (seconds on the media's own
    clock) as Matroska, and return where the copy begins on that clock. Raises `MediaError` for what cannot be read."""
    import av

    with opened(media.path) as container, av.open(f"file:{out}", "w", format="matroska") as written:
        chosen = list(container.streams.audio)
        if media.video is not None:
            chosen.insert(0, moving_picture(container))
        copies = {stream.index: written.add_stream_from_template(stream) for stream in chosen}
        if start > media.start:
            container.seek(int(start / chosen[0].time_base), stream=chosen[0], backward=True)
        running = set(copies)
        begins = False
        for packet in container.demux(*chosen):
            if packet.dts is None or not running:
                break
            at = float(packet.dts * packet.time_base)
            if at > end + _AFTER:
                running.discard(packet.stream_index)
                continue
            begins = begins or packet.stream_index == chosen[0].index  # sound may lie before the keyframe sought
            if not begins:
                continue
            packet.dts += int(LATER / packet.time_base)
            if packet.pts is not None:
                packet.pts += int(LATER / packet.time_base)
            packet.stream = copies[packet.stream_index]
            written.mux(packet)
    with opened(out) as container:
        return float((container.start_time or 0) / 1_000_000 - LATER)
