"""Pictures that a user gives, as arrays."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from .datatypes import Images
from .errors import QueryError

MOST_PIXELS = 150_000_000
"""Pixels that a picture may have: beyond that a file of a few kB may claim them to fill the memory."""


def as_picture(image: Any, *, formats: tuple[str, ...] | None = None, most_pixels: int = MOST_PIXELS) -> Images:
    """Return a path, PIL image or array as an RGB array (height, width, 3) uint8. Raises `QueryError` for anything
    else.

    `formats` (Pillow's names) and `most_pixels` bound what a file may be.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    if isinstance(image, np.ndarray):
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
            raise QueryError(f"a picture array must be (height, width, 3) uint8, not {image.shape} {image.dtype}")
        return image
    if isinstance(image, (str, os.PathLike)) and os.path.exists(image) and not os.path.isfile(image):  # noqa: PTH110, PTH113
        raise QueryError(f"{os.fspath(image)}: not a file, so no picture")  # a pipe would be waited for
    try:
        opened = image if isinstance(image, Image.Image) else Image.open(image, formats=formats)
        if opened.width * opened.height > most_pixels:
            raise QueryError(f"{image}: a picture may have at most {most_pixels // 1_000_000} megapixels")
        return np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
    except FileNotFoundError:
        raise QueryError(f"{image}: no such picture") from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise QueryError(f"{image}: cannot be read as a picture ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or ("no kind that is known" if "identify" in str(error) else str(error))
