"""PostgreSQL with pgvector as the truth of a library that many programs share.

The rows are those of the folder's database, float16 vectors bit by bit the same. Any number of programs read and write
at once: a media appears whole or not at all, readers see the state in which they began and wait for nobody. What all
writers change (the counts of changes and of words) is changed last in each transaction and always in the same order, so
that they wait for one another only while one commits, and never in a circle.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...datatypes import Media, Modality, ModelId, Recipe, Timeline, Transcript, Vectors
from ...errors import LibraryError
from ...written import ScreenText
from ..rows import (
    MEDIA_COLUMNS,
    SEGMENT_COLUMNS,
    Content,
    StoredMedia,
    StoredSegment,
    media_values,
    screen_value,
    timeline_values,
    to_media,
    to_screen,
    to_segment,
    to_timeline,
    to_transcript,
    transcript_values,
)
from . import nearest, ranked, whole
from .address import Address, is_address
from .changes import advance, clean, copy_segments, count_texts, insert, remove, set_value
from .connections import Connections, Locks
from .halves import unpacked
from .schema import MIGRATIONS, prepare

__all__ = ["Address", "Locks", "PostgresStore", "is_address"]

MOST_COUNTED = 10_000
"""Phrases whose counts are kept."""

NEEDED = "a library in PostgreSQL needs psycopg: pip install 'mmvideo[postgres]'"


class PostgresStore:
    """An open library in PostgreSQL. Use `open`; close it, or use it in a `with`. Threads may share it."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._counted: dict[tuple[int, int, tuple[str, ...]], dict[str, int]] = {}

    @classmethod
    def open(
        cls, url: str, recipe: Recipe | None = None, *, create: bool = False, steps: Sequence[str] = MIGRATIONS
    ) -> PostgresStore:
        """Open the library at an address, brought forward if it is of an older program; made when absent if `create`
        says so, for new media made by `recipe`. Raises `LibraryError` if it cannot be had."""
        try:
            import psycopg_pool  # noqa: F401
        except ImportError as error:
            raise LibraryError(NEEDED) from error
        address = Address.parse(url)
        path = prepare(address, recipe or Recipe(), create=create, steps=steps)
        return cls(Connections(address, path))

    @property
    def place(self) -> str:
        """The library's address without a password."""
        return self._connections.address.place

    def close(self) -> None:
        """Close all connections; a second call does nothing."""
        self._connections.close()

    def __enter__(self) -> PostgresStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def snapshot(self) -> AbstractContextManager[None]:
        """Let what this thread reads inside see one state of the library, whatever writers commit meanwhile."""
        return self._connections.snapshot()

    def locks(self) -> AbstractContextManager[Locks]:
        """Lend locks that all programs on this library share."""
        return self._connections.locks()

    def _rows(self, query: str, values: Sequence[object] = ()) -> list[Any]:
        with self._connections.reading() as db:
            return list(db.execute(query, values, binary=True).fetchall())

    def _row(self, query: str, values: Sequence[object] = ()) -> Any:
        return next(iter(self._rows(query, values)), None)

    # The library as a whole

    def get(self, key: str) -> str | None:
        """Return a setting of the library, or None."""
        known = self._connections.seen()  # in a snapshot a setting stays what it is, and a search asks 600 times
        if key not in known:
            row = self._row("SELECT value FROM meta WHERE key = %s", (key,))
            known[key] = None if row is None else str(row[0])
        return known[key]

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
        """The models that made what is stored, by their part in the recipe."""
        return {part: ModelId(**model) for part, model in json.loads(self.get("models") or "{}").items()}

    def set_recipe(self, recipe: Recipe) -> None:
        """Keep another recipe for the media to come."""
        with self._connections.transaction() as db:
            set_value(db, "recipe", json.dumps(asdict(recipe)))

    def set_model(self, part: str, model: ModelId) -> None:
        """Remember which model makes a part of the recipe, unless another writer was first."""
        with self._connections.transaction() as db:
            db.execute("INSERT INTO meta VALUES ('models', '{}') ON CONFLICT (key) DO NOTHING")
            known = json.loads(db.execute("SELECT value FROM meta WHERE key = 'models' FOR UPDATE").fetchone()[0])
            set_value(db, "models", json.dumps({part: asdict(model), **known}))

    def forget(self, modalities: Iterable[Modality], parts: Iterable[str], recipe: Recipe) -> None:
        """Remove what `modalities` have stored and the models of `parts`, and take `recipe`, in one transaction.

        Every media counts as changed afterwards, so the next `add` makes it again.
        """
        gone, wanted = set(parts), sorted(set(modalities))
        models = {name: asdict(model) for name, model in self.models.items() if name not in gone}
        tables = [("visual", "timeline"), ("screen", "screen")] + [("speech", "transcript")] * ("speech" in gone)
        with self._connections.transaction() as db:
            db.execute("DELETE FROM segment WHERE modality = ANY(%s)", (wanted,))
            db.execute("DELETE FROM tally WHERE modality = ANY(%s)", (wanted,))
            for modality, table in tables:
                if modality in wanted:
                    db.execute(f"DELETE FROM {table}")
            db.execute("UPDATE media SET inputs = ''")
            set_value(db, "models", json.dumps(models))
            set_value(db, "recipe", json.dumps(asdict(recipe)))
            advance(db, wanted)

    def generation(self, modality: Modality) -> int:
        """Return how many changes to the segments of a modality have been committed."""
        return int(self.get(f"generation:{modality}") or 0)

    def keep_report(self, line: str) -> None:
        """Keep a line of the library's journal."""
        with self._connections.transaction() as db:
            db.execute("INSERT INTO report (line) VALUES (%s)", (clean(line),))

    def report_lines(self) -> list[str]:
        """Return the lines of the library's journal, oldest first."""
        return [row[0] for row in self._rows("SELECT line FROM report ORDER BY id")]

    # Is it whole

    def integrity(self) -> list[str]:
        """Return what is wrong between the tables; pages are the server's own affair (`pg_amcheck`)."""
        with self._connections.reading() as db:
            return whole.integrity(db)

    def words_fit(self) -> bool:
        """Tell whether the words of every text are those that the index holds."""
        with self._connections.reading() as db:
            return whole.words_fit(db)

    def rebuild_words(self) -> None:
        """Make the words of every text again."""
        with self._connections.transaction() as db:
            whole.rebuild_words(db)

    def damaged_media(self) -> list[tuple[int, str]]:
        """Return (id, what is wrong) of each media with rows that a search could not use."""
        models = self.models
        with self._connections.reading() as db:
            return list(whole.damaged_media(db, models))

    # Media

    def media(self) -> list[StoredMedia]:
        """Return all media, by path."""
        rows = self._rows(f"SELECT {MEDIA_COLUMNS} FROM media")
        return sorted((to_media(row) for row in rows), key=lambda stored: str(stored.media.path))

    def media_ids(self) -> list[int]:
        """Return the row ids of all media, ascending."""
        return [int(row[0]) for row in self._rows("SELECT id FROM media ORDER BY id")]

    def find_media(self, path: Path) -> StoredMedia | None:
        """Return the media at this absolute path, or None."""
        row = self._row(f"SELECT {MEDIA_COLUMNS} FROM media WHERE path = %s", (os.fsencode(path),))
        return None if row is None else to_media(row)

    def media_by_id(self, media_id: int) -> StoredMedia | None:
        """Return a media by its row id, or None."""
        row = self._row(f"SELECT {MEDIA_COLUMNS} FROM media WHERE id = %s", (media_id,))
        return None if row is None else to_media(row)

    def media_by_fingerprint(self, fingerprint: str) -> list[StoredMedia]:
        """Return the media with this content, in the order in which they were added."""
        query = f"SELECT {MEDIA_COLUMNS} FROM media WHERE fingerprint = %s ORDER BY id"
        return [to_media(row) for row in self._rows(query, (fingerprint,))]

    def put(self, content: Content) -> int:
        """Store a media with all that belongs to it, in place of what its path had before; return its row id."""
        path = os.fsencode(content.media.path)
        with self._connections.transaction() as db:
            # Of two that put the same path at once the second waits here, and then replaces it.
            db.execute("SELECT pg_advisory_xact_lock(hashtextextended(encode(%s, 'hex'), 1))", (path,))
            changed, texts = remove(db, "path = %s", path)
            values = [path, *(clean(v) if isinstance(v, str) else v for v in media_values(content)[1:])]
            media_id = insert(db, f"media ({MEDIA_COLUMNS.removeprefix('id, ')})", values, "id")
            for modality, segments in content.segments.items():
                counted = copy_segments(db, media_id, modality, content)
                texts[modality] = tuple(a + b for a, b in zip(texts.get(modality, (0, 0)), counted, strict=True))
                if segments:
                    changed.add(modality)
            if content.timeline is not None:
                columns = "timeline (media_id, dim, times, rows, vectors, cuts)"
                insert(db, columns, [media_id, *timeline_values(content.timeline)])
            if content.transcript is not None:
                columns = "transcript (media_id, language, source, utterances, vectors)"
                held = transcript_values(content.transcript, content.utterance_vectors)
                insert(db, columns, [media_id, *(clean(v) if isinstance(v, str) else v for v in held)])
            if content.screen:
                insert(db, "screen (media_id, texts)", [media_id, clean(screen_value(content.screen))])
            count_texts(db, texts)
            advance(db, changed)
        return media_id

    def update_file(self, media_id: int, media: Media) -> None:
        """Note that the same content now has another path, size or time of change."""
        with self._connections.transaction() as db:
            db.execute(
                "UPDATE media SET path = %s, size = %s, mtime_ns = %s WHERE id = %s",
                (os.fsencode(media.path), media.size, media.mtime_ns, media_id),
            )

    def remove(self, media_id: int) -> None:
        """Remove a media and everything that belongs to it; an unknown id is no error."""
        with self._connections.transaction() as db:
            changed, texts = remove(db, "id = %s", media_id)
            count_texts(db, texts)
            advance(db, changed)

    # Segments

    def count(self, modality: Modality) -> int:
        """Return the number of segments of a modality."""
        return int(self._row("SELECT count(*) FROM segment WHERE modality = %s", (modality,))[0])

    def counts(self, media_id: int) -> dict[str, int]:
        """Return the number of segments of a media by modality."""
        query = "SELECT modality, count(*) FROM segment WHERE media_id = %s GROUP BY modality ORDER BY modality"
        return dict(self._rows(query, (media_id,)))

    def segments(self, ids: Sequence[int]) -> list[StoredSegment]:
        """Return the segments with these ids in the order of `ids`; ids that are gone are left out."""
        query = f"SELECT {SEGMENT_COLUMNS} FROM segment WHERE id = ANY(%s::bigint[])"
        found = {row[0]: to_segment(row) for row in self._rows(query, ([int(i) for i in ids],))}
        return [found[int(i)] for i in ids if int(i) in found]

    def segments_of(self, media_id: int, modality: Modality) -> list[StoredSegment]:
        """Return a media's segments of a modality in order of time."""
        query = f"SELECT {SEGMENT_COLUMNS} FROM segment WHERE media_id = %s AND modality = %s ORDER BY start, id"
        return [to_segment(row) for row in self._rows(query, (media_id, modality))]

    def segment_ids(self, modality: Modality) -> NDArray[np.uint64]:
        """Return the ids of all segments of a modality that have a vector, (n,), ascending."""
        query = "SELECT id FROM segment WHERE modality = %s AND vector IS NOT NULL ORDER BY id"
        return np.array([row[0] for row in self._rows(query, (modality,))], dtype=np.uint64)

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
        where, values = "modality = %s AND vector IS NOT NULL AND id > %s", []
        for column, wanted in (("media_id", media), ("id", ids)):
            if wanted is not None:
                where += f" AND {column} = ANY(%s::bigint[])"
                values.append([int(i) for i in wanted])
        last = -1
        query = f"SELECT id, vector FROM segment WHERE {where} ORDER BY id LIMIT %s"
        while rows := self._rows(query, (modality, last, *values, batch)):
            last = rows[-1][0]
            yield np.array([row[0] for row in rows], np.uint64), unpacked([row[1] for row in rows])

    def index(self, modality: Modality) -> nearest.PostgresIndex | None:
        """Return the vectors of a modality to search, as they are now; None where it has none."""
        where = nearest.partial_index(modality)
        row = self._row(f"SELECT vector_dims(vector::halfvec) FROM segment WHERE {where} LIMIT 1")
        if row is None:
            return None
        count = self._row(f"SELECT count(*) FROM segment WHERE {where}")[0]
        return nearest.PostgresIndex(self._connections, modality, count, row[0])

    def refresh(self) -> None:
        """Make the graphs that grown modalities need; of several programs one does it, the others go on."""
        with self._connections.locks() as locks:
            if not locks.take("graphs"):
                return
            for (modality,) in self._rows("SELECT DISTINCT modality FROM tally"):
                index = self.index(modality)
                if index is not None:
                    with self._connections.reading() as db:
                        nearest.build(db, modality, len(index), index.dim)

    def match_words(
        self, expression: str, modality: Modality, *, media: Sequence[int] | None = None, limit: int = 100
    ) -> list[tuple[StoredSegment, float]]:
        """Return the segments that match an expression of words with their BM25 score, larger is better, best first.

        Raises `LibraryError` for an expression that cannot be read.
        """
        asked = ranked.read(expression)
        texts, total = self._tally()
        if not asked.phrases or not total:
            return []
        usual = total / texts
        queries = [ranked.as_tsquery(phrase) for phrase in asked.phrases]
        rare = [ranked.rarity(texts, sum(held.values())) for held in self._holding(asked.phrases)]
        present = " + ".join("(words @@ %s::tsquery)::int * %s::float8" for _ in queries)
        where = "" if media is None else " AND media_id = ANY(%s::bigint[])"
        rows = self._rows(
            f"""SELECT {SEGMENT_COLUMNS}, tokens, words FROM segment WHERE words @@ %s::tsquery AND modality = %s{where}
            ORDER BY ({present}) / (1 + {ranked.K1} * ({1 - ranked.B} + {ranked.B} * tokens / %s::float8)) DESC, id
            LIMIT {max(ranked.SCORED, limit)}""",
            (
                asked.tsquery,
                modality,
                *([] if media is None else [[int(i) for i in media]]),
                *(value for pair in zip(queries, rare, strict=True) for value in pair),
                usual,
            ),
        )
        scored = [(row, ranked.bm25(asked, rare, ranked.places_of(row[-1]), row[-2], usual)) for row in rows]
        scored.sort(key=lambda pair: (-pair[1], pair[0][0]))
        return [(to_segment(row[:-2]), score) for row, score in scored[:limit]]

    def document_frequency(self, expression: str, modality: Modality = "speech") -> int:
        """Return in how many texts of a modality an expression occurs."""
        asked = ranked.read(expression)
        if len(asked.phrases) == 1:
            return self._holding(asked.phrases)[0].get(modality, 0)
        query = "SELECT count(*) FROM segment WHERE words @@ %s::tsquery AND modality = %s"
        return int(self._row(query, (asked.tsquery, modality))[0]) if asked.phrases else 0

    def _tally(self) -> tuple[int, int]:
        row = self._row("SELECT coalesce(sum(texts), 0)::bigint, coalesce(sum(tokens), 0)::bigint FROM tally")
        return int(row[0]), int(row[1])

    def _holding(self, phrases: Sequence[tuple[str, ...]]) -> list[dict[str, int]]:
        """Return in how many texts of each modality each phrase occurs; counted in one pass, and once while the texts
        stay as they are, for the same is asked again for every word."""
        if len(self._counted) > MOST_COUNTED:
            self._counted = {}
        state, counted = self._tally(), self._counted
        keys = {phrase: (*state, phrase) for phrase in phrases}
        new = [phrase for phrase, key in keys.items() if key not in counted]
        if new:
            queries = [ranked.as_tsquery(phrase) for phrase in new]
            counts = ", ".join("count(*) FILTER (WHERE words @@ %s::tsquery)" for _ in new)
            rows = self._rows(
                f"SELECT modality, {counts} FROM segment WHERE words @@ %s::tsquery GROUP BY modality",
                (*queries, " | ".join(queries)),
            )
            for position, phrase in enumerate(new, start=1):
                counted[keys[phrase]] = {row[0]: row[position] for row in rows}
        return [counted[keys[phrase]] for phrase in phrases]

    def text_count(self, modality: Modality = "speech") -> int:
        """Return how many segments of a modality have text."""
        row = self._row("SELECT texts FROM tally WHERE modality = %s", (modality,))
        return 0 if row is None else int(row[0])

    def vocabulary(self, modality: Modality) -> Iterator[str]:
        """Yield the words of all texts of a modality."""
        asked = "SELECT word FROM ts_stat(format('SELECT words FROM segment WHERE modality = %%L', %s::text))"
        yield from (row[0] for row in self._rows(asked, (modality,)))

    def texts(self, modality: Modality) -> Iterator[str]:
        """Yield the texts of all segments of a modality."""
        query = "SELECT text FROM segment WHERE modality = %s AND text IS NOT NULL ORDER BY id"
        yield from (row[0] for row in self._rows(query, (modality,)))

    # What a media holds besides

    def timeline(self, media_id: int) -> Timeline | None:
        """Return the frame vectors and cuts of a media, or None."""
        row = self._row(
            """SELECT dim, times, rows, vectors, cuts, media.start, media.duration FROM timeline
            JOIN media ON media.id = media_id WHERE media_id = %s""",
            (media_id,),
        )
        return None if row is None else to_timeline(row)

    def transcript(self, media_id: int) -> Transcript | None:
        """Return what is said in a media, or None."""
        row = self._row("SELECT language, source, utterances FROM transcript WHERE media_id = %s", (media_id,))
        return None if row is None else to_transcript(row)

    def screen(self, media_id: int) -> tuple[ScreenText, ...]:
        """Return the text on screen of a media in order of time."""
        row = self._row("SELECT texts FROM screen WHERE media_id = %s", (media_id,))
        return () if row is None else to_screen(row[0])

    def utterance_vectors(self, media_id: int) -> Vectors | None:
        """Return the vectors of the utterances of a media's transcript, (n, dim) in order, or None."""
        query = "SELECT vectors, json_array_length(utterances::json) FROM transcript WHERE media_id = %s"
        row = self._row(query, (media_id,))
        if row is None or row[0] is None:
            return None
        return np.frombuffer(row[0], dtype=np.float16).reshape(row[1], -1).astype(np.float32)
