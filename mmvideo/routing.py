"""Which modality a query is likely to mean: what is seen, or what is said.

"A cup of espresso" asks for a picture, "why the time shown downtown is wrong" for something said, and each modality
finds something near to either. A logistic model looks at the query and at what each modality found best, and the scores
of the modality that is less likely meant are lowered by the odds. Within a modality the order stays. The coefficients
are fitted on the tuning build of the benchmark by `scripts/fit_routing.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from . import words
from .datatypes import Modality
from .forms import stem
from .fuse import Candidate

CLAUSE = frozenset(
    """because could did do does had has have how if is nobody should that was were what when where which who whom whose
    why will with would""".split()
)
"""Words that make a statement or a question out of a name for something."""

INTERCEPT = 1.87
COEFFICIENTS = (-1.23, 0.0, 1.56, 0.29, -0.56)
"""Of `features`, for the logarithm of the odds that the query means what is seen."""

ROUTED = frozenset({"conse"})
"""Visual models whose scores the coefficients were fitted on; with others every modality counts as it scores."""


def features(text: str, names: frozenset[str], rankings: Mapping[Modality, Sequence[Candidate]]) -> tuple[float, ...]:
    """Return what the model looks at: the logarithm of the number of words, whether they make a clause (0 or 1), which
    part of the telling ones the classifier has names for, and the best visual and the best spoken score as log odds.

    `names` are the stems of the words in the names (see `stems`).
    """
    every = words.tokens(text)
    telling = words.parse(text).words
    known = sum(stem(word) in names for word in telling) / len(telling) if telling else 0.0
    clause = float(not CLAUSE.isdisjoint(every))
    return (
        float(np.log(max(1, len(every)))),
        clause,
        known,
        _best(rankings.get("visual", ())),
        _best(rankings.get("speech", ())),
    )


def stems(names: Sequence[str]) -> frozenset[str]:
    """Return the stems of all words in some names."""
    return frozenset(stem(word) for name in names for word in words.tokens(name))


def routed(
    text: str, names: frozenset[str], rankings: Mapping[Modality, list[Candidate]]
) -> dict[Modality, list[Candidate]]:
    """Return the rankings, what is seen or what is said lowered by the odds that the query means the other.

    Where only one of the two was asked nothing changes.
    """
    if not rankings.get("visual") or not rankings.get("speech"):
        return dict(rankings)
    looked = features(text, names, rankings)
    logit = INTERCEPT + float(np.dot(COEFFICIENTS, looked))
    odds = float(np.exp(np.clip(logit, -50.0, 50.0)))
    factor: dict[Modality, float] = {"visual": min(1.0, odds), "speech": min(1.0, 1.0 / odds)}
    return {
        modality: [_lowered(candidate, factor[modality]) for candidate in ranking] if modality in factor else ranking
        for modality, ranking in rankings.items()
    }


def _lowered(candidate: Candidate, factor: float) -> Candidate:
    if factor == 1.0:
        return candidate
    match = candidate.match
    reasons = (*match.reasons, ("meant", factor))
    return Candidate(candidate.media_id, replace(match, score=match.score * factor, reasons=reasons))


def _best(ranking: Sequence[Candidate]) -> float:
    score = min(max(max((c.match.score for c in ranking), default=0.0), 1e-3), 1.0 - 1e-3)
    return float(np.log(score / (1.0 - score)))
