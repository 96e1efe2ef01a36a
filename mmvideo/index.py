"""Nearest vectors by row id, with USearch.

While a modality is small every vector is compared (exact); above `EXACT_LIMIT` the graph answers. At 20,000 × 512 the
exact search takes 5 ms, the graph 0.7 ms but may return fewer rows than there are. The type of the stored numbers is
always named: USearch's own default follows the CPU, and a library moves between machines.

On disk an index is two files, `NAME.usearch` and `NAME.json`; the second says which state of the database the first one
holds. Each is written under a temporary name, synced and renamed, the second last, so that a process killed between
them leaves an index that is seen to be out of date, never one that is wrong.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import mmap
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from .datatypes import Vectors

EXACT_LIMIT = 50_000
CHECKED = 1_000_000_000
"""Bytes of an index file up to which each opening compares its checksum (0.2 s)."""
CONNECTIVITY, EXPANSION_ADD, EXPANSION_SEARCH = 16, 128, 64

Ids = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class IndexState:
    """What an index on disk holds: the library's id, the generation of the modality, how many vectors of which length;
    `checksum` is the CRC-32 of its file."""

    library: str
    generation: int
    count: int
    dim: int
    checksum: int | None = None

    @classmethod
    def read(cls, path: Path) -> IndexState | None:
        """Return what the index at `path` (without suffix) says of itself; None where it says nothing readable."""
        try:
            return cls(**json.loads(path.with_suffix(".json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None


class Nearest(Protocol):
    """The vectors of one modality of a library, to search."""

    def __len__(self) -> int: ...

    def search(
        self, vector: Vectors, limit: int, media: Sequence[int] | None = None
    ) -> tuple[Ids, NDArray[np.float32]]:
        """Return the `limit` nearest ids, of these `media` only, and their cosines with `vector` (dim,), best first,
        equals by id."""
        ...

    def spread(self, count: int) -> Ids:
        """Return up to `count` ids spread evenly over all, ascending."""
        ...


class VectorIndex:
    """Unit vectors of one length by id, ranked by cosine. Make an empty one, or `open` one from disk."""

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self._index = _usearch(dim)
        self._viewed = False
        self._held: mmap.mmap | None = None  # what a viewed index is made of

    @classmethod
    def open(cls, path: Path, *, checked: bool = False) -> tuple[VectorIndex, IndexState] | None:
        """Map the index at `path` (without suffix) into memory; None where there is none or it is damaged.

        `checked` reads also a file above `CHECKED` to see that; a damaged one may crash the process that searches it.
        """
        state = IndexState.read(path)
        if state is None:
            return None
        try:
            # Given a path that it may not open (absent, or another user's: it asks for O_NOATIME), usearch 2.26 closes
            # descriptor 0 in its place, whatever that is by then: a lock, the database.
            with path.with_suffix(".usearch").open("rb") as file:
                held = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            if state.checksum is not None and (checked or len(held) <= CHECKED) and crc32(held) != state.checksum:
                return None
            index = cls(state.dim)
            index._index.view(memoryview(held))
        except (OSError, ValueError, TypeError, RuntimeError):
            return None
        index._held, index._viewed = held, True
        return (index, state) if len(index) == state.count else None

    def __len__(self) -> int:
        return len(self._index)

    def ids(self) -> Ids:
        """Return all ids, ascending."""
        return np.sort(np.asarray(self._index.keys, dtype=np.uint64))

    def vectors(self, ids: Ids) -> Vectors:
        """Return the vectors with these ids, (n, dim), in their order; zeros for an id that is not there."""
        if not len(ids):
            return np.zeros((0, self.dim), np.float32)
        known = np.isin(ids, np.asarray(self._index.keys, dtype=np.uint64))
        found = np.zeros((len(ids), self.dim), np.float32)
        if known.any():
            found[known] = np.asarray(self._index.get(np.ascontiguousarray(ids[known])), np.float32)
        return found

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """Add unit vectors (n, dim) under new ids (n,)."""
        if len(ids):
            self._own()
            self._index.add(ids, np.ascontiguousarray(vectors, dtype=np.float32))

    def remove(self, ids: Ids) -> None:
        """Remove ids; those that are not there are no error."""
        if len(ids):
            self._own()
            self._index.remove(np.ascontiguousarray(ids))

    def search(self, vector: Vectors, limit: int) -> tuple[Ids, NDArray[np.float32]]:
        """Return the `limit` nearest ids and their cosines with `vector` (dim,), best first, equals by id."""
        count = min(limit, len(self))
        if count == 0:
            return np.zeros(0, np.uint64), np.zeros(0, np.float32)
        exact = len(self) <= EXACT_LIMIT
        found = self._index.search(np.ascontiguousarray(vector, dtype=np.float32), count, exact=exact)
        ids, cosines = np.asarray(found.keys, np.uint64), 1.0 - np.asarray(found.distances, np.float32)
        order = np.lexsort((ids, -cosines))
        return ids[order], cosines[order]

    def save(self, path: Path, *, library: str, generation: int) -> None:
        """Write the index to `path` (without suffix)."""
        self._own()
        draft = path.with_suffix(".usearch.new")
        self._index.save(str(draft))
        checksum = _checksum(draft)
        state = IndexState(library=library, generation=generation, count=len(self), dim=self.dim, checksum=checksum)
        _publish(draft, path.with_suffix(".usearch"))
        draft = path.with_suffix(".json.new")
        draft.write_text(json.dumps(asdict(state)), encoding="utf-8")
        _publish(draft, path.with_suffix(".json"))

    def _own(self) -> None:
        """Copy a mapped index into memory: a mapped one cannot change, nor be written over its own file."""
        if self._viewed:
            held = self._index.copy()
            self._index, self._viewed, self._held = held, False, None


def evenly(ids: Ids, count: int) -> Ids:
    """Return up to `count` of the ids, spread evenly."""
    return ids[np.unique(np.linspace(0, len(ids) - 1, min(count, len(ids))).astype(int))] if len(ids) else ids


def cosines(vector: Vectors, batches: Sequence[tuple[Ids, Vectors]]) -> tuple[Ids, NDArray[np.float32]]:
    """Return the ids and cosines of all vectors of (ids, vectors) batches with `vector` (dim,), best first."""
    if not batches:
        return np.zeros(0, np.uint64), np.zeros(0, np.float32)
    ids = np.concatenate([batch_ids for batch_ids, _ in batches])
    scores = np.concatenate([vectors @ vector for _, vectors in batches]).astype(np.float32)
    order = np.lexsort((ids, -scores))
    return ids[order], scores[order]


def _usearch(dim: int) -> Any:
    if sys.platform == "linux":
        # usearch 2.26 brings C++ symbols of its own: loaded first, they crash onnxruntime when that is imported later.
        with contextlib.suppress(OSError):
            ctypes.CDLL("libstdc++.so.6", ctypes.RTLD_GLOBAL)
    from usearch.index import Index  # 0.1 s: not before a vector is at hand

    return Index(
        ndim=dim,
        metric="ip",
        dtype="f16",
        connectivity=CONNECTIVITY,
        expansion_add=EXPANSION_ADD,
        expansion_search=EXPANSION_SEARCH,
    )


def _checksum(path: Path) -> int:
    found = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            found = crc32(block, found)
    return found


def _publish(draft: Path, path: Path) -> None:
    with draft.open("rb+") as file:
        os.fsync(file.fileno())
    draft.replace(path)
