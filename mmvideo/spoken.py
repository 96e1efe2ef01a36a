"""What is said in a library, as far as a search needs it again: its words, and the utterances of the last media."""

from __future__ import annotations

from collections.abc import Sequence

from .datatypes import Transcript
from .forms import Forms, Vocabulary
from .kept import Kept
from .said import Spoken
from .store import Store

KEPT_SPOKEN = 256
"""Media whose utterances are kept, because each of 200 passages may be of another one (an hour: 0.5 MB)."""


class Speech:
    """What is said in a library; read when it is asked for, and again when it changed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._transcripts: Kept[Transcript | None] = Kept(KEPT_SPOKEN)
        self._spoken: Kept[Spoken | None] = Kept(KEPT_SPOKEN)
        self._passages = (-1, 0)
        self._words: tuple[int, Vocabulary] | None = None

    def forms(self, asked: Sequence[str]) -> Forms:
        """Return what each word of a query may stand as in what was said."""
        generation = self._store.generation("speech")
        if self._words is None or self._words[0] != generation:
            self._words = (generation, Vocabulary(self._store.vocabulary("speech")))
        return {word: self._words[1].forms(word) for word in asked}

    def count(self) -> int:
        """Return how many passages there are: counted once for each state of the library, for it reads them all."""
        generation = self._store.generation("speech")
        if self._passages[0] != generation:
            self._passages = (generation, self._store.text_count())
        return self._passages[1]

    def generation(self) -> int:
        """Return which state of the library this is: a search asks once for all media."""
        return self._store.generation("speech")

    def transcript(self, media_id: int, generation: int) -> Transcript | None:
        """Return what is said in a media."""
        return self._transcripts.get((generation, media_id), lambda: self._store.transcript(media_id))

    def utterances(self, media_id: int, generation: int, dim: int) -> Spoken | None:
        """Return the utterances of a media that have vectors; those of its model have `dim` components."""

        def read() -> Spoken | None:
            transcript, vectors = self.transcript(media_id, generation), self._store.utterance_vectors(media_id)
            if transcript is None or vectors is None:
                return None
            return Spoken.of(transcript, vectors, dim)

        return self._spoken.get((generation, media_id), read)
