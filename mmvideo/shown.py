"""Text on screen, ranked for a query: by its words in any spelling that fits, and by its meaning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from . import words
from .datatypes import Match, Modality
from .fuse import Candidate
from .spelling import spellings
from .store import Store, StoredSegment

LOOKED_AT = 200
"""Texts that hold some of the words, best first, that are looked at."""


REMEMBERED = 1_000
"""Words of queries of which is remembered how they are spelt."""


class Written:
    """The words of all texts on screen (or of another modality), and in how many texts each stands."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.texts = 0
        self.counts: Counter[str] = Counter()
        for text in texts:
            self.texts += 1
            self.counts.update(set(words.tokens(text)))
        self._spelt: dict[str, dict[str, float]] = {}

    def spellings(self, word: str) -> dict[str, float]:
        """Return the words that may stand for a folded word of a query, with what each counts for in (0, 1]."""
        known = self._spelt.get(word)
        if known is None:
            if len(self._spelt) >= REMEMBERED:
                self._spelt.clear()
            known = self._spelt[word] = spellings(word, self.counts)
        return known


def rank_shown(
    asked: words.WordQuery,
    store: Store,
    written: Written,
    meant: Sequence[StoredSegment],
    meanings: Callable[[Sequence[int]], Mapping[int, tuple[float, float]]],
    *,
    media: Sequence[int] | None,
    weight: float,
    modality: Modality = "screen",
) -> list[Candidate]:
    """Return the texts on screen (or of another `modality`) that answer a query, best first.

    `written` knows all words, `meant` are texts near in meaning, `meanings` gives the
    cosine and what it is worth, in [0, 1], for the ids of segments that have vectors. `weight` is what a text with
    every word is worth. Quoted phrases must occur as they are.
    """
    spelt = {word: written.spellings(word) for word in asked.words}
    rarity = {word: words.rarity(sum(written.counts[s] for s in some), written.texts) for word, some in spelt.items()}
    any_word = asked.any_word if asked.phrases else " OR ".join(f'"{s}"' for some in spelt.values() for s in some)
    hold = store.match_words(any_word, modality, media=media, limit=LOOKED_AT) if any_word else []
    segments = {segment.id: segment for segment, _ in hold}
    if not asked.phrases:
        segments |= {segment.id: segment for segment in meant}
    meaning = meanings(list(segments))
    found = []
    for stored in segments.values():
        stretch = stored.segment
        cosine, by_meaning = meaning.get(stored.id, (None, 0.0))
        by_words = (weight * words.spelt_coverage(spelt, stretch.text or "", rarity)) ** 2
        match = Match(
            modality=modality,
            score=1.0 - (1.0 - by_meaning) * (1.0 - by_words),
            start=stretch.start,
            end=stretch.end,
            time=stretch.start,
            text=stretch.text,
            similarity=cosine,
            words_matched=by_words > 0,
            reasons=(("cosine", cosine or 0.0), ("meaning", by_meaning), ("words", by_words)),
        )
        found.append(Candidate(stored.media_id, match))
    found.sort(key=lambda candidate: (-candidate.match.score, candidate.media_id, candidate.match.start))
    return found
