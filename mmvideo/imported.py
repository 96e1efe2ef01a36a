"""Vectors that were computed elsewhere, taken into a library: frames of one media with their times.

They must be of the model that answers the library's questions, because its texts are compared with them: whoever
imports them says which model that is, and only the dimension can be checked. clip-video-encode's files are of this
kind: one (n, dim) array per video, a row every so many frames.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .address import located
from .datatypes import ImageTextEncoder, Media, Modality, Recipe, Segment, Timeline, Vectors
from .errors import LibraryError
from .ingest import inputs
from .pool import pool_windows, unit
from .sandbox import Decoding
from .segment import windows
from .store import Content, Store, StoredMedia

KEPT: tuple[Modality, ...] = ("speech", "screen", "sound", "caption")
"""What a media already had beside its frames, and keeps."""


def read_vectors(file: Path) -> Vectors:
    """Return the rows of an .npy file as unit vectors (n, dim). Raises `LibraryError` for anything else."""
    try:
        matrix = np.load(file, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise LibraryError(f"{file}: not an .npy of numbers ({error})") from error
    if matrix.ndim != 2 or not matrix.size or matrix.dtype.kind != "f":
        raise LibraryError(f"{file}: an array {matrix.shape} of {matrix.dtype}; one row of floats per frame is wanted")
    vectors = matrix.astype(np.float32)
    lengths = np.linalg.norm(vectors, axis=1)
    if not np.isfinite(lengths).all() or (lengths < 1e-6).any():
        raise LibraryError(f"{file}: holds rows that are no direction (zeros, or no numbers)")
    return unit(vectors)


def sample_times(media: Media, count: int, *, interval: float | None, times: Path | None) -> NDArray[np.float64]:
    """Return when each of `count` rows was seen (n,): every `interval` seconds from the start, as a file of `times`
    says, or spread evenly over the media where neither is given. Raises `LibraryError` if they do not fit it."""
    if times is not None:
        try:
            known = np.asarray(np.load(times, allow_pickle=False), np.float64).reshape(-1)
        except (OSError, ValueError) as error:
            raise LibraryError(f"{times}: not an .npy of seconds ({error})") from error
    else:
        step = interval if interval is not None else media.duration / count
        known = media.start + step * np.arange(count, dtype=np.float64)
    if len(known) != count:
        raise LibraryError(f"{times}: {len(known)} times for {count} vectors")
    if (np.diff(known) <= 0).any() or known[0] < media.start - 1e-3 or known[-1] > media.end + 1.0:
        raise LibraryError(
            f"{media.path}: the times go from {known[0]:g} to {known[-1]:g} s, and the media from {media.start:g} to "
            f"{media.end:g} s; they must ascend and lie inside it"
        )
    return known


def read_file(
    decoding: Decoding,
    vectors: str | os.PathLike[str],
    media: str | os.PathLike[str],
    *,
    interval: float | None,
    times: str | os.PathLike[str] | None,
) -> tuple[Media, Vectors, NDArray[np.float64]]:
    """Return a media file, the vectors (n, dim) of its frames from an .npy file, and when each was seen (n,)."""
    matrix, found = read_vectors(Path(vectors)), decoding.probe(located(os.path.expanduser(media)))  # noqa: PTH111
    known = sample_times(found, len(matrix), interval=interval, times=None if times is None else Path(times))
    return found, matrix, known


def import_frames(
    store: Store,
    recipe: Recipe,
    media: Media,
    encoder: ImageTextEncoder | None,
    vectors: Vectors,
    times: NDArray[np.float64],
) -> StoredMedia:
    """Store `vectors` (n, dim) as what was seen in a media at `times` (n,), in place of what was known of its picture.

    What is known of its speech and the rest stays. Shot cuts are not known: segments are windows of equal length.
    Raises `LibraryError` if the vectors are not of the `encoder`'s dimension, or there is none.
    """
    if encoder is None:
        raise LibraryError(f"{media.path}: the library leaves out what is seen; no model to compare vectors with")
    model = encoder.model
    if vectors.shape[1] != model.dim:
        raise LibraryError(f"{media.path}: vectors of {vectors.shape[1]} numbers, and {model.name} makes {model.dim}")
    timeline = Timeline(
        times, np.arange(len(times), dtype=np.int32), vectors, np.zeros(0), media.start, max(media.end, times[-1])
    )
    pieces = windows(timeline.start, timeline.end, timeline.cuts, recipe.max_segment)
    content = _known(store, media, inputs(media.path, recipe))
    content.segments["visual"] = [Segment("visual", start, end) for start, end in pieces]
    content.vectors["visual"] = pool_windows(timeline, pieces, how=recipe.pooling)
    notes = (*content.notes, f"{len(times)} frame vectors imported, said to be made by {model.name}")
    media_id = store.put(replace(content, timeline=timeline, notes=notes))
    stored = store.media_by_id(media_id)
    if stored is None:
        raise LibraryError(f"{store.place}: a media vanished from the library while it was added")
    return stored


def _known(store: Store, media: Media, made_from: str) -> Content:
    """Return what the library knows of a media besides its picture."""
    stored = store.find_media(media.path)
    if stored is None:
        return Content(media, made_from, {}, {})
    segments: dict[Modality, list[Segment]] = {}
    vectors: dict[Modality, Vectors] = {}
    for modality in KEPT:
        some = store.segments_of(stored.id, modality)
        if not some:
            continue
        held = {
            int(i): vector
            for ids, matrix in store.vectors(modality, media=[stored.id])
            for i, vector in zip(ids, matrix, strict=True)
        }
        segments[modality] = [one.segment for one in some]
        if held:
            vectors[modality] = np.stack([held[one.id] for one in some])
    return Content(
        media,
        made_from,
        segments,
        vectors,
        transcript=store.transcript(stored.id),
        utterance_vectors=store.utterance_vectors(stored.id),
        notes=stored.notes,
        screen=store.screen(stored.id),
    )
