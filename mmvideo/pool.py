"""Frame vectors of a segment to one vector.

The mean of unit frame vectors is the zero-shot reference for clips (Portillo-Quintero et al. 2021, arXiv 2102.12443);
`max` and `topk` keep what only a few frames show. `query_scored` weighs the frames by the query itself (Bain et al.
2022, arXiv 2205.08508); it needs the query, so it runs at search time over the stored frame vectors.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .datatypes import Pooling, Timeline, Vectors

TOP_K = 3
TEMPERATURE = 0.1


def unit(vectors: ArrayLike) -> Vectors:
    """Return the vectors scaled to length 1 along the last axis, float32; a zero vector stays zero."""
    array = np.asarray(vectors, dtype=np.float32)
    length = np.linalg.norm(array, axis=-1, keepdims=True)
    return np.asarray(array / np.where(length > 0, length, 1.0), dtype=np.float32)


def pool(vectors: Vectors, durations: ArrayLike | None = None, *, how: Pooling = "mean", k: int = TOP_K) -> Vectors:
    """Return one unit vector (dim,) for the frames of a segment, `vectors` (n, dim) with n ≥ 1.

    `durations` (n,) are the seconds that each frame is shown: the mean weighs by them, so that a still picture whose
    repeats were dropped counts as long as it was seen. `max` and `topk` (the mean of the `k` largest) work on each
    component by itself. Raises `ValueError` for no frames or an unknown `how`.
    """
    if len(vectors) == 0:
        raise ValueError("a segment without frames has no vector")
    if how == "mean":
        weights = np.ones(len(vectors)) if durations is None else np.asarray(durations, dtype=np.float64)
        if weights.sum() <= 0:
            weights = np.ones(len(vectors))
        return unit(np.average(vectors, axis=0, weights=weights))
    if how == "max":
        return unit(vectors.max(axis=0))
    if how == "topk":
        return unit(np.sort(vectors, axis=0)[-k:].mean(axis=0))
    raise ValueError(f"unknown pooling {how!r}: mean, max or topk")


def query_scored(vectors: Vectors, query: Vectors, *, temperature: float = TEMPERATURE) -> float:
    """Return the similarity of `query` (dim,) to frames (n, dim) pooled with weights softmax(similarity / temperature).

    The temperature runs from max pooling (towards 0) to the mean (towards infinity). The pooled vector is not scaled
    to length 1 again, so the result is a weighted mean of the frames' own similarities and lies between their
    smallest and largest. Raises `ValueError` for no frames.
    """
    if len(vectors) == 0:
        raise ValueError("no frames to score")
    return softmax_mean(vectors @ query, temperature=temperature)


def softmax_mean(similarities: ArrayLike, *, temperature: float = TEMPERATURE) -> float:
    """Return the mean of `similarities` (n,), weighted by softmax(similarities / temperature)."""
    scores: NDArray[np.float64] = np.asarray(similarities, dtype=np.float64)
    weights = np.exp((scores - scores.max()) / temperature)
    return float(weights @ scores / weights.sum())


def pool_windows(timeline: Timeline, windows: list[tuple[float, float]], *, how: Pooling = "mean") -> Vectors:
    """Return one unit vector per window [start, end) of a timeline, (n, dim), each frame weighed by how long it shows.

    A window in which no sample lies takes the sample that is on screen when it begins.
    """
    edges = timeline.edges
    pooled = np.zeros((len(windows), timeline.vectors.shape[1]), np.float32)
    for position, (start, end) in enumerate(windows):
        first = int(np.searchsorted(timeline.times, start, side="left"))
        last = int(np.searchsorted(timeline.times, end, side="left"))
        if first >= last:
            first, last = max(0, first - 1), max(1, first)
        shown = np.minimum(edges[first + 1 : last + 1], end) - np.maximum(edges[first:last], start)
        pooled[position] = pool(timeline.vectors[timeline.rows[first:last]], np.maximum(shown, 1e-3), how=how)
    return pooled
