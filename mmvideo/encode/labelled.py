"""Sentence vectors of a classifier's labels: computed once, a second or two, then a file in the cache folder."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np

from ..datatypes import TextEncoder, Vectors
from .packaged import cache_folder, publish


def label_vectors(key: str, labels: Sequence[str], sentences: TextEncoder) -> Vectors:
    """Return the vectors of `labels`, (n, dim); `key` names the file, and must change with the labels and the model."""
    file = cache_folder() / f"{key}.npy"
    shape = (len(labels), sentences.model.dim)
    if (known := _stored(file)) is not None and known.shape == shape and known.dtype == np.float32:
        return known
    vectors = sentences.encode_texts(labels)
    content = BytesIO()
    np.save(content, vectors)
    publish(file, content.getvalue())
    return vectors


def _stored(file: Path) -> Vectors | None:
    try:
        return np.asarray(np.load(file, allow_pickle=False))
    except (OSError, ValueError, EOFError):
        return None
