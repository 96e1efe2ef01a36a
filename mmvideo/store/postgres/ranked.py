"""Words in PostgreSQL, ranked as SQLite's full-text index ranks them.

The server finds the texts that hold the words (`tsvector`, its lexemes are the folded words with their places) and
counts; BM25 is computed here with the constants of FTS5, so that a library answers the same on both grounds. Where more
than `SCORED` texts hold a word of the query, those are scored that hold the rarest words and are shortest.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...errors import LibraryError
from ...words import tokens

SCORED = 2_000
"""Texts of one query that are scored."""

K1, B = 1.2, 0.75  # FTS5's
_MOST_PLACES = 255  # places of one word that a tsvector keeps
_LAST_PLACE = 16_383
_LONGEST = 500  # bytes of a word; a tsvector takes 2046


class Raw(bytes):
    """Bytes of a value as the server itself would send it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Phrases (folded words in order, a single word is one of one), of which one must occur, or all."""

    phrases: tuple[tuple[str, ...], ...]
    every: bool

    @property
    def tsquery(self) -> str:
        """The same for PostgreSQL."""
        return (" & " if self.every else " | ").join(as_tsquery(phrase) for phrase in self.phrases)


def read(expression: str) -> Asked:
    """Return what an expression asks for. Raises `LibraryError` for one that cannot be read."""
    if not re.fullmatch(r'\s*"[^"]*"(\s+(OR|AND)\s+"[^"]*")*\s*', expression):
        raise LibraryError(f"the words cannot be searched: {expression!r} is no expression")
    joined = set(re.findall(r'"\s+(OR|AND)\s+"', expression))
    if len(joined) > 1:
        raise LibraryError(f"the words cannot be searched: {expression!r} joins by OR and AND")
    phrases = tuple(words for quoted in re.findall(r'"([^"]*)"', expression) if (words := _kept(quoted)))
    return Asked(phrases, joined == {"AND"})


def as_tsquery(phrase: Sequence[str]) -> str:
    """Return a phrase as PostgreSQL asks for it."""
    return "(" + " <-> ".join(f"'{word}'" for word in phrase) + ")"


def lexemes(text: str) -> tuple[Raw, int]:
    """Return the tsvector of a text as the server receives it, and how many words it has."""
    words = _kept(text)
    places: dict[bytes, list[int]] = {}
    for place, word in enumerate(words, start=1):
        held = places.setdefault(word.encode(), [])
        if len(held) < _MOST_PLACES:
            held.append(min(place, _LAST_PLACE))
    parts = [struct.pack(">i", len(places))]
    for lexeme, held in sorted(places.items()):
        parts.append(lexeme + b"\0" + struct.pack(f">H{len(held)}H", len(held), *held))
    return Raw(b"".join(parts)), len(words)


def places_of(data: bytes) -> dict[str, list[int]]:
    """Return the words of a tsvector with their places, as the server sends it."""
    count, at = struct.unpack_from(">i", data)[0], 4
    found = {}
    for _ in range(count):
        end = data.index(b"\0", at)
        (held,) = struct.unpack_from(">H", data, end + 1)
        found[data[at:end].decode()] = [p & _LAST_PLACE for p in struct.unpack_from(f">{held}H", data, end + 3)]
        at = end + 3 + 2 * held
    return found


def occurrences(phrase: Sequence[str], places: Mapping[str, Sequence[int]]) -> int:
    """Return how often a phrase occurs in a text, by the places of its words."""
    first, *others = ([*places.get(word, ())] for word in phrase)
    sets = [set(held) for held in others]
    return sum(all(start + 1 + i in held for i, held in enumerate(sets)) for start in first)


def rarity(texts: int, holding: int) -> float:
    """Return FTS5's inverse document frequency of a phrase that `holding` of all `texts` hold."""
    return max(math.log((texts - holding + 0.5) / (holding + 0.5)), 1e-6)


def bm25(
    asked: Asked, rarities: Sequence[float], places: Mapping[str, Sequence[int]], length: int, usual: float
) -> float:
    """Return the score of a text of `length` words where `usual` is the mean: Robertson and Zaragoza 2009."""
    score = 0.0
    for phrase, rare in zip(asked.phrases, rarities, strict=True):
        often = occurrences(phrase, places)
        score += rare * often * (K1 + 1) / (often + K1 * (1 - B + B * length / usual))
    return score


def _kept(text: str) -> tuple[str, ...]:
    return tuple(word for word in tokens(text) if len(word.encode("utf-8", "replace")) <= _LONGEST)
