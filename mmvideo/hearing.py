"""From sound to segments of modality `sound`: windows, encoded where there is something to hear, and told whether it is
speech or music."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress

import numpy as np

from .datatypes import SAMPLE_RATE, Audio, ImageTextEncoder, Query, Samples, Segment, SoundTextEncoder, Vectors
from .errors import ModelError, QueryError
from .pool import unit
from .sounds import at_rate, is_silent, windows
from .words import plain

TOGETHER = 16
"""Windows that are encoded at a time: 80 s of sound in windows of ten that overlap by half."""

MOST = 0.5
"""A window in which somebody speaks for this part of it is one of speech; so for music and singing."""

NameSounds = Callable[[Sequence[Samples]], tuple[Vectors, Sequence[str | None]]]
"""Returns what an encoder's `encode_sounds` does, and the names of what is heard in each sound, None for nothing. An
encoder that has it, as `name_sounds`, says itself what windows hold."""


def sound_segments(
    blocks: Iterable[Audio],
    encoder: SoundTextEncoder,
    *,
    window: float,
    progress: Callable[[float], object] = lambda _: None,
) -> tuple[list[Segment], Vectors]:
    """Return the segments of consecutive sound and their vectors (n, dim): windows of `window` seconds, or as long as
    the encoder hears, one every half of that; silent ones are left out. The text of one is what the encoder says that
    it hears, or tells what fills most of it: "speech", and with the extra `music` also "music" and "singing"."""
    length = min(window, encoder.longest)
    segments: list[Segment] = []
    found: list[Vectors] = []
    for some in _batches(windows(blocks, length, length / 2)):
        audible = [one for one in some if not is_silent(one.samples, one.rate)]
        if audible:
            vectors, texts = _heard(audible, encoder)
            found.append(vectors)
            segments += [Segment("sound", one.start, one.end, text) for one, text in zip(audible, texts, strict=True)]
        progress(some[-1].end)
    dim = encoder.model.dim
    return segments, np.concatenate(found) if found else np.zeros((0, dim), np.float32)


def asked_vector(query: Query, encoder: SoundTextEncoder, *, window: float) -> Vectors | None:
    """Return what a query looks for among sounds (dim,): words, a sound, a picture, or words with one of them by their
    weight; None if it asks for nothing. Raises `QueryError` for a picture where the space has none."""
    shown = None
    if query.audio is not None:
        shown = sound_vector(query.audio, encoder, window=window)
    elif query.image is not None:
        if not isinstance(encoder, ImageTextEncoder):
            raise QueryError(f"{encoder.model.name} knows sounds and words; a picture needs a space of all three")
        shown = encoder.encode_images(query.image[None] if query.image.ndim == 3 else query.image)[0]
    if not query.text:
        return shown
    text: Vectors = encoder.encode_texts([plain(query.text)])[0]
    return text if shown is None else unit(query.text_weight * text + (1.0 - query.text_weight) * shown)


def sound_vector(audio: Audio, encoder: SoundTextEncoder, *, window: float) -> Vectors:
    """Return the vector (dim,) of a sound to search with: the mean of its windows. `QueryError` if it is silent."""
    length = min(window, encoder.longest)
    heard = [one.samples for one in windows([audio], length, length / 2) if not is_silent(one.samples, one.rate)]
    if not heard:
        raise QueryError("the sound to search for is silent, or shorter than a quarter of a second")
    mean: Vectors = unit(encoder.encode_sounds(heard).mean(axis=0))
    return mean


def _batches(some: Iterator[Audio]) -> Iterator[list[Audio]]:
    held: list[Audio] = []
    for one in some:
        held.append(one)
        if len(held) == TOGETHER:
            yield held
            held = []
    if held:
        yield held


def _heard(some: Sequence[Audio], encoder: SoundTextEncoder) -> tuple[Vectors, Sequence[str | None]]:
    """Return the vectors of windows of sound and their texts."""
    samples = [one.samples for one in some]
    name_sounds: NameSounds | None = getattr(encoder, "name_sounds", None)
    if name_sounds is not None:
        return name_sounds(samples)
    return encoder.encode_sounds(samples), [_told(one) for one in some]


def _told(audio: Audio) -> str | None:
    """Return "speech", "music" and "singing" as far as they can be told here and fill most of a window."""
    from .encode import music
    from .encode.voice import speech_regions

    samples = at_rate(audio.samples, audio.rate, SAMPLE_RATE)
    told = []
    with suppress(ModelError):
        spoken = sum(end - start for start, end in speech_regions(samples))
        told += ["speech"] * (spoken >= MOST * (audio.end - audio.start))
    if music.installed():
        shares = music.music_and_singing(samples)
        told += [name for name, share in zip(("music", "singing"), shares, strict=True) if share >= MOST]
    return ", ".join(told) or None
