"""From what was seen to segments of modality `caption`: one frame stands for each shot, and is told in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from .datatypes import Captioner, Images, Segment, Timeline, Vectors


def representatives(timeline: Timeline, pieces: Sequence[tuple[float, float]], pooled: Vectors) -> list[int]:
    """Return for each of the `pieces` [start, end) of a timeline the sample in it that is nearest to what was pooled
    (n, dim) of all its samples; of equal ones the one in the middle."""
    chosen = []
    for (start, end), whole in zip(pieces, pooled, strict=True):
        first = int(np.searchsorted(timeline.times, start, side="left"))
        last = int(np.searchsorted(timeline.times, end, side="left"))
        if first >= last:
            first, last = max(0, first - 1), max(1, first)
        nearness = timeline.vectors[timeline.rows[first:last]] @ whole
        best = np.flatnonzero(nearness >= nearness.max() - 1e-4)
        middle = (last - 1 - first) / 2
        chosen.append(first + int(best[np.argmin(np.abs(best - middle))]))
    return chosen


def described(
    pieces: Sequence[tuple[float, float]],
    samples: Sequence[int],
    frames: Iterable[tuple[int, Images]],
    captioner: Captioner,
) -> list[Segment]:
    """Return the captions of `pieces` as segments: `samples` says which frame stands for each, `frames` are (sample,
    picture (height, width, 3)). Neighbours told in the same words are one segment; those without words are left out."""
    told = {sample: captioner.caption([picture])[0] for sample, picture in frames}
    found: list[Segment] = []
    for (start, end), sample in zip(pieces, samples, strict=True):
        text = told.get(sample, "")
        if text and found and found[-1].text == text and found[-1].end >= start - 1e-6:
            found[-1] = Segment("caption", found[-1].start, end, text)
        elif text:
            found.append(Segment("caption", start, end, text))
    return found
