"""What a library stands on: a folder with one writer at a time, or a database in PostgreSQL that many write to.

The rest of the program asks the ground for a store, for leave to write, for nearest vectors, and for a place for its
journal, and does not know which of the two it is.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from . import caches
from . import reports as journal
from .datatypes import Modality, Recipe, Vectors
from .errors import LibraryError
from .index import Ids, Nearest, VectorIndex, cosines, evenly
from .lock import writing
from .opening import DATABASE, open_store
from .store import SQLiteStore, Store
from .store.postgres import Locks, PostgresStore, is_address


class Writing(Protocol):
    """Leave to write."""

    @property
    def store(self) -> Store:
        """The store to write to."""
        ...

    def claim(self, name: str) -> bool:
        """Claim a media, and tell whether nobody else has claimed it."""
        ...

    def release(self, name: str) -> None:
        """Give a claim back."""
        ...


class Ground(Protocol):
    """What a library stands on."""

    @property
    def place(self) -> str:
        """Where it is, as a person names it."""
        ...

    @property
    def folder(self) -> Path | None:
        """The folder, where there is one."""
        ...

    @property
    def store(self) -> Store:
        """The store to read from."""
        ...

    def writing(self, *, wait: bool, alone: bool = False) -> AbstractContextManager[Writing]:
        """Lend leave to write; `alone` shuts all other writers out. Raises `LibraryError` if it cannot be had, unless
        `wait`."""
        ...

    def index(self, modality: Modality) -> Nearest | None:
        """Return the vectors of a modality to search, None where it has none."""
        ...

    def refresh(self, store: Store) -> None:
        """Bring the indexes up to date after writing."""
        ...

    def keep(self, line: dict[str, Any]) -> None:
        """Keep a line of the journal."""
        ...

    def reports(self) -> list[dict[str, Any]]:
        """Return the journal, oldest first."""
        ...


def open_ground(library: str | os.PathLike[str], recipe: Recipe, *, create: bool) -> Ground:
    """Return the ground of the library that a folder or an address of PostgreSQL names, made when absent if `create`
    says so. Raises `LibraryError` if there is none."""
    name = os.fspath(library)
    if is_address(name):
        return ServerGround(PostgresStore.open(name, recipe, create=create))
    folder = Path(name).expanduser().absolute()
    return FolderGround(folder, open_store(folder, recipe, create=create))


# A folder


class FolderGround:
    """A folder: SQLite, indexes of USearch beside it, a lock for the one writer."""

    def __init__(self, folder: Path, store: SQLiteStore) -> None:
        self.folder = folder
        self.place = str(folder)
        self.store = store  # read-only; writing opens a connection of its own

    @contextmanager
    def writing(self, *, wait: bool, alone: bool = False) -> Iterator[OnlyWriter]:
        """Lend leave to write; whoever writes to a folder is alone."""
        with writing(self.folder, wait=wait), SQLiteStore.open(self.folder / DATABASE) as store:
            yield OnlyWriter(store)

    def index(self, modality: Modality) -> Nearest | None:
        """Return the vectors of a modality to search."""
        index = caches.open_index(self.store, self.folder, modality)[0]
        return None if index is None else FolderIndex(index, self.store, modality)

    def refresh(self, store: Store) -> None:
        """Bring the indexes' files up to date."""
        caches.refresh(store, self.folder)

    def keep(self, line: dict[str, Any]) -> None:
        """Keep a line of the journal."""
        journal.keep(self.folder, line)

    def reports(self) -> list[dict[str, Any]]:
        """Return the journal."""
        return list(journal.read(self.folder))


@dataclass(frozen=True, slots=True)
class OnlyWriter:
    """Leave to write while nobody else does: every claim is granted."""

    store: Store

    def claim(self, name: str) -> bool:
        """Grant."""
        return True

    def release(self, name: str) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class FolderIndex:
    """An index of USearch with the store that knows which media its vectors are of."""

    index: VectorIndex
    store: Store
    modality: Modality

    def __len__(self) -> int:
        return len(self.index)

    def search(
        self, vector: Vectors, limit: int, media: Sequence[int] | None = None
    ) -> tuple[Ids, NDArray[np.float32]]:
        """Return the nearest ids and their cosines; of some media, all are compared."""
        if media is None:
            return self.index.search(vector, limit)
        ids, scores = cosines(vector, list(self.store.vectors(self.modality, media=media)))
        return ids[:limit], scores[:limit]

    def spread(self, count: int) -> Ids:
        """Return up to `count` ids spread evenly over all."""
        return evenly(self.index.ids(), count)


# A server


class ServerGround:
    """A database in PostgreSQL: many writers, and all indexes in the database itself."""

    folder = None

    def __init__(self, store: PostgresStore) -> None:
        self.place = store.place
        self.store = store

    @contextmanager
    def writing(self, *, wait: bool, alone: bool = False) -> Iterator[ManyWriters]:
        """Lend leave to write beside others, or alone."""
        import time

        with self.store.locks() as locks:
            while not locks.take("library", shared=not alone):
                if not wait:
                    raise LibraryError(f"{self.place}: another mmvideo is writing to this library; wait, or say --wait")
                time.sleep(0.2)
            yield ManyWriters(self.store, locks)

    def index(self, modality: Modality) -> Nearest | None:
        """Return the vectors of a modality to search."""
        return self.store.index(modality)

    def refresh(self, store: Store) -> None:
        """Make the graphs that grown modalities need."""
        self.store.refresh()

    def keep(self, line: dict[str, Any]) -> None:
        """Keep a line of the journal."""
        self.store.keep_report(json.dumps(line))

    def reports(self) -> list[dict[str, Any]]:
        """Return the journal."""
        return [json.loads(line) for line in self.store.report_lines()]


@dataclass(frozen=True, slots=True)
class ManyWriters:
    """Leave to write beside others: a claim is a lock in the database that dies with its holder."""

    store: Store
    locks: Locks

    def claim(self, name: str) -> bool:
        """Claim a media."""
        return self.locks.take(name)

    def release(self, name: str) -> None:
        """Give a claim back."""
        self.locks.give(name)
