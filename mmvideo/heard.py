"""What is heard in one media: the score curve over its windows of sound, cut into intervals at its peaks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .datatypes import Match, Segment, Vectors
from .fuse import Candidate, grow_peaks, logistic
from .store import Store


def rank_heard(
    store: Store, media: Sequence[int], vector: Vectors, measured: tuple[float, float, float], limit: int
) -> list[Candidate]:
    """Return what is heard in each of the `media` that answers a query; `measured` are the centre, half and scale of
    `moments_heard`."""
    found: list[Candidate] = []
    for media_id in media:
        windows = store.segments_of(media_id, "sound")
        held = {
            int(i): row
            for ids, matrix in store.vectors("sound", media=[media_id])
            for i, row in zip(ids, matrix, strict=True)
        }
        vectors = np.stack([held[one.id] for one in windows])
        matches = moments_heard([one.segment for one in windows], vectors, vector, *measured, limit)
        found += [Candidate(media_id, match) for match in matches]
    return found


def moments_heard(
    windows: Sequence[Segment], vectors: Vectors, vector: Vectors, centre: float, half: float, scale: float, limit: int
) -> list[Match]:
    """Return the matches of one media's `windows` in order of time, with their `vectors` (n, dim), best first.

    Windows overlap: each speaks for what is nearer to its middle than to another's. A match does not go on over a gap,
    where silence was left out. `centre` is the cosine that is usual for the query, `half` the one that scores one half,
    `scale` what is added to it for 0.73.
    """
    found: list[Match] = []
    for first, last in _runs(windows):
        scores = vectors[first:last] @ vector
        edges = _edges(windows[first:last])
        for peak in grow_peaks(scores, floor=centre, limit=limit):
            best = float(scores[peak.best])
            window = windows[first + peak.best]
            found.append(
                Match(
                    "sound",
                    logistic(best, half, scale),
                    float(edges[peak.first]),
                    float(edges[peak.last + 1]),
                    (window.start + window.end) / 2,
                    text=window.text,
                    similarity=best,
                    reasons=(("cosine", best), ("background", centre), ("half", half)),
                )
            )
    found.sort(key=lambda match: (-match.score, match.start))
    return found[:limit]


def _runs(windows: Sequence[Segment]) -> list[tuple[int, int]]:
    """Return the stretches [first, last) of windows that overlap or touch."""
    gaps = [i for i in range(1, len(windows)) if windows[i].start > windows[i - 1].end + 1e-3]
    borders = [0, *gaps, len(windows)]
    return [(a, b) for a, b in zip(borders[:-1], borders[1:], strict=True) if b > a]


def _edges(windows: Sequence[Segment]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the borders (n + 1,) halfway between the middles of neighbours; the run's own at both ends."""
    middles = np.array([(window.start + window.end) / 2 for window in windows])
    return np.concatenate([[windows[0].start], (middles[1:] + middles[:-1]) / 2, [windows[-1].end]])
