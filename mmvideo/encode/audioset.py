"""What a recording sounds like, as scores of AudioSet's 521 classes: YAMNet, in NumPy alone.

YAMNet (Google, Apache-2.0) is a MobileNet v1 (Howard et al. 2017, arXiv 1704.04861) over patches of a log mel
spectrogram, trained on AudioSet (Gemmeke et al. 2017). Its 3.7 million weights lie beside this file, 7.5 MB, made by
`scripts/extract_yamnet.py`; `NOTICE` says where they come from. Scores equal TensorFlow's to 1e-3, which
`tests/test_yamnet.py` holds. One core hears 200 seconds in one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..datatypes import SAMPLE_RATE, Samples
from ..onecore import one_core

Floats = NDArray[np.float32]

WEIGHTS = Path(__file__).with_name("yamnet.safetensors")
"""Layers with their batch normalisation folded in, weights in int16 with scales, names of the classes in the header."""

WINDOW, HOP, BINS = 400, 160, 512
"""Samples under one spectrum, between two of them, and of the Fourier transform: 25, 10 and 32 ms."""

BANDS, LOWEST, HIGHEST = 64, 125.0, 7500.0
"""Bands of the mel scale, and between which frequencies they lie."""

OFFSET = 0.001
"""Added before the logarithm."""

PATCH = 96
"""Spectra of one patch, 0.96 s: what the network looks at."""

STRIDES = (2, 1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
"""Of the first convolution and the thirteen pairs after it."""

TOGETHER = 4
"""Patches computed at a time: their 1.5 MB stay in the cache."""


@dataclass(frozen=True, slots=True)
class _Pair:
    """A convolution of each channel (3, 3, channels) with its bias, and one of points (in, out) with its own."""

    depth: Floats
    depth_bias: Floats
    point: Floats
    bias: Floats
    stride: int


@dataclass(frozen=True, slots=True)
class _Network:
    classes: tuple[str, ...]
    first: tuple[Floats, Floats]
    pairs: tuple[_Pair, ...]
    last: tuple[Floats, Floats]


def classes() -> tuple[str, ...]:
    """Return the names of the 521 classes, such as "Bark" or "Domestic animals, pets"."""
    return _network().classes


def class_scores(samples: Samples, *, hop: int = PATCH // 2) -> Floats:
    """Return how sure it is of each class in each patch of `samples` (n,) at 16 kHz, (patches, 521), each 0 to 1.

    A patch lasts 0.96 s, one begins every `hop` hundredths of a second; silence fills the last one. At least one.
    """
    with one_core():  # two are a third faster, and take half as much time again from what else is computed
        spectra = log_mel(samples, hop=hop)
        starts = range(0, len(spectra) - PATCH + 1, hop)
        patches = np.stack([spectra[start : start + PATCH] for start in starts])
        return np.concatenate([_scores(patches[i : i + TOGETHER]) for i in range(0, len(patches), TOGETHER)])


def log_mel(samples: Samples, *, hop: int = PATCH // 2) -> Floats:
    """Return the logarithms of the mel bands of `samples` (n,) at 16 kHz, (96 + k * hop, 64), silence at the end."""
    shortest = (PATCH - 1) * HOP + WINDOW
    more = -(-max(0, len(samples) - shortest) // (hop * HOP))
    padded = np.zeros(shortest + more * hop * HOP, np.float32)
    padded[: len(samples)] = samples
    framed = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    spectra = np.abs(np.fft.rfft(framed * _hann(), BINS)).astype(np.float32)
    return np.asarray(np.log(spectra @ _mel() + np.float32(OFFSET)), np.float32)


@cache
def _hann() -> Floats:
    """Return the periodic window (400,)."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)).astype(np.float32)


@cache
def _mel() -> Floats:
    """Return the triangles of the bands (257, 64), straight on HTK's mel scale; the constant part is in none."""

    def mel(hertz: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(1127.0 * np.log1p(hertz / 700.0))

    at = mel(np.linspace(0.0, SAMPLE_RATE / 2, BINS // 2 + 1))[:, None]
    low, high = mel(np.array([LOWEST, HIGHEST]))
    edges = np.linspace(low, high, BANDS + 2)
    rising = (at - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - at) / (edges[2:] - edges[1:-1])
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    triangles[0] = 0.0
    return np.asarray(triangles, np.float32)


@cache
def _network() -> _Network:
    from safetensors import safe_open

    with safe_open(WEIGHTS, framework="numpy") as opened:
        kept = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        names = tuple(json.loads(opened.metadata()["about"])["classes"])
    held = {name: layer * kept[f"{name}.scale"] if layer.dtype == np.int16 else layer for name, layer in kept.items()}
    pairs = tuple(
        _Pair(
            held[f"{layer}.depth"],
            held[f"{layer}.depth_bias"],
            held[f"{layer}.point"],
            held[f"{layer}.bias"],
            STRIDES[layer],
        )
        for layer in range(1, 14)
    )
    return _Network(names, (held["0.point"], held["0.bias"]), pairs, (held["14.point"], held["14.bias"]))


def _scores(patches: Floats) -> Floats:
    """Return the scores (n, 521) of patches (n, 96, 64)."""
    network = _network()
    x = _padded(patches[..., None], STRIDES[0])
    count, height, width = len(patches), patches.shape[1] // 2, patches.shape[2] // 2
    taps = [x[:, i : i + 2 * height : 2, j : j + 2 * width : 2, 0] for i in range(3) for j in range(3)]
    x = _points(np.stack(taps, axis=-1), *network.first)
    for pair in network.pairs:
        x = _points(_depth(x, pair), pair.point, pair.bias)
    weight, bias = network.last
    logits = x.reshape(count, -1, x.shape[-1]).mean(axis=1) @ weight + bias
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * logits), np.float32)  # the logistic function, without overflow


def _padded(x: Floats, stride: int) -> Floats:
    """Return `x` (n, height, width, channels) with zeros around it: as TensorFlow's "same" puts them, where a stride of
    two over an even length needs them only at the end."""
    n, height, width, channels = x.shape
    before = 1 if stride == 1 else 0
    whole = np.zeros((n, height + 1 + before, width + 1 + before, channels), np.float32)
    whole[:, before : before + height, before : before + width] = x
    return whole


def _depth(x: Floats, pair: _Pair) -> Floats:
    """Return each channel of `x` convolved with its own 3 x 3 weights, what is negative made zero."""
    n, height, width, channels = x.shape
    stride, (rows, columns) = pair.stride, (height // pair.stride, width // pair.stride)
    around = _padded(x, stride)
    made = np.empty((n, rows, columns, channels), np.float32)
    made[:] = pair.depth_bias
    part = np.empty_like(made)
    for i in range(3):
        for j in range(3):
            seen = around[:, i : i + stride * rows : stride, j : j + stride * columns : stride]
            np.multiply(seen, pair.depth[i, j], out=part)
            made += part
    return np.maximum(made, 0, out=made)


def _points(x: Floats, weight: Floats, bias: Floats) -> Floats:
    """Return `x` (…, in) times `weight` (in, out) plus `bias`, what is negative made zero."""
    y: Floats = x.reshape(-1, x.shape[-1]) @ weight
    y += bias
    np.maximum(y, 0, out=y)
    return y.reshape(*x.shape[:-1], weight.shape[1])
