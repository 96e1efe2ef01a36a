"""Sentence vectors by a BERT encoder with mean pooling, in numpy alone.

A query has to be answered within a second and a half of a cold start. MiniLM is six small layers, so it is computed
here straight from its safetensors: on two cores a new process has its first vector in 0.3 to 0.4 s, where torch and
transformers take 5 s when their files are in memory and 9 s when not. A query takes 5 ms (torch: 6 ms), 100 passages of
64 tokens 1.4 to 1.9 s (torch: 1.3 s), and vectors equal those of transformers to 3e-7. An hour of speech is 240
passages, five seconds: torch would not win back its import. Whoever encodes thousands has the network exported once,
and ONNX Runtime compute it (`exported`), where that is installed.

Papers: Reimers and Gurevych 2019 (Sentence-BERT, arXiv 1908.10084), Wang et al. 2020 (MiniLM, arXiv 2002.10957).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..datatypes import ModelId, Vectors
from ..errors import ModelError
from ..onecore import one_core
from .exported import Exported, exported
from .weights import Weights

Floats = NDArray[np.float32]

BATCH = 16
"""Texts computed together. Sorted by length, 8 to 32 differ by less than a tenth; 16 keeps a batch below 100 MB."""

MANY = 32
"""Texts from which an exported network is used: for a query its loading would take longer than the answer."""

WORTHWHILE = 2_000
"""Texts that a process has encoded when exporting, ten seconds once, begins to pay."""

TOKENISED = 1024
"""Texts that are tokenised at a time: what the tokenizer knows of each takes kilobytes."""

REMEMBERED = 64
"""Single texts whose vectors are kept."""

GELU_BLOCK = 16_384
"""Numbers that pass through GELU's dozen steps at a time: 64 kB, so that they stay in the cache."""


class Sentence:
    """A `TextEncoder` from a sentence-transformers folder: BERT, mean over the tokens, unit length.

    Longer texts are cut to the model's `max_seq_length` (256 tokens in all-MiniLM-L6-v2, some 190 words). `ModelError`
    if the folder holds another architecture or another pooling.
    """

    def __init__(self, weights: Weights, *, name: str) -> None:
        self._weights = weights
        self._name = name
        self._config = _bert_config(weights.folder)
        self._encoded = 0
        self._asked: dict[str, Vectors] = {}
        self._exported: Exported | None = None
        self._looked = False

    @cached_property
    def model(self) -> ModelId:
        """Return name, revision and dimension; only the configuration is read."""
        return ModelId(self._name, self._weights.revision, int(self._config["hidden_size"]))

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Return one unit vector per text, shape (n, dim) float32; n may be 0.

        The vectors of the last single texts are remembered: a query is asked of what is seen, said and shown.
        """
        if len(texts) != 1:
            return self._encode(texts)
        known = self._asked.get(texts[0])
        if known is None:
            known = self._encode(texts)
            if len(self._asked) >= REMEMBERED:
                self._asked.clear()
            self._asked[texts[0]] = known
        copied: Vectors = known.copy()
        return copied

    def _encode(self, texts: Sequence[str]) -> Vectors:
        vectors = np.empty((len(texts), self.model.dim), np.float32)
        self._encoded += len(texts)
        portable = self._portable(make=self._encoded >= WORTHWHILE) if len(texts) >= MANY else None
        for first in range(0, len(texts), TOKENISED):
            some = slice(first, first + TOKENISED)
            vectors[some] = self._pooled([one.ids for one in self._tokenizer.encode_batch(list(texts[some]))], portable)
        return vectors

    def _pooled(self, encodings: list[list[int]], portable: Exported | None) -> Vectors:
        """Return the vectors of tokenised texts (n, dim); those of like length are computed together."""
        vectors = np.empty((len(encodings), self.model.dim), np.float32)
        by_length = sorted(range(len(encodings)), key=lambda row: len(encodings[row]))
        for first in range(0, len(by_length), BATCH):
            rows = by_length[first : first + BATCH]
            some = [encodings[row] for row in rows]
            if portable is not None:
                vectors[rows] = portable(_padded(some))
                continue
            with one_core():
                vectors[rows] = self._network.pooled(some)
        return vectors

    def _portable(self, *, make: bool) -> Exported | None:
        """Return the network as ONNX Runtime computes it, made now if `make` says so; None where it was not made."""
        if self._exported is None and (make or not self._looked):
            self._looked = True
            folder = self._weights.folder
            key = f"{Path(self._name).name}-{self._weights.revision}"
            self._exported = exported(key, (lambda: _torch_bert(folder)) if make else _not_yet, free=2)
        return self._exported

    @cached_property
    def _tokenizer(self) -> Any:
        from tokenizers import Tokenizer

        file = self._weights.folder / "tokenizer.json"
        if not file.is_file():
            raise ModelError(f"{file}: missing; the folder of a sentence model holds its tokenizer")
        tokenizer = Tokenizer.from_file(str(file))
        limit = _read(self._weights.folder / "sentence_bert_config.json").get("max_seq_length")
        tokenizer.enable_truncation(int(limit or self._config["max_position_embeddings"]))
        tokenizer.no_padding()  # the file asks for 128 in both: the settings of its training
        return tokenizer

    @cached_property
    def _network(self) -> _Bert:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        tensors: dict[str, Any] = {}
        try:
            for file in self._weights.files:
                tensors.update(load_file(file))
            return _Bert.of(tensors, self._config)
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            folder = self._weights.folder
            raise ModelError(f"{folder}: not BERT weights in float32 or float16 safetensors ({error})") from error


def _read(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_text("utf-8"))) if file.is_file() else {}


def _bert_config(folder: Path) -> dict[str, Any]:
    """Return config.json, after making sure that the few lines below compute this model and no other."""
    config = _read(folder / "config.json")
    expected = {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute"}
    for key, value in expected.items():
        if config.get(key, value) != value:
            raise ModelError(f"{folder}: a sentence model needs {key} = {value!r}, and this one has {config[key]!r}")
    pooling = _read(folder / "1_Pooling" / "config.json")
    wrong = [key for key, on in pooling.items() if key.startswith("pooling_mode_") and on and "mean_tokens" not in key]
    if wrong:
        raise ModelError(f"{folder}: a sentence model needs mean pooling, and this one has {', '.join(wrong)}")
    return config


# The network


@dataclass(frozen=True, slots=True)
class _Dense:
    weight: Floats  # (out, in), as torch stores it
    bias: Floats

    def __call__(self, x: Floats) -> Floats:
        y: Floats = x @ self.weight.T
        y += self.bias
        return y


@dataclass(frozen=True, slots=True)
class _Norm:
    weight: Floats
    bias: Floats
    epsilon: float

    def __call__(self, x: Floats) -> Floats:
        y: Floats = x - x.mean(axis=-1, keepdims=True)
        variance = np.einsum("...i,...i->...", y, y)[..., None] / np.float32(y.shape[-1])
        y /= np.sqrt(variance + np.float32(self.epsilon))
        y *= self.weight
        y += self.bias
        return y


@dataclass(frozen=True, slots=True)
class _Layer:
    query_key_value: _Dense
    attended: _Dense
    attended_norm: _Norm
    inner: _Dense
    outer: _Dense
    outer_norm: _Norm
    heads: int

    def __call__(self, x: Floats, bias: Floats) -> Floats:
        """Return the next hidden states of `x` (texts, tokens, dim); `bias` (texts, 1, 1, tokens) hides the padding."""
        count, length, dim = x.shape
        width = dim // self.heads
        stacked = self.query_key_value(x.reshape(-1, dim)).reshape(count, length, 3, self.heads, width)
        query, key, value = stacked.transpose(2, 0, 3, 1, 4)
        weights = query @ key.transpose(0, 1, 3, 2)
        weights *= np.float32(1 / math.sqrt(width))
        weights += bias
        weights -= weights.max(axis=-1, keepdims=True)
        np.exp(weights, out=weights)
        weights /= weights.sum(axis=-1, keepdims=True)
        context = (weights @ value).transpose(0, 2, 1, 3).reshape(-1, dim)
        x = self.attended_norm(x.reshape(-1, dim) + self.attended(context))
        return self.outer_norm(x + self.outer(_gelu(self.inner(x)))).reshape(count, length, dim)


@dataclass(frozen=True, slots=True)
class _Bert:
    words: Floats
    positions: Floats  # with the one token type that sentences use already added
    norm: _Norm
    layers: tuple[_Layer, ...]

    @classmethod
    def of(cls, tensors: Mapping[str, Any], config: Mapping[str, Any]) -> _Bert:
        """Build the network out of named tensors, with or without the prefix that task models put before them."""
        prefix = "bert." if "bert.embeddings.word_embeddings.weight" in tensors else ""
        epsilon = float(config.get("layer_norm_eps", 1e-12))

        def tensor(name: str) -> Floats:
            return np.asarray(tensors[prefix + name], np.float32)

        def dense(*names: str) -> _Dense:
            weights, biases = ([tensor(f"{name}.{part}") for name in names] for part in ("weight", "bias"))
            return _Dense(np.concatenate(weights), np.concatenate(biases))

        def norm(name: str) -> _Norm:
            return _Norm(tensor(f"{name}.weight"), tensor(f"{name}.bias"), epsilon)

        def layers() -> Iterator[_Layer]:
            for number in range(int(config["num_hidden_layers"])):
                at = f"encoder.layer.{number}."
                yield _Layer(
                    dense(*(f"{at}attention.self.{part}" for part in ("query", "key", "value"))),
                    dense(at + "attention.output.dense"),
                    norm(at + "attention.output.LayerNorm"),
                    dense(at + "intermediate.dense"),
                    dense(at + "output.dense"),
                    norm(at + "output.LayerNorm"),
                    int(config["num_attention_heads"]),
                )

        place = tensor("embeddings.position_embeddings.weight") + tensor("embeddings.token_type_embeddings.weight")[0]
        return cls(tensor("embeddings.word_embeddings.weight"), place, norm("embeddings.LayerNorm"), tuple(layers()))

    def pooled(self, batch: Sequence[Sequence[int]]) -> Vectors:
        """Return the unit mean of the last hidden states of each sequence of token numbers, shape (n, dim)."""
        inputs = _padded(batch)
        numbers, real = inputs["input_ids"], inputs["attention_mask"] > 0
        lengths = real.sum(axis=1)
        bias = np.where(real, np.float32(0), np.float32(-1e9))[:, None, None, :]
        x = self.norm(self.words[numbers] + self.positions[: numbers.shape[1]])
        for layer in self.layers:
            x = layer(x, bias)
        mean = np.einsum("btd,bt->bd", x, real.astype(np.float32)) / lengths[:, None].astype(np.float32)
        return np.asarray(mean / np.linalg.norm(mean, axis=1, keepdims=True), np.float32)


def _padded(batch: Sequence[Sequence[int]]) -> dict[str, NDArray[np.int64]]:
    """Return the token numbers of texts as a matrix, and which of its places are tokens."""
    lengths = np.array([len(tokens) for tokens in batch])
    numbers = np.zeros((len(batch), int(lengths.max())), np.int64)
    for row, tokens in enumerate(batch):
        numbers[row, : len(tokens)] = tokens
    return {"input_ids": numbers, "attention_mask": (np.arange(numbers.shape[1]) < lengths[:, None]).astype(np.int64)}


def _not_yet() -> tuple[Any, dict[str, Any]]:
    raise FileNotFoundError("not exported yet")


def _torch_bert(folder: Path) -> tuple[Any, dict[str, Any]]:
    """Return the network in torch, with its pooling, and an example of its inputs."""
    import torch

    from .checkpoint import load_network

    class Pooled(torch.nn.Module):  # type: ignore[misc]  # torch has no types here
        def __init__(self) -> None:
            super().__init__()
            self.bert = load_network(folder, device="cpu")

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            hidden = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
            return torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)

    numbers = torch.arange(1000, 1064).reshape(2, 32)
    mask = torch.ones_like(numbers)
    mask[0, 12:] = 0
    return Pooled().eval(), {"input_ids": numbers, "attention_mask": mask}


def _gelu(x: Floats) -> Floats:
    """Return x·Φ(x), in place. numpy has no error function: Abramowitz and Stegun 7.1.26, wrong by at most 1.5e-7."""
    flat = x.reshape(-1)
    for first in range(0, flat.size, GELU_BLOCK):
        block = flat[first : first + GELU_BLOCK]
        z = np.abs(block) * np.float32(math.sqrt(0.5))
        t = 1 / (1 + np.float32(0.3275911) * z)
        tail = np.float32(1.061405429) * t
        for coefficient in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
            tail += np.float32(coefficient)
            tail *= t
        tail *= np.exp(-z * z)
        tail *= np.float32(0.5)  # 1 - Φ(|x|)
        np.subtract(1, tail, out=tail, where=block >= 0)
        block *= tail
    return x
