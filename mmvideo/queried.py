"""A sound to search with, from a file or from memory."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import numpy as np

from .datatypes import Audio, SoundTextEncoder
from .errors import QueryError
from .sandbox import Decoding

MOST = 60.0
"""Seconds of a recording that is searched for: its beginning stands for it."""


def as_sound(audio: str | os.PathLike[str] | Audio, encoder: SoundTextEncoder | None, decoding: Decoding) -> Audio:
    """Return at most the first `MOST` seconds of a recording at the rate of `encoder`. Raises `QueryError` for sound of
    another rate or where there is no encoder, `MediaError` for a file without sound."""
    if encoder is None:
        raise QueryError("no sounds are indexed; `mmvideo reindex --sound clap` makes them searchable")
    rate = encoder.rate
    if isinstance(audio, Audio):
        if audio.rate != rate:
            raise QueryError(f"the sound has {audio.rate} samples per second, the library's model wants {rate}")
        return audio
    media = decoding.probe(Path(audio).expanduser().absolute())
    held: list[np.ndarray[tuple[int], np.dtype[np.float32]]] = []
    with closing(decoding.read_audio(media, block_seconds=MOST, rate=rate)) as blocks:
        for block in blocks:
            held.append(block.samples)
            if sum(map(len, held)) >= MOST * rate:
                break
    samples = np.concatenate(held) if held else np.zeros(0, np.float32)
    return Audio(samples[: round(MOST * rate)], media.start, rate)
