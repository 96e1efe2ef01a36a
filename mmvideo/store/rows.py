"""Rows to values and back."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..address import stored as stored_path
from ..datatypes import (
    AudioStream,
    Media,
    Modality,
    Segment,
    Timeline,
    Transcript,
    Utterance,
    Vectors,
    VideoStream,
    Word,
)
from ..written import ScreenLine, ScreenText, ShownWord

MEDIA_COLUMNS = "id, path, size, mtime_ns, fingerprint, container, start, duration, streams, inputs, notes, added"
SEGMENT_COLUMNS = 'id, media_id, modality, start, "end", text'


@dataclass(frozen=True, slots=True)
class StoredMedia:
    """A media row. `inputs` is what it was made from (settings, sidecar); when it differs now, the media is done
    again."""

    id: int
    media: Media
    inputs: str
    notes: tuple[str, ...] = ()
    added: float = 0.0


@dataclass(frozen=True, slots=True)
class StoredSegment:
    """A segment row with the media that it belongs to."""

    id: int
    media_id: int
    segment: Segment


@dataclass(frozen=True, slots=True)
class Content:
    """All that one media brings into the library. `vectors` has a matrix (n, dim) for the n segments of each
    modality (none where no encoder made them), `utterance_vectors` one row per utterance of the transcript, as
    `said.encoded` makes them. `added` is when it came (Unix seconds; None: now)."""

    media: Media
    inputs: str
    segments: dict[Modality, list[Segment]]
    vectors: dict[Modality, Vectors]
    timeline: Timeline | None = None
    transcript: Transcript | None = None
    utterance_vectors: Vectors | None = None
    notes: tuple[str, ...] = ()
    screen: tuple[ScreenText, ...] = ()
    added: float | None = None


# Writing


def media_values(content: Content) -> list[Any]:
    """Return the values of a media row, in the order of `MEDIA_COLUMNS` without the id."""
    media = content.media
    streams = {
        "video": asdict(media.video) if media.video else None,
        "audio": [asdict(stream) for stream in media.audio],
    }
    return [
        path_value(media.path),
        media.size,
        media.mtime_ns,
        media.fingerprint,
        media.container,
        media.start,
        media.duration,
        json.dumps(streams),
        content.inputs,
        json.dumps(content.notes),
        time.time() if content.added is None else content.added,
    ]


def timeline_values(timeline: Timeline) -> list[Any]:
    """Return (dim, times, rows, vectors, cuts) as they are stored."""
    return [
        timeline.vectors.shape[1],
        timeline.times.astype(np.float64).tobytes(),
        timeline.rows.astype(np.int32).tobytes(),
        timeline.vectors.astype(np.float16).tobytes(),
        timeline.cuts.astype(np.float64).tobytes(),
    ]


def transcript_values(transcript: Transcript, vectors: Vectors | None) -> list[Any]:
    """Return (language, source, utterances, vectors) as they are stored."""
    utterances = [
        [u.start, u.end, u.text, [[w.start, w.end, w.text, w.probability] for w in u.words]]
        for u in transcript.utterances
    ]
    return [
        transcript.language,
        transcript.source,
        json.dumps(utterances, ensure_ascii=False),
        None if vectors is None else vectors.astype(np.float16).tobytes(),
    ]


def screen_value(texts: Sequence[ScreenText]) -> str:
    """Return the text on screen of a media, with the places of its words, as it is stored."""
    values = [
        [t.start, t.end, [[x.text, x.box, x.confidence, [[w.text, w.box] for w in x.words]] for x in t.lines]]
        for t in texts
    ]
    return json.dumps(values, ensure_ascii=False)


# Reading


def path_value(path: Path) -> str | bytes:
    """Return a path as it is stored."""
    raw = os.fsencode(path)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw


def to_media(row: Sequence[Any]) -> StoredMedia:
    """Return the media of a row of `MEDIA_COLUMNS`."""
    media_id, path, size, mtime_ns, fingerprint, container, start, duration, streams, inputs, notes, added = row
    known = json.loads(streams)
    media = Media(
        path=stored_path(os.fsdecode(path)),
        size=size,
        mtime_ns=mtime_ns,
        fingerprint=fingerprint,
        container=container,
        start=start,
        duration=duration,
        video=VideoStream(**known["video"]) if known["video"] else None,
        audio=tuple(AudioStream(**stream) for stream in known["audio"]),
    )
    return StoredMedia(media_id, media, inputs, tuple(json.loads(notes)), added)


def to_segment(row: Sequence[Any]) -> StoredSegment:
    """Return the segment of a row of `SEGMENT_COLUMNS`."""
    segment_id, media_id, modality, start, end, text = row
    return StoredSegment(segment_id, media_id, Segment(modality, start, end, text))


def to_timeline(row: Sequence[Any]) -> Timeline:
    """Return the timeline of a row (dim, times, rows, vectors, cuts, start, duration)."""
    dim, times, rows, vectors, cuts, start, duration = row
    return Timeline(
        times=np.frombuffer(times, dtype=np.float64),
        rows=np.frombuffer(rows, dtype=np.int32),
        vectors=np.frombuffer(vectors, dtype=np.float16).reshape(-1, dim).astype(np.float32),
        cuts=np.frombuffer(cuts, dtype=np.float64),
        start=start,
        end=start + duration,
    )


def to_transcript(row: Sequence[Any]) -> Transcript:
    """Return the transcript of a row (language, source, utterances)."""
    language, source, known = row
    utterances = tuple(
        Utterance(start, end, text, tuple(Word(*word) for word in words))
        for start, end, text, words in json.loads(known)
    )
    return Transcript(utterances, language=language, source=source)


def to_screen(known: str) -> tuple[ScreenText, ...]:
    """Return the text on screen of a row (texts)."""
    return tuple(
        ScreenText(
            start,
            end,
            tuple(
                ScreenLine(text, tuple(box), confidence, tuple(ShownWord(word, tuple(place)) for word, place in words))
                for text, box, confidence, words in lines
            ),
        )
        for start, end, lines in json.loads(known)
    )
