"""What is done to candidates and moments after they are ranked: what is not wanted, one thing after another, repeats.

Pure functions over scores that are already calibrated, so they stay right whatever calibrates them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .datatypes import Match, Modality
from .fuse import Candidate, Moment, overlap, without_overlaps
from .words import tokens

REPEATED = 0.97
"""Frames whose vectors have at least this cosine show the same."""


def turn_down(
    rankings: dict[Modality, list[Candidate]], unwanted: Iterable[Sequence[Candidate]]
) -> dict[Modality, list[Candidate]]:
    """Return the rankings with the scores of what coincides with something unwanted lowered.

    A score is multiplied by 1 - u, u the highest score of an unwanted match of any modality, times the part of the
    candidate that it covers: a moment that surely is what nobody wants falls to nothing.
    """
    by_media: dict[int, list[Candidate]] = {}
    for ranking in unwanted:
        for candidate in ranking:
            by_media.setdefault(candidate.media_id, []).append(candidate)

    def lowered(candidate: Candidate) -> Candidate:
        match, length = candidate.match, max(candidate.match.end - candidate.match.start, 1e-9)
        others = [other.match for other in by_media.get(candidate.media_id, ())]
        bad = max((other.score * min(1.0, overlap(match, other) / length) for other in others), default=0.0)
        reasons = (*match.reasons, ("unwanted", bad))
        return replace(candidate, match=replace(match, score=match.score * (1.0 - bad), reasons=reasons))

    return {modality: [lowered(candidate) for candidate in ranking] for modality, ranking in rankings.items()}


def settled(ways: Iterable[Sequence[Candidate]]) -> list[Candidate]:
    """Return one candidate of each passage, best first: the first of its ways to answer, or the last where that would
    reach into what a better one of the same media answers with."""
    taken: dict[int, list[Match]] = {}
    found = []
    for some in sorted(ways, key=lambda some: _rank(some[0])):
        reaches = any(overlap(some[0].match, other) > 0 for other in taken.get(some[0].media_id, ()))
        chosen = some[-1] if reaches else some[0]
        taken.setdefault(chosen.media_id, []).append(chosen.match)
        found.append(chosen)
    return sorted(found, key=_rank)


def _rank(candidate: Candidate) -> tuple[float, int, float]:
    return -candidate.match.score, candidate.media_id, candidate.match.start


def chains(steps: Sequence[Sequence[Moment]], within: float, limit: int) -> list[Moment]:
    """Return at most `limit` moments in which a moment of each step follows one of the step before, best first.

    It follows if its best time is later, and it begins at most `within` seconds after the other's end: best times
    decide, because the ends of a moment that is seen dimly reach far. The chain lasts from the first start to the last
    end, has the matches of all in their order, and the product of their scores: every step must be right.
    """
    found: list[tuple[Moment, tuple[Moment, ...]]] = [(moment, (moment,)) for moment in steps[0]]
    for step in steps[1:]:
        by_media: dict[int, list[Moment]] = {}
        for moment in step:
            by_media.setdefault(moment.media_id, []).append(moment)
        found = [
            (following, (*parts, following))
            for last, parts in found
            for following in by_media.get(last.media_id, ())
            if last.matches[0].time < following.matches[0].time and following.start <= last.end + within
        ]
        found.sort(key=lambda chain: -_product(chain[1]))
        del found[10_000:]  # enough for every use, and no explosion where everything follows everything
    joined = [_joined(parts) for _, parts in found]
    joined.sort(key=lambda moment: (-moment.score, moment.end - moment.start, moment.media_id, moment.start))
    return without_overlaps(joined, limit)


def distinct(
    moments: Sequence[Moment], look: Callable[[Moment], NDArray[np.float32] | None], limit: int
) -> list[Moment]:
    """Return the first `limit` moments that do not repeat a better one.

    A moment repeats another if both were found by what is seen and their frames look the same, or both by the same
    words. `look` returns the frame vector (dim,) of a moment, or None.
    """
    kept: list[Moment] = []
    seen: list[NDArray[np.float32]] = []
    said: set[tuple[str, ...]] = set()
    for moment in moments:
        if len(kept) == limit:
            break
        best = moment.matches[0]
        vector = look(moment) if best.modality == "visual" else None
        text = tuple(tokens(best.text or ""))
        if (vector is not None and any(float(other @ vector) >= REPEATED for other in seen)) or (text and text in said):
            continue
        kept.append(moment)
        said.add(text)
        if vector is not None:
            seen.append(vector)
    return kept


def _product(parts: Sequence[Moment]) -> float:
    return float(np.prod([part.score for part in parts]))


def _joined(parts: Sequence[Moment]) -> Moment:
    matches = tuple(match for part in parts for match in part.matches)
    start, end = min(part.start for part in parts), max(part.end for part in parts)
    return Moment(parts[0].media_id, start, end, _product(parts), matches)
