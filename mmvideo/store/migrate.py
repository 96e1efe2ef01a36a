"""Bringing the database of an older mmvideo to today's tables.

Each step is SQL that leads from one version to the next. All steps are one transaction, and before it a copy is made
beside the database, whole and readable by the older program; the copy is left for the user to delete.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from ..errors import LibraryError
from .damage import told
from .schema import MIGRATIONS, SCHEMA_VERSION, connect


def outdated(path: Path) -> bool:
    """Tell whether the database at `path` was made by an older program."""
    with contextlib.closing(connect(path, readonly=True)) as db, told(path.parent, rows=False):
        return bool(0 < _version(db) < SCHEMA_VERSION)


def migrate(path: Path, steps: Sequence[str] = MIGRATIONS) -> Path | None:
    """Bring the database at `path` forward and return the copy that was made before; None where nothing was to do.

    `steps[0]` leads from version 1 to 2, and so on. Only the one writer of a library may call it. Raises `LibraryError`
    and leaves everything as it was if a step fails.
    """
    wanted = 1 + len(steps)
    with contextlib.closing(connect(path, readonly=False)) as db:
        version = _version(db)
        if version >= wanted:
            return None
        try:
            copy = _copy(db, path, version)
            db.execute("BEGIN EXCLUSIVE")
            for step in steps[version - 1 :]:
                for statement in _statements(step):
                    db.execute(statement)
            db.execute(f"PRAGMA user_version = {wanted:d}")
            db.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise LibraryError(
                f"{path.parent}: could not be brought from format {version} to {wanted} ({error}); nothing was changed"
            ) from error
    return copy


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _copy(db: sqlite3.Connection, path: Path, version: int) -> Path:
    copy = path.with_name(f"{path.name}.v{version}.bak")
    draft = copy.with_name(f".{copy.name}.new")
    draft.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(draft)) as target:
        db.backup(target)
    with draft.open("rb+") as file:
        os.fsync(file.fileno())
    draft.replace(copy)
    return copy


def _statements(script: str) -> list[str]:
    """Part a script, as `executescript` would, which cannot be used: it commits first."""
    found, held = [], ""
    for part in script.split(";"):
        held += part + ";"
        if sqlite3.complete_statement(held):
            if held.strip(" \n;"):
                found.append(held)
            held = ""
    return found
