"""Is the database whole, and does each row hold what it must? Nothing here changes anything but `rebuild_words`."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any

import numpy as np

from ..datatypes import MEANT, ModelId

NORM = 0.01
"""How far from 1 the length of a vector may be: float16 leaves 0.001."""


def integrity(db: sqlite3.Connection) -> list[str]:
    """Return what SQLite finds wrong with the file: pages, indexes, and rows that refer to nothing."""
    try:
        found = [str(row[0]) for row in db.execute("PRAGMA integrity_check(20)")]
        if found != ["ok"]:
            return [line for part in found for line in part.splitlines() if line.strip()]
        broken = db.execute("PRAGMA foreign_key_check").fetchall()
    except sqlite3.DatabaseError as error:
        return [str(error)]
    return [f"row {row[1]} of {row[0]} belongs to nothing in {row[2]}" for row in broken[:20]]


def words_fit(db: sqlite3.Connection) -> bool:
    """Tell whether the full-text index says the same as the segments.

    FTS5's own check needs to write, and wants rows for segments without text too; so the index is made again in
    temporary tables, and every word at every place is compared.
    """
    cursors: list[sqlite3.Cursor] = []
    try:
        db.execute("CREATE VIRTUAL TABLE temp.fresh USING fts5 (text, tokenize = 'unicode61 remove_diacritics 2')")
        db.execute("CREATE VIRTUAL TABLE temp.held_words USING fts5vocab (main, words, instance)")
        db.execute("CREATE VIRTUAL TABLE temp.fresh_words USING fts5vocab (temp, fresh, instance)")
        db.execute("INSERT INTO temp.fresh (rowid, text) SELECT id, text FROM segment WHERE text IS NOT NULL")
        rows = "SELECT term, doc, offset FROM temp.{} ORDER BY term, doc, offset"
        cursors += [db.execute(rows.format(table)) for table in ("held_words", "fresh_words")]
        return all(held == fresh for held, fresh in zip_longest(*cursors))
    except sqlite3.DatabaseError:
        return False
    finally:
        for cursor in cursors:  # an open one keeps its table
            cursor.close()
        for table in ("held_words", "fresh_words", "fresh"):
            with contextlib.suppress(sqlite3.DatabaseError):
                db.execute(f"DROP TABLE IF EXISTS temp.{table}")


def rebuild_words(db: sqlite3.Connection) -> None:
    """Make the full-text index again from the segments."""
    db.execute("INSERT INTO words (words) VALUES ('delete-all')")
    db.execute("INSERT INTO words (rowid, text) SELECT id, text FROM segment WHERE text IS NOT NULL")


def damaged_media(db: sqlite3.Connection, models: dict[str, ModelId]) -> Iterator[tuple[int, str]]:
    """Yield (media id, what is wrong) for each media with rows that a search could not use, once each."""
    for (media_id,) in db.execute("SELECT id FROM media ORDER BY id").fetchall():
        try:
            wrong = _wrong(db, media_id, models)
        except (ValueError, TypeError, AttributeError, sqlite3.DatabaseError) as error:
            wrong = f"cannot be read back ({error})"
        if wrong:
            yield media_id, wrong


def _wrong(db: sqlite3.Connection, media_id: int, models: dict[str, ModelId]) -> str:
    def row(query: str) -> Any:
        return db.execute(f"{query} = ?", (media_id,)).fetchone()

    return (
        wrong_media(row("SELECT duration, streams, notes FROM media WHERE id"))
        or _wrong_segments(db, media_id, models)
        or wrong_timeline(row("SELECT dim, times, rows, vectors FROM timeline WHERE media_id"), models)
        or wrong_transcript(row("SELECT utterances, vectors FROM transcript WHERE media_id"), models)
    )


def part_of(modality: str) -> str:
    """Return the part of the recipe whose model makes the vectors of a modality."""
    return "passages" if modality in MEANT else modality


def wrong_media(row: Sequence[Any]) -> str:
    """Say what is wrong with a media row (duration, streams, notes), or return an empty string."""
    duration, streams, notes = row
    if not (isinstance(json.loads(streams), dict) and isinstance(json.loads(notes), list)):
        return "its description is damaged"
    return "" if 0 <= duration < float("inf") else f"a length of {duration} s"


def _wrong_segments(db: sqlite3.Connection, media_id: int, models: dict[str, ModelId]) -> str:
    query = 'SELECT modality, start, "end", vector FROM segment WHERE media_id = ?'
    for modality, start, end, vector in db.execute(query, (media_id,)):
        if not start <= end:
            return f"a {modality} segment from {start} to {end} s"
        if vector is None:
            return f"a {modality} segment without a vector"
        model = models.get(part_of(modality))
        if wrong := _wrong_vectors(vector, model.dim if model else None, 1):
            return f"a {modality} segment: {wrong}"
    return ""


def wrong_timeline(row: Sequence[Any] | None, models: dict[str, ModelId]) -> str:
    """Say what is wrong with the frames of a media (dim, times, rows, vectors), or return an empty string."""
    if row is None:
        return ""
    dim, times, rows = row[0], np.frombuffer(row[1], np.float64), np.frombuffer(row[2], np.int32)
    if "visual" in models and dim != models["visual"].dim:
        return f"frames of dimension {dim}, the model's is {models['visual'].dim}"
    if wrong := _wrong_vectors(row[3], dim, None):
        return f"its frames: {wrong}"
    count = len(row[3]) // (2 * dim)
    if len(times) != len(rows) or (len(rows) and not (rows.min() >= 0 and rows.max() < count)):
        return "frames that refer to no vector"
    return "" if np.all(np.diff(times) > 0) else "frames out of order"


def wrong_transcript(row: Sequence[Any] | None, models: dict[str, ModelId]) -> str:
    """Say what is wrong with a transcript (utterances, vectors), or return an empty string."""
    if row is None:
        return ""
    said = json.loads(row[0])
    for start, end, text, words in said:
        if not (start <= end and isinstance(text, str) and isinstance(words, list)):
            return "its transcript is damaged"
    if row[1] is None or "passages" not in models:
        return ""
    dim = models["passages"].dim
    apiece = 2 if len(row[1]) == 4 * dim * len(said) else 1  # its own, and that of it between its neighbours
    wrong = _wrong_vectors(row[1], dim, apiece * len(said))
    return f"its utterances: {wrong}" if wrong else ""


def _wrong_vectors(data: bytes, dim: int | None, count: int | None) -> str:
    """Say what is wrong with `count` vectors of `dim` numbers (None: any), or return an empty string."""
    if len(data) % 2 or (dim and len(data) % (2 * dim)):
        return f"{len(data)} bytes are no vectors of {dim} numbers"
    matrix = np.frombuffer(data, np.float16).astype(np.float32).reshape(-1, dim or max(1, len(data) // 2))
    if count is not None and len(matrix) != count:
        return f"{len(matrix)} vectors instead of {count}"
    if not np.isfinite(matrix).all():
        return "a vector with numbers that are none"
    lengths = np.linalg.norm(matrix, axis=1)
    if len(lengths) and float(np.abs(lengths - 1).max()) > NORM:
        return f"a vector of length {lengths[np.abs(lengths - 1).argmax()]:.3g} instead of 1"
    return ""
