"""What the two sides of the pipe say to each other: a JSON header, then raw bytes.

JSON and raw numbers, not pickles: whoever reads must not run what a process that a hostile file has taken over says.
"""

from __future__ import annotations

import json
import struct
from dataclasses import asdict
from typing import Any, Protocol

from ..address import stored
from ..datatypes import AudioStream, Media, VideoStream

LARGEST_RANGE = 16 * 1024**2
"""Bytes of a recording at an address that may be asked for at once."""

_LENGTH = struct.Struct(">I")


class Pipe(Protocol):
    """The end of a pipe, unbuffered."""

    def readinto(self, room: memoryview, /) -> int | None:
        """Read some bytes into `room` and return how many; 0 at the end."""
        ...

    def write(self, data: Any, /) -> int | None:
        """Write some of the bytes and return how many."""
        ...


class WireError(Exception):
    """The other side has ended, or says what cannot be understood."""


def send(pipe: Pipe, header: dict[str, Any], *parts: Any) -> None:
    """Write a header and the bytes of contiguous arrays."""
    views = [memoryview(part).cast("B") for part in parts if memoryview(part).nbytes]
    text = json.dumps({**header, "bytes": sum(view.nbytes for view in views)}).encode("ascii")
    for view in (memoryview(_LENGTH.pack(len(text)) + text), *views):
        done = 0
        while done < view.nbytes:
            done += pipe.write(view[done:]) or 0


def receive(pipe: Pipe, most: int, *, largest: int = 1_000_000) -> tuple[dict[str, Any], bytearray]:
    """Return a header, of at most `largest` bytes, and its bytes, at most `most`. Raises `WireError`."""
    (length,) = _LENGTH.unpack(_exactly(pipe, _LENGTH.size))
    if length > largest:
        raise WireError(f"a header of {length} bytes")
    try:
        header = json.loads(bytes(_exactly(pipe, length)))
        size = int(header["bytes"])
    except (ValueError, TypeError, KeyError) as error:
        raise WireError(f"no header ({error})") from error
    if not 0 <= size <= most:
        raise WireError(f"{size} bytes where at most {most} are expected")
    return header, _exactly(pipe, size)


def _exactly(pipe: Pipe, length: int) -> bytearray:
    data = bytearray(length)
    room = memoryview(data)
    filled = 0
    while filled < length:
        count = pipe.readinto(room[filled:])
        if not count:
            raise WireError("the other side has ended")
        filled += count
    return data


def media_to_json(media: Media) -> dict[str, Any]:
    """Return a media as JSON values; bytes of its name that are not UTF-8 survive as lone surrogates."""
    return {**asdict(media), "path": str(media.path)}


def media_from_json(known: dict[str, Any]) -> Media:
    """Return the media again. Raises `WireError` where it is none."""
    try:
        video = VideoStream(**known.pop("video")) if known["video"] else known.pop("video")
        audio = tuple(AudioStream(**stream) for stream in known.pop("audio"))
        return Media(path=stored(known.pop("path")), video=video, audio=audio, **known)
    except (KeyError, TypeError, AttributeError) as error:
        raise WireError(f"no media ({error})") from error
