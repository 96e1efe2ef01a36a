"""Clips for encoders that look at several frames together: for each sample, those around it.

A sample's clip reaches half of its length to both sides, as far as frames are at hand: the last frames of the batch
before are kept, and at the end of a batch a clip is moved back rather than waiting for the next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from .datatypes import Images, ImageTextEncoder, Vectors


@runtime_checkable
class ClipEncoder(ImageTextEncoder, Protocol):
    """An encoder of clips: it sees `frames` consecutive pictures at once."""

    @property
    def frames(self) -> int:
        """How many pictures make a clip; 1 for an encoder of single ones."""
        ...

    def encode_clips(self, clips: Sequence[Images]) -> Vectors:
        """Return one unit vector per clip (`frames`, height, width, 3), shape (n, dim) float32."""
        ...


class Looking:
    """Encodes the samples of one media, in order: pictures one by one, or clips around them where the encoder takes
    such."""

    def __init__(self, encoder: ImageTextEncoder) -> None:
        self._encoder = encoder
        self._before: Images | None = None

    def __call__(self, images: Images, fresh: Sequence[int]) -> Vectors:
        """Return the vectors of the samples `fresh` of a batch of consecutive ones, (len(fresh), dim)."""
        encoder = self._encoder
        if not isinstance(encoder, ClipEncoder) or encoder.frames == 1:
            return encoder.encode_images(images[list(fresh)])
        known = images if self._before is None else np.concatenate([self._before, images])
        first = len(known) - len(images)
        self._before = known[-(encoder.frames - 1) :]
        return encoder.encode_clips([_around(known, first + position, encoder.frames) for position in fresh])


def _around(images: Images, position: int, count: int) -> Images:
    start = max(0, min(position - count // 2, len(images) - count))
    return images[np.minimum(np.arange(start, start + count), len(images) - 1)]
