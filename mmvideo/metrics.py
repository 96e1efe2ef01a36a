"""How good a ranking of intervals is: pure functions.

Moment retrieval is measured as QVHighlights does (Lei et al. 2021, "Detecting Moments and Highlights in Videos via
Natural Language Queries", arXiv 2107.09609): recall of the first hit at an intersection over union (IoU), and average
precision over the first ten hits, averaged over the thresholds 0.5, 0.55, … 0.95.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

THRESHOLDS = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))
"""IoU thresholds of the mean average precision."""

HALF = 0.5
"""A hit finds a moment when they share this part of the shorter one."""


@dataclass(frozen=True, slots=True)
class Span:
    """[start, end) seconds of a media, which is named by any string that is the same for the same media."""

    media: str
    start: float
    end: float


def shared(a: Span, b: Span) -> float:
    """Return the seconds that two spans have in common."""
    return max(0.0, min(a.end, b.end) - max(a.start, b.start)) if a.media == b.media else 0.0


def iou(a: Span, b: Span) -> float:
    """Return intersection over union, 0 to 1."""
    common = shared(a, b)
    union = (a.end - a.start) + (b.end - b.start) - common
    return common / union if union > 0 else 0.0


def finds(hit: Span, truth: Span) -> bool:
    """Tell whether a hit leads to a moment: they share at least half of the shorter one."""
    shorter = min(hit.end - hit.start, truth.end - truth.start)
    return shorter > 0 and shared(hit, truth) >= HALF * shorter


def rank_of(hits: Sequence[Span], truths: Sequence[Span]) -> int | None:
    """Return the rank, from 1, of the first hit that finds one of the truths, or None."""
    for rank, hit in enumerate(hits, 1):
        if any(finds(hit, truth) for truth in truths):
            return rank
    return None


def boundary_errors(hits: Sequence[Span], truths: Sequence[Span]) -> tuple[float, float] | None:
    """Return by how many seconds the first hit starts and ends wrongly, or None where it finds no truth.

    The truth that it overlaps most is meant.
    """
    found = [truth for truth in truths if hits and finds(hits[0], truth)]
    if not found:
        return None
    best = max(found, key=lambda truth: iou(hits[0], truth))
    return abs(hits[0].start - best.start), abs(hits[0].end - best.end)


def average_precision(overlaps: NDArray[np.floating], threshold: float) -> float:
    """Return the average precision of ranked hits, given their IoU (hits, truths) with the true windows.

    Best first, each hit takes the free window that it overlaps most, if that is at least `threshold`; else it is wrong.
    Precision is made monotonous (the best precision at this recall or a higher one), as QVHighlights and Pascal VOC do.
    """
    count, truths = overlaps.shape
    if count == 0 or truths == 0:
        return 0.0
    free = np.ones(truths, dtype=bool)
    right = np.zeros(count)
    for i in range(count):
        for j in np.argsort(-overlaps[i], kind="stable"):
            if overlaps[i, j] < threshold:
                break
            if free[j]:
                free[j], right[i] = False, 1.0
                break
    found = np.cumsum(right)
    precision = np.maximum.accumulate((found / np.arange(1, count + 1))[::-1])[::-1]
    return float((precision * right).sum() / truths)


def overlaps(hits: Sequence[Span], truths: Sequence[Span]) -> NDArray[np.float64]:
    """Return the IoU of each hit with each truth, (hits, truths)."""
    return np.array([[iou(hit, truth) for truth in truths] for hit in hits], dtype=np.float64).reshape(
        len(hits), len(truths)
    )


def bootstrap(
    values: Sequence[float],
    *,
    statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]] = lambda drawn: drawn.mean(axis=1),
    rounds: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float] | None:
    """Return the interval in which `level` of the statistics of resampled values lie, None for no values.

    Efron's percentile bootstrap. `statistic` turns (rounds, n) drawn values into (rounds,).
    """
    if len(values) == 0:
        return None
    known = np.asarray(values, dtype=np.float64)
    drawn = known[np.random.default_rng(seed).integers(len(known), size=(rounds, len(known)))]
    low, high = np.quantile(statistic(drawn), ((1 - level) / 2, (1 + level) / 2))
    return float(low), float(high)
