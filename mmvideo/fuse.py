"""Rankings of several modalities to grouped, scored hits; score curves to intervals. Pure functions.

Vectors of different modalities are never added together: each modality ranks by itself, its scores are calibrated to
[0, 1], and only then do matches meet. A hit grows around one anchor, its best match; joining every overlap transitively
is wrong (it once made one hit of a whole file).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .datatypes import Match, Modality

MINIMUM_LENGTH = 0.5
"""Seconds: a hit is an interval, not a frame."""

AGREEMENT = 0.5
"""Two matches speak for the same moment when they share this part of the shorter one."""


Combine = Literal["chance", "sum"]
"""How the scores of matches that agree become one (see `fuse`)."""

FLAT = 1e-5
"""Similarities that differ by less are the same: the order of rows in a product alone changes the seventh digit."""

SUPPORT = 0.1
"""A match below this score is not worth naming beside a better one."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A match and the media that it lies in."""

    media_id: int
    match: Match


@dataclass(frozen=True, slots=True)
class Moment:
    """An interval of a media with the matches that speak for it, best first."""

    media_id: int
    start: float
    end: float
    score: float
    matches: tuple[Match, ...]


@dataclass(frozen=True, slots=True)
class Peak:
    """A stretch of samples [first, last] around its best one."""

    first: int
    last: int
    best: int


def either(one: float, other: float) -> float:
    """Return the chance that one of two is right."""
    return 1.0 - (1.0 - one) * (1.0 - other)


def logistic(value: float, centre: float, scale: float) -> float:
    """Return the chance in (0, 1) that `value` stands for: one half at `centre`, 0.73 one `scale` above it."""
    return 1.0 / (1.0 + math.exp(min(50.0, max(-50.0, (centre - value) / scale))))


def grow_peaks(
    scores: NDArray[np.floating], *, floor: float | None = None, fraction: float = 0.5, limit: int = 10
) -> list[Peak]:
    """Return up to `limit` peaks of a score curve (n,), highest first, no sample in two of them.

    A peak grows to both sides while the curve stays above `floor` (what is usual elsewhere; the curve's own median if
    that is lower) plus `fraction` of the peak's height over it. Equal scores: the earlier sample first.
    """
    if len(scores) == 0:
        return []
    median = float(np.median(scores))
    floor = median if floor is None else min(median, floor)
    free = np.ones(len(scores), dtype=bool)
    found: list[Peak] = []
    for best in np.argsort(-scores, kind="stable"):
        if len(found) == limit:
            break
        if not free[best]:
            continue
        # Where nothing stands out, the last digits of a sum must not decide how far a stretch reaches.
        level = floor + fraction * (float(scores[best]) - floor) - FLAT
        first = last = int(best)
        while first > 0 and free[first - 1] and scores[first - 1] >= level:
            first -= 1
        while last + 1 < len(scores) and free[last + 1] and scores[last + 1] >= level:
            last += 1
        free[first : last + 1] = False
        found.append(Peak(first, last, int(best)))
    return found


def snap(times: NDArray[np.float64], cuts: NDArray[np.float64], tolerance: float) -> NDArray[np.float64]:
    """Return for each time the nearest shot cut (`cuts` ascending) if it is at most `tolerance` seconds away, else the
    time."""
    if len(cuts) == 0:
        return times
    following = np.searchsorted(cuts, times)
    before, after = cuts[np.maximum(following - 1, 0)], cuts[np.minimum(following, len(cuts) - 1)]
    nearest = np.where(np.abs(before - times) <= np.abs(after - times), before, after)
    return np.where(np.abs(nearest - times) <= tolerance, nearest, times)


def fit(start: float, end: float, low: float, high: float, minimum: float = MINIMUM_LENGTH) -> tuple[float, float]:
    """Return [start, end) moved into [low, high) and made at least `minimum` seconds long, as far as there is room."""
    start, end = max(low, min(start, high)), max(low, min(end, high))
    lacking = minimum - (end - start)
    if lacking > 0:
        start = max(low, start - lacking / 2)
        end = min(high, start + minimum)
        start = max(low, end - minimum)
    return start, end


def overlap(a: Match | Moment, b: Match | Moment) -> float:
    """Return the seconds that two intervals share."""
    return max(0.0, min(a.end, b.end) - max(a.start, b.start))


def agree(a: Match | Moment, b: Match | Moment) -> bool:
    """Tell whether two intervals speak for the same moment."""
    shorter = min(a.end - a.start, b.end - b.start)
    return shorter > 0 and overlap(a, b) >= AGREEMENT * shorter


def fuse(
    rankings: Mapping[Modality, Sequence[Candidate]],
    *,
    limit: int,
    weights: Mapping[Modality, float] | None = None,
    combine: Combine = "chance",
) -> list[Moment]:
    """Return at most `limit` moments, best first, those of one media not overlapping.

    The best candidate that is left anchors a moment and takes with it, from each other modality, the best one that
    agrees with it in time. The score is the chance that at least one match is right, 1 - Π(1 - weight · score), or,
    with `combine="sum"`, the weighted mean over all modalities that were asked, a missing match counting 0. Ties break
    by media, start and modality, so that the answer is the same every time.
    """
    weight = dict(weights or {})
    order = sorted((c for ranking in rankings.values() for c in ranking), key=_order(weight))
    by_media: dict[int, list[Candidate]] = {}
    for candidate in order:
        by_media.setdefault(candidate.media_id, []).append(candidate)
    used: set[int] = set()
    moments: list[Moment] = []
    for anchor in order:
        if id(anchor) in used:
            continue
        chosen = {anchor.match.modality: anchor}
        for other in by_media[anchor.media_id]:
            weak = other.match.score < SUPPORT and other.match.score < anchor.match.score
            if (
                not weak
                and id(other) not in used
                and other.match.modality not in chosen
                and agree(anchor.match, other.match)
            ):
                chosen[other.match.modality] = other
        used.update(id(candidate) for candidate in chosen.values())
        moments.append(_moment(anchor, list(chosen.values()), weight, rankings if combine == "sum" else None))
    moments.sort(key=lambda m: (-m.score, m.media_id, m.start, m.end))
    return without_overlaps(moments, limit)


def without_overlaps(moments: Sequence[Moment], limit: int) -> list[Moment]:
    """Return the first `limit` moments that do not overlap a better one of the same media, trimmed where that suffices.

    A moment that keeps at least half of its length beside the better ones is trimmed to it, else left out.
    """
    kept: list[Moment] = []
    for moment in moments:
        if len(kept) == limit:
            break
        start, end = moment.start, moment.end
        for better in (other for other in kept if other.media_id == moment.media_id):
            if better.start <= start < better.end:
                start = better.end
            if better.start < end <= better.end:
                end = better.start
            if start < better.start and better.end < end:  # the better one lies inside: the longer side remains
                start, end = (start, better.start) if better.start - start >= end - better.end else (better.end, end)
        if end - start >= max(MINIMUM_LENGTH, 0.5 * (moment.end - moment.start)):
            kept.append(moment if (start, end) == (moment.start, moment.end) else _trimmed(moment, start, end))
    return kept


def _order(weight: Mapping[Modality, float]) -> Callable[[Candidate], tuple[float, int, float, str]]:
    def key(candidate: Candidate) -> tuple[float, int, float, str]:
        match = candidate.match
        return -match.score * weight.get(match.modality, 1.0), candidate.media_id, match.start, match.modality

    return key


def by_rank(rankings: Mapping[Modality, Sequence[Candidate]], *, k: float = 60.0) -> dict[Modality, list[Candidate]]:
    """Return the rankings with scores that know only the rank, (k + 1) / (k + rank), 1 for the first.

    Fused with `combine="sum"` this is reciprocal rank fusion (Cormack et al. 2009), up to a factor.
    """
    return {
        modality: [
            replace(candidate, match=replace(candidate.match, score=(k + 1.0) / (k + rank)))
            for rank, candidate in enumerate(sorted(ranking, key=_order({})), 1)
        ]
        for modality, ranking in rankings.items()
    }


def normalised(rankings: Mapping[Modality, Sequence[Candidate]]) -> dict[Modality, list[Candidate]]:
    """Return the rankings with scores stretched to [0, 1], worst to best of each; equal ones become 1.

    Fused with `combine="sum"` and weights this is the convex combination of Bruch et al. (2023, arXiv 2210.11934).
    """
    stretched: dict[Modality, list[Candidate]] = {}
    for modality, ranking in rankings.items():
        scores = [candidate.match.score for candidate in ranking]
        low, span = min(scores, default=0.0), max(scores, default=0.0) - min(scores, default=0.0)
        stretched[modality] = [
            replace(c, match=replace(c.match, score=(c.match.score - low) / span if span > 0 else 1.0)) for c in ranking
        ]
    return stretched


def _moment(
    anchor: Candidate, chosen: list[Candidate], weight: Mapping[Modality, float], asked: Iterable[Modality] | None
) -> Moment:
    """Return the moment of an anchor; `asked` modalities make the score a weighted mean, None a chance."""
    matches = tuple(candidate.match for candidate in sorted(chosen, key=_order(weight)))
    worth = [weight.get(match.modality, 1.0) * match.score for match in matches]
    if asked is None:
        score = 1.0 - math.prod(1.0 - one for one in worth)
    else:
        score = sum(worth) / sum(weight.get(modality, 1.0) for modality in asked)
    return Moment(anchor.media_id, anchor.match.start, anchor.match.end, score, matches)


def _trimmed(moment: Moment, start: float, end: float) -> Moment:
    last = max(start, np.nextafter(end, start))
    matches = tuple(
        replace(match, time=float(min(max(match.time, start), last)))
        if match.modality == moment.matches[0].modality
        else match
        for match in moment.matches
    )
    return replace(moment, start=start, end=end, matches=matches)
