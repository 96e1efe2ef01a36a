"""Sound in overlapping windows, and which of them are silent. Pure functions over streams of samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from .datatypes import Audio, Samples

SILENCE = -60.0
"""Decibels below full scale under which a tenth of a second is silent: a quiet room recorded well has about -60."""

SHORTEST = 0.25
"""Seconds: what is left at the end and shorter is part of the window before."""


def windows(blocks: Iterable[Audio], length: float, step: float) -> Iterator[Audio]:
    """Yield windows of `length` seconds, one every `step` seconds, of consecutive blocks of sound.

    The last one ends with the sound and may be shorter. Memory holds one block and one window.
    """
    held: Samples = np.zeros(0, np.float32)
    start, rate, given = 0.0, 0, 0.0
    for block in blocks:
        if rate == 0:
            start, rate, given = block.start, block.rate, block.start
        held = np.concatenate([held, block.samples])
        size, hop = round(length * rate), max(1, round(step * rate))
        first = 0
        while first + size <= len(held):
            yield Audio(held[first : first + size], start + first / rate, rate)
            given = start + (first + size) / rate
            first += hop
        held, start = held[first:], start + first / rate
    if rate and start + len(held) / rate - given >= SHORTEST:
        yield Audio(held, start, rate)


def loudness(samples: Samples, rate: int) -> float:
    """Return the loudest tenth of a second of samples (n,), in decibels below full scale; -inf for nothing."""
    part = max(1, rate // 10)
    whole = samples[: len(samples) // part * part].reshape(-1, part) if len(samples) >= part else samples[None]
    power = float(np.square(whole, dtype=np.float64).mean(axis=1).max()) if samples.size else 0.0
    return 10.0 * float(np.log10(power)) if power > 0 else float("-inf")


def is_silent(samples: Samples, rate: int) -> bool:
    """Tell whether nothing can be heard in samples (n,)."""
    return loudness(samples, rate) < SILENCE


def at_rate(samples: Samples, rate: int, wanted: int) -> Samples:
    """Return samples (n,) at another rate, by straight lines between means: good enough to tell whether one speaks."""
    if rate == wanted or not len(samples):
        return samples
    step = max(1, rate // wanted)
    means = samples[: len(samples) // step * step].reshape(-1, step).mean(axis=1)
    count = round(len(samples) * wanted / rate)
    at = (np.arange(count) + 0.5) * rate / wanted / step - 0.5
    return np.asarray(np.interp(at, np.arange(len(means)), means), np.float32)
