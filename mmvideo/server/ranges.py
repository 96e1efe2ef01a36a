"""A recording at an address, passed on to the page: the part that a player asks for, and no more."""

from __future__ import annotations

import re
from collections.abc import Iterator

from fastapi.responses import JSONResponse, Response, StreamingResponse

from ..address import Address

_PIECE = 1024**2


def passed_on(address: Address, kind: str, wanted: str | None, if_range: str | None) -> Response:
    """Return a recording, or the one range of it that a `Range` header names (206, or 416). Raises `MediaError`."""
    from ..remote import NETWORK

    size, version = NETWORK.lately(address)
    headers = {"accept-ranges": "bytes", "etag": f'"{version:x}"', "cache-control": "private, max-age=0"}
    start, end, status = 0, size, 200
    named = re.fullmatch(r"bytes=(\d*)-(\d*)", wanted or "")
    if named is not None and any(named.groups()) and if_range in (None, headers["etag"]):
        first, last = named.groups()
        start = int(first) if first else max(0, size - int(last))
        end = min(size, int(last) + 1) if first and last else size
        if start >= end:
            told = {"error": {"kind": "range", "message": f"the recording has {size} bytes"}}
            return JSONResponse(told, 416, headers={"content-range": f"bytes */{size}"})
        status = 206
        headers["content-range"] = f"bytes {start}-{end - 1}/{size}"
    headers["content-length"] = str(end - start)

    def pieces() -> Iterator[bytes]:
        with NETWORK.open(address) as file:
            file.seek(start)
            at = start
            while at < end and (data := file.read(min(_PIECE, end - at))):
                at += len(data)
                yield data

    return StreamingResponse(pieces(), status_code=status, media_type=kind, headers=headers)
