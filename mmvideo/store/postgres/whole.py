"""Is a library in PostgreSQL whole, and does each row hold what it must?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...datatypes import ModelId
from ..check import NORM, part_of, wrong_media, wrong_timeline, wrong_transcript
from .ranked import lexemes, places_of


def integrity(db: Any) -> list[str]:
    """Return what does not fit between the tables: counts of texts, and indexes left half made."""
    found = [
        f"the index {row[0]} was left half made; the next `add` makes it again"
        for row in db.execute(
            """SELECT indexrelid::regclass::text FROM pg_index
            WHERE NOT indisvalid AND indrelid = 'segment'::regclass"""
        )
    ]
    rows = db.execute(
        """SELECT coalesce(held.modality, counted.modality) FROM
        (SELECT modality, count(text) AS texts, sum(tokens) AS tokens FROM segment GROUP BY modality) AS held
        FULL JOIN tally AS counted ON counted.modality = held.modality
        WHERE coalesce(held.texts, 0) <> coalesce(counted.texts, 0)
        OR coalesce(held.tokens, 0) <> coalesce(counted.tokens, 0)"""
    )
    return found + [f"the count of texts of {row[0]} is not that of its segments" for row in rows]


def words_fit(db: Any) -> bool:
    """Tell whether the words of every text are those that the index holds."""
    return next(_unfit(db), None) is None


def rebuild_words(db: Any) -> None:
    """Make the words of every text again."""
    for segment_id, text in list(_unfit(db)):
        words, length = lexemes(text)
        db.execute("UPDATE segment SET words = %b::tsvector, tokens = %s WHERE id = %s", (words, length, segment_id))
    db.execute("DELETE FROM tally")
    db.execute("INSERT INTO tally SELECT modality, count(text), sum(tokens) FROM segment GROUP BY modality")


def _unfit(db: Any) -> Iterator[tuple[int, str]]:
    last = -1
    while rows := db.execute(
        "SELECT id, text, words, tokens FROM segment WHERE id > %s AND text IS NOT NULL ORDER BY id LIMIT 5000",
        (last,),
        binary=True,
    ).fetchall():
        last = rows[-1][0]
        for segment_id, text, words, length in rows:
            wanted = lexemes(text)
            if words is None or length != wanted[1] or places_of(words) != places_of(wanted[0]):
                yield segment_id, text


def damaged_media(db: Any, models: dict[str, ModelId]) -> Iterator[tuple[int, str]]:
    """Yield (media id, what is wrong) for each media with rows that a search could not use, once each."""
    for (media_id,) in db.execute("SELECT id FROM media ORDER BY id").fetchall():
        try:
            wrong = _wrong(db, media_id, models)
        except (ValueError, TypeError, AttributeError) as error:
            wrong = f"cannot be read back ({error})"
        if wrong:
            yield media_id, wrong


def _wrong(db: Any, media_id: int, models: dict[str, ModelId]) -> str:
    def row(query: str) -> Any:
        return db.execute(f"{query} = %s", (media_id,), binary=True).fetchone()

    return (
        wrong_media(row("SELECT duration, streams, notes FROM media WHERE id"))
        or _wrong_segments(db, media_id, models)
        or wrong_timeline(row("SELECT dim, times, rows, vectors FROM timeline WHERE media_id"), models)
        or wrong_transcript(row("SELECT utterances, vectors FROM transcript WHERE media_id"), models)
    )


def _wrong_segments(db: Any, media_id: int, models: dict[str, ModelId]) -> str:
    """The server looks at the vectors itself; of each modality the worst segment is told."""
    rows = db.execute(
        """SELECT modality, bool_and(start <= "end"), bool_or(vector IS NULL), min(vector_dims(vector)),
        max(vector_dims(vector)), max(abs(l2_norm(vector) - 1)) FROM segment WHERE media_id = %s GROUP BY modality""",
        (media_id,),
    )
    for modality, ordered, lacking, least, most, off in rows:
        model = models.get(part_of(modality))
        if not ordered:
            return f"a {modality} segment that ends before it starts"
        if lacking:
            return f"a {modality} segment without a vector"
        if least != most or (model is not None and model.dim and least != model.dim):
            return f"a {modality} segment: a vector of {least} numbers"
        if not off <= NORM:
            return f"a {modality} segment: a vector whose length is {off:.3g} off 1"
    return ""
