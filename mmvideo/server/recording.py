"""The recording that a request names, and its bytes with ranges: what starlette's `FileResponse` answers, but failures
have the one shape."""

from __future__ import annotations

import json
import os
from pathlib import Path

from fastapi import HTTPException
from fastapi.responses import FileResponse
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

from ..address import Address
from ..datatypes import Media
from ..errors import LibraryError, MediaError
from ..library import Library
from ..remote import NETWORK
from ..store import StoredMedia

TYPES = {
    ".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/mp4", ".webm": "video/webm", ".mkv": "video/x-matroska",
    ".ogv": "video/ogg", ".avi": "video/x-msvideo", ".ts": "video/mp2t", ".mpg": "video/mpeg", ".mp3": "audio/mpeg",
    ".m4a": "audio/mp4", ".ogg": "audio/ogg", ".opus": "audio/ogg", ".oga": "audio/ogg", ".wav": "audio/wav",
    ".flac": "audio/flac", ".aac": "audio/aac", ".weba": "audio/webm",
}  # fmt: skip
"""Only recordings are served, whatever a file is called: nothing that a browser would run."""


def kind_of(suffix: str) -> str:
    """Return the content type of a recording by its suffix."""
    return TYPES.get(suffix.lower(), "application/octet-stream")


def stored_media(library: Library, media_id: int) -> StoredMedia:
    """Return a media of the library. Raises `HTTPException` (404) if there is none."""
    try:
        return library.by_id(media_id)
    except LibraryError as error:
        raise HTTPException(404, f"no media {media_id} in the library") from error


def there(library: Library, media_id: int) -> tuple[Media, os.stat_result | None]:
    """Return a media whose file is still the one that was indexed: never serve what was put in its place. Beside it
    what the system knows of the file, None of one that is elsewhere. Raises `HTTPException` (404, 409) otherwise."""
    media = stored_media(library, media_id).media
    try:
        if isinstance(media.path, Address):
            stat, state = None, NETWORK.lately(media.path)
        else:
            stat = media.path.stat()
            state = (stat.st_size, stat.st_mtime_ns)
    except (OSError, MediaError):
        raise HTTPException(404, f"{media.path.name}: the file is gone") from None
    if state != (media.size, media.mtime_ns):
        raise HTTPException(409, f"{media.path.name}: changed since it was added; add it again")
    return media, stat


class Recording(FileResponse):
    """A recording, whole or in ranges (200, 206); a range that is none is answered with an error in JSON (400, 416).

    A unit other than bytes is ignored (RFC 9110, 14.2).
    """

    def __init__(self, path: Path, stat: os.stat_result | None) -> None:
        headers = {"cache-control": "private, max-age=0"}
        super().__init__(path, media_type=kind_of(path.suffix), headers=headers, stat_result=stat)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        if not Headers(scope=scope).get("range", "bytes=").strip().lower().startswith("bytes"):
            scope = {**scope, "headers": [(name, value) for name, value in scope["headers"] if name != b"range"]}
        refused = False

        async def shaped(message: Message) -> None:
            nonlocal refused
            if message["type"] == "http.response.start" and message["status"] in (400, 416):
                refused = True
                await _refuse(send, message, self.stat_result.st_size if self.stat_result else 0)
            elif not refused:
                await send(message)

        await super().__call__(scope, receive, shaped)


async def _refuse(send: Send, message: Message, size: int) -> None:
    told = f"the recording has {size} bytes" if message["status"] == 416 else "a range is written bytes=FIRST-LAST"
    body = json.dumps({"error": {"kind": "range", "message": told}}).encode()
    kept = [(name, value) for name, value in message["headers"] if name.lower() == b"content-range"]
    about = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({**message, "headers": [*kept, *about]})
    await send({"type": "http.response.body", "body": body})
