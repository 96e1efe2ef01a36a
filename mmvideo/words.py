"""The words of a query against the words that were said.

A query is words and "phrases in quotes". Every expression for FTS5 is built here from quoted tokens, so nothing that a
user types is ever read as FTS5 syntax.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

STOP_WORDS = frozenset(
    """
    a about all am an and any are as at be been being but by can could did do does for from had has have he her him his
    how i if in into is it its just me my no not of on or our she should so some than that the their them then there
    these they this those to too us very was we were what when where which while who whom whose why will with would you
    your
    """.split()
)
"""English words that say nothing about what is meant; in other languages their frequency tells."""


_WORD = re.compile(r"(?:[^\W_][\u0300-\u036f]*)+")
"""A word in a text as it was written; accents may be characters of their own."""


@dataclass(frozen=True, slots=True)
class WordQuery:
    """The distinct words of a query, folded, and the phrases (folded words in order) that an answer must contain."""

    words: tuple[str, ...]
    phrases: tuple[tuple[str, ...], ...] = ()

    @property
    def any_word(self) -> str:
        """An FTS5 expression for the texts that hold at least one of the words, and every phrase."""
        words = " OR ".join(f'"{word}"' for word in self.words)
        phrases = " AND ".join('"' + " ".join(phrase) + '"' for phrase in self.phrases)
        return phrases or words


def fold(text: str) -> str:
    """Return the text without case and accents, as the full-text index sees it."""
    if text.isascii():  # ten times as fast, and most text is
        return text.lower()
    # Decomposed on both sides: "𝕊" becomes a letter with case only then, and what case makes may decompose again.
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return "".join(character for character in decomposed if not unicodedata.combining(character))


def tokens(text: str) -> list[str]:
    """Return the folded words of a text in order: runs of letters and digits, apostrophes part them."""
    return re.findall(r"[^\W_]+", fold(text))


def parse(text: str) -> WordQuery:
    """Return the words and quoted phrases of a query; stop words count only where there is nothing else, or in
    quotes."""
    phrases = tuple(tuple(words) for quoted in re.findall(r'["“”]([^"“”]+)["“”]', text) if (words := tokens(quoted)))
    every = list(dict.fromkeys(tokens(text)))
    telling = [word for word in every if word not in STOP_WORDS]
    return WordQuery(tuple(telling or every), phrases)


def plain(text: str) -> str:
    """Return the query without quotation marks, as a sentence encoder should read it."""
    return re.sub(r'["“”]', " ", text).strip()


def rarity(frequency: int, total: int) -> float:
    """Return the weight of a word that occurs in `frequency` of `total` texts (BM25's inverse document frequency)."""
    return float(np.log1p((total - frequency + 0.5) / (frequency + 0.5)))


def coverage(query: WordQuery, text: str, weights: Mapping[str, float]) -> float:
    """Return which part of the query's weight the text holds, from 0 (no word) to 1 (every word)."""
    total = sum(weights[word] for word in query.words)
    said = set(tokens(text))
    return sum(weights[word] for word in query.words if word in said) / total if total > 0 else 0.0


def spelt_coverage(spelt: Mapping[str, Mapping[str, float]], text: str, weights: Mapping[str, float]) -> float:
    """Return which part of the query's weight a text holds when each word may be spelt in several ways.

    `spelt` has for each word of the query its spellings and what they count for in (0, 1]; the best that the text holds
    counts.
    """
    total = sum(weights[word] for word in spelt)
    said = set(tokens(text))
    held = sum(weights[w] * max((v for s, v in some.items() if s in said), default=0.0) for w, some in spelt.items())
    return held / total if total > 0 else 0.0


def spans(text: str, wanted: Collection[str]) -> tuple[tuple[int, int], ...]:
    """Return where the folded words `wanted` stand in a text, as [start, end) in characters, in order."""
    return tuple(
        match.span() for match in _WORD.finditer(text) if any(token in wanted for token in tokens(match.group()))
    )
