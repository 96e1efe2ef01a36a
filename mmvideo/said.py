"""What is said in one passage: which part of it answers a query, and when the query's words are spoken."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import words
from .datatypes import Segment, Transcript, Vectors
from .forms import Forms, held
from .fuse import grow_peaks

CONTEXT = 0.3
"""Part of the passage's cosine in that of one of its utterances."""

GROWTH = 0.8
"""An answer grows to neighbouring utterances down to this part of its height over what is usual for the query."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """The utterances of a media: when each starts and ends (n,), its text, its vector (n, dim)."""

    starts: NDArray[np.float64]
    ends: NDArray[np.float64]
    texts: tuple[str, ...]
    vectors: Vectors


@dataclass(frozen=True, slots=True)
class Saying:
    """The part of a passage that answers a query, and how near it is to it (a cosine)."""

    start: float
    end: float
    similarity: float


def saying(
    segment: Segment,
    spoken: Spoken | None,
    forms: Forms,
    vector: Vectors,
    cosine: float,
    usual: float,
) -> Saying:
    """Return what of a passage answers the query: the nearest utterance, and its neighbours as far as they do.

    An utterance alone is not watered down by what stands beside it; a part of the passage's cosine adds context.
    Utterances that hold words of the query that the nearest one lacks belong to the answer too.
    """
    start, end = segment.start, segment.end
    if spoken is None:
        return Saying(start, end, cosine)
    first, last = (int(i) for i in np.searchsorted(spoken.starts, (start - 1e-3, end)))
    if first == last:
        return Saying(start, end, cosine)
    nearness = (1.0 - CONTEXT) * (spoken.vectors[first:last] @ vector) + CONTEXT * cosine
    if last == first + 1:
        start, end = max(start, float(spoken.starts[first])), min(end, float(spoken.ends[first]))
        return Saying(start, max(start, end), float(nearness[0]))
    words_of = [set(held(forms, text)) for text in spoken.texts[first:last]]
    shares = np.array([len(some) for some in words_of]) / max(1, len(forms))
    peak = grow_peaks(nearness + shares, floor=usual, fraction=GROWTH, limit=1)[0]
    lacking = set().union(*words_of) - set().union(*words_of[peak.first : peak.last + 1])
    also = [i for i, some in enumerate(words_of) if some & lacking] + [peak.first, peak.last]
    start, end = max(start, spoken.starts[first + min(also)]), min(end, spoken.ends[first + max(also)])
    return Saying(float(start), float(max(start, end)), float(nearness.max()))


def first_said(segment: Segment, transcript: Transcript | None, forms: Forms, otherwise: float) -> float:
    """Return when the first of the query's words is said in a passage, or `otherwise` where words have no times."""
    wanted = {token for some in forms.values() for form in some for token in form.split()}
    for utterance in transcript.utterances if transcript else ():
        if utterance.end > segment.start and utterance.start < segment.end:
            for word in utterance.words:
                if segment.start <= word.start < segment.end and not wanted.isdisjoint(words.tokens(word.text)):
                    return word.start
    return otherwise
