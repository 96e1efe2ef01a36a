"""The tables of a library, and how its database is opened."""

from __future__ import annotations

import json
import os
import sqlite3
import time
import uuid
from dataclasses import asdict
from pathlib import Path

from ..datatypes import Recipe
from ..errors import LibraryError
from .damage import broken

MIGRATIONS: tuple[str, ...] = ()
"""SQL that leads from version 1 to 2, from 2 to 3, …; `SCHEMA` is always what they lead to."""

SCHEMA_VERSION = 1 + len(MIGRATIONS)
APPLICATION_ID = 0x6D6D7631  # "mmv1": lets `file` and us tell a library from any other SQLite file

SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE media (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    path NOT NULL UNIQUE,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    fingerprint TEXT NOT NULL,
    container TEXT NOT NULL,
    start REAL NOT NULL,
    duration REAL NOT NULL,
    streams TEXT NOT NULL,
    inputs TEXT NOT NULL,
    notes TEXT NOT NULL,
    added REAL NOT NULL
);
CREATE INDEX media_fingerprint ON media (fingerprint);
CREATE TABLE segment (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    media_id INTEGER NOT NULL REFERENCES media (id) ON DELETE CASCADE,
    modality TEXT NOT NULL,
    start REAL NOT NULL,
    "end" REAL NOT NULL,
    text TEXT,
    vector BLOB
);
CREATE INDEX segment_media ON segment (media_id, modality);
CREATE INDEX segment_modality ON segment (modality, id);
CREATE VIRTUAL TABLE words USING fts5 (
    text, content = 'segment', content_rowid = 'id', tokenize = "unicode61 remove_diacritics 2"
);
CREATE TRIGGER segment_added AFTER INSERT ON segment WHEN new.text IS NOT NULL BEGIN
    INSERT INTO words (rowid, text) VALUES (new.id, new.text);
END;
CREATE TRIGGER segment_removed AFTER DELETE ON segment WHEN old.text IS NOT NULL BEGIN
    INSERT INTO words (words, rowid, text) VALUES ('delete', old.id, old.text);
END;
CREATE TABLE timeline (
    media_id INTEGER PRIMARY KEY REFERENCES media (id) ON DELETE CASCADE,
    dim INTEGER NOT NULL,
    times BLOB NOT NULL,
    rows BLOB NOT NULL,
    vectors BLOB NOT NULL,
    cuts BLOB NOT NULL
);
CREATE TABLE transcript (
    media_id INTEGER PRIMARY KEY REFERENCES media (id) ON DELETE CASCADE,
    language TEXT,
    source TEXT NOT NULL,
    utterances TEXT NOT NULL,
    vectors BLOB
);
"""

ADDITIONS = """
CREATE TABLE IF NOT EXISTS screen (
    media_id INTEGER PRIMARY KEY REFERENCES media (id) ON DELETE CASCADE,
    texts TEXT NOT NULL
);
"""
"""Tables that came later: made in new libraries, and in old ones when they are next written to. An older mmvideo does
not mind them."""


def make(path: Path, recipe: Recipe) -> None:
    """Write an empty library database for new media made by `recipe`."""
    connection = sqlite3.connect(path)
    try:
        # One transaction: executescript would commit before it begins.
        connection.execute("PRAGMA journal_mode = WAL")  # from the first: a journal left behind shuts readers out
        connection.executescript(
            f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION};"
            f"BEGIN; {SCHEMA} {ADDITIONS} COMMIT;"
        )
        values = {"id": uuid.uuid4().hex, "recipe": json.dumps(asdict(recipe)), "created": repr(time.time())}
        connection.executemany("INSERT INTO meta VALUES (?, ?)", values.items())
        connection.commit()
        # Closing does this too, but is silent where it fails, and the name of the log is not renamed with the file's.
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()


def connect(path: Path, *, readonly: bool) -> sqlite3.Connection:
    """Return a connection to the database at `path`, which must exist. Raises `LibraryError` if it cannot be read."""
    location = f"{path.resolve().as_uri()}?mode={'ro' if readonly else 'rw'}"
    try:
        try:
            connection = _opened(location, readonly)
        except sqlite3.OperationalError:
            if not readonly or not os.access(path, os.W_OK):
                raise
            # What a killed writer left must be rolled back, which a reader may not: once as a writer, then again.
            _opened(location.replace("?mode=ro", "?mode=rw"), readonly=False).close()
            connection = _opened(location, readonly)
    except sqlite3.OperationalError as error:
        if not readonly or os.access(path.parent, os.W_OK):
            raise LibraryError(f"{path.parent}: the library cannot be opened ({error})") from error
        # On a read-only disk WAL's shared memory cannot be made; nobody can be writing there either.
        return sqlite3.connect(f"{location}&immutable=1", uri=True, isolation_level=None, check_same_thread=False)
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        raise (broken if _is_ours(path) else _strange)(path.parent, error) from error
    return connection


def _is_ours(path: Path) -> bool:
    """Tell whether the file began as a library: what it says of itself stands in its first 100 bytes."""
    with path.open("rb") as file:
        head = file.read(100)
    return head[68:72] == APPLICATION_ID.to_bytes(4, "big") or not head.strip(b"\0")


def _strange(folder: Path, error: Exception) -> LibraryError:
    return LibraryError(
        f"{folder}: not an mmvideo library, or damaged ({error}); if it was one, put back a copy of library.db"
    )


def _opened(location: str, readonly: bool) -> sqlite3.Connection:
    connection = sqlite3.connect(location, uri=True, isolation_level=None, check_same_thread=False)
    try:
        _tuned(connection, readonly)
        connection.execute("SELECT count(*) FROM sqlite_master")
    except BaseException:
        connection.close()
        raise
    return connection


def _tuned(connection: sqlite3.Connection, readonly: bool) -> sqlite3.Connection:
    connection.execute("PRAGMA busy_timeout = 10000")
    connection.execute("PRAGMA foreign_keys = ON")
    if not readonly:
        connection.execute("PRAGMA journal_mode = WAL")
        # FULL: a commit survives a power cut, not only a crash of the process. One sync per media costs nothing here.
        connection.execute("PRAGMA synchronous = FULL")
    return connection


def check(connection: sqlite3.Connection, path: Path) -> None:
    """Raise `LibraryError` unless the database is a library that this program understands."""
    application, version = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
    )
    if application != APPLICATION_ID:
        raise LibraryError(f"{path.parent}: not an mmvideo library (library.db is some other database)")
    if version > SCHEMA_VERSION:
        raise LibraryError(
            f"{path.parent}: made by a newer mmvideo (format {version}); upgrade with `pip install -U mmvideo`"
        )
    if version < SCHEMA_VERSION:
        raise LibraryError(f"{path.parent}: made by an older mmvideo (format {version}), and not brought forward yet")
