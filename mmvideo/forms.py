"""The forms in which a query's word may have been said or heard: inflected, misspelt, or as another word of that sound.

A recogniser writes down what it hears: "Wrigglesworth" becomes "Rigglesworth" or "wriggles worth", and whoever asks for
"glacier" may have heard of "glaciers". Forms are looked up in the library's own vocabulary at the time of the query, so
that every store finds them with plain words. Sound and letters off are the last resort: only where no form is known.
English rules; in other languages the exact words and their meaning remain.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import islice, product

from . import words
from .spelling import within
from .store import Store, StoredSegment

SAME_STEM = 0.95
"""What another form of the word counts for, the word itself counting 1; a number in figures for one in words, too."""

SAME_SOUND = 0.7
"""What a word, or two words in a row, of the same sound counts for."""

SHORTEST_SOUND = 3
"""Consonants: what has fewer sounds like half of the language."""

SHORTEST_PART = 3
"""Letters of each of two words that one name was heard as."""

MOST_WAYS = 64
"""Ways to write a phrase, or a word as two, that are looked for."""

_UNITS = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
    seventeen eighteen nineteen""".split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_FIGURES = {word: str(n) for n, word in enumerate(_UNITS)} | {word: f"{n}0" for n, word in enumerate(_TENS, 2)}
_NUMBERS = {figure: word for word, figure in _FIGURES.items()}

_VOWELS = "aeiou"
_INITIAL = ((r"^wr", "r"), (r"^[kg]n", "n"), (r"^ps", "s"), (r"^wh", "w"), (r"^x", "s"), (r"^pf", "f"))
_INSIDE = (
    (r"ph", "f"),
    (r"tch", "C"),
    (r"sch", "S"),
    (r"ch", "C"),
    (r"sh", "S"),
    (r"[st]i(?=on|an|al)", "S"),
    (r"gh(?=t|$)", ""),
    (r"gh", "g"),
    (r"th", "T"),
    (r"dg(?=[eiy])", "C"),
    (r"g(?=[eiy])", "C"),
    (r"j", "C"),
    (r"c(?=[eiy])", "s"),
    (r"[cq]", "k"),
    (r"x", "ks"),
    (r"z", "s"),
    (r"mb$", "m"),
    (r"(?<=[aeiou])[hw]|(?<!^)[hwy]", ""),
)
# Voiced and voiceless neighbours are what recognisers mix up most, then th and f.
_PAIRED = str.maketrans("bdgvT", "ptkff")


@lru_cache(maxsize=200_000)
def stem(word: str) -> str:
    """Return a folded English word without its inflection: plural, -ing, -ed, and a doubled or silent last letter."""
    if len(word) < 4 or not word.isascii() or not word.isalpha():
        return word
    if word.endswith("ies") and len(word) > 4:
        word = word[:-3] + "y"
    elif word.endswith(("sses", "shes", "ches", "xes")):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ing", "ed"):
        root = word[: -len(ending)]
        if word.endswith(ending) and len(root) >= 3 and any(letter in root for letter in _VOWELS + "y"):
            word = root
            if word[-1] == word[-2] and word[-1] not in "lsz":
                word = word[:-1]
            break
    return word[:-1] if word.endswith("e") and len(word) > 3 else word


@lru_cache(maxsize=200_000)
def sound(word: str) -> str:
    """Return a key that words of about the same sound share: the first vowel as "a" and the consonants by kind."""
    key = "".join(letter for letter in word if "a" <= letter <= "z")
    for pattern, kind in (*_INITIAL, *_INSIDE):
        key = re.sub(pattern, kind, key)
    first = "a" if key[:1] and key[0] in _VOWELS else ""
    key = first + re.sub(r"[aeiou]", "", key).translate(_PAIRED)
    return re.sub(r"(.)\1+", r"\1", key)


class Vocabulary:
    """The words of all texts of a library, by themselves, by stem, and by sound."""

    def __init__(self, texts: Iterable[str]) -> None:
        """Read the texts once: some 300,000 words a second; what is looked up by sound is made when first needed."""
        self.words: set[str] = set()
        for text in texts:
            self.words.update(words.tokens(text))
        self._stems: dict[str, list[str]] = {}
        for word in sorted(self.words):
            self._stems.setdefault(stem(word), []).append(word)
        self._sounds: dict[str, list[str]] | None = None

    def forms(self, word: str) -> dict[str, float]:
        """Return what a folded word may stand as, with what each counts for in (0, 1]: words, or two with a space."""
        found = dict.fromkeys(self._stems.get(stem(word), ()), SAME_STEM)
        if (figure := _FIGURES.get(word) or _NUMBERS.get(word)) in self.words and figure:
            found[figure] = SAME_STEM
        if word in self.words:
            found[word] = 1.0
        return found or self._heard_as(word)

    def _heard_as(self, word: str) -> dict[str, float]:
        key = sound(word)
        if len(word) < 5 or len(key) < SHORTEST_SOUND or not word.isalpha():
            return {}
        if self._sounds is None:
            self._sounds = {}
            for other in sorted(self.words):
                self._sounds.setdefault(sound(other), []).append(other)
        allowed = max(2, len(word) // 3)
        alike = [other for other in self._sounds.get(key, ()) if within(word, other, allowed)]
        alike += self._in_two(word, self._sounds)
        if not alike:
            near = 1 if len(word) < 8 else 2
            alike = [other for other in self.words if len(other) > 4 and within(word, other, near)]
        return dict.fromkeys(alike, SAME_SOUND)

    def _in_two(self, word: str, sounds: Mapping[str, Sequence[str]]) -> list[str]:
        """Return pairs of words, each of which sounds like its part of a word; whether they stand together anywhere
        is for the search to find out."""
        pairs = []
        for border in range(SHORTEST_PART, len(word) - SHORTEST_PART + 1):
            parts = [
                [o for o in sounds.get(sound(part), ()) if len(o) >= SHORTEST_PART and within(part, o, 1)]
                for part in (word[:border], word[border:])
            ]
            pairs += [" ".join(pair) for pair in product(*parts)]
        return list(dict.fromkeys(pairs))[:MOST_WAYS]


Forms = Mapping[str, Mapping[str, float]]
"""The words of a query, each with what it may stand as and what that counts for."""


def held(forms: Forms, text: str) -> dict[str, float]:
    """Return the words of the query that a text holds in some form, each with what its best form counts for."""
    said = f" {' '.join(words.tokens(text))} "
    best = {
        word: max((v for form, v in some.items() if f" {form} " in said), default=0.0) for word, some in forms.items()
    }
    return {word: value for word, value in best.items() if value > 0}


def said_in_words(
    asked: words.WordQuery,
    forms: Forms,
    store: Store,
    *,
    media: Sequence[int] | None,
    limit: int,
    weight: float,
    total: int,
) -> tuple[list[StoredSegment], dict[int, float]]:
    """Return the passages that hold words of a query in some form, and per id the chance that this makes it an answer.

    The part of the query's weight that a passage holds decides, squared: half of the words are no half of an answer.
    BM25 orders passages that hold the same words. `weight` is what one with every word is worth, `total` how many
    passages there are. Quoted phrases must
    occur as they are, or where one does not occur at all, in the forms of its words.
    """
    any_form = " OR ".join(f'"{form}"' for some in forms.values() for form in some)
    expression = asked.any_word if asked.phrases else any_form
    found = store.match_words(expression, "speech", media=media, limit=limit) if expression else []
    if asked.phrases and not found:
        # Stores read words joined by OR or by AND, not both: each phrase is asked for by itself.
        every = [store.match_words(ways, "speech", media=media, limit=limit) for ways in _phrases(asked, forms)]
        common = set.intersection(*({stored.id for stored, _ in some} for some in every))
        found = [(stored, score) for stored, score in every[0] if stored.id in common]
    rarity = {
        word: words.rarity(store.document_frequency(" OR ".join(f'"{form}"' for form in some)) if some else 0, total)
        for word, some in forms.items()
    }
    whole = sum(rarity.values())
    best = max((score for _, score in found), default=0.0)
    worth = {}
    for stored, score in found:
        covered = (
            sum(rarity[w] * v for w, v in held(forms, stored.segment.text or "").items()) / whole if whole else 0.0
        )
        among = 0.8 + 0.2 * (score / best if best > 0 else 0.0)
        worth[stored.id] = (weight * covered * among) ** 2
    return [stored for stored, _ in found], worth


def _phrases(asked: words.WordQuery, forms: Forms) -> list[str]:
    """Return an FTS5 expression for each phrase: texts that hold it, its words in any of their forms."""
    wanted = []
    for phrase in asked.phrases:
        ways = islice(product(*(list(forms.get(word, ())) or [word] for word in phrase)), MOST_WAYS)
        wanted.append(" OR ".join('"' + " ".join(way) + '"' for way in ways))
    return wanted
