"""Whisper through faster-whisper (the extra `fast`): CTranslate2, several clips at a time."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from ..datatypes import SAMPLE_RATE, Samples, Word
from ..errors import ModelError
from ..onecore import asleep_while_waiting, cores
from .heard import Heard

BATCH = 8
"""Clips that a GPU hears at once."""

PAIR = 2
"""Clips that a worker on the processor hears at once. Seven clips on two cores: 5.4 s by one worker with two threads,
all at once; by two workers with a thread each 4.4 s in twos, 4.5 in threes, 4.8 in fours, 5.0 one by one."""

WORKERS = 4
"""Workers at most: beyond, each gets more threads, since what each holds in memory adds up."""

BEAM = 5
"""Texts followed at once. Against 1: a tenth more work, and half the wrong words (19 to 11 %, tiny.en, robot voice)."""

_TEN_MS = SAMPLE_RATE // 100


class FasterEngine:
    """A loaded model, on a GPU where CTranslate2 sees one (float16), else on the processor (int8)."""

    def __init__(self, place: Path) -> None:
        with asleep_while_waiting():
            import ctranslate2
            from faster_whisper import BatchedInferencePipeline, WhisperModel

        logging.getLogger("faster_whisper").setLevel(logging.ERROR)
        gpu = ctranslate2.get_cuda_device_count() > 0
        self._workers, threads = (1, 0) if gpu else workers(cores())
        self._together = BATCH if gpu else PAIR
        try:
            self._model = WhisperModel(
                str(place),
                device="cuda" if gpu else "cpu",
                compute_type="float16" if gpu else "int8",
                cpu_threads=threads,
                num_workers=self._workers,
                local_files_only=True,
            )
        except (RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ModelError(f"{place}: faster-whisper cannot load these weights ({reason})") from error
        self._pipeline = BatchedInferencePipeline
        self.multilingual: bool = bool(self._model.model.is_multilingual)
        self.languages: frozenset[str] = frozenset(self._model.supported_languages)

    def detect(self, samples: Samples) -> str:
        """Return the likeliest language of up to 30 s of speech."""
        language, _, _ = self._model.detect_language(audio=samples)
        return str(language)

    def hear(self, clips: list[Samples], language: str) -> Iterator[list[Heard]]:
        """Yield what is said in each clip, with times from its first sample, once it and those before are heard."""
        size = max(1, min(self._together, -(-len(clips) // self._workers)))
        some = [clips[first : first + size] for first in range(0, len(clips), size)]
        with ThreadPoolExecutor(self._workers) as pool:
            for heard in pool.map(lambda group: self._hear(group, language), some):
                yield from heard

    def _hear(self, clips: list[Samples], language: str) -> list[list[Heard]]:
        # Segments lie on a grid of 10 ms inside faster-whisper, so the clips are laid on one too.
        sounds = [np.pad(clip, (0, -len(clip) % _TEN_MS)) for clip in clips]
        edges = np.cumsum([0, *(len(sound) for sound in sounds)])
        # The middle of a sample, because faster-whisper rounds down.
        seconds = (edges + 0.5) / SAMPLE_RATE
        # A pipeline keeps the time of the last word, so threads do not share one.
        segments, _ = self._pipeline(self._model).transcribe(
            np.concatenate(sounds),
            language=language,
            batch_size=len(clips),
            beam_size=BEAM,
            temperature=0.0,
            word_timestamps=True,
            without_timestamps=True,  # utterances are parted by words and pauses; times of segments cost a tenth
            condition_on_previous_text=False,
            vad_filter=False,
            clip_timestamps=[
                {"start": float(a), "end": float(b)} for a, b in zip(seconds[:-1], seconds[1:], strict=True)
            ],
        )
        heard: list[list[Heard]] = [[] for _ in clips]
        for segment in segments:
            # `seek` is the clip's beginning, in hundredths.
            i = int(np.searchsorted(edges, segment.seek * _TEN_MS + _TEN_MS // 2, side="right")) - 1
            heard[min(i, len(clips) - 1)].append(_heard(segment, float(edges[i]) / SAMPLE_RATE))
        return heard


def workers(cores: int) -> tuple[int, int]:
    """Return how many workers hear on so many cores, and with how many threads each.

    From eight cores on two of them are usually one with two threads, of which a second worker gains nothing.
    """
    real = cores if cores < 8 else cores // 2
    count = max(1, min(WORKERS, real))
    return count, max(1, real // count)


def _heard(segment: Any, offset: float) -> Heard:
    words = tuple(
        Word(float(word.start) - offset, float(word.end) - offset, str(word.word), float(word.probability))
        for word in segment.words or ()
    )
    return Heard(
        text=str(segment.text),
        words=words,
        no_speech=float(segment.no_speech_prob),
        likelihood=float(segment.avg_logprob),
        compression=float(segment.compression_ratio),
    )
