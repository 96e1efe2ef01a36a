"""Whisper through openai-whisper, the reference: one clip at a time, on torch.

It loads its own `.pt` files, and CTranslate2 folders by conversion in memory (`ct2`), so both engines run on the same
weights.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..datatypes import Samples, Word
from ..errors import ModelError
from .ct2 import alignment_heads, checkpoint
from .heard import Heard

BEAM = 5
"""Texts followed at once. Against 1: a quarter more work, half the wrong words (21 to 11 %, tiny.en, robot voice)."""


class OpenAIEngine:
    """A loaded model. `name` is the size ("tiny.en"), where it is known: it tells which attention heads time words."""

    def __init__(self, place: Path, size: str | None) -> None:
        import torch
        import whisper

        self._whisper = whisper
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        loaded = checkpoint(place) if place.is_dir() else _load_pickle(place, torch)
        self._model = _build(loaded, place, torch).to(self._device).eval()
        _set_alignment_heads(self._model, place, size, torch)
        with warnings.catch_warnings():  # it leaves the file of its vocabulary open; read once, then remembered
            warnings.simplefilter("ignore", ResourceWarning)
            whisper.tokenizer.get_tokenizer(self._model.is_multilingual, num_languages=self._model.num_languages)
        self.multilingual: bool = self._model.is_multilingual
        self.languages: frozenset[str] = (
            frozenset(list(whisper.tokenizer.LANGUAGES)[: self._model.num_languages])
            if self.multilingual
            else frozenset({"en"})
        )

    def detect(self, samples: Samples) -> str:
        """Return the likeliest language of up to 30 s of speech."""
        sound = self._whisper.pad_or_trim(samples)
        mel = self._whisper.log_mel_spectrogram(sound, self._model.dims.n_mels).to(self._device)
        _, probabilities = self._model.detect_language(mel)
        return str(max(probabilities, key=probabilities.get))

    def hear(self, clips: list[Samples], language: str) -> Iterator[list[Heard]]:
        """Yield what is said in each clip, with times from its first sample."""
        return ([_heard(segment) for segment in self._segments(clip, language)] for clip in clips)

    def _segments(self, samples: Samples, language: str) -> list[dict[str, Any]]:
        result = self._model.transcribe(
            samples,
            language=language,
            temperature=0.0,
            beam_size=BEAM,
            word_timestamps=True,
            condition_on_previous_text=False,
            fp16=self._device == "cuda",
            verbose=None,
        )
        segments: list[dict[str, Any]] = result["segments"]
        return segments


def _heard(segment: dict[str, Any]) -> Heard:
    words = tuple(
        Word(float(word["start"]), float(word["end"]), str(word["word"]), float(word["probability"]))
        for word in segment.get("words", ())
    )
    return Heard(
        text=str(segment["text"]),
        words=words,
        no_speech=float(segment["no_speech_prob"]),
        likelihood=float(segment["avg_logprob"]),
        compression=float(segment["compression_ratio"]),
    )


def _load_pickle(place: Path, torch: Any) -> dict[str, Any]:
    try:
        loaded = torch.load(place, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises its own, pickle's, zipfile's and OSError
        raise ModelError(f"{place}: these weights cannot be loaded; is it a .pt file of openai-whisper?") from error
    if not isinstance(loaded, dict) or not {"dims", "model_state_dict"} <= loaded.keys():
        raise ModelError(f"{place}: this is no .pt file of openai-whisper")
    return loaded


def _build(loaded: dict[str, Any], place: Path, torch: Any) -> Any:
    from whisper.model import ModelDimensions, Whisper

    try:
        model = Whisper(ModelDimensions(**loaded["dims"]))
        state = {
            name: torch.as_tensor(value.copy() if hasattr(value, "flags") else value)
            for name, value in loaded["model_state_dict"].items()
        }
        model.load_state_dict(state, strict=True)
    except (TypeError, RuntimeError) as error:
        raise ModelError(f"{place}: these weights do not fit openai-whisper's model") from error
    return model


def _set_alignment_heads(model: Any, place: Path, size: str | None, torch: Any) -> None:
    """Choose the attention heads that time words: openai's own table, else the folder's; else the model's default."""
    from whisper import _ALIGNMENT_HEADS

    if size in _ALIGNMENT_HEADS:
        model.set_alignment_heads(_ALIGNMENT_HEADS[size])
    elif place.is_dir() and (heads := alignment_heads(place)):
        mask = torch.zeros(model.dims.n_text_layer, model.dims.n_text_head, dtype=torch.bool)
        for layer, head in heads:
            mask[layer, head] = True
        model.register_buffer("alignment_heads", mask.to_sparse().to(model.device), persistent=False)
