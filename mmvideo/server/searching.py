"""The routes that search: by words, by a moment of the library, by an upload; the curve; and the hits as files.

Searching waits for the library's one snapshot, so few searches at a time are given a thread. An answer is written as
JSON once, by hand; `Found` is its schema, and a test holds the two together.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, File, Form, Query, UploadFile
from fastapi import Path as InPath
from fastapi.responses import Response

from ..datatypes import Hit
from ..editlist import FORMATS
from ..export import hit_to_dict
from ..library import Library
from . import asked
from .few import Few
from .naming import attachment, shown
from .recording import stored_media
from .shapes import CurveOut, Found

MediaId = Annotated[int, InPath(ge=0, le=2**53)]
Text = Annotated[str, Query(max_length=1000, description='words, and "phrases in quotes"', examples=["a red boat"])]
Where = Annotated[
    str, Query(alias="in", max_length=100, description="modalities with commas; empty: all", examples=["visual,speech"])
]
Limit = Annotated[int, Query(ge=1, le=200)]
Glob = Annotated[str, Query(max_length=500, description="only media whose name or path fits", examples=["*.mp4"])]
Least = Annotated[float, Query(ge=0, le=1)]
Like = Annotated[str, Query(max_length=60, description="ID@SECONDS: moments that look like this one")]

AT_ONCE = 2
"""Searches that have a thread: one that searches, one that reads its upload or picture."""
TEXTS = {
    "csv": "text/csv",
    "json": "application/json",
    "srt": "application/x-subrip",
    "edl": "text/plain",
    "otio": "application/json",
}


FILES: dict[int | str, dict[str, Any]] = {
    200: {"content": {kind: {} for kind in sorted(set(TEXTS.values()))}}  # what is in them, their formats say
}


def hit_out(hit: Hit) -> dict[str, Any]:
    """Return a hit as `HitOut` describes it: `hit_to_dict`, with what the page needs beside it."""
    beside = {
        "media_id": hit.media_id,
        "name": shown(hit.path.name),
        "time": round(hit.time, 3),
        "text": hit.text,
        "sure": hit.sure,
    }
    return {**hit_to_dict(hit), **beside}


def add_search(routes: APIRouter, library: Library) -> None:
    """Add the routes."""
    few = Few(AT_ONCE)

    @routes.get("/search", response_model=Found)
    async def search(
        q: Text = "", where: Where = "", limit: Limit = 20, media: Glob = "", min_score: Least = 0.0, like: Like = ""
    ) -> Response:
        """Find moments by words, by the look of a moment of the library, or both."""
        find = partial(_hits, library, q, where, limit, media, min_score, like)
        return await few.run(partial(_found, find))

    @routes.post("/search", response_model=Found)
    async def search_with(
        file: Annotated[
            UploadFile, File(description="a picture, a sound, or a short clip (its middle frame is taken)")
        ],
        q: Annotated[str, Form(max_length=1000)] = "",
        where: Annotated[
            str, Form(alias="in", max_length=100, description="as in GET; `sound` takes a clip's sound")
        ] = "",
        limit: Annotated[int, Form(ge=1, le=200)] = 20,
        media: Annotated[str, Form(max_length=500)] = "",
        min_score: Annotated[float, Form(ge=0, le=1)] = 0.0,
    ) -> Response:
        """Find moments that look or sound like an upload, with words or without."""
        options = _options(where, limit, media, min_score)
        kind = asked.kind_of(file.content_type or "", file.filename or "")
        return await few.run(partial(_found, partial(asked.with_upload, library, file.file, kind, q or None, options)))

    @routes.get("/media/{media_id}/curve", response_model=CurveOut)
    async def curve(media_id: MediaId, q: Text = "", where: Where = "", like: Like = "") -> Response:
        """Return how well each moment of a recording answers a query."""
        return await few.run(partial(_curve, library, media_id, q, where, like))

    @routes.get("/export", response_class=Response, responses=FILES)
    async def export(
        format: Annotated[str, Query(pattern="^(csv|json|srt|edl|otio)$")],  # noqa: A002 - the name that is asked for
        q: Text = "",
        where: Where = "",
        limit: Limit = 20,
        media: Glob = "",
        min_score: Least = 0.0,
        like: Like = "",
    ) -> Response:
        """Return the hits as a file for a spreadsheet or an editor."""

        def write() -> str:
            hits = _hits(library, q, where, limit, media, min_score, like)
            return FORMATS[format](hits, {one.path: one for one in library.media()})

        text = (await few.run(write)).encode("utf-8", "replace")
        return Response(text, media_type=TEXTS[format], headers=attachment(f"hits.{format}"))


def _options(where: str, limit: int, media: str, min_score: float) -> dict[str, Any]:
    chosen = asked.modalities(where)
    return {"modalities": chosen, "limit": limit, "media": media or None, "min_score": min_score}


def _hits(library: Library, q: str, where: str, limit: int, media: str, min_score: float, like: str) -> list[Hit]:
    options = _options(where, limit, media, min_score)
    image = asked.moment(library, like) if like else None
    return library.search(q or None, image=image, **options)


def _found(find: Callable[[], list[Hit]]) -> Response:
    started = time.perf_counter()
    hits = find()
    found = {"hits": [hit_out(hit) for hit in hits], "seconds": round(time.perf_counter() - started, 4)}
    return _json(found)


def _curve(library: Library, media_id: int, q: str, where: str, like: str) -> Response:
    stored = stored_media(library, media_id)
    image = asked.moment(library, like) if like else None
    found = library.curve(stored.media.path, q or None, image=image, modalities=asked.modalities(where))
    said = hit_to_dict(Hit(stored.media.path, 0.0, 0.0, 0.0, found.said))["matches"]
    seen = [] if found.seen is None else np.round(found.seen, 4).tolist()
    return _json({"times": np.round(found.times, 3).tolist(), "seen": seen, "said": said})


def _json(value: dict[str, Any]) -> Response:
    return Response(json.dumps(value, separators=(",", ":"), allow_nan=False), media_type="application/json")
