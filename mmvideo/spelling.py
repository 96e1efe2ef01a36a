"""The words of a query against words that were read off a screen, which are cut off, run together, or misspelt.

A query's word may stand there as it is, as the beginning or a part of a longer one ("comp" in "computer", "hours" in
"openinghours", where the space was too narrow to be read), or a few letters off ("harbor" for "harbour", "0pen" for
"open"). Each kind counts for less than the one before. Letters off are the last resort: only where nothing else fits.
"""

from __future__ import annotations

from collections.abc import Iterable

PREFIX = 0.9
PART = 0.8
MISSPELT = 0.7
"""What a word that fits in this way counts for, an equal one counting 1."""

SHORTEST = 3
"""Letters: beginnings and parts shorter than this fit by chance."""

_LOOKALIKE = str.maketrans("0158|", "olsbl")
"""What is read for a letter that looks the same; both sides are compared by it."""


def spellings(word: str, vocabulary: Iterable[str]) -> dict[str, float]:
    """Return the words of a vocabulary (folded) that may stand for a folded word, with what each counts for in (0, 1].

    Equal words count 1, then come longer ones that begin with it or hold it; only if there are none, those that differ
    by one letter (from four letters on) or two (from eight on).
    """
    found: dict[str, float] = {}
    known = list(vocabulary)
    for other in known:
        if other == word:
            found[other] = 1.0
        elif len(word) >= SHORTEST and other.startswith(word):
            found[other] = PREFIX
        elif len(word) > SHORTEST and word in other:
            found[other] = PART
    if found or len(word) < 4:
        return found
    allowed = 1 if len(word) < 8 else 2
    plain = word.translate(_LOOKALIKE)
    for other in known:
        if abs(len(other) - len(word)) <= allowed and within(plain, other.translate(_LOOKALIKE), allowed):
            found[other] = MISSPELT
    return found


def within(one: str, other: str, allowed: int) -> bool:
    """Tell whether `one` becomes `other` by at most `allowed` letters put in, left out, changed, or swapped with the
    next (optimal string alignment distance)."""
    if abs(len(one) - len(other)) > allowed:
        return False
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        before, last, row = row, before, [i]
        for j, against in enumerate(other, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != against))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == against:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
        if min(row) > allowed:
            return False
    return row[-1] <= allowed
