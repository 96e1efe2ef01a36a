"""Opening the database of a library's folder: made when absent, brought forward when it is of an older program."""

from __future__ import annotations

from pathlib import Path

from .datatypes import Recipe
from .errors import LibraryError
from .lock import writing
from .store import SQLiteStore, migrate, outdated

DATABASE = "library.db"


def open_store(folder: Path, recipe: Recipe, *, create: bool) -> SQLiteStore:
    """Return the store of a library's folder, read-only; `recipe` is what a new one begins with.

    Raises `LibraryError` if the folder holds something else, or nothing and `create` is false.
    """
    database = folder / DATABASE
    if folder.exists() and not folder.is_dir():
        raise LibraryError(f"{folder}: a file, not a library; a library is a folder")
    if database.is_file() and outdated(database):
        with writing(folder, wait=True):
            migrate(database)
    if database.exists() or not create:
        return SQLiteStore.open(database, readonly=True)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(entry for entry in folder.iterdir() if not entry.name.startswith(".")):
            raise LibraryError(f"{folder}: a folder with other things in it, not a library; name a new or empty folder")
        SQLiteStore.create(database, recipe)
        return SQLiteStore.open(database, readonly=True)
    except OSError as error:
        raise LibraryError(f"{folder}: the library cannot be made ({error.strerror})") from error
