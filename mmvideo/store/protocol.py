"""What a library's store can do, whatever it stands on: a file of SQLite, or a database of PostgreSQL.

Both keep the same rows and give the same answers; `tests/test_store.py` holds them to it. Words are asked for by an
expression of "words or phrases in quotes", joined all by OR or all by AND.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..datatypes import Media, Modality, ModelId, Recipe, Timeline, Transcript, Vectors
from ..written import ScreenText
from .rows import Content, StoredMedia, StoredSegment


class Store(Protocol):
    """The truth of a library: media with all that belongs to them, each put and removed as a whole."""

    @property
    def place(self) -> str:
        """Where it is, as a person names it; never with a password."""
        ...

    def close(self) -> None:
        """Close it; a second call does nothing."""
        ...

    def snapshot(self) -> AbstractContextManager[None]:
        """Let everything read inside see one state of the library, whatever a writer commits meanwhile."""
        ...

    @property
    def id(self) -> str:
        """A name that no other library has."""
        ...

    @property
    def recipe(self) -> Recipe:
        """The recipe that new media are made with."""
        ...

    @property
    def models(self) -> dict[str, ModelId]:
        """The models that made what is stored, by their part in the recipe."""
        ...

    def set_recipe(self, recipe: Recipe) -> None:
        """Keep another recipe for the media to come."""
        ...

    def set_model(self, part: str, model: ModelId) -> None:
        """Remember which model makes a part of the recipe, unless another writer was first."""
        ...

    def forget(self, modalities: Iterable[Modality], parts: Iterable[str], recipe: Recipe) -> None:
        """Remove what `modalities` have stored and the models of `parts`, and take `recipe`, in one transaction."""
        ...

    def generation(self, modality: Modality) -> int:
        """Return how many changes to the segments of a modality have been committed."""
        ...

    def integrity(self) -> list[str]:
        """Return what is wrong with the database itself, and between its tables."""
        ...

    def words_fit(self) -> bool:
        """Tell whether the index of words fits the segments."""
        ...

    def rebuild_words(self) -> None:
        """Make the index of words again from the segments."""
        ...

    def damaged_media(self) -> list[tuple[int, str]]:
        """Return (id, what is wrong) of each media with rows that a search could not use."""
        ...

    def media(self) -> list[StoredMedia]:
        """Return all media, by path."""
        ...

    def media_ids(self) -> list[int]:
        """Return the row ids of all media, ascending."""
        ...

    def find_media(self, path: Path) -> StoredMedia | None:
        """Return the media at this absolute path, or None."""
        ...

    def media_by_id(self, media_id: int) -> StoredMedia | None:
        """Return a media by its row id, or None."""
        ...

    def media_by_fingerprint(self, fingerprint: str) -> list[StoredMedia]:
        """Return the media with this content, in the order in which they were added."""
        ...

    def put(self, content: Content) -> int:
        """Store a media with all that belongs to it, in place of what its path had before; return its row id."""
        ...

    def update_file(self, media_id: int, media: Media) -> None:
        """Note that the same content now has another path, size or time of change."""
        ...

    def remove(self, media_id: int) -> None:
        """Remove a media and everything that belongs to it; an unknown id is no error."""
        ...

    def count(self, modality: Modality) -> int:
        """Return the number of segments of a modality."""
        ...

    def counts(self, media_id: int) -> dict[str, int]:
        """Return the number of segments of a media by modality."""
        ...

    def segments(self, ids: Sequence[int]) -> list[StoredSegment]:
        """Return the segments with these ids in the order of `ids`; ids that are gone are left out."""
        ...

    def segments_of(self, media_id: int, modality: Modality) -> list[StoredSegment]:
        """Return a media's segments of a modality in order of time."""
        ...

    def segment_ids(self, modality: Modality) -> NDArray[np.uint64]:
        """Return the ids of all segments of a modality that have a vector, (n,), ascending."""
        ...

    def vectors(
        self,
        modality: Modality,
        *,
        media: Sequence[int] | None = None,
        ids: Sequence[int] | None = None,
        batch: int = 8192,
    ) -> Iterator[tuple[NDArray[np.uint64], Vectors]]:
        """Yield (ids (n,), unit vectors (n, dim)) of a modality in batches, ascending; of some `media` or `ids`
        only."""
        ...

    def match_words(
        self, expression: str, modality: Modality, *, media: Sequence[int] | None = None, limit: int = 100
    ) -> list[tuple[StoredSegment, float]]:
        """Return the segments that match an expression of words with their BM25 score, larger is better, best first.

        Raises `LibraryError` for an expression that cannot be read.
        """
        ...

    def document_frequency(self, expression: str, modality: Modality = "speech") -> int:
        """Return in how many texts of a modality an expression occurs."""
        ...

    def text_count(self, modality: Modality = "speech") -> int:
        """Return how many segments of a modality have text."""
        ...

    def vocabulary(self, modality: Modality) -> Iterator[str]:
        """Yield the words of all texts of a modality, maybe with others of the library, as the word index has them."""
        ...

    def texts(self, modality: Modality) -> Iterator[str]:
        """Yield the texts of all segments of a modality."""
        ...

    def timeline(self, media_id: int) -> Timeline | None:
        """Return the frame vectors and cuts of a media, or None."""
        ...

    def transcript(self, media_id: int) -> Transcript | None:
        """Return what is said in a media, or None."""
        ...

    def screen(self, media_id: int) -> tuple[ScreenText, ...]:
        """Return the text on screen of a media in order of time."""
        ...

    def utterance_vectors(self, media_id: int) -> Vectors | None:
        """Return the vectors of the utterances of a media's transcript, (n, dim) in order, or None."""
        ...
