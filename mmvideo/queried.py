"""What is shown to search with, a picture or a clip, and a sound, from files or from memory."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import numpy as np

from .datatypes import Audio, Images, SoundTextEncoder
from .errors import MediaError, QueryError
from .media import VIDEO_SUFFIXES
from .picture import MOST_PIXELS, as_picture
from .sandbox import Decoding

MOST = 60.0
"""Seconds of a recording that is searched for: its beginning stands for it."""


def as_shown(
    image: str | os.PathLike[str] | Images | Any,
    decoding: Decoding,
    *,
    kind: Literal["picture", "clip"] | None = None,
    formats: tuple[str, ...] | None = None,
    most_pixels: int = MOST_PIXELS,
) -> Images:
    """Return what a query shows as RGB (height, width, 3) uint8: a picture, or of a clip its middle frame. A file's
    suffix tells which, unless `kind` does; `formats` (Pillow's names) and `most_pixels` bound what a picture may be.

    Raises `QueryError` for what cannot be read.
    """
    if not isinstance(image, (str, os.PathLike)):
        return as_picture(image)
    path = Path(image)
    if kind is None and path.suffix.lower() in VIDEO_SUFFIXES:
        kind = "clip"
    if kind != "clip":
        return decoding.picture(path, formats=formats, most_pixels=most_pixels)
    try:
        media = decoding.probe(path.expanduser().absolute())
        if media.video is None:
            raise QueryError(f"{path}: no picture in it")
        if media.video.width * media.video.height > most_pixels:
            raise QueryError(f"{path}: a picture may have at most {most_pixels // 1_000_000} megapixels")
        middle: Images = decoding.frame_at(media, media.start + media.duration / 2).images[0]
    except MediaError as error:
        raise QueryError(str(error)) from error
    return middle


def as_sound(audio: str | os.PathLike[str] | Audio, encoder: SoundTextEncoder | None, decoding: Decoding) -> Audio:
    """Return at most the first `MOST` seconds of a recording at the rate of `encoder`. Raises `QueryError` for sound of
    another rate or where there is no encoder, `MediaError` for a file without sound."""
    if encoder is None:
        raise QueryError("no sounds are indexed; `mmvideo reindex --sound yamnet` makes them searchable")
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
