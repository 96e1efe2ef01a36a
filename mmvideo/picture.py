"""Pictures that a user gives, as arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from .datatypes import Images
from .errors import QueryError


def as_picture(image: Any) -> Images:
    """Return a path, PIL image or array as an RGB array (height, width, 3) uint8. Raises `QueryError` for anything
    else."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    if isinstance(image, np.ndarray):
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
            raise QueryError(f"a picture array must be (height, width, 3) uint8, not {image.shape} {image.dtype}")
        return image
    try:
        opened = image if isinstance(image, Image.Image) else Image.open(image)
        return np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
    except FileNotFoundError:
        raise QueryError(f"{image}: no such picture") from None
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise QueryError(f"{image}: cannot be read as a picture ({error})") from error
