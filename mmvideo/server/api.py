"""The routes under `/api`. Work that blocks runs in the server's threads; decoding is bounded to a few at once."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from threading import BoundedSemaphore, Lock
from typing import Annotated, Any, TypeVar
from urllib.parse import quote

from fastapi import APIRouter, File, Form, HTTPException, Query, Request, UploadFile
from fastapi import Path as InPath
from fastapi.responses import FileResponse, Response, StreamingResponse
from starlette.background import BackgroundTask

from .. import subtitles
from ..address import Address, is_address
from ..cutting import clip, frame_jpeg, waveform
from ..datatypes import Curve, Hit
from ..editlist import FORMATS
from ..errors import LibraryError, MediaError, QueryError
from ..export import hit_to_dict
from ..library import Library
from ..media import file_state
from ..remote import NETWORK
from ..store import StoredMedia
from . import asked
from .jobs import Jobs
from .ranges import passed_on
from .shapes import (
    AddIn,
    CurveOut,
    Failure,
    Found,
    HitOut,
    JobOut,
    LibraryOut,
    MatchOut,
    MediaDetail,
    MediaOut,
    Removed,
)

T = TypeVar("T")

Text = Annotated[str, Query(max_length=1000, description='words, and "phrases in quotes"', examples=["a red boat"])]
Where = Annotated[str, Query(alias="in", max_length=100, description="modalities with commas; empty: all")]
Limit = Annotated[int, Query(ge=1, le=200)]
Glob = Annotated[str, Query(max_length=500, description="only media whose name or path fits")]
Least = Annotated[float, Query(ge=0, le=1)]
Like = Annotated[str, Query(max_length=60, description="ID@SECONDS: moments that look like this one")]
Seconds = Annotated[float, Query(ge=-1e9, le=1e9, allow_inf_nan=False)]
MediaId = Annotated[int, InPath(ge=0, le=2**53)]

LONGEST_CLIP = 600.0
TYPES = {
    ".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/mp4", ".webm": "video/webm", ".mkv": "video/x-matroska",
    ".ogv": "video/ogg", ".avi": "video/x-msvideo", ".ts": "video/mp2t", ".mpg": "video/mpeg", ".mp3": "audio/mpeg",
    ".m4a": "audio/mp4", ".ogg": "audio/ogg", ".opus": "audio/ogg", ".oga": "audio/ogg", ".wav": "audio/wav",
    ".flac": "audio/flac", ".aac": "audio/aac", ".weba": "audio/webm",
}  # fmt: skip
"""Only recordings are served, whatever a file is called: nothing that a browser would run."""
TEXTS = {
    "csv": "text/csv",
    "json": "application/json",
    "srt": "application/x-subrip",
    "edl": "text/plain",
    "otio": "application/json",
}
FAILURES: dict[int | str, dict[str, Any]] = {code: {"model": Failure} for code in (400, 401, 403, 404, 409, 413, 422)}


class Kept:
    """The newest answers of something costly, at most `count` of them."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._lock = Lock()
        self._values: OrderedDict[object, Any] = OrderedDict()

    def get(self, key: object, make: Callable[[], T]) -> T:
        """Return what is kept under a key, made now if nothing is."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                kept: T = self._values[key]
                return kept
        value = make()
        with self._lock:
            self._values[key] = value
            while len(self._values) > self._count:
                self._values.popitem(last=False)
        return value


def router(library: Library, *, writable: bool) -> APIRouter:
    """Return all routes of a library."""
    routes = APIRouter(prefix="/api", responses=FAILURES)
    _add_search(routes, library)
    _add_media(routes, library, writable)
    _add_pieces(routes, library)
    _add_jobs(routes, library, writable)
    return routes


def _stored(library: Library, media_id: int) -> StoredMedia:
    try:
        return library.by_id(media_id)
    except LibraryError as error:
        raise HTTPException(404, f"no media {media_id} in the library") from error


def _there(library: Library, media_id: int) -> StoredMedia:
    """Return a media whose file is still the one that was indexed: never serve what was put in its place."""
    stored = _stored(library, media_id)
    try:
        path = stored.media.path
        state = NETWORK.lately(path) if isinstance(path, Address) else file_state(path)
    except MediaError:
        raise HTTPException(404, f"{stored.media.path.name}: the file is gone") from None
    if state != (stored.media.size, stored.media.mtime_ns):
        raise HTTPException(409, f"{stored.media.path.name}: changed since it was added; add it again")
    return stored


def _attachment(name: str) -> dict[str, str]:
    return {"content-disposition": f"attachment; filename*=UTF-8''{quote(name.encode('utf-8', 'replace'), safe='')}"}


def hit_out(hit: Hit) -> HitOut:
    """Return a hit as it travels: `hit_to_dict`, with what the page needs beside it."""
    text = hit.text
    return HitOut(
        **hit_to_dict(hit), media_id=hit.media_id, name=_text(hit.path.name), time=round(hit.time, 3), text=text
    )


def _text(name: str) -> str:
    return name.encode("utf-8", "replace").decode()


def _media_out(stored: StoredMedia) -> dict[str, Any]:
    media = stored.media
    size = (media.video.width, media.video.height) if media.video else (None, None)
    if media.video and media.video.rotation % 180:
        size = size[::-1]
    return {
        "id": stored.id,
        "name": _text(media.path.name),
        "path": _text(str(media.path)),
        "start": media.start,
        "duration": media.duration,
        "video": media.video is not None,
        "audio": bool(media.audio),
        "width": size[0],
        "height": size[1],
    }


def _find(
    library: Library, q: str, where: str, limit: int, media: str, min_score: float, image: Any = None
) -> list[Hit]:
    return library.search(
        q or None,
        image=image,
        modalities=asked.modalities(where) if image is None else None,
        limit=limit,
        media=media or None,
        min_score=min_score,
    )


def _add_search(routes: APIRouter, library: Library) -> None:
    @routes.get("/search")
    def search(
        q: Text = "", where: Where = "", limit: Limit = 20, media: Glob = "", min_score: Least = 0.0, like: Like = ""
    ) -> Found:
        """Find moments by words, by the look of a moment of the library, or both."""
        started = time.perf_counter()
        image = asked.moment(library, like) if like else None
        hits = _find(library, q, where, limit, media, min_score, image)
        return Found(hits=[hit_out(hit) for hit in hits], seconds=round(time.perf_counter() - started, 4))

    @routes.post("/search")
    def search_with(
        file: Annotated[UploadFile, File(description="a picture, or a short clip (its middle frame is taken)")],
        q: Annotated[str, Form(max_length=1000)] = "",
        limit: Annotated[int, Form(ge=1, le=200)] = 20,
        media: Annotated[str, Form(max_length=500)] = "",
        min_score: Annotated[float, Form(ge=0, le=1)] = 0.0,
    ) -> Found:
        """Find moments that look like an uploaded picture, with words or without."""
        started = time.perf_counter()
        image = asked.picture(library, file.file.read(), file.content_type or "")
        hits = _find(library, q, "", limit, media, min_score, image)
        return Found(hits=[hit_out(hit) for hit in hits], seconds=round(time.perf_counter() - started, 4))

    @routes.get("/export", response_class=Response)
    def export(
        format: Annotated[str, Query(pattern="^(csv|json|srt|edl|otio)$")],  # noqa: A002 - the name that is asked for
        q: Text = "",
        where: Where = "",
        limit: Limit = 20,
        media: Glob = "",
        min_score: Least = 0.0,
        like: Like = "",
    ) -> Response:
        """Return the hits as a file for a spreadsheet or an editor."""
        image = asked.moment(library, like) if like else None
        hits = _find(library, q, where, limit, media, min_score, image)
        text = FORMATS[format](hits, {one.path: one for one in library.media()})
        return Response(text, media_type=TEXTS[format], headers=_attachment(f"hits.{format}"))


def _add_media(routes: APIRouter, library: Library, writable: bool) -> None:
    @routes.get("/library")
    def about() -> LibraryOut:
        """Return what is served."""
        media = library.media()
        models = {part: model.name for part, model in library.models.items()}
        seconds = sum(one.duration for one in media)
        return LibraryOut(
            folder=_text(library.place),
            media=len(media),
            seconds=seconds,
            models=models,
            modalities=[*library.modalities],
            writable=writable,
        )

    @routes.get("/media")
    def media() -> list[MediaOut]:
        """List the recordings of the library, by path."""
        return [MediaOut(**_media_out(stored)) for stored in library.stored()]

    @routes.get("/media/{media_id}")
    def detail(media_id: MediaId) -> MediaDetail:
        """Return what is known of a recording."""
        stored = _stored(library, media_id)
        timeline = library.timeline(stored.media.path)
        cuts = [] if timeline is None else [round(float(cut), 3) for cut in timeline.cuts]
        counts = library.counts(stored.media.path)
        return MediaDetail(**_media_out(stored), cuts=cuts, segments=counts, notes=list(stored.notes))

    @routes.get("/media/{media_id}/transcript", response_class=Response)
    def transcript(
        media_id: MediaId,
        format: Annotated[str, Query(pattern="^(json|txt|srt|vtt)$")] = "json",  # noqa: A002
    ) -> Response:
        """Return what is said: JSON with the times of words, text, or subtitles."""
        stored = _stored(library, media_id)
        try:
            said = library.transcript(stored.media.path)
        except LibraryError as error:
            raise HTTPException(404, f"{stored.media.path.name}: has no transcript") from error
        write = {"txt": subtitles.to_text, "srt": subtitles.to_srt, "vtt": subtitles.to_vtt, "json": subtitles.to_json}
        kind = {"json": "application/json", "txt": "text/plain", "srt": "application/x-subrip", "vtt": "text/vtt"}
        return Response(write[format](said), media_type=kind[format])

    @routes.get("/media/{media_id}/curve")
    def curve(media_id: MediaId, q: Text = "", where: Where = "", like: Like = "") -> CurveOut:
        """Return how well each moment of a recording answers a query."""
        stored = _stored(library, media_id)
        image = asked.moment(library, like) if like else None
        chosen = asked.modalities(where) if image is None else None
        found: Curve = library.curve(stored.media.path, q or None, image=image, modalities=chosen)
        seen = [] if found.seen is None else [round(float(value), 4) for value in found.seen]
        hit = hit_to_dict(Hit(stored.media.path, 0.0, 0.0, 0.0, found.said))
        return CurveOut(
            times=[round(float(t), 3) for t in found.times],
            seen=seen,
            said=[MatchOut(**match) for match in hit["matches"]],
        )


def _add_pieces(routes: APIRouter, library: Library) -> None:
    frames, waves = Kept(2000), Kept(100)  # a thumbnail is about 10 kB
    decoding = BoundedSemaphore(4)

    @routes.get("/media/{media_id}/file", response_class=FileResponse)
    def file(media_id: MediaId, request: Request) -> Response:
        """Return the recording itself, or ranges of it (206, 416, If-Range)."""
        media = _there(library, media_id).media
        kind = TYPES.get(media.path.suffix.lower(), "application/octet-stream")
        if isinstance(media.path, Address):
            return passed_on(media.path, kind, request.headers.get("range"), request.headers.get("if-range"))
        return FileResponse(media.path, media_type=kind, headers={"cache-control": "private, max-age=0"})

    @routes.get("/media/{media_id}/frame", response_class=Response)
    def frame(
        media_id: MediaId,
        t: Seconds = 0.0,
        width: Annotated[int | None, Query(ge=16, le=4096)] = None,
        download: bool = False,
    ) -> Response:
        """Return the frame shown at `t` seconds as JPEG."""
        media = _there(library, media_id).media

        def make() -> bytes:
            with decoding:
                return frame_jpeg(media, t, width=width, decoding=library.decoding)

        small = width is not None and width <= 480
        content = frames.get((media.fingerprint, round(t, 2), width), make) if small else make()
        headers = {"cache-control": "private, max-age=3600"}
        if download:
            headers |= _attachment(f"{media.path.stem}-{t:.1f}.jpg")
        return Response(content, media_type="image/jpeg", headers=headers)

    @routes.get("/media/{media_id}/waveform")
    def wave(media_id: MediaId, points: Annotated[int, Query(ge=1, le=4000)] = 800) -> list[float]:
        """Return the loudest sample of each of `points` equal parts, in [0, 1]; empty without sound."""
        media = _there(library, media_id).media

        def make() -> list[float]:
            with decoding:
                return waveform(media, points, decoding=library.decoding)

        return waves.get((media.fingerprint, points), make)

    @routes.get("/media/{media_id}/clip", response_class=FileResponse)
    def cut(media_id: MediaId, start: Seconds, end: Seconds, exact: bool = False) -> FileResponse:
        """Cut [start, end): copied from the keyframe before, or encoded again with `exact` (H.264 in MP4)."""
        media = _there(library, media_id).media
        if not 0 < end - start <= LONGEST_CLIP:
            raise QueryError(f"a clip lasts more than 0 and at most {LONGEST_CLIP:g} s")
        suffix = (".mp4" if media.video else ".m4a") if exact else media.path.suffix.lower()
        folder = Path(tempfile.mkdtemp(prefix="mmvideo-"))
        try:
            with decoding:
                out = clip(media, start, end, folder / f"clip{suffix}", exact=exact)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        headers = _attachment(f"{media.path.stem}-{start:.1f}-{end:.1f}{suffix}")
        kind = TYPES.get(suffix, "application/octet-stream")
        done = BackgroundTask(shutil.rmtree, folder, ignore_errors=True)
        return FileResponse(out, media_type=kind, headers=headers, background=done)


def _add_jobs(routes: APIRouter, library: Library, writable: bool) -> None:
    jobs = Jobs(library)

    def allowed() -> None:
        if not writable:
            raise HTTPException(403, "this server only reads; start it with --writable to add and remove")

    def known(job_id: str) -> JobOut:
        job = jobs.get(job_id)
        if job is None:
            raise HTTPException(404, "no such job")
        return job

    @routes.post("/media", status_code=202)
    def add(what: AddIn) -> JobOut:
        """Begin to add files and folders; the job tells how far it is."""
        allowed()
        for path in what.paths:
            if "\0" in path or not (is_address(path) or Path(path).expanduser().is_absolute()):
                raise QueryError(f"{path!r}: name the whole path, such as /home/ada/videos")
        return jobs.add([path if is_address(path) else str(Path(path).expanduser()) for path in what.paths])

    @routes.delete("/media/{media_id}")
    def remove(media_id: MediaId) -> Removed:
        """Remove a recording from the library; its file stays."""
        allowed()
        return Removed(removed=_text(str(library.remove(_stored(library, media_id).media.path))))

    @routes.get("/jobs/{job_id}")
    def job(job_id: str) -> JobOut:
        """Return how far an adding is."""
        return known(job_id)

    @routes.get("/jobs/{job_id}/events", response_class=StreamingResponse)
    async def events(job_id: str) -> StreamingResponse:
        """Stream the job as server-sent events (`running`, then `done` or `failed`)."""
        known(job_id)
        return StreamingResponse(jobs.events(job_id), media_type="text/event-stream")
