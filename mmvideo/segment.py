"""Sampled frames to visual segments: near-duplicates, shot cuts, windows.

All of it works on *signatures*: a frame shrunk to 16 × 16 blocks. They cost next to nothing beside an encoder, and what
they say (this frame repeats the last one; a shot ends here) needs no model. Passages of speech are cut in `passages`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .datatypes import Images

BLOCKS = 16
"""Blocks per side of a signature."""

COARSE = 4
"""Blocks per side when cuts are looked for: large blocks do not mind things moving inside a shot."""


def signatures(images: Images) -> NDArray[np.float32]:
    """Return the mean colour in [0, 1] of 16 × 16 blocks of each picture, shape (n, 16, 16, 3).

    Pictures smaller than 16 pixels on a side are repeated up to that size first.
    """
    n, height, width, _ = images.shape
    rows = np.linspace(0, height, BLOCKS, endpoint=False).astype(int)
    columns = np.linspace(0, width, BLOCKS, endpoint=False).astype(int)
    if height < BLOCKS or width < BLOCKS:
        return np.asarray(images[:, rows][:, :, columns] / np.float32(255), dtype=np.float32)
    # reduceat sums between the given borders without copying the pictures to float first.
    sums = np.add.reduceat(np.add.reduceat(images, rows, axis=1, dtype=np.uint32), columns, axis=2)
    area = np.outer(np.diff([*rows, height]), np.diff([*columns, width]))[None, :, :, None]
    return np.asarray(sums / (area * 255.0), dtype=np.float32).reshape(n, BLOCKS, BLOCKS, 3)


def is_duplicate(signature: NDArray[np.float32], other: NDArray[np.float32], threshold: float) -> bool:
    """Tell whether no block of two signatures (16, 16, 3) differs by more than `threshold` in mean over the colours.

    The largest block decides, not the mean: a small thing that appears in a still scene must be seen.
    """
    return bool(np.abs(signature - other).mean(axis=-1).max() <= threshold)


def differences(sigs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how much each frame differs from the one before, (n - 1,) in [0, 1]: mean over 4 × 4 coarse blocks."""
    n = len(sigs)
    size = BLOCKS // COARSE
    coarse = sigs.reshape(n, COARSE, size, COARSE, size, 3).mean(axis=(2, 4))
    return np.asarray(np.abs(np.diff(coarse, axis=0)).mean(axis=(1, 2, 3)), dtype=np.float32)


def shot_cuts(
    times: NDArray[np.float64], difference: NDArray[np.float32], threshold: float, interval: float = np.inf
) -> NDArray[np.float64]:
    """Return the times of shot cuts between two samples (n,) that differ by more than `threshold`.

    A cut must also stand out from the changes around it, else a fast pan would be one cut after another: it exceeds
    1.5 times the median of the four differences around it. It is put halfway, so the true cut lies within half a step;
    but after a step longer than `interval` at the later sample: that is a frame that came when the one before had
    stayed for long, or a keyframe that the encoder put at the cut.
    """
    n = len(difference)
    found = difference > threshold
    if n > 1:
        padded = np.pad(difference.astype(np.float64), 2, constant_values=np.nan)
        around = np.stack([padded[i : i + n] for i in (0, 1, 3, 4)])
        found &= difference > 1.5 * np.nanmedian(around, axis=0)
    step = np.diff(times)
    halves = step / 2.0
    halves[step > 1.5 * interval] = 0.0
    return np.asarray((times[1:] - halves)[found], dtype=np.float64)


def windows(start: float, end: float, cuts: NDArray[np.float64], maximum: float) -> list[tuple[float, float]]:
    """Return consecutive windows that cover [start, end): cut at `cuts`, then evenly so that none exceeds `maximum`."""
    edges = [start, *(float(cut) for cut in cuts if start < cut < end), end]
    result: list[tuple[float, float]] = []
    for left, right in zip(edges[:-1], edges[1:], strict=True):
        parts = max(1, int(np.ceil((right - left) / maximum - 1e-9)))
        inner = np.linspace(left, right, parts + 1)
        result.extend((float(a), float(b)) for a, b in zip(inner[:-1], inner[1:], strict=True))
    return [window for window in result if window[1] > window[0]]
