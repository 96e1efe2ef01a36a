"""The routes under `/api`. Work that blocks runs in the server's threads; decoding is bounded to a few at once."""

from __future__ import annotations

import shutil
import tempfile
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi import Path as InPath
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, Response, StreamingResponse
from starlette.background import BackgroundTask

from .. import subtitles
from ..address import Address, is_address
from ..cutting import clip, frame_jpeg, waveform
from ..errors import LibraryError, QueryError
from ..library import Library
from ..store import StoredMedia
from .few import Few, Kept
from .jobs import Jobs
from .naming import attachment, shown
from .ranges import passed_on
from .recording import Recording, kind_of, stored_media, there
from .searching import MediaId, add_search
from .shapes import AddIn, Failure, JobOut, LibraryOut, MediaDetail, MediaOut, Removed

Seconds = Annotated[float, Query(ge=-1e9, le=1e9, allow_inf_nan=False)]
JobId = Annotated[str, InPath(max_length=60)]

LONGEST_CLIP = 600.0
DECODINGS = 4
"""Pictures, waveforms and clips that are made at a time."""
FAILURES: dict[int | str, dict[str, Any]] = {
    code: {"model": Failure} for code in (400, 401, 403, 404, 409, 413, 422, 503)
}


_BYTES = {"schema": {"type": "string", "format": "binary"}}
_RECORDINGS = dict.fromkeys(("video/*", "audio/*", "application/octet-stream"), _BYTES)
RANGES: dict[int | str, dict[str, Any]] = {
    200: {"content": _RECORDINGS},
    206: {"description": "The ranges that were asked for", "content": {**_RECORDINGS, "multipart/byteranges": _BYTES}},
    416: {"model": Failure, "description": "No such bytes; Content-Range says how many there are"},
}
JPEG: dict[int | str, dict[str, Any]] = {200: {"content": {"image/jpeg": _BYTES}}}
CLIP: dict[int | str, dict[str, Any]] = {200: {"content": _RECORDINGS}}


def router(library: Library, *, writable: bool) -> APIRouter:
    """Return all routes of a library."""
    routes = APIRouter(prefix="/api", responses=FAILURES)
    add_search(routes, library)
    _add_media(routes, library, writable)
    _add_pieces(routes, library)
    _add_jobs(routes, library, writable)
    return routes


def _media_out(stored: StoredMedia) -> dict[str, Any]:
    media = stored.media
    size = (media.video.width, media.video.height) if media.video else (None, None)
    if media.video and media.video.rotation % 180:
        size = size[::-1]
    return {
        "id": stored.id,
        "name": shown(media.path.name),
        "path": shown(str(media.path)),
        "start": media.start,
        "duration": media.duration,
        "video": media.video is not None,
        "audio": bool(media.audio),
        "width": size[0],
        "height": size[1],
    }


def _add_media(routes: APIRouter, library: Library, writable: bool) -> None:
    @routes.get("/library")
    def about() -> LibraryOut:
        """Return what is served."""
        media = library.media()
        models = {part: model.name for part, model in library.models.items()}
        seconds = sum(one.duration for one in media)
        return LibraryOut(
            folder=shown(library.place),
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
        stored = stored_media(library, media_id)
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
        stored = stored_media(library, media_id)
        try:
            said = library.transcript(stored.media.path)
        except LibraryError as error:
            raise HTTPException(404, f"{stored.media.path.name}: has no transcript") from error
        write = {"txt": subtitles.to_text, "srt": subtitles.to_srt, "vtt": subtitles.to_vtt, "json": subtitles.to_json}
        kind = {"json": "application/json", "txt": "text/plain", "srt": "application/x-subrip", "vtt": "text/vtt"}
        return Response(write[format](said), media_type=kind[format])


def _add_pieces(routes: APIRouter, library: Library) -> None:
    frames: Kept[bytes] = Kept(2000)  # a thumbnail is about 10 kB
    waves: Kept[list[float]] = Kept(100)
    few = Few(DECODINGS)

    @routes.head("/media/{media_id}/file", include_in_schema=False)
    @routes.get("/media/{media_id}/file", response_class=FileResponse, responses=RANGES)
    def file(media_id: MediaId, request: Request) -> Response:
        """Return the recording itself, or ranges of it (206, 416, If-Range)."""
        media, stat = there(library, media_id)
        if isinstance(media.path, Address):
            wanted, if_range = request.headers.get("range"), request.headers.get("if-range")
            return passed_on(media.path, kind_of(media.path.suffix), wanted, if_range)
        return Recording(media.path, stat)

    @routes.get("/media/{media_id}/frame", response_class=Response, responses=JPEG)
    async def frame(
        media_id: MediaId,
        t: Seconds = 0.0,
        width: Annotated[int | None, Query(ge=16, le=4096)] = None,
        download: bool = False,
    ) -> Response:
        """Return the frame shown at `t` seconds as JPEG."""
        media, _ = await run_in_threadpool(there, library, media_id)
        key = (media.fingerprint, round(t, 2), width)
        content = frames.get(key)
        if content is None:
            content = await few.run(partial(frame_jpeg, media, t, width=width, decoding=library.decoding))
            if width is not None and width <= 480:
                frames.put(key, content)
        headers = {"cache-control": "private, max-age=3600"}
        if download:
            headers |= attachment(f"{media.path.stem}-{t:.1f}.jpg")
        return Response(content, media_type="image/jpeg", headers=headers)

    @routes.get("/media/{media_id}/waveform")
    async def wave(media_id: MediaId, points: Annotated[int, Query(ge=1, le=4000)] = 800) -> list[float]:
        """Return the loudest sample of each of `points` equal parts, in [0, 1]; empty without sound."""
        media, _ = await run_in_threadpool(there, library, media_id)
        key = (media.fingerprint, points)
        peaks = waves.get(key)
        if peaks is None:
            peaks = await few.run(partial(waveform, media, points, decoding=library.decoding))
            waves.put(key, peaks)
        return peaks

    @routes.get("/media/{media_id}/clip", response_class=FileResponse, responses=CLIP)
    async def cut(media_id: MediaId, start: Seconds, end: Seconds, exact: bool = False) -> FileResponse:
        """Cut [start, end): copied from the keyframe before, or encoded again with `exact` (H.264 in MP4)."""
        media, _ = await run_in_threadpool(there, library, media_id)
        if not 0 < end - start <= LONGEST_CLIP:
            raise QueryError(f"a clip lasts more than 0 and at most {LONGEST_CLIP:g} s")
        suffix = (".mp4" if media.video else ".m4a") if exact else media.path.suffix.lower()
        folder = Path(tempfile.mkdtemp(prefix="mmvideo-"))
        try:
            out = await few.run(partial(clip, media, start, end, folder / f"clip{suffix}", exact=exact))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        headers = attachment(f"{media.path.stem}-{start:.1f}-{end:.1f}{suffix}")
        done = BackgroundTask(shutil.rmtree, folder, ignore_errors=True)
        return FileResponse(out, media_type=kind_of(suffix), headers=headers, background=done)


def _add_jobs(routes: APIRouter, library: Library, writable: bool) -> None:
    jobs = Jobs(library)

    def allowed() -> None:
        if not writable:
            raise HTTPException(403, "this server only reads; start it with --writable to add and remove")

    def known(job_id: JobId) -> JobOut:
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
        return Removed(removed=shown(str(library.remove(stored_media(library, media_id).media.path))))

    @routes.get("/jobs/{job_id}")
    def job(job_id: JobId) -> JobOut:
        """Return how far an adding is."""
        return known(job_id)

    @routes.get("/jobs/{job_id}/events", response_class=StreamingResponse)
    async def events(job_id: JobId) -> StreamingResponse:
        """Stream the job as server-sent events (`running`, then `done` or `failed`)."""
        known(job_id)
        return StreamingResponse(jobs.events(job_id), media_type="text/event-stream")
