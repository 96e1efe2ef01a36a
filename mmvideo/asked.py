"""What a query asks for, and whether it can be asked."""

from __future__ import annotations

from dataclasses import replace

from .datatypes import SEARCHED, Modality, Query
from .errors import QueryError


def unwanted(query: Query) -> list[Query]:
    """Return what is not wanted as queries of their own."""
    plain = Query(modalities=query.modalities, where=query.where)
    found = [replace(plain, text=query.without)] if query.without else []
    if query.without_image is not None:
        found.append(replace(plain, image=query.without_image, modalities=("visual",)))
    return found


def modalities(query: Query) -> tuple[Modality, ...]:
    """Return where a query asks. Raises `QueryError` for one that asks nothing, or asks it of no modality."""
    if not (query.text and query.text.strip()) and query.image is None and query.audio is None:
        raise QueryError("nothing to search for: give some words, a picture, or both")
    if query.limit < 1:
        raise QueryError(f"the number of hits must be at least 1, not {query.limit}")
    if not 0 <= query.text_weight <= 1:
        raise QueryError(f"the weight of the text must be from 0 to 1, not {query.text_weight}")
    if any(not text.strip() for text in query.then):
        raise QueryError("nothing to search for: give some words for every step of a sequence")
    if not query.within >= 0:
        raise QueryError(f"the seconds between two steps must be 0 or more, not {query.within}")
    asked = query.modalities or SEARCHED
    if unknown := [name for name in asked if name not in SEARCHED]:
        raise QueryError(f"unknown modality {unknown[0]!r}: choose from {', '.join(SEARCHED)}")
    if query.audio is not None:
        if "sound" not in asked:
            raise QueryError("a sound can only be searched for among sounds: leave out `--in`, or say `--in sound`")
        return ("sound",)
    if query.image is not None:
        if query.modalities and tuple(query.modalities) == ("sound",):
            return ("sound",)
        if "visual" not in asked:
            raise QueryError(
                "a picture can only be searched for among pictures: leave out `--in`, or say `--in visual`"
            )
        # A picture, alone or composed with words, is a question about what is seen.
        return ("visual",)
    return tuple(asked)
