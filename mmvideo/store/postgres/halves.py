"""Vectors of float16 as pgvector sends and receives its `halfvec`: two 16-bit numbers (length, 0), then the values,
all big-endian. Nothing is rounded on the way, so vectors move between a folder and a server bit by bit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...datatypes import Vectors
from .ranked import Raw


def packed(vectors: Vectors) -> list[Raw]:
    """Return one value per row of vectors (n, dim)."""
    halves = np.asarray(vectors).astype(np.float16)
    framed = np.zeros((len(halves), halves.shape[1] + 2), ">u2")
    framed[:, 0] = halves.shape[1]
    framed[:, 2:] = halves.view(np.uint16)
    return [Raw(row.tobytes()) for row in framed]


def unpacked(values: Sequence[bytes]) -> Vectors:
    """Return the vectors (n, dim) of n values of one length, n at least 1."""
    framed = np.frombuffer(b"".join(values), ">u2").reshape(len(values), -1)
    return framed[:, 2:].astype(np.uint16).view(np.float16).astype(np.float32)
