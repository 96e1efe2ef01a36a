"""SQLite, the truth of a library in a folder; only this package speaks SQL (`postgres` is the other implementation).

One transaction a file: a media with its segments, vectors, frames and transcript appears whole or not at all, so a
process may be killed anywhere. Vectors are float16 BLOBs (half the size; rankings on unit vectors stay the same to the
third digit of the cosine). Row ids are never used twice (AUTOINCREMENT), so a vector index that still knows a removed
id can not name another segment by it. `generation` counts the committed changes of a modality: an index cache that
states another number is out of date.

Paths are TEXT where they are valid UTF-8, else BLOB, so that any file name survives.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from ..datatypes import Media, Modality, ModelId, Recipe, Timeline, Transcript, Vectors
from ..errors import LibraryError
from ..written import ScreenText
from . import check as check_rows
from .damage import broken, guarded, told, unreadable
from .migrate import migrate, outdated
from .protocol import Store
from .rows import (
    MEDIA_COLUMNS,
    SEGMENT_COLUMNS,
    Content,
    StoredMedia,
    StoredSegment,
    media_values,
    path_value,
    screen_value,
    timeline_values,
    to_media,
    to_screen,
    to_segment,
    to_timeline,
    to_transcript,
    transcript_values,
)
from .schema import ADDITIONS, check, connect, make

__all__ = ["Content", "SQLiteStore", "Store", "StoredMedia", "StoredSegment", "migrate", "outdated", "unreadable"]


@guarded(writes=("put", "update_file", "set_recipe", "set_model"), apart=("create", "open", "close", "snapshot"))
class SQLiteStore:
    """An open library database. Use `create` or `open`; close it, or use it in a `with`."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._db = connection
        self.path = path
        self._one = Lock()  # one connection, one snapshot at a time

    @property
    def place(self) -> str:
        """The library's folder."""
        return str(self.path.parent)

    @staticmethod
    def create(path: Path, recipe: Recipe) -> None:
        """Make a new, empty library database at `path` (its folder must exist) for new media made by `recipe`.

        It is built under a temporary name, so a library that exists is always a whole one. Raises `LibraryError` where
        it cannot be written.
        """
        draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}.new")
        try:
            make(draft, recipe)
            draft.replace(path)
            _sync_folder(path.parent)
        except (sqlite3.Error, OSError) as error:
            for suffix in ("", "-wal", "-shm"):
                with contextlib.suppress(OSError):
                    draft.with_name(draft.name + suffix).unlink(missing_ok=True)
            reason = getattr(error, "strerror", None) or error
            raise LibraryError(f"{path.parent}: the library cannot be made ({reason})") from error

    @classmethod
    def open(cls, path: Path, *, readonly: bool = False) -> SQLiteStore:
        """Open a library database. Raises `LibraryError` if it is none, or newer than this program."""
        if not path.is_file():
            raise LibraryError(f"{path.parent}: no mmvideo library here; `mmvideo add` makes one")
        connection = connect(path, readonly=readonly)
        try:
            with told(path.parent, rows=False):
                check(connection, path)
                if not readonly:
                    connection.executescript(ADDITIONS)
        except BaseException:
            connection.close()
            raise
        return cls(connection, path)

    def close(self) -> None:
        """Close the database; a second call does nothing."""
        self._db.close()

    def __enter__(self) -> SQLiteStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield self._db
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._rollback()
            if type(error) is sqlite3.DatabaseError:
                raise broken(self.path.parent, error) from error
            raise LibraryError(f"{self.path.parent}: the library could not be written ({error})") from error
        except BaseException:
            self._rollback()
            raise

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let everything read inside see one state of the library, whatever a writer commits meanwhile."""
        with self._one:
            self._db.execute("BEGIN")
            try:
                yield
            finally:
                self._rollback()

    def _rollback(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    # The library as a whole

    def get(self, key: str) -> str | None:
        """Return a setting of the library, or None."""
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    @property
    def id(self) -> str:
        """A name that no other library has."""
        return self.get("id") or ""

    @property
    def recipe(self) -> Recipe:
        """The recipe that new media are made with."""
        known = json.loads(self.get("recipe") or "{}")
        return replace(Recipe(), **{k: v for k, v in known.items() if k in Recipe.__dataclass_fields__})

    @property
    def models(self) -> dict[str, ModelId]:
        """The models that made what is stored, by their part in the recipe: visual, speech, passages."""
        return {part: ModelId(**model) for part, model in json.loads(self.get("models") or "{}").items()}

    def set_recipe(self, recipe: Recipe) -> None:
        """Keep another recipe for the media to come."""
        with self._transaction() as db:
            _set(db, "recipe", json.dumps(asdict(recipe)))

    def set_model(self, part: str, model: ModelId) -> None:
        """Remember which model makes a part of the recipe, unless one is known."""
        models = {part: asdict(model), **{name: asdict(known) for name, known in self.models.items()}}
        with self._transaction() as db:
            _set(db, "models", json.dumps(models))

    def forget(self, modalities: Iterable[Modality], parts: Iterable[str], recipe: Recipe) -> None:
        """Remove what `modalities` have stored and the models of `parts`, and take `recipe`, in one transaction.

        Every media counts as changed afterwards, so the next `add` makes it again.
        """
        models = {name: asdict(model) for name, model in self.models.items() if name not in set(parts)}
        with self._transaction() as db:
            for modality in modalities:
                db.execute("DELETE FROM segment WHERE modality = ?", (modality,))
                _advance(db, modality)
                if modality == "visual":
                    db.execute("DELETE FROM timeline")
                if modality == "screen":
                    db.execute("DELETE FROM screen")
                if modality == "speech" and "speech" in set(parts):
                    db.execute("DELETE FROM transcript")
            db.execute("UPDATE media SET inputs = ''")
            _set(db, "models", json.dumps(models))
            _set(db, "recipe", json.dumps(asdict(recipe)))

    def generation(self, modality: Modality) -> int:
        """Return how many changes to the segments of a modality have been committed."""
        return int(self.get(f"generation:{modality}") or 0)

    # Is it whole

    def integrity(self) -> list[str]:
        """Return what SQLite finds wrong with the file and between its tables."""
        return check_rows.integrity(self._db)

    def words_fit(self) -> bool:
        """Tell whether the full-text index fits the segments."""
        return check_rows.words_fit(self._db)

    def rebuild_words(self) -> None:
        """Make the full-text index again from the segments."""
        with self._transaction() as db:
            check_rows.rebuild_words(db)

    def damaged_media(self) -> list[tuple[int, str]]:
        """Return (id, what is wrong) of each media with rows that a search could not use."""
        return list(check_rows.damaged_media(self._db, self.models))

    # Media

    def media(self) -> list[StoredMedia]:
        """Return all media, by path."""
        rows = self._db.execute(f"SELECT {MEDIA_COLUMNS} FROM media").fetchall()
        return sorted((to_media(row) for row in rows), key=lambda stored: str(stored.media.path))

    def media_ids(self) -> list[int]:
        """Return the row ids of all media, ascending."""
        return [int(row[0]) for row in self._db.execute("SELECT id FROM media ORDER BY id")]

    def find_media(self, path: Path) -> StoredMedia | None:
        """Return the media at this absolute path, or None."""
        row = self._db.execute(f"SELECT {MEDIA_COLUMNS} FROM media WHERE path = ?", (path_value(path),)).fetchone()
        return None if row is None else to_media(row)

    def media_by_id(self, media_id: int) -> StoredMedia | None:
        """Return a media by its row id, or None."""
        row = self._db.execute(f"SELECT {MEDIA_COLUMNS} FROM media WHERE id = ?", (media_id,)).fetchone()
        return None if row is None else to_media(row)

    def media_by_fingerprint(self, fingerprint: str) -> list[StoredMedia]:
        """Return the media with this content, in the order in which they were added."""
        query = f"SELECT {MEDIA_COLUMNS} FROM media WHERE fingerprint = ? ORDER BY id"
        return [to_media(row) for row in self._db.execute(query, (fingerprint,))]

    def put(self, content: Content) -> int:
        """Store a media with all that belongs to it, in place of what its path had before; return its row id."""
        with self._transaction() as db:
            _remove(db, "path = ?", path_value(content.media.path))
            marks = ", ".join("?" * 11)
            cursor = db.execute(
                f"INSERT INTO media ({MEDIA_COLUMNS.removeprefix('id, ')}) VALUES ({marks})", media_values(content)
            )
            media_id = int(cursor.lastrowid or 0)
            for modality, segments in content.segments.items():
                matrix = content.vectors.get(modality)
                vectors = [None] * len(segments) if matrix is None else _pack(matrix, np.float16)
                db.executemany(
                    'INSERT INTO segment (media_id, modality, start, "end", text, vector) VALUES (?, ?, ?, ?, ?, ?)',
                    [
                        (media_id, modality, segment.start, segment.end, segment.text, vector)
                        for segment, vector in zip(segments, vectors, strict=True)
                    ],
                )
                if segments:
                    _advance(db, modality)
            if content.timeline is not None:
                _insert(
                    db,
                    "timeline (media_id, dim, times, rows, vectors, cuts)",
                    media_id,
                    timeline_values(content.timeline),
                )
            if content.transcript is not None:
                values = transcript_values(content.transcript, content.utterance_vectors)
                _insert(db, "transcript (media_id, language, source, utterances, vectors)", media_id, values)
            if content.screen:
                _insert(db, "screen (media_id, texts)", media_id, [screen_value(content.screen)])
        return media_id

    def update_file(self, media_id: int, media: Media) -> None:
        """Note that the same content now has another path, size or time of change."""
        with self._transaction() as db:
            db.execute(
                "UPDATE media SET path = ?, size = ?, mtime_ns = ? WHERE id = ?",
                (path_value(media.path), media.size, media.mtime_ns, media_id),
            )

    def remove(self, media_id: int) -> None:
        """Remove a media and everything that belongs to it; an unknown id is no error."""
        with self._transaction() as db:
            _remove(db, "id = ?", media_id)

    # Segments

    def count(self, modality: Modality) -> int:
        """Return the number of segments of a modality."""
        return int(self._db.execute("SELECT count(*) FROM segment WHERE modality = ?", (modality,)).fetchone()[0])

    def counts(self, media_id: int) -> dict[str, int]:
        """Return the number of segments of a media by modality."""
        query = "SELECT modality, count(*) FROM segment WHERE media_id = ? GROUP BY modality ORDER BY modality"
        return dict(self._db.execute(query, (media_id,)).fetchall())

    def segments(self, ids: Sequence[int]) -> list[StoredSegment]:
        """Return the segments with these ids in the order of `ids`; ids that are gone are left out."""
        found: dict[int, StoredSegment] = {}
        for start in range(0, len(ids), 500):  # SQLite takes a limited number of parameters
            part = [int(i) for i in ids[start : start + 500]]
            marks = ",".join("?" * len(part))
            for row in self._db.execute(f"SELECT {SEGMENT_COLUMNS} FROM segment WHERE id IN ({marks})", part):
                found[row[0]] = to_segment(row)
        return [found[int(i)] for i in ids if int(i) in found]

    def segments_of(self, media_id: int, modality: Modality) -> list[StoredSegment]:
        """Return a media's segments of a modality in order of time."""
        query = f"SELECT {SEGMENT_COLUMNS} FROM segment WHERE media_id = ? AND modality = ? ORDER BY start, id"
        return [to_segment(row) for row in self._db.execute(query, (media_id, modality))]

    def segment_ids(self, modality: Modality) -> NDArray[np.uint64]:
        """Return the ids of all segments of a modality that have a vector, (n,), ascending."""
        query = "SELECT id FROM segment WHERE modality = ? AND vector IS NOT NULL ORDER BY id"
        return np.fromiter((row[0] for row in self._db.execute(query, (modality,))), dtype=np.uint64)

    def vectors(
        self,
        modality: Modality,
        *,
        media: Sequence[int] | None = None,
        ids: Sequence[int] | None = None,
        batch: int = 8192,
    ) -> Iterator[tuple[NDArray[np.uint64], Vectors]]:
        """Yield (ids (n,), unit vectors (n, dim)) of a modality in batches, ascending; of some `media` or `ids`
        only."""
        where, parameters = "modality = ? AND vector IS NOT NULL", [modality]
        if media is not None:
            where += f" AND media_id IN ({','.join(str(int(i)) for i in media)})"
        if ids is not None:
            where += f" AND id IN ({','.join(str(int(i)) for i in ids)})"
        cursor = self._db.execute(f"SELECT id, vector FROM segment WHERE {where} ORDER BY id", parameters)
        while rows := cursor.fetchmany(batch):
            matrix = np.frombuffer(b"".join(row[1] for row in rows), dtype=np.float16).reshape(len(rows), -1)
            yield np.array([row[0] for row in rows], dtype=np.uint64), matrix.astype(np.float32)

    def match_words(
        self, expression: str, modality: Modality, *, media: Sequence[int] | None = None, limit: int = 100
    ) -> list[tuple[StoredSegment, float]]:
        """Return the segments that match an FTS5 expression with their BM25 score, larger is better, best first.

        Raises `LibraryError` for an expression that FTS5 does not understand; callers build it from quoted words.
        """
        # Ranked by the index alone, which knows the modality; rows, with their vectors, are read of the best only.
        joined = "CROSS JOIN segment INDEXED BY segment_modality" if media is None else "JOIN segment"
        where = "" if media is None else f" AND segment.media_id IN ({','.join(str(int(i)) for i in media)})"
        ranked = f"""SELECT words.rowid, -bm25(words) FROM words {joined}
            ON segment.id = words.rowid WHERE words MATCH ? AND segment.modality = ?{where}
            ORDER BY bm25(words), words.rowid LIMIT ?"""
        try:
            scores = self._db.execute(ranked, (expression, modality, limit)).fetchall()
        except sqlite3.OperationalError as error:
            raise LibraryError(f"the words cannot be searched: {error}") from error
        stored = {segment.id: segment for segment in self.segments([row[0] for row in scores])}
        return [(stored[row[0]], float(row[1])) for row in scores]

    def document_frequency(self, expression: str, modality: Modality = "speech") -> int:
        """Return in how many texts of a modality an FTS5 expression occurs."""
        # The index knows the modality; without it every row is read for that, with its vector.
        query = """SELECT count(*) FROM words CROSS JOIN segment INDEXED BY segment_modality
            ON segment.id = words.rowid WHERE words MATCH ? AND segment.modality = ?"""
        return int(self._db.execute(query, (expression, modality)).fetchone()[0])

    def text_count(self, modality: Modality = "speech") -> int:
        """Return how many segments of a modality have text."""
        query = "SELECT count(*) FROM segment WHERE modality = ? AND text IS NOT NULL"
        return int(self._db.execute(query, (modality,)).fetchone()[0])

    def vocabulary(self, modality: Modality) -> Iterator[str]:
        """Yield the words of the library as the word index has them, those of other modalities among them: 100,000
        passages need not be read for it."""
        self._db.execute("CREATE VIRTUAL TABLE IF NOT EXISTS temp.terms USING fts5vocab (main, words, row)")
        yield from (row[0] for row in self._db.execute("SELECT term FROM temp.terms"))

    def texts(self, modality: Modality) -> Iterator[str]:
        """Yield the texts of all segments of a modality."""
        query = "SELECT text FROM segment WHERE modality = ? AND text IS NOT NULL ORDER BY id"
        yield from (row[0] for row in self._db.execute(query, (modality,)))

    # What a media holds besides

    def timeline(self, media_id: int) -> Timeline | None:
        """Return the frame vectors and cuts of a media, or None."""
        row = self._db.execute(
            """SELECT dim, times, rows, vectors, cuts, media.start, media.duration FROM timeline
            JOIN media ON media.id = media_id WHERE media_id = ?""",
            (media_id,),
        ).fetchone()
        return None if row is None else to_timeline(row)

    def transcript(self, media_id: int) -> Transcript | None:
        """Return what is said in a media, or None."""
        query = "SELECT language, source, utterances FROM transcript WHERE media_id = ?"
        row = self._db.execute(query, (media_id,)).fetchone()
        return None if row is None else to_transcript(row)

    def screen(self, media_id: int) -> tuple[ScreenText, ...]:
        """Return the text on screen of a media in order of time; none in a library older than that."""
        try:
            row = self._db.execute("SELECT texts FROM screen WHERE media_id = ?", (media_id,)).fetchone()
        except sqlite3.OperationalError:
            return ()
        return () if row is None else to_screen(row[0])

    def utterance_vectors(self, media_id: int) -> Vectors | None:
        """Return the vectors of the utterances of a media's transcript, (n, dim) in order, or None."""
        row = self._db.execute(
            "SELECT vectors, json_array_length(utterances) FROM transcript WHERE media_id = ?", (media_id,)
        ).fetchone()
        if row is None or row[0] is None:
            return None
        return np.frombuffer(row[0], dtype=np.float16).reshape(row[1], -1).astype(np.float32)


def _sync_folder(folder: Path) -> None:
    """Let the name of a new file survive a power cut; where folders cannot be opened (Windows) it does anyway."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _insert(db: sqlite3.Connection, table: str, media_id: int, values: Sequence[object]) -> None:
    db.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * (1 + len(values)))})", (media_id, *values))


def _set(db: sqlite3.Connection, key: str, value: str) -> None:
    db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))


def _advance(db: sqlite3.Connection, modality: str) -> None:
    db.execute(
        "INSERT INTO meta VALUES (?, '1') ON CONFLICT (key) DO UPDATE SET value = CAST(value AS INTEGER) + 1",
        (f"generation:{modality}",),
    )


def _remove(db: sqlite3.Connection, where: str, value: object) -> None:
    row = db.execute(f"SELECT id FROM media WHERE {where}", (value,)).fetchone()
    if row is None:
        return
    for (modality,) in db.execute("SELECT DISTINCT modality FROM segment WHERE media_id = ?", row).fetchall():
        _advance(db, modality)
    db.execute("DELETE FROM media WHERE id = ?", row)


def _pack(vectors: Vectors, dtype: type) -> list[bytes]:
    return [row.tobytes() for row in np.asarray(vectors).astype(dtype)]
