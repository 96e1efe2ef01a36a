"""What a request sends to search with, made into what `Library.search` takes."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from ..datatypes import SEARCHED, Modality
from ..decode import frame_at
from ..errors import MediaError, QueryError
from ..library import Library
from ..media import probe

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


def picture(content: bytes, kind: str) -> Any:
    """Return an uploaded picture, or the middle frame of an uploaded clip, as RGB. Raises `QueryError` for all else."""
    if kind in CLIPS:
        return _middle(content, CLIPS[kind])
    if kind.startswith("audio/"):
        raise QueryError("sound cannot be searched with here; send a picture or a clip")
    try:
        opened = Image.open(io.BytesIO(content), formats=FORMATS)
        if opened.width * opened.height > MAX_PIXELS:
            raise QueryError(f"a picture may have at most {MAX_PIXELS // 1_000_000} megapixels")
        opened.load()
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise QueryError("the upload cannot be read as a picture (JPEG, PNG, WebP, GIF, BMP) or a clip") from error
    return opened


def _middle(content: bytes, suffix: str) -> Any:
    with tempfile.TemporaryDirectory(prefix="mmvideo-") as folder:
        path = Path(folder) / f"query{suffix}"
        path.write_bytes(content)
        try:
            media = probe(path)
            return frame_at(media, media.start + media.duration / 2).images[0]
        except MediaError as error:
            raise QueryError("the uploaded clip has no picture that can be read") from error


def moment(library: Library, like: str) -> Any:
    """Return the frame that `ID@SECONDS` names, RGB. Raises `QueryError` if it names none."""
    number, _, time = like.partition("@")
    try:
        media_id, seconds = int(number), float(time)
    except ValueError:
        raise QueryError(f"{like!r}: a moment is written ID@SECONDS, such as 3@12.5") from None
    media = library.by_id(media_id).media
    if media.video is None or not media.start <= seconds <= media.end:
        raise QueryError(f"{like!r}: there is no picture at this moment")
    return frame_at(media, seconds).images[0]
