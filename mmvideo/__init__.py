"""Search inside videos, podcasts and other recordings, by what is seen and what is said.

>>> from mmvideo import Library
>>> library = Library.open("films.mmv")
>>> library.add("talks/")
>>> for hit in library.search("a red car crossing a bridge"):
...     print(hit.path, hit.start, hit.end)

Importing this package loads nothing heavy: each name is loaded on first use, and models when they are first needed.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Libraries that tell their makers how they are used must not: recordings are often private. From 1.29 on ONNX Runtime
# sends on all systems, unless this is set before it is first imported; Ray and the hub's client have switches too.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

if TYPE_CHECKING:
    from .datatypes import AddReport, Filter, Hit, Match, Media, MediaReport, ModelId, Progress, Recipe, Transcript
    from .errors import LibraryError, MediaError, MMVideoError, ModelError, QueryError, RecipeError
    from .library import Library

_WHERE = {
    "Library": "library",
    **dict.fromkeys(
        ("AddReport", "Filter", "Hit", "Match", "Media", "MediaReport", "ModelId", "Progress", "Recipe", "Transcript"),
        "datatypes",
    ),
    **dict.fromkeys(
        ("LibraryError", "MMVideoError", "MediaError", "ModelError", "QueryError", "RecipeError"), "errors"
    ),
}

__all__ = [
    "AddReport",
    "Filter",
    "Hit",
    "Library",
    "LibraryError",
    "MMVideoError",
    "Match",
    "Media",
    "MediaError",
    "MediaReport",
    "ModelError",
    "ModelId",
    "Progress",
    "QueryError",
    "Recipe",
    "RecipeError",
    "Transcript",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_WHERE[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
