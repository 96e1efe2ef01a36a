"""Pictures from PyAV: decoding past damage, starting at a time, and painting what libav decoded as upright RGB."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..datatypes import Images, Media
from ..errors import MediaError
from .stream import Account
from .timeline import EPSILON, moving_picture, opened, packetwise

_STEPS_BACK = (0.0, 1.0, 5.0, 30.0)
"""Seconds before the time to try: without an index libav lands after it, and an open group hides its first frames."""


class Painter:
    """Makes upright RGB pictures of one size, (height, width, 3) uint8, of PyAV's frames."""

    def __init__(self, size: tuple[int, int], rotation: int) -> None:
        from av.video.reformatter import VideoReformatter

        self._turns = -rotation // 90  # counter-clockwise, as NumPy turns
        self._size = size[::-1] if self._turns % 2 else size
        self._reformatter = VideoReformatter()  # keeps its tables from frame to frame

    def paint(self, frame: Any) -> Images:
        """Return the picture of a frame, each pixel the mean of those that it covers: a third of bicubic's time."""
        width, height = self._size
        rgb = self._reformatter.reformat(frame, width, height, "rgb24", interpolation="AREA")
        return np.ascontiguousarray(np.rot90(rgb.to_ndarray(), self._turns))


def decoded(media: Media, account: Account, since: float | None = None) -> Iterator[tuple[float, Any]]:
    """Yield (time in seconds, frame) in order, from a keyframe near `since`, else from the beginning.

    Damaged packets and frames, and times that run backwards, are passed over and told in the account.
    """
    last = -np.inf
    with opened(media.path) as container:
        stream = moving_picture(container)
        stream.thread_type = "AUTO"
        if since is not None:
            container.seek(int(since / stream.time_base), stream=stream, backward=True)
        pause = 1 / float(stream.average_rate or 25)
        whole = since is None
        for frame in packetwise(container, stream):
            # Before the first keyframe there is only what refers to pictures that were never decoded.
            whole = whole or (frame is not None and frame.key_frame)
            if not whole:
                continue
            if frame is None or frame.is_corrupt:
                account.note("damaged: some pictures cannot be decoded and are left out")
                continue
            at = frame.time
            if at is None:  # a bare stream of pictures
                if since is not None:
                    return  # there is no telling where the seek has led
                account.note(f"no times in it: {1 / pause:g} frames per second assumed")
                at = last + pause if np.isfinite(last) else media.start
            if at > last:
                last = float(at)
                yield last, frame
            elif at < last - 1:  # by a frame or two they do in every MPEG-PS
                account.note("times run backwards in it: the pictures concerned are left out")


def shown_from(media: Media, time: float, account: Account) -> Iterator[tuple[float, Any]]:
    """Yield (time, frame) from one that begins at or before `time`, else from the first that there is."""
    for back in _STEPS_BACK:
        if (
            time - back <= media.start or media.container == "mpeg"
        ):  # where the times after a seek are guessed, and wrong
            break
        frames = decoded(media, account, time - back)
        try:
            first = next(frames, None)
        except MediaError:  # a container may refuse to seek there
            continue
        if first is not None and first[0] <= time + EPSILON:
            yield first
            yield from frames
            return
    yield from decoded(media, account)
