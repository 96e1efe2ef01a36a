"""What a request sends to search with, made into what `Library.search` takes."""

from __future__ import annotations

import mimetypes
import shutil
import tempfile
from pathlib import Path
from typing import Any, BinaryIO, Literal

from ..datatypes import SEARCHED, Hit, Images, Modality
from ..errors import MediaError, QueryError
from ..library import Library
from ..queried import as_shown

MAX_PIXELS = 50_000_000
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")

Kind = Literal["picture", "sound", "clip"]


def modalities(given: str) -> list[Modality] | None:
    """Return the modalities of a list with commas, None for an empty one. Raises `QueryError` for an unknown one."""
    names = [name.strip() for name in given.split(",") if name.strip()]
    for name in names:
        if name not in SEARCHED:
            raise QueryError(f"unknown modality {name!r}: choose from {', '.join(SEARCHED)}")
    return [name for name in SEARCHED if name in names] or None


def kind_of(content_type: str, name: str) -> Kind:
    """Return what an upload is taken for, by its content type, or where that says nothing, by its name."""
    for told in (content_type, mimetypes.guess_type(name)[0] or ""):
        if told.startswith("audio/"):
            return "sound"
        if told.startswith("video/"):
            return "clip"
        if told.startswith("image/"):
            break
    return "picture"


def with_upload(
    library: Library, content: BinaryIO, kind: Kind, text: str | None, options: dict[str, Any]
) -> list[Hit]:
    """Return the hits of a search with an upload: a picture, the middle frame of a clip, a sound, or, where only sounds
    are asked for, the sound of a clip. `options` are those of `Library.search`.

    Raises `QueryError` for an upload that cannot be read.
    """
    heard = kind == "sound" or (kind == "clip" and options.get("modalities") == ["sound"])
    with tempfile.TemporaryDirectory(prefix="mmvideo-") as folder:
        path = Path(folder) / "upload"
        with path.open("wb") as file:
            shutil.copyfileobj(content, file)
        try:
            if heard:
                return library.search(text, audio=path, **options)
            taken: Literal["picture", "clip"] = "clip" if kind == "clip" else "picture"
            shown = as_shown(path, library.decoding, kind=taken, formats=FORMATS, most_pixels=MAX_PIXELS)
        except (QueryError, MediaError) as error:
            raise QueryError(str(error).replace(str(path), "the upload")) from error
    return library.search(text, image=shown, **options)


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
