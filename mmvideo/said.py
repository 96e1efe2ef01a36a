"""What is said in one passage: which part of it answers a query, and when the query's words are spoken.

People say a thing in one sentence or in three, and a recogniser's utterances are about sentences. So each utterance has
two vectors: its own, and that of it between its neighbours, across the borders of passages.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import words
from .datatypes import Match, Segment, Transcript, Vectors
from .forms import Forms, held
from .fuse import either, grow_peaks, logistic

CONTEXT = 0.3
"""Part of the passage's cosine in that of one of its utterances."""

GROWTH = 0.8
"""An answer grows to neighbouring utterances down to this part of its height over what is usual for the query."""


PAUSE = 2.0
"""Seconds: what follows a longer pause is not taken together with what was said before it."""

TOGETHER = 30.0
"""Seconds that utterances which are taken together last at most."""

MEANING_CENTRE, MEANING_SCALE = 0.34, 0.07
"""The cosine of sentence vectors that scores one half, and what is added to it for 0.73."""

HESITATION = 0.03
"""What a second of pause between utterances costs (a cosine) when they are taken together."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """The utterances of a media: when each starts and ends (n,), its text, its own vector (n, dim), that of it between
    its neighbours (n, dim; its own in libraries from before those were kept), which those are (n, 2: the first and the
    last), and what their pauses cost (n,)."""

    starts: NDArray[np.float64]
    ends: NDArray[np.float64]
    texts: tuple[str, ...]
    vectors: Vectors
    between: Vectors
    near: NDArray[np.int_]
    hesitation: NDArray[np.float64]

    @classmethod
    def of(cls, transcript: Transcript, vectors: Vectors, dim: int) -> Spoken:
        """Return the utterances of a transcript with the vectors (n, dim or 2 · dim) that `encoded` made of them."""
        starts, ends = spans(transcript)
        texts = tuple(utterance.text for utterance in transcript.utterances)
        between = vectors[:, dim:] if vectors.shape[1] == 2 * dim else vectors
        near = around(starts, ends)
        pauses = np.concatenate([[0.0], np.maximum(0.0, starts[1:] - ends[:-1])])
        longest = [max(pauses[first + 1 : last + 1], default=0.0) for first, last in near]
        return cls(starts, ends, texts, vectors[:, :dim], between, near, HESITATION * np.array(longest))


def spans(transcript: Transcript) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return when each utterance starts and ends (n,), by its words where they have times."""
    known = [(u.words[0].start, u.words[-1].end) if u.words else (u.start, u.end) for u in transcript.utterances]
    starts, ends = np.array(known, dtype=np.float64).reshape(-1, 2).T
    return starts, ends


def around(starts: NDArray[np.float64], ends: NDArray[np.float64]) -> NDArray[np.int_]:
    """Return for each utterance the first and the last of those taken together with it, (n, 2): itself, the one before
    and the one after it, unless a long pause parts them or it would be too long."""
    places = np.arange(len(starts))
    close = starts[1:] - ends[:-1] <= PAUSE
    first = places - np.concatenate([[False], close])
    last = places + np.concatenate([close, [False]])
    short = ends[last] - starts[first] <= TOGETHER
    return np.stack([np.where(short, first, places), np.where(short, last, places)], axis=1)


def encoded(
    transcript: Transcript, encode: Callable[[list[str]], Vectors], first: Sequence[str]
) -> tuple[Vectors, Vectors]:
    """Return the vectors of the texts `first` (m, dim), and those of the utterances (n, 2 · dim): each its own, then
    that of it between its neighbours. All are encoded in one go."""
    texts = [utterance.text for utterance in transcript.utterances]
    near = around(*spans(transcript))
    wider = [i for i, (first_one, last_one) in enumerate(near) if first_one < last_one]
    joined = [" ".join(texts[near[i][0] : near[i][1] + 1]) for i in wider]
    vectors = encode([*first, *texts, *joined])
    own = vectors[len(first) : len(first) + len(texts)]
    between = own.copy()
    between[wider] = vectors[len(first) + len(texts) :]
    return vectors[: len(first)], np.concatenate([own, between], axis=1)


@dataclass(frozen=True, slots=True)
class Saying:
    """The part of a passage that answers a query, how near it is to it (a cosine), and the passage's text, with what it
    takes from its neighbours."""

    start: float
    end: float
    similarity: float
    text: str


def saying(
    segment: Segment,
    spoken: Spoken | None,
    forms: Forms,
    vector: Vectors,
    cosine: float,
    usual: float,
) -> list[Saying]:
    """Return what of a passage answers the query, nearest first: the nearest utterance, and its neighbours as far as
    they do; before that, where it is nearer, an utterance between its two neighbours, also of other passages.

    An utterance alone is not watered down by what stands beside it; a part of the passage's cosine adds context.
    Utterances that hold words of the query that the nearest one lacks belong to the answer too.
    """
    text = segment.text or ""
    if spoken is None:
        return [Saying(segment.start, segment.end, cosine, text)]
    first, last = (int(i) for i in np.searchsorted(spoken.starts, (segment.start - 1e-3, segment.end)))
    if first == last:
        return [Saying(segment.start, segment.end, cosine, text)]
    one = Saying(*_one(segment, spoken, (first, last), forms, vector, cosine, usual), text)
    a, b, similarity = _together(spoken, (first, last), vector, cosine)
    if similarity <= one.similarity:
        return [one]
    text = " ".join([*spoken.texts[a:first], text, *spoken.texts[last : b + 1]])
    return [Saying(float(spoken.starts[a]), float(spoken.ends[b]), similarity, text), one]


def _together(spoken: Spoken, part: tuple[int, int], vector: Vectors, cosine: float) -> tuple[int, int, float]:
    """Return the first and the last of those utterances that are nearest together, and how near they are."""
    first, last = part
    nearness = (
        (1.0 - CONTEXT) * (spoken.between[first:last] @ vector) + CONTEXT * cosine - spoken.hesitation[first:last]
    )
    best = int(np.argmax(nearness))
    a, b = spoken.near[first + best]
    return int(a), int(b), float(nearness[best])


def _one(
    segment: Segment,
    spoken: Spoken,
    part: tuple[int, int],
    forms: Forms,
    vector: Vectors,
    cosine: float,
    usual: float,
) -> tuple[float, float, float]:
    """Return from when to when an answer lasts that grows out of one utterance, and how near that one is."""
    (first, last), start, end = part, segment.start, segment.end
    nearness = (1.0 - CONTEXT) * (spoken.vectors[first:last] @ vector) + CONTEXT * cosine
    if last == first + 1:
        start, end = max(start, float(spoken.starts[first])), min(end, float(spoken.ends[first]))
        return start, max(start, end), float(nearness[0])
    words_of = [set(held(forms, text)) for text in spoken.texts[first:last]]
    shares = np.array([len(some) for some in words_of]) / max(1, len(forms))
    peak = grow_peaks(nearness + shares, floor=usual, fraction=GROWTH, limit=1)[0]
    lacking = set().union(*words_of) - set().union(*words_of[peak.first : peak.last + 1])
    also = [i for i, some in enumerate(words_of) if some & lacking] + [peak.first, peak.last]
    start, end = max(start, spoken.starts[first + min(also)]), min(end, spoken.ends[first + max(also)])
    return float(start), float(max(start, end)), float(nearness.max())


def first_said(segment: Segment, transcript: Transcript | None, forms: Forms, otherwise: float) -> float:
    """Return when the first of the query's words is said in a passage, or `otherwise` where words have no times."""
    wanted = {token for some in forms.values() for form in some for token in form.split()}
    for utterance in transcript.utterances if transcript else ():
        if utterance.end > segment.start and utterance.start < segment.end:
            for word in utterance.words:
                if segment.start <= word.start < segment.end and not wanted.isdisjoint(words.tokens(word.text)):
                    return word.start
    return otherwise


def said_match(saying: Saying, worth: float, first: float | None) -> Match:
    """Return the match of what is said; `worth` is the chance that its words make it an answer, `first` when the first
    of them is said."""
    by_meaning = logistic(saying.similarity, MEANING_CENTRE, MEANING_SCALE)
    time = saying.start if first is None else first
    start, end = min(saying.start, time), max(saying.end, time)
    reasons = (("cosine", saying.similarity), ("meaning", by_meaning), ("words", worth))
    score, text = either(by_meaning, worth), saying.text or None
    return Match("speech", score, start, end, time, text, saying.similarity, worth > 0, reasons=reasons)
