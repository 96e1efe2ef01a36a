"""From a query to hits: the order of operations.

Query → vectors → candidate segments of each modality → every frame of the candidate media → calibrated matches → fused
hits. The index only proposes media; which interval of them is meant is decided on all their frames, so that the ends of
a hit do not depend on how many hits were asked for.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from threading import Lock
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from . import words
from .caches import open_index
from .datatypes import (
    MIN_SCORE,
    SEARCHED,
    Hit,
    ImageTextEncoder,
    Match,
    Modality,
    Query,
    TextEncoder,
    Timeline,
    Vectors,
)
from .errors import QueryError
from .fuse import Candidate, Moment, fit, fuse, grow_peaks, logistic, snap
from .index import VectorIndex, cosines
from .pool import softmax_mean, unit
from .store import Store, StoredMedia, StoredSegment

CANDIDATES = 200
"""Segments that the index of a modality proposes."""

CANDIDATE_MEDIA = 24
"""Media whose frames are all compared; the best segments decide which."""

BACKGROUND = 2_000
"""Segment vectors that stand for "anything": a query's cosines with them tell what cosine is usual for it."""

KEPT = 64
"""Media whose frame and utterance vectors are kept in memory between searches (an hour: 7 MB at most)."""

T = TypeVar("T")

# A calibrated score is logistic((value - centre) / scale).
VISUAL_CENTRE, VISUAL_SCALE = 4.0, 0.8  # standard deviations above the query's background
MEANING_CENTRE, MEANING_SCALE = 0.34, 0.07  # cosine of sentence vectors
KNOWN_COSINES = {"conse": (0.36, 0.03)}
"""Visual models of which raw cosines tell better than deviations whether anything was found: centre and scale."""

WORDS_WEIGHT = 0.9  # a passage with every word of the query is right this often


CONTEXT = 0.3
"""Part of the passage's cosine in that of one of its utterances."""

GROWTH = 0.8
"""An answer grows to neighbouring utterances down to this part of its height over what is usual for the query."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """The utterances of a media: when each starts and ends (n,), its text, its vector (n, dim)."""

    starts: NDArray[np.float64]
    ends: NDArray[np.float64]
    texts: tuple[str, ...]
    vectors: Vectors


@dataclass(frozen=True, slots=True)
class Saying:
    """The part of a passage that answers a query, and how near it is to it (a cosine)."""

    start: float
    end: float
    similarity: float


class Models(Protocol):
    """Where the encoders of a library come from; each is loaded when it is first asked for."""

    def visual(self) -> ImageTextEncoder:
        """Return the encoder of frames."""
        ...

    def passages(self) -> TextEncoder:
        """Return the encoder of passages."""
        ...


class Searcher:
    """Answers queries on an open library. It keeps indexes and timelines, and drops them when the library changes."""

    def __init__(self, store: Store, folder: Path, models: Models) -> None:
        self._store = store
        self._folder = folder
        self._models = models
        self._lock = Lock()  # one connection, one snapshot at a time
        self._indexes: dict[Modality, tuple[int, VectorIndex | None]] = {}
        self._backgrounds: dict[Modality, Vectors] = {}
        self._timelines: OrderedDict[tuple[int, int], Timeline | None] = OrderedDict()
        self._spoken: OrderedDict[tuple[int, int], Spoken | None] = OrderedDict()

    def search(self, query: Query) -> list[Hit]:
        """Return the hits, best first. Raises `QueryError` for a query that asks nothing, or asks it of no modality."""
        modalities = _modalities(query)
        with self._lock, self._store.snapshot():
            return self._search(query, modalities)

    def _search(self, query: Query, modalities: Sequence[Modality]) -> list[Hit]:
        chosen = self._chosen_media(query.media)
        if chosen is not None and not chosen:
            return []
        rankings: dict[Modality, list[Candidate]] = {}
        wanted = max(query.limit, 10)
        if "visual" in modalities and (vector := self._visual_vector(query)) is not None:
            rankings["visual"] = self._see(vector, chosen, wanted, pictured=query.image is not None)
        if "speech" in modalities and query.text and self._store.count("speech"):
            rankings["speech"] = self._hear(query.text, chosen, wanted)
        moments = fuse(rankings, limit=query.limit)
        return [self._hit(moment) for moment in moments if self._shown(moment, query)]

    def _shown(self, moment: Moment, query: Query) -> bool:
        """Tell whether a moment scores enough. By default that is asked only where scores were measured to tell: of
        what is said, and of what is seen by a model in `KNOWN_COSINES` for a query in words."""
        if query.min_score is not None:
            return moment.score >= query.min_score
        told = self._known_cosines(query.image is not None) is not None
        return moment.score >= MIN_SCORE or (moment.matches[0].modality == "visual" and not told)

    def _known_cosines(self, pictured: bool) -> tuple[float, float] | None:
        """Return centre and scale of the visual model's cosines with words, None where they are not known."""
        model = self._store.models.get("visual")
        return KNOWN_COSINES.get(model.name) if model is not None and not pictured else None

    # Visual

    def _visual_vector(self, query: Query) -> Vectors | None:
        if self._store.count("visual") == 0:
            return None
        encoder = self._models.visual()
        text = encoder.encode_texts([words.plain(query.text)])[0] if query.text else None
        image = (
            encoder.encode_images(query.image[None] if query.image.ndim == 3 else query.image)[0]
            if (query.image is not None)
            else None
        )
        if text is None or image is None:
            return text if text is not None else image
        return unit(query.text_weight * text + (1.0 - query.text_weight) * image)

    def _see(
        self, vector: Vectors, chosen: Sequence[int] | None, limit: int, *, pictured: bool = False
    ) -> list[Candidate]:
        near = [segment for segment, _ in self._nearest("visual", vector, chosen)]
        media = list(dict.fromkeys(segment.media_id for segment in near))[:CANDIDATE_MEDIA]
        usual = self._background("visual") @ vector
        centre = float(np.median(usual))
        # 1.4826 makes the median absolute deviation of a normal distribution its standard deviation.
        spread = max(1.4826 * float(np.median(np.abs(usual - centre))), 0.01)
        known = self._known_cosines(pictured)
        # A score of one half, and how far above it 0.73 is, as cosines.
        half, scale = known or (centre + VISUAL_CENTRE * spread, VISUAL_SCALE * spread)
        found: list[Candidate] = []
        for media_id in media:
            timeline = self._timeline(media_id)
            if timeline is not None and len(timeline.times):
                found += [
                    Candidate(media_id, match) for match in _moments_seen(timeline, vector, centre, half, scale, limit)
                ]
        return found

    def _timeline(self, media_id: int) -> Timeline | None:
        key = (self._store.generation("visual"), media_id)
        if key not in self._timelines:
            _keep(self._timelines, key, self._store.timeline(media_id))
        return self._timelines[key]

    # Speech

    def _hear(self, text: str, chosen: Sequence[int] | None, limit: int) -> list[Candidate]:
        asked = words.parse(text)
        vector = self._models.passages().encode_texts([words.plain(text)])[0]
        meant = self._nearest("speech", vector, chosen)
        said = self._store.match_words(asked.any_word, "speech", media=chosen, limit=CANDIDATES) if asked.words else []
        segments = {segment.id: segment for segment, _ in said}
        if not asked.phrases:  # quoted words must be there
            segments |= {segment.id: segment for segment, _ in meant}
        cosine = {segment.id: value for segment, value in meant}
        cosine |= self._cosines_of("speech", [i for i in segments if i not in cosine], vector)
        by_words = self._worth_of_words(asked, said)
        usual = float(np.median(list(cosine.values()))) if cosine else 0.0
        found = []
        for segment_id, segment in segments.items():
            saying = self._saying(segment, asked, vector, cosine[segment_id], usual)
            by_meaning = logistic(saying.similarity, MEANING_CENTRE, MEANING_SCALE)
            worth = by_words.get(segment_id, 0.0)
            score = 1.0 - (1.0 - by_meaning) * (1.0 - worth)
            time = self._first_said(segment, asked, saying.start) if worth > 0 else saying.start
            start, end = min(saying.start, time), max(saying.end, time)
            match = Match("speech", score, start, end, time, segment.segment.text, saying.similarity, worth > 0)
            found.append(Candidate(segment.media_id, match))
        found.sort(key=lambda candidate: (-candidate.match.score, candidate.media_id, candidate.match.start))
        return found[: 5 * limit]

    def _worth_of_words(self, asked: words.WordQuery, said: Sequence[tuple[StoredSegment, float]]) -> dict[int, float]:
        """Return, per passage that holds some of the query's words, the chance that this makes it an answer.

        The part of the query's weight that a passage holds decides, squared: half of the words are no half of an
        answer. BM25 orders passages that hold the same words.
        """
        total = self._store.text_count()
        rarity = {w: words.rarity(self._store.document_frequency(f'"{w}"'), total) for w in asked.words}
        best = max((score for _, score in said), default=0.0)
        worth = {}
        for segment, score in said:
            covered = words.coverage(asked, segment.segment.text or "", rarity)
            among = 0.8 + 0.2 * (score / best if best > 0 else 0.0)
            worth[segment.id] = (WORDS_WEIGHT * covered * among) ** 2
        return worth

    def _saying(
        self, stored: StoredSegment, asked: words.WordQuery, vector: Vectors, cosine: float, usual: float
    ) -> Saying:
        """Return what of a passage answers the query: the nearest utterance, and its neighbours as far as they do.

        An utterance alone is not watered down by what stands beside it; a part of the passage's cosine adds context.
        Utterances that hold words of the query that the nearest one lacks belong to the answer too.
        """
        start, end = stored.segment.start, stored.segment.end
        spoken = self._utterances(stored.media_id)
        if spoken is None:
            return Saying(start, end, cosine)
        first, last = (int(i) for i in np.searchsorted(spoken.starts, (start - 1e-3, end)))
        if first == last:
            return Saying(start, end, cosine)
        nearness = (1.0 - CONTEXT) * (spoken.vectors[first:last] @ vector) + CONTEXT * cosine
        held = [set(asked.words).intersection(words.tokens(text)) for text in spoken.texts[first:last]]
        shares = np.array([len(some) for some in held]) / max(1, len(asked.words))
        peak = grow_peaks(nearness + shares, floor=usual, fraction=GROWTH, limit=1)[0]
        lacking = set().union(*held) - set().union(*held[peak.first : peak.last + 1])
        also = [i for i, some in enumerate(held) if some & lacking] + [peak.first, peak.last]
        start, end = max(start, spoken.starts[first + min(also)]), min(end, spoken.ends[first + max(also)])
        return Saying(float(start), float(max(start, end)), float(nearness.max()))

    def _utterances(self, media_id: int) -> Spoken | None:
        """Return the utterances of a media that have vectors."""
        key = (self._store.generation("speech"), media_id)
        if key not in self._spoken:
            transcript, vectors = self._store.transcript(media_id), self._store.utterance_vectors(media_id)
            held: Spoken | None = None
            if transcript is not None and vectors is not None:
                spans = [
                    (u.words[0].start, u.words[-1].end) if u.words else (u.start, u.end) for u in transcript.utterances
                ]
                starts, ends = np.array(spans, dtype=np.float64).reshape(-1, 2).T
                held = Spoken(starts, ends, tuple(u.text for u in transcript.utterances), vectors)
            _keep(self._spoken, key, held)
        return self._spoken[key]

    def _first_said(self, stored: StoredSegment, asked: words.WordQuery, otherwise: float) -> float:
        """Return when the first of the query's words is said in a passage, or `otherwise` where words have no times."""
        transcript = self._store.transcript(stored.media_id)
        segment = stored.segment
        for utterance in transcript.utterances if transcript else ():
            if utterance.end > segment.start and utterance.start < segment.end:
                for word in utterance.words:
                    if segment.start <= word.start < segment.end and not set(words.tokens(word.text)).isdisjoint(
                        asked.words
                    ):
                        return word.start
        return otherwise

    # Both

    def _nearest(
        self, modality: Modality, vector: Vectors, chosen: Sequence[int] | None
    ) -> list[tuple[StoredSegment, float]]:
        if chosen is not None:
            ids, scores = cosines(vector, list(self._store.vectors(modality, media=chosen)))
            ids, scores = ids[:CANDIDATES], scores[:CANDIDATES]
        elif (index := self._index(modality)) is not None:
            ids, scores = index.search(vector, CANDIDATES)
        else:
            return []
        score = {int(segment_id): float(value) for segment_id, value in zip(ids, scores, strict=True)}
        return [(segment, score[segment.id]) for segment in self._store.segments([int(i) for i in ids])]

    def _cosines_of(self, modality: Modality, ids: Sequence[int], vector: Vectors) -> dict[int, float]:
        if not ids:
            return {}
        found, scores = cosines(vector, list(self._store.vectors(modality, ids=ids)))
        return {int(segment_id): float(value) for segment_id, value in zip(found, scores, strict=True)}

    def _index(self, modality: Modality) -> VectorIndex | None:
        generation = self._store.generation(modality)
        known = self._indexes.get(modality)
        if known is None or known[0] != generation:
            known = (generation, open_index(self._store, self._folder, modality)[0])
            self._indexes[modality] = known
            self._backgrounds.pop(modality, None)
        return known[1]

    def _background(self, modality: Modality) -> Vectors:
        """Return up to `BACKGROUND` vectors spread evenly over the whole library, (n, dim)."""
        index = self._index(modality)
        if modality not in self._backgrounds:
            ids: NDArray[np.uint64] = index.ids() if index is not None else np.zeros(0, np.uint64)
            few = (
                ids[np.unique(np.linspace(0, len(ids) - 1, min(BACKGROUND, len(ids))).astype(int))] if len(ids) else ids
            )
            batches = [vectors for _, vectors in self._store.vectors(modality, ids=[int(i) for i in few])]
            self._backgrounds[modality] = np.concatenate(batches)
        return self._backgrounds[modality]

    def _chosen_media(self, pattern: str | None) -> list[int] | None:
        """Return the ids of the media whose name or path matches a glob; None when all are meant."""
        if pattern is None:
            return None
        return [stored.id for stored in self._store.media() if matches_glob(stored, pattern)]

    def _hit(self, moment: Moment) -> Hit:
        stored = self._store.media_by_id(moment.media_id)
        assert stored is not None, "a segment belongs to a media"  # noqa: S101 - the database's own foreign key
        start, end = fit(moment.start, moment.end, stored.media.start, stored.media.end)
        return Hit(stored.media.path, start, end, moment.score, moment.matches, moment.media_id)


def _keep(cache: OrderedDict[tuple[int, int], T], key: tuple[int, int], value: T) -> None:
    cache[key] = value
    while len(cache) > KEPT:
        cache.popitem(last=False)


def matches_glob(stored: StoredMedia, pattern: str) -> bool:
    """Tell whether a glob matches a media's name, or its whole path, without regard to case."""
    path, wanted = stored.media.path, pattern.casefold()
    return fnmatchcase(path.name.casefold(), wanted) or fnmatchcase(str(path).casefold(), wanted)


def _moments_seen(
    timeline: Timeline, vector: Vectors, centre: float, half: float, scale: float, limit: int
) -> list[Match]:
    """Return the visual matches of one media: the score curve over all its frames, cut into intervals at its peaks.

    `centre` is the cosine that is usual for the query, `half` the one that scores one half, `scale` what is added to it
    for 0.73.
    """
    scores = (timeline.vectors @ vector)[timeline.rows]
    edges = timeline.edges()
    step = float(np.median(np.diff(edges)))
    found = []
    for peak in grow_peaks(scores, floor=centre, limit=limit):
        similarity = softmax_mean(scores[peak.first : peak.last + 1])
        start, end = (snap(float(edges[i]), timeline.cuts, step) for i in (peak.first, peak.last + 1))
        time = float(timeline.times[peak.best])
        start, end = min(start, time), max(end, time)
        start, end = fit(start, end, timeline.start, timeline.end)
        score = logistic(similarity, half, scale)
        found.append(Match("visual", score, start, end, time, similarity=similarity))
    return found


def _modalities(query: Query) -> tuple[Modality, ...]:
    if not (query.text and query.text.strip()) and query.image is None:
        raise QueryError("nothing to search for: give some words, a picture, or both")
    if query.limit < 1:
        raise QueryError(f"the number of hits must be at least 1, not {query.limit}")
    asked = query.modalities or SEARCHED
    if unknown := [name for name in asked if name not in SEARCHED]:
        raise QueryError(f"unknown modality {unknown[0]!r}: choose from {', '.join(SEARCHED)}")
    if query.image is not None:
        if "visual" not in asked:
            raise QueryError(
                "a picture can only be searched for among pictures: leave out `--in`, or say `--in visual`"
            )
        # A picture, alone or composed with words, is a question about what is seen.
        return ("visual",)
    return tuple(asked)
