"""What one transaction writes: rows of a media, and last of all the counts that every writer changes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ...datatypes import Modality
from ..rows import Content
from . import ranked
from .halves import packed


def clean(text: str) -> str:
    """Return a text without the one character that PostgreSQL cannot hold."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def set_value(db: Any, key: str, value: str) -> None:
    """Write a setting of the library."""
    db.execute("INSERT INTO meta VALUES (%s, %s) ON CONFLICT (key) DO UPDATE SET value = excluded.value", (key, value))


def insert(db: Any, table: str, values: Sequence[object], back: str = "1") -> int:
    """Insert a row into `table (columns)` and return its column `back`."""
    marks = ", ".join(["%s"] * len(values))
    return int(db.execute(f"INSERT INTO {table} VALUES ({marks}) RETURNING {back}", values).fetchone()[0])


def copy_segments(db: Any, media_id: int, modality: Modality, content: Content) -> tuple[int, int]:
    """Store the segments of a modality and return how many texts and words they have."""
    from psycopg.types.numeric import Int4, Int8

    segments, matrix = content.segments[modality], content.vectors.get(modality)
    vectors = [None] * len(segments) if matrix is None else packed(matrix)
    texts = words = 0
    with db.cursor().copy(
        """COPY segment (media_id, modality, start, "end", text, tokens, words, vector)
        FROM STDIN (FORMAT BINARY)"""
    ) as copy:
        for segment, vector in zip(segments, vectors, strict=True):
            text = None if segment.text is None else clean(segment.text)
            lexemes, length = (None, 0) if text is None else ranked.lexemes(text)
            start, end = float(segment.start), float(segment.end)
            copy.write_row((Int8(media_id), modality, start, end, text, Int4(length), lexemes, vector))
            texts, words = texts + (text is not None), words + length
    return texts, words


def remove(db: Any, where: str, value: object) -> tuple[set[str], dict[str, tuple[int, ...]]]:
    """Remove a media, and return the modalities that it had, and what they lose in texts and words."""
    row = db.execute(f"SELECT id FROM media WHERE {where} FOR UPDATE", (value,)).fetchone()
    if row is None:
        return set(), {}
    held = db.execute(
        "SELECT modality, -count(text), -sum(tokens) FROM segment WHERE media_id = %s GROUP BY modality", row
    ).fetchall()
    db.execute("DELETE FROM media WHERE id = %s", row)
    return {modality for modality, *_ in held}, {modality: (int(t), int(w)) for modality, t, w in held}


def count_texts(db: Any, texts: dict[str, tuple[int, ...]]) -> None:
    """Add to the counts of texts and words of modalities."""
    for modality, (more, words) in sorted(texts.items()):
        db.execute(
            """INSERT INTO tally VALUES (%s, %s, %s) ON CONFLICT (modality) DO UPDATE
            SET texts = tally.texts + excluded.texts, tokens = tally.tokens + excluded.tokens""",
            (modality, more, words),
        )


def advance(db: Any, modalities: Iterable[str]) -> None:
    """Note a change of modalities."""
    for modality in sorted(modalities):
        db.execute(
            """INSERT INTO meta VALUES (%s, '1') ON CONFLICT (key) DO UPDATE
            SET value = (meta.value::bigint + 1)::text""",
            (f"generation:{modality}",),
        )
