"""What a request sends to search with, made into what `Library.search` takes."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ..datatypes import SEARCHED, Images, Modality
from ..errors import MediaError, QueryError
from ..library import Library

MAX_PIXELS = 50_000_000
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
CLIPS = {"video/mp4": ".mp4", "video/webm": ".webm", "video/quicktime": ".mov", "video/x-matroska": ".mkv"}


def modalities(given: str) -> list[Modality] | None:
    """Return the modalities of a list with commas, None for an empty one. Raises `QueryError` for an unknown one."""
    names = [name.strip() for name in given.split(",") if name.strip()]
    for name in names:
        if name not in SEARCHED:
            raise QueryError(f"unknown modality {name!r}: choose from {', '.join(SEARCHED)}")
    return [name for name in SEARCHED if name in names] or None


def picture(library: Library, content: bytes, kind: str) -> Images:
    """Return an uploaded picture, or the middle frame of an uploaded clip, as RGB. Raises `QueryError` for all else."""
    if kind.startswith("audio/"):
        raise QueryError("sound cannot be searched with here; send a picture or a clip")
    with tempfile.TemporaryDirectory(prefix="mmvideo-") as folder:
        path = Path(folder) / f"query{CLIPS.get(kind, '')}"
        path.write_bytes(content)
        if kind in CLIPS:
            return _middle(library, path)
        try:
            return library.decoding.picture(path, formats=FORMATS, most_pixels=MAX_PIXELS)
        except QueryError as error:
            kinds = "send a picture (JPEG, PNG, WebP, GIF, BMP) or a clip"
            raise QueryError(f"{str(error).replace(str(path), 'the upload')}; {kinds}") from error


def _middle(library: Library, path: Path) -> Images:
    try:
        media = library.decoding.probe(path)
        shown = library.decoding.frame_at(media, media.start + media.duration / 2)
    except MediaError as error:
        raise QueryError("the uploaded clip has no picture that can be read") from error
    image: Images = shown.images[0]
    return image


def moment(library: Library, like: str) -> Images:
    """Return the frame that `ID@SECONDS` names, RGB. Raises `QueryError` if it names none."""
    number, _, time = like.partition("@")
    try:
        media_id, seconds = int(number), float(time)
    except ValueError:
        raise QueryError(f"{like!r}: a moment is written ID@SECONDS, such as 3@12.5") from None
    media = library.by_id(media_id).media
    if media.video is None or not media.start <= seconds <= media.end:
        raise QueryError(f"{like!r}: there is no picture at this moment")
    image: Images = library.decoding.frame_at(media, seconds).images[0]
    return image
