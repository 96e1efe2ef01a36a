"""A small world with exact captions: coloured shapes in places, sounds of a pitch, a motion and a source.

`scripts/train_tiny.py` trains a CLIP and a CLAP on it from nothing; combinations of words that are `held_out` never
occur in training, so that finding them shows that the parts are understood and not the whole remembered.
"""

from __future__ import annotations

import wave
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

COLOURS = {
    "red": (225, 30, 30),
    "green": (30, 180, 40),
    "blue": (40, 60, 230),
    "yellow": (240, 220, 30),
    "white": (245, 245, 245),
    "purple": (160, 30, 190),
}
SHAPES = ("circle", "ring", "cross", "bar")
PLACES = {"left": (0.3, 0.5), "right": (0.7, 0.5), "top": (0.5, 0.3), "bottom": (0.5, 0.7)}
PITCHES = {"low": 300.0, "middle": 1000.0, "high": 3300.0}
MOTIONS = ("steady", "trembling", "pulsing", "rising", "falling", "swaying")
SOURCES = ("tone", "chord", "buzz", "noise", "clicks")
RATE = 16_000

Picture = tuple[str, str, str]
"""Colour, shape, place."""

Sound = tuple[str, str, str]
"""Pitch, motion, source; "" for one that has no name: a pitch a fifth of an octave or more from those that have one,
wandering about without a plan, the sum of six harmonics by chance."""

UNNAMED = ((140.0, 261.0), (345.0, 870.0), (1149.0, 2872.0), (3791.0, 4600.0))
"""Hertz: where pitches without a name lie."""

ALL_PICTURES: tuple[Picture, ...] = tuple(product(COLOURS, SHAPES, PLACES))
ALL_SOUNDS: tuple[Sound, ...] = tuple(product(PITCHES, MOTIONS, SOURCES))
UNNAMED_SOUNDS: tuple[Sound, ...] = (
    *product(("",), MOTIONS, SOURCES),
    *product(PITCHES, ("",), SOURCES),
    *product(PITCHES, MOTIONS, ("",)),
    *product(PITCHES, MOTIONS, ("",)),
)


def held_out(what: Picture | Sound) -> bool:
    """Tell whether a combination is kept from training: one in six pictures, one in five sounds, spread evenly, so
    that every two of its three words occur together in others."""
    if what[0] in COLOURS:
        colour, shape, place = list(COLOURS).index(what[0]), SHAPES.index(what[1]), list(PLACES).index(what[2])
        return (colour + 2 * shape + 3 * place) % 6 == 0
    pitch, motion, source = list(PITCHES).index(what[0]), MOTIONS.index(what[1]), SOURCES.index(what[2])
    return (pitch + motion + source) % 5 == 0


def caption(what: Picture | Sound, words: tuple[int, ...] = (0, 1, 2)) -> str:
    """Return what a picture shows, or how a sound sounds; of its three words only those with these numbers."""
    told = [what[number] for number in words]
    if what[2] in PLACES and 2 in words:
        told[-1] = f"at the {told[-1]}"
    return " ".join(["a", *told])


def draw(what: Picture, numbers: np.random.Generator, side: int = 96) -> NDArray[np.uint8]:
    """Return a picture (side, side, 3) of one shape, of a size, place and background that vary."""
    colour, shape, place = what
    y, x = (np.mgrid[0:side, 0:side] + 0.5) / side
    cx, cy = np.array(PLACES[place]) + numbers.uniform(-0.03, 0.03, 2)
    radius = numbers.uniform(0.21, 0.26)
    dx, dy = x - cx, y - cy
    if shape == "circle":
        inside = dx**2 + dy**2 <= radius**2
    elif shape == "ring":
        inside = (dx**2 + dy**2 <= radius**2) & (dx**2 + dy**2 >= (0.6 * radius) ** 2)
    elif shape == "cross":
        inside = (np.minimum(abs(dx), abs(dy)) <= 0.25 * radius) & (np.maximum(abs(dx), abs(dy)) <= 1.1 * radius)
    else:
        inside = (abs(dy) <= 0.35 * radius) & (abs(dx) <= 1.2 * radius)
    image = np.full((side, side, 3), numbers.uniform(60, 120), np.float64)
    image[inside] = np.array(COLOURS[colour]) * numbers.uniform(0.9, 1.0)
    image += numbers.normal(0, 4, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


def play(what: Sound, numbers: np.random.Generator, seconds: float = 2.0) -> NDArray[np.float32]:
    """Return a sound (n,) at `RATE`, of a pitch, tempo and loudness that vary."""
    pitch, motion, source = what
    time = np.arange(round(seconds * RATE)) / RATE
    lasts = 1.0  # a motion takes a second and begins again
    place = (time + numbers.uniform(0, lasts)) % lasts / lasts
    turns = {"rising": place - 0.5, "falling": 0.5 - place, "swaying": 0.5 * np.sin(4 * np.pi * place)}
    waves = [np.sin(2 * np.pi * (numbers.uniform(0.3, 5) * time + numbers.uniform())) for _ in range(2)]
    turns[""] = 0.25 * (waves[0] + waves[1])
    middle = PITCHES[pitch] * 2 ** numbers.uniform(-0.15, 0.15) if pitch else _unnamed(numbers)
    frequency = middle * 2 ** (1.2 * turns.get(motion, np.zeros(len(time))))
    phase = np.cumsum(frequency) / RATE
    if source == "tone":
        sound = np.sin(2 * np.pi * phase)
    elif source == "chord":
        sound = np.sum([np.sin(2 * np.pi * part * phase) for part in (1.0, 1.26, 1.5)], axis=0)
    elif source == "buzz":
        parts = [part for part in range(1, 11) if part * frequency.min() < 0.5 * RATE]
        heard = [part * frequency < 0.5 * RATE for part in parts]  # what is higher would come back lower
        waves = [np.sin(2 * np.pi * part * phase) / part for part in parts]
        sound = np.sum([one * two for one, two in zip(heard, waves, strict=True)], axis=0)
    elif source == "noise":
        # white noise through a ring: a band an octave wide around the frequency
        slow = np.repeat(numbers.normal(0, 1, len(time) // 8 + 1), 8)[: len(time)]
        width = np.interp(np.arange(len(time)) * frequency.mean() / 2000, np.arange(len(slow)), slow)
        sound = width * np.sin(2 * np.pi * phase)
    elif source == "":
        waves = [numbers.uniform(0, 1) / part * np.sin(2 * np.pi * part * phase) for part in range(1, 7)]
        sound = np.sum(waves, axis=0)
    else:
        every = numbers.uniform(0.09, 0.13)
        since = time % every
        sound = np.sin(2 * np.pi * phase) * np.exp(-since / 0.008)
    if motion == "trembling":
        sound = sound * (0.5 + 0.5 * np.sin(2 * np.pi * numbers.uniform(4, 5) * time))
    elif motion == "pulsing":
        sound = sound * ((time * numbers.uniform(1.4, 1.8) + numbers.uniform()) % 1 < 0.5)
    sound = sound / max(1e-6, float(np.abs(sound).max())) * numbers.uniform(0.25, 0.7)
    return (sound + numbers.normal(0, 0.002, len(sound))).astype(np.float32)


def _unnamed(numbers: np.random.Generator) -> float:
    low, high = UNNAMED[numbers.integers(len(UNNAMED))]
    return float(low * (high / low) ** numbers.uniform())


def write_wav(path: Path, samples: NDArray[np.float32], rate: int = RATE) -> Path:
    """Write mono sound, 16 bits."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return path
