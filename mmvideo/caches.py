"""Index caches against the database: opened when they fit, topped up or rebuilt when they do not.

The database is the truth. Row ids are never used twice and a vector never changes under its id, so an index that is out
of date differs from the database only by ids that are missing or gone; comparing the two lists brings it up to date.
"""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path

import numpy as np

from .datatypes import SEARCHED, Modality
from .index import VectorIndex
from .store import Store

log = logging.getLogger(__name__)


def open_index(store: Store, folder: Path, modality: Modality) -> tuple[VectorIndex | None, bool]:
    """Return the index of a modality as the database has it now, and whether the files on disk fit.

    None where the modality has no vectors. Writes nothing: a reader may call it beside a writer.
    """
    generation = store.generation(modality)
    opened = VectorIndex.open(folder / modality)
    if opened is not None:
        index, state = opened
        if state.library == store.id and state.generation == generation:
            return (index if len(index) else None), True
    wanted = store.segment_ids(modality)
    if len(wanted) == 0:
        return None, False
    usable = opened is not None and opened[1].library == store.id
    index = opened[0] if opened is not None and usable else VectorIndex(_dim(store, modality))
    if index.dim != _dim(store, modality):
        index = VectorIndex(_dim(store, modality))
    held = index.ids()
    index.remove(np.setdiff1d(held, wanted, assume_unique=True))
    missing = np.setdiff1d(wanted, held, assume_unique=True)
    if len(missing) == len(wanted):
        for ids, vectors in store.vectors(modality):
            index.add(ids, vectors)
    else:
        for start in range(0, len(missing), 1000):
            for ids, vectors in store.vectors(modality, ids=[int(i) for i in missing[start : start + 1000]]):
                index.add(ids, vectors)
    return index, False


def refresh(store: Store, folder: Path) -> None:
    """Bring every index on disk up to date; only the one writer of a library may call it."""
    for modality in SEARCHED:
        index, fits = open_index(store, folder, modality)
        if fits:
            continue
        if index is None:
            for suffix in (".json", ".usearch"):
                (folder / modality).with_suffix(suffix).unlink(missing_ok=True)
        else:
            try:
                index.save(folder / modality, library=store.id, generation=store.generation(modality))
            except (OSError, RuntimeError) as error:  # a full disk; what is stored is stored, and searches do without
                log.warning("%s: the %s index could not be kept (%s)", folder, modality, error)
                for suffix in (".json.new", ".usearch.new"):
                    with contextlib.suppress(OSError):
                        (folder / modality).with_suffix(suffix).unlink(missing_ok=True)


def _dim(store: Store, modality: Modality) -> int:
    return int(next(store.vectors(modality, batch=1))[1].shape[1])
