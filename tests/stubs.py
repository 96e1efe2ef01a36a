"""Encoders whose answers are known exactly: colours and words map to axes of a space."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mmvideo.datatypes import SAMPLE_RATE, ModelId, Transcript, Utterance, Word
from mmvideo.pool import unit

COLOURS = {
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "white": (255, 255, 255),
    "yellow": (255, 255, 0),
    "cyan": (0, 255, 255),
    "magenta": (255, 0, 255),
    "black": (0, 0, 0),
}


class ColourEncoder:
    """A picture's vector is its nearness to eight colours; a text's the mean of the colours that it names."""

    def __init__(self, name: str = "colours", revision: str = "1") -> None:
        self.model = ModelId(name, revision, len(COLOURS))
        self.encoded = 0

    def encode_images(self, images: Sequence[np.ndarray]) -> np.ndarray:
        self.encoded += len(images)
        means = np.array([image.reshape(-1, 3).mean(axis=0) for image in images]).reshape(-1, 1, 3)
        distance = np.linalg.norm(means - np.array(list(COLOURS.values()))[None], axis=2)
        return unit(np.exp(-distance / 40))

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        return unit(np.array([[float(colour in text) + 1e-3 for colour in COLOURS] for text in texts]).reshape(-1, 8))


class WordEncoder:
    """A text's vector counts its words in 64 buckets: texts that share words are near each other."""

    def __init__(self, name: str = "buckets") -> None:
        self.model = ModelId(name, "1", 64)

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        vectors = np.full((len(texts), 64), 1e-3, np.float32)
        for row, text in enumerate(texts):
            for word in text.lower().split():
                vectors[row, sum(word.strip(".,").encode()) % 64] += 1
        return unit(vectors)


class ScriptedTranscriber:
    """Hears one given sentence every ten seconds wherever there is sound."""

    SENTENCES = ("The ferry left the harbour.", "Bread needs flour and water.", "Violins were built in Cremona.")

    def __init__(self, name: str = "script") -> None:
        self.model = ModelId(name, "1")
        self.heard = 0

    def transcribe(self, audio: Any, *, language: Any = None, progress: Any = None) -> Transcript:
        self.heard += 1
        blocks = list(audio)
        if not blocks:
            return Transcript((), source=self.model.name)
        start, end = blocks[0].start, blocks[-1].end
        assert abs(end - start - sum(len(b.samples) for b in blocks) / SAMPLE_RATE) < 1e-6
        utterances = []
        for position, sentence in enumerate(self.SENTENCES):
            begin = start + 10.0 * position
            if begin + 3.0 > end:
                break
            step = 3.0 / len(sentence.split())
            words = tuple(
                Word(begin + i * step, begin + (i + 1) * step, word) for i, word in enumerate(sentence.split())
            )
            utterances.append(Utterance(begin, begin + 3.0, sentence, words))
        if progress:
            progress(end)
        return Transcript(tuple(utterances), language=language or "en", source=self.model.name)
