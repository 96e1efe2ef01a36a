"""Sentence vectors of a classifier's labels: computed once, a second or two, then a file in the cache folder."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..datatypes import TextEncoder, Vectors
from .packaged import cache_folder


def label_vectors(key: str, labels: Sequence[str], sentences: TextEncoder) -> Vectors:
    """Return the vectors of `labels`, (n, dim); `key` names the file, and must change with the labels and the model."""
    file = cache_folder() / f"{key}.npy"
    shape = (len(labels), sentences.model.dim)
    if (known := _stored(file)) is not None and known.shape == shape and known.dtype == np.float32:
        return known
    vectors = sentences.encode_texts(labels)
    _store(file, vectors)
    return vectors


def _stored(file: Path) -> Vectors | None:
    try:
        return np.asarray(np.load(file, allow_pickle=False))
    except (OSError, ValueError, EOFError):
        return None


def _store(file: Path, vectors: Vectors) -> None:
    """Write under another name first, so that no process ever reads half a file; failing costs two seconds."""
    with contextlib.suppress(OSError):
        handle, name = tempfile.mkstemp(dir=file.parent, suffix=".npy")
        with os.fdopen(handle, "wb") as half:
            np.save(half, vectors)
        Path(name).replace(file)
