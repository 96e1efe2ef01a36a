"""Libraries joined into one, folder or server, without looking at a recording again.

Vectors travel as they are stored (float16 there and back is exact), with times, texts and the day they were added. Each
media is put as a whole; what the target already has is passed over, so an interrupted merge is simply begun again. Of
two accounts of one path the one that was added last stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from .datatypes import Modality, ModelId, Progress, ProgressCallback, Segment, Vectors
from .errors import LibraryError, RecipeError
from .store import Content, Store, StoredMedia


@dataclass(frozen=True, slots=True)
class MergeReport:
    """What a merge did: paths that were carried over, and those that the target had already."""

    carried: tuple[Path, ...]
    there: tuple[Path, ...]


def merge(sources: Sequence[Store], target: Store, progress: ProgressCallback) -> MergeReport:
    """Put into `target` whatever the sources hold, in their order, and return what was done.

    An empty target takes the recipe of the first source. Raises `RecipeError` if models differ, and `LibraryError` if a
    source is the target itself; nothing is changed then.
    """
    _agreed(sources, target)
    if not target.media_ids():
        target.set_recipe(sources[0].recipe)
    carried: list[Path] = []
    there: list[Path] = []
    for source in sources:
        with source.snapshot():
            for part, model in source.models.items():
                if part not in target.models:
                    target.set_model(part, model)
            ids = source.media_ids()
            for done, media_id in enumerate(ids):
                stored = source.media_by_id(media_id)
                if stored is None:
                    continue
                progress(Progress("merging", stored.media.path, done, len(ids), "files"))
                if _has(target, stored):
                    there.append(stored.media.path)
                else:
                    target.put(content_of(source, stored))
                    carried.append(stored.media.path)
    return MergeReport(tuple(carried), tuple(there))


def content_of(store: Store, stored: StoredMedia) -> Content:
    """Return everything that a store holds of a media, as it can be put into another."""
    segments: dict[Modality, list[Segment]] = {}
    vectors: dict[Modality, Vectors] = {}
    for name in store.counts(stored.id):
        modality = cast("Modality", name)
        some = sorted(store.segments_of(stored.id, modality), key=lambda one: one.id)
        segments[modality] = [one.segment for one in some]
        held = list(store.vectors(modality, media=[stored.id]))
        if held:
            ids = np.concatenate([ids for ids, _ in held])
            if ids.tolist() != [one.id for one in some]:
                raise LibraryError(
                    f"{store.place}: {stored.media.path}: {modality} segments without vectors; see `mmvideo verify`"
                )
            vectors[modality] = np.concatenate([matrix for _, matrix in held])
    return Content(
        stored.media,
        stored.inputs,
        segments,
        vectors,
        store.timeline(stored.id),
        store.transcript(stored.id),
        store.utterance_vectors(stored.id),
        stored.notes,
        store.screen(stored.id),
        stored.added,
    )


def _has(target: Store, stored: StoredMedia) -> bool:
    known = target.find_media(stored.media.path)
    if known is None:
        return False
    same = (known.media.fingerprint, known.inputs) == (stored.media.fingerprint, stored.inputs)
    return same or known.added >= stored.added


def _agreed(sources: Sequence[Store], target: Store) -> None:
    models: dict[str, tuple[str, ModelId]] = {}
    for store in (target, *sources):
        if store is not target and store.id == target.id:
            raise LibraryError(f"{store.place}: is the library to merge into; name another one")
        for part, model in store.models.items():
            place, known = models.setdefault(part, (store.place, model))
            if known != model:
                raise RecipeError(
                    f"{store.place}: its {part} part was made with {model.name} (revision {model.revision}), that of "
                    f"{place} with {known.name} (revision {known.revision}); `mmvideo reindex` makes one like the other"
                )
