"""Sounds and words in one space, through transformers: CLAP (Wu et al. 2023, arXiv 2211.06687) and PE-AV's sound.

As for pictures, the checkpoint is asked what it is: every network that can put sounds and texts into one space will do.
It also says the rate and the length of what it hears; windows are cut to that before, because CLAP's own processor cuts
a longer sound at a place that it draws by chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ..datatypes import ModelId, Samples, Vectors
from ..errors import ModelError
from . import checkpoint
from .checkpoint import Batches
from .spaces import Space, space
from .weights import Weights


class Clap:
    """A `SoundTextEncoder` from a folder that transformers can load.

    `device` and `half` are as for `Clip`. `ModelError` if the folder holds a model without sounds or without words.
    """

    def __init__(
        self,
        weights: Weights,
        *,
        name: str,
        device: str | None = None,
        batch_size: int | None = None,
        half: bool | None = None,
    ) -> None:
        self.notes: list[str] = []
        self._weights = weights
        self._name = name
        self._device = device
        self._half = half
        self._batches = Batches(batch_size)
        self._config = checkpoint.read_config(weights.folder)
        if not any(key in self._config for key in ("audio_config", "audio_video_config")):
            kind = self._config.get("model_type", "unknown")
            raise ModelError(
                f"{weights.folder}: a model of type {kind}, which has no common space for sounds and texts"
            )

    @cached_property
    def model(self) -> ModelId:
        """Return name, revision and dimension; only the configuration is read."""
        return ModelId(self._name, self._weights.revision, self._dim)

    @property
    def rate(self) -> int:
        """The samples per second that it wants: 48,000 in CLAP's published checkpoints."""
        return int(self._extractor.sampling_rate)

    @property
    def longest(self) -> float:
        """The seconds that it hears at most: 10 in CLAP's published checkpoints; no bound is told as 30."""
        return float(getattr(self._extractor, "max_length_s", None) or 30.0)

    def encode_sounds(self, sounds: Sequence[Samples]) -> Vectors:
        """Return one unit vector per sound (n,) at `rate`, shape (n, dim) float32; n may be 0."""
        if not len(sounds):
            return np.empty((0, self.model.dim), np.float32)
        return self._joined(self._batches.over(list(sounds), self._hear, self._network))

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Return one unit vector per text, shape (n, dim) float32; n may be 0. Longer ones are cut, with a note."""
        if not len(texts):
            return np.empty((0, self.model.dim), np.float32)
        return self._joined(self._batches.over(list(texts), self._read, self._network))

    def _hear(self, sounds: list[Samples]) -> Vectors:
        import torch

        inputs = self._extractor(sounds, sampling_rate=self.rate, return_tensors="pt")
        if "is_longer" in inputs:  # none is; of a batch of short ones the extractor calls one so, drawn by chance
            inputs["is_longer"] = torch.zeros((len(sounds), 1), dtype=torch.bool)
        assert self._space.sounds is not None, "checked when it was loaded"  # noqa: S101
        return checkpoint.unit_rows(self._space.sounds(checkpoint.moved(self._network, dict(inputs))))

    def _read(self, texts: list[str]) -> Vectors:
        limit = checkpoint.longest_text(self._network, self._tokenizer)
        inputs, cut = checkpoint.tokenize(self._network, self._tokenizer, texts, limit)
        note = f"{self._name} reads {limit} tokens of a text; what came after was left out"
        if cut and note not in self.notes:
            self.notes.append(note)
        assert self._space.texts is not None, "checked when it was loaded"  # noqa: S101
        return checkpoint.unit_rows(self._space.texts(checkpoint.moved(self._network, inputs)))

    def _joined(self, batches: list[Vectors]) -> Vectors:
        vectors = np.concatenate(batches)
        if vectors.shape[1] != self.model.dim:
            found, expected = vectors.shape[1], self.model.dim
            raise ModelError(f"{self._weights.folder}: makes {found} dimensions, and its config.json says {expected}")
        return vectors

    @cached_property
    def _dim(self) -> int:
        """The length of a vector: the projection's, or where heads lead to the text's width (PE), that."""
        if "projection_dim" in self._config:
            return int(self._config["projection_dim"])
        whole = checkpoint.whole_config(self._weights.folder)
        return int(getattr(whole, "projection_dim", None) or whole.text_config.hidden_size)

    @cached_property
    def _space(self) -> Space:
        return space(self._network)

    @cached_property
    def _network(self) -> Any:
        network = checkpoint.load_network(self._weights.folder, device=self._device, half=self._half)
        found = space(network)
        if found.texts is None or found.sounds is None:
            raise ModelError(f"{self._weights.folder}: {type(network).__name__} has no vectors of sounds and texts")
        return network

    @cached_property
    def _tokenizer(self) -> Any:
        return checkpoint.load_tokenizer(self._weights.folder)

    @cached_property
    def _extractor(self) -> Any:
        return checkpoint.load_feature_extractor(self._weights.folder)
