"""What is seen in one media: the score curve over all its frames, cut into intervals at its peaks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .datatypes import Match, Timeline, Vectors
from .fuse import fit, grow_peaks, logistic, snap
from .pool import softmax_mean

STEADY = 0.5
"""Part of its shot's mean in the score of a frame: one frame taken for something else ends nothing."""

LONGEST_SHOT = 20.0
"""Seconds: a longer take may show many things, its mean says nothing about one of them."""

GROWTH = 0.6
"""A peak grows down to this part of its height over what is usual."""


def moments_seen(
    timeline: Timeline, vector: Vectors, centre: float, half: float, scale: float, limit: int
) -> list[Match]:
    """Return the visual matches of one media: the score curve over all its frames, cut into intervals at its peaks.

    `centre` is the cosine that is usual for the query, `half` the one that scores one half, `scale` what is added to it
    for 0.73.
    """
    scores = (timeline.vectors @ vector)[timeline.rows]
    edges = timeline.edges
    found = []
    peaks = grow_peaks(steadied(timeline, scores), floor=centre, fraction=GROWTH, limit=limit)
    borders = np.array([(peak.first, peak.last + 1) for peak in peaks], dtype=int).reshape(-1, 2)
    ends = snap(edges[borders], timeline.cuts, timeline.step).tolist()
    for peak, (start, end) in zip(peaks, ends, strict=True):
        similarity = softmax_mean(scores[peak.first : peak.last + 1])
        best = peak.first + int(np.argmax(scores[peak.first : peak.last + 1]))
        time = float(timeline.times[best])
        start, end = min(start, time), max(end, time)
        start, end = fit(start, end, timeline.start, timeline.end)
        score = logistic(similarity, half, scale)
        reasons = (("cosine", similarity), ("background", centre), ("half", half))
        found.append(Match("visual", score, start, end, time, similarity=similarity, reasons=reasons))
    return found


def steadied(timeline: Timeline, scores: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the scores of all frames (n,), each mixed with the mean of its shot where that is not a long one."""
    shot, lengths = timeline.shots
    frames = np.bincount(shot, minlength=len(lengths))
    mean = np.bincount(shot, weights=scores, minlength=len(lengths)) / np.maximum(frames, 1)
    steady = np.where(lengths <= LONGEST_SHOT, STEADY, 0.0)[shot]
    return np.asarray((1.0 - steady) * scores + steady * mean[shot], dtype=np.float64)


def frame_shown(timeline: Timeline, time: float) -> Vectors:
    """Return the vector (dim,) of the frame on screen at `time`."""
    position = int(np.searchsorted(timeline.times, time, side="right")) - 1
    vector: Vectors = timeline.vectors[timeline.rows[max(0, position)]]
    return vector
