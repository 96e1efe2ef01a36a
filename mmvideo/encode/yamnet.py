"""Sounds and words in one space without a model hub: the space of AudioSet's 521 classes, as YAMNet hears them.

A sound's vector holds how sure YAMNet is of each class, a text's how near each class's names are to it by a sentence
model. It is the idea of `conse` (Norouzi et al. 2013, arXiv 1312.5650) the other way round: there a picture becomes a
mean of sentence vectors; here a text becomes a mixture of classes, as in searching video by concept detectors (Natsev
et al. 2007). Scores of classes are independent, and somebody speaks nearly everywhere: in a mean of sentence vectors
the one faint bark is drowned by "Speech", while here it keeps a dimension of its own that a text about dogs asks
alone.

What was measured, on 40 recordings of animals, instruments and things (GCompris) in one film, asked for in two wordings
each, alone and under a voice (mean reciprocal rank among the recordings): this 0.69 and 0.48; sentence vectors as in
`conse` 0.68 and 0.41. Much else changed these by no more than a query or two of 80: the cube root of the scores, all
classes of a text instead of ten, whole labels instead of the nearest of their names, windows of 1.9 and of 4.8 seconds.
What is faint under a voice was lost by the scores themselves instead of their root (0.46), by "Speech" and "Music" at
half their weight (0.46), and by leaving out scores below 0.02 (0.41). `docs/MODELS.md` has figures on other recordings.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..datatypes import SAMPLE_RATE, ModelId, Samples, TextEncoder, Vectors
from . import audioset
from .labelled import label_vectors
from .packaged import file_hash
from .weights import REVISION_DIGITS

SIDE_BY_SIDE = 3
"""Patches of 0.96 s in a window: windows overlap by half, so that together they look every half second."""

POWER = 0.5
"""Exponent of the scores: what is faint beside something loud still counts."""

TOP = 10
"""Classes that a text is made of."""

SHARPNESS, SAME = 15.0, 0.8
"""A class whose names are 0.1 of cosine less near than the nearest one's counts for exp(-1.5) of it; nearer than `SAME`
all count alike, so that who asks for an ambulance's siren also hears one that YAMNet calls a siren."""

UNKNOWN, KNOWN = 0.3, 0.7
"""Cosines of a text with the nearest name: at the first it names no sound, from the second on it surely does."""

TOLD, MOST_TOLD = 0.3, 4
"""Score from which a class is named as heard, and how many are at most."""

SILENCE = "Silence"
"""The class that is nothing to be told."""

METHOD = "1"
"""Part of the revision: raise it whenever the numbers above or the lines below change a sound's vector."""


class Yamnet:
    """A `SoundTextEncoder` out of YAMNet and a sentence model; weaker than CLAP (see the module)."""

    rate = SAMPLE_RATE
    longest = (SIDE_BY_SIDE * audioset.PATCH * audioset.HOP + audioset.WINDOW - audioset.HOP) / SAMPLE_RATE

    def __init__(self, sentences: TextEncoder) -> None:
        self._sentences = sentences

    @cached_property
    def model(self) -> ModelId:
        """Return name, revision and dimension. The revision covers the network and how a sound's vector is made, not
        the sentence model, which no stored vector depends on."""
        parts = f"{file_hash(audioset.WEIGHTS)} {METHOD}"
        revision = hashlib.sha256(parts.encode()).hexdigest()[:REVISION_DIGITS]
        return ModelId("yamnet", revision, len(self.labels) + 1)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The names of the 521 classes."""
        return audioset.classes()

    def encode_sounds(self, sounds: Sequence[Samples]) -> Vectors:
        """Return one unit vector per sound (n,) at 16 kHz, shape (n, 522) float32; n may be 0.

        The roots of the highest scores of each class; the last dimension, of what has no name, is 0.
        """
        return self.name_sounds(sounds)[0]

    def name_sounds(self, sounds: Sequence[Samples]) -> tuple[Vectors, list[str | None]]:
        """Return the same, and what was heard in each sound: up to four classes, surest first, joined by semicolons, as
        some names have commas."""
        _ = self._name_vectors  # a second once on a machine, which the first search need not wait for
        vectors = np.zeros((len(sounds), self.model.dim), np.float32)
        told: list[str | None] = []
        for row, samples in enumerate(sounds):
            scores = audioset.class_scores(samples, hop=audioset.PATCH).max(axis=0)
            vectors[row, :-1] = scores**POWER
            told.append(self._told(scores))
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(vectors / np.maximum(lengths, 1e-9), np.float32), told

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Return one unit vector per text, shape (n, 522) float32; n may be 0.

        What names no sound lies mostly in the last dimension, where no sound is.
        """
        vectors = np.zeros((len(texts), self.model.dim), np.float32)
        if not len(texts):
            return vectors
        nearness = self._nearness(self._sentences.encode_texts(texts))
        best = nearness.max(axis=1, keepdims=True)
        weights = np.exp(SHARPNESS * (np.minimum(nearness, SAME) - np.minimum(best, SAME)))
        weights[nearness < -np.sort(-nearness, axis=1)[:, TOP - 1 : TOP]] = 0.0
        weights /= np.linalg.norm(weights, axis=1, keepdims=True)
        known = np.clip((best - UNKNOWN) / (KNOWN - UNKNOWN), 0.0, 1.0)
        vectors[:, :-1] = known * weights
        vectors[:, -1:] = np.sqrt(1.0 - known**2)
        return vectors

    def _told(self, scores: NDArray[np.float32]) -> str | None:
        best = [int(i) for i in np.argsort(-scores, kind="stable")[: MOST_TOLD + 1] if scores[i] >= TOLD]
        return "; ".join([self.labels[i] for i in best if self.labels[i] != SILENCE][:MOST_TOLD]) or None

    def _nearness(self, vectors: Vectors) -> NDArray[np.float32]:
        """Return the cosines (n, 521) of texts with the nearest name of each class."""
        cosines = vectors @ self._name_vectors.T
        return np.maximum.reduceat(cosines, self._firsts, axis=1)

    @cached_property
    def _names(self) -> tuple[tuple[str, ...], ...]:
        return tuple(synonyms(label) for label in self.labels)

    @cached_property
    def _firsts(self) -> NDArray[np.int64]:
        """Return where the names of each class begin among all names."""
        return np.cumsum([0, *(len(names) for names in self._names[:-1])])

    @cached_property
    def _name_vectors(self) -> Vectors:
        names = [name for some in self._names for name in some]
        key = f"yamnet-{self.model.revision}-{self._sentences.model.revision}"
        return label_vectors(key, names, self._sentences)


def synonyms(label: str) -> tuple[str, ...]:
    """Return the names that a class's label holds, in lower case: "Bee, wasp, etc." is "bee" and "wasp".

    What stands in brackets are more names, or if it is one, part of the name: "siren" names three vehicles and itself.
    """
    inside = re.sub(r"\(([^,]*?)\)", r"\1", label)
    parts = re.sub(r"\((.*?)\)", r", \1", inside).lower().split(",")
    return tuple(part.strip() for part in parts if part.strip() not in ("", "etc."))
