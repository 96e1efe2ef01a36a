"""What is seen in one media: the score curve over all its frames, cut into intervals at its peaks."""

from __future__ import annotations

import numpy as np

from .datatypes import Match, Timeline, Vectors
from .fuse import fit, grow_peaks, logistic, snap
from .pool import softmax_mean


def moments_seen(
    timeline: Timeline, vector: Vectors, centre: float, half: float, scale: float, limit: int
) -> list[Match]:
    """Return the visual matches of one media: the score curve over all its frames, cut into intervals at its peaks.

    `centre` is the cosine that is usual for the query, `half` the one that scores one half, `scale` what is added to it
    for 0.73.
    """
    scores = (timeline.vectors @ vector)[timeline.rows]
    edges = timeline.edges()
    step = float(np.median(np.diff(edges)))
    found = []
    for peak in grow_peaks(scores, floor=centre, limit=limit):
        similarity = softmax_mean(scores[peak.first : peak.last + 1])
        start, end = (snap(float(edges[i]), timeline.cuts, step) for i in (peak.first, peak.last + 1))
        time = float(timeline.times[peak.best])
        start, end = min(start, time), max(end, time)
        start, end = fit(start, end, timeline.start, timeline.end)
        score = logistic(similarity, half, scale)
        reasons = (("cosine", similarity), ("background", centre), ("half", half))
        found.append(Match("visual", score, start, end, time, similarity=similarity, reasons=reasons))
    return found


def frame_shown(timeline: Timeline, time: float) -> Vectors:
    """Return the vector (dim,) of the frame on screen at `time`."""
    position = int(np.searchsorted(timeline.times, time, side="right")) - 1
    vector: Vectors = timeline.vectors[timeline.rows[max(0, position)]]
    return vector
