"""From a query to hits: the order of operations.

Query → vectors → candidate segments of each modality → every frame of the candidate media → calibrated matches → fused
hits. The index only proposes media; which interval of them is meant is decided on all their frames, so that the ends of
a hit do not depend on how many hits were asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from . import asked as question
from . import words
from .ahead import Ahead
from .datatypes import (
    ANYWHERE,
    SEARCHED,
    Curve,
    Filter,
    Hit,
    ImageTextEncoder,
    Match,
    Modality,
    Query,
    SoundTextEncoder,
    TextEncoder,
    Timeline,
    Vectors,
)
from .errors import QueryError
from .filters import chooses, clip, cut
from .forms import said_in_words
from .fuse import Candidate, Moment, either, fit, fuse, logistic
from .heard import rank_heard
from .hearing import asked_vector
from .index import Nearest, cosines
from .kept import Kept
from .onecore import one_core
from .pool import unit
from .refine import chains, distinct, settled, turn_down
from .routing import ROUTED, routed, stems
from .said import MEANING_CENTRE, MEANING_SCALE, first_said, said_match
from .said import saying as part_said
from .seen import frame_shown, moments_seen
from .shown import Written, rank_shown
from .spoken import Speech
from .store import Store, StoredMedia, StoredSegment, unreadable

CANDIDATES = 200
"""Segments that the index of a modality proposes."""

CLOSER = 150
"""Passages whose utterances are compared one by one."""

CANDIDATE_MEDIA = 24
"""Media whose frames are all compared; the best segments decide which."""

MANY = 200
"""Moments of each step of a sequence, or before repeats are left out."""

BACKGROUND = 2_000
"""Segment vectors that stand for "anything": a query's cosines with them tell what cosine is usual for it."""

KEPT = 256 * 2**20
"""Bytes of frame vectors that are kept in memory between searches (an hour: 7 MB at most)."""

# A calibrated score is logistic((value - centre) / scale).
VISUAL_CENTRE, VISUAL_SCALE = 4.0, 0.8  # standard deviations above the query's background
SCREEN_CENTRE, SCREEN_SCALE = 0.45, 0.06  # cosine of sentence vectors with text on screen: a few words are near to much
KNOWN_COSINES = {"conse": (0.36, 0.03), "yamnet": (0.40, 0.05)}
"""Models of which raw cosines tell better than deviations whether anything was found: centre and scale."""

WORDS_WEIGHT = 0.9  # a passage with every word of the query is right this often


class Models(Protocol):
    """Where the encoders of a library come from; each is loaded when it is first asked for."""

    def visual(self) -> ImageTextEncoder:
        """Return the encoder of frames."""
        ...

    def passages(self) -> TextEncoder:
        """Return the encoder of passages."""
        ...

    def sound(self) -> SoundTextEncoder | None:
        """Return the encoder of sounds, None if there is none here."""
        ...


class Searcher:
    """Answers queries on an open library. It keeps indexes and timelines, and drops them when the library changes."""

    def __init__(self, store: Store, index: Callable[[Modality], Nearest | None], models: Models) -> None:
        self._store = store
        self._open_index = index
        self._models = models
        self._indexes: dict[Modality, tuple[int, Nearest | None]] = {}
        self._backgrounds: dict[Modality, tuple[int, Vectors]] = {}
        self._timelines: Kept[Timeline | None] = Kept(KEPT, _size)
        self._shown: dict[Modality, tuple[int, Written]] = {}
        self._counts: dict[Modality, tuple[int, int]] = {}
        self._names: frozenset[str] | None = None
        self._speech = Speech(store)
        self._ahead = Ahead()

    def search(self, query: Query) -> list[Hit]:
        """Return the hits, best first. Raises `QueryError` for a query that asks nothing, or asks it of no modality."""
        modalities = question.modalities(query)
        with one_core(), self._store.snapshot():
            return self._search(query, modalities)

    def _search(self, query: Query, modalities: Sequence[Modality]) -> list[Hit]:
        chosen = self._chosen_media(query)
        if chosen is not None and not chosen:
            return []
        many = max(MANY, query.limit) if query.then or query.distinct else query.limit
        steps = [fuse(self._rank(query, modalities, chosen, max(many, 10)), limit=many)]
        for text in query.then:
            step = replace(query, text=text, image=None)
            media = sorted({moment.media_id for moment in steps[-1]})
            steps.append(fuse(self._rank(step, question.modalities(step), media, many), limit=many) if media else [])
        moments = chains(steps, query.within, many) if query.then else steps[0]
        if query.distinct:
            moments = distinct(moments, self._look, query.limit)
        telling = self._telling((query.text, *query.then), "screen" in modalities)
        return [self._hit(moment, telling) for moment in moments[: query.limit] if moment.score >= query.min_score]

    def _rank(
        self, query: Query, modalities: Sequence[Modality], chosen: Sequence[int] | None, wanted: int
    ) -> dict[Modality, list[Candidate]]:
        """Return the candidates of each modality, lowered by what is not wanted."""
        rankings = self._rank_wanted(query, modalities, chosen, wanted)
        if query.text and query.image is None and self._routed():
            rankings = routed(words.plain(query.text), self.names(), rankings)
        media = sorted({candidate.media_id for ranking in rankings.values() for candidate in ranking})
        for unwanted in question.unwanted(query) if media else ():
            bad = self._rank_wanted(unwanted, question.modalities(unwanted), media, max(wanted, MANY))
            rankings = turn_down(rankings, bad.values())
        return rankings

    def rankings(self, query: Query, modalities: Sequence[Modality]) -> dict[Modality, list[Candidate]]:
        """Return what each modality finds by itself in the whole library, before they are weighed."""
        with one_core(), self._store.snapshot():
            return self._rank_wanted(query, modalities, None, 10)

    def names(self) -> frozenset[str]:
        """Return the stems of the words that the visual model has names for; none if it has no fixed names."""
        if self._names is None:
            self._names = stems(getattr(self._models.visual(), "labels", ()))
        return self._names

    def _has(self, modality: Modality) -> bool:
        """Tell whether there is any segment of a modality: counted once for each state of the library."""
        generation = self._store.generation(modality)
        known = self._counts.get(modality)
        if known is None or known[0] != generation:
            known = self._counts[modality] = (generation, self._store.count(modality))
        return known[1] > 0

    def _routed(self) -> bool:
        model = self._store.models.get("visual")
        return model is not None and model.name in ROUTED

    def _rank_wanted(
        self, query: Query, modalities: Sequence[Modality], chosen: Sequence[int] | None, wanted: int
    ) -> dict[Modality, list[Candidate]]:
        rankings: dict[Modality, list[Candidate]] = {}
        if "speech" in modalities and query.text and self._has("speech"):
            rankings["speech"] = self._hear(query.text, chosen, wanted)
        if "visual" in modalities and (vector := self._visual_vector(query)) is not None:
            rankings["visual"] = self._see(vector, chosen, wanted, query.where, pictured=query.image is not None)
        if "screen" in modalities and query.text and self._has("screen"):
            rankings["screen"] = self._read(query.text, chosen, wanted)
        if "caption" in modalities and query.text and self._has("caption"):
            rankings["caption"] = self._read(query.text, chosen, wanted, "caption")
        if "sound" in modalities and (vector := self._sound_vector(query)) is not None:
            shown = query.audio is not None or query.image is not None
            rankings["sound"] = self._sounds(vector, chosen, wanted, shown)
        return {
            modality: [
                candidate if trimmed is candidate.match else replace(candidate, match=trimmed)
                for candidate in ranking
                if (trimmed := clip(candidate.match, query.where)) is not None
            ]
            for modality in SEARCHED
            if (ranking := rankings.get(modality)) is not None
        }

    def similar(self, stored: StoredMedia, time: float, limit: int) -> list[Hit]:
        """Return moments like the one at `time` of a media, best first: by what is seen, or where there is no picture,
        by what is said. The moment itself is left out. Raises `QueryError` for a time outside the media."""
        if not stored.media.start <= time < stored.media.end:
            raise QueryError(
                f"{stored.media.path}: has no moment {time:g} s; it lasts from {stored.media.start:g} to "
                f"{stored.media.end:g} s"
            )
        with one_core(), self._store.snapshot():
            timeline = self._timeline(stored.id)
            if timeline is not None and len(timeline.times):
                found = self._see(frame_shown(timeline, time), None, limit + 1, pictured=True)
            else:
                found = self._said_alike(stored.id, time)
            others = [c for c in found if c.media_id != stored.id or not c.match.start <= time < c.match.end]
            modality: Modality = "visual" if timeline is not None else "speech"
            return [self._hit(moment) for moment in fuse({modality: others}, limit=limit)]

    def _said_alike(self, media_id: int, time: float) -> list[Candidate]:
        """Return the passages that mean the same as the one at `time`, or the nearest to it, itself among them."""
        here = self._store.segments_of(media_id, "speech")
        if not here:
            raise QueryError("nothing is known of this moment: neither picture nor speech is indexed")
        own = min(here, key=lambda s: (max(s.segment.start - time, time - s.segment.end, 0.0), s.segment.start))
        _, vectors = next(self._store.vectors("speech", ids=[own.id]))
        return [
            Candidate(
                segment.media_id,
                Match(
                    "speech",
                    logistic(cosine, MEANING_CENTRE, MEANING_SCALE),
                    segment.segment.start,
                    segment.segment.end,
                    segment.segment.start,
                    segment.segment.text,
                    cosine,
                ),
            )
            for segment, cosine in self._nearest("speech", vectors[0], None)
            if segment.id != own.id
        ]

    def _look(self, moment: Moment) -> Vectors | None:
        timeline = self._timeline(moment.media_id)
        return None if timeline is None or not len(timeline.times) else frame_shown(timeline, moment.matches[0].time)

    def _telling(self, texts: Sequence[str | None], on_screen: bool) -> set[str]:
        """Return the folded words that are to be marked in what was found."""
        asked = [word for text in texts if text for word in words.parse(text).words]
        spelt = [other for word in asked for other in self._written().spellings(word)] if on_screen else []
        said = [token for some in self._speech.forms(asked).values() for form in some for token in form.split()]
        return {*asked, *spelt, *said}

    def curve(self, query: Query, media_id: int) -> Curve:
        """Return how well each moment of one media answers a query, per modality."""
        modalities = question.modalities(query)
        with one_core(), self._store.snapshot():
            seen = said = None
            timeline = self._timeline(media_id) if "visual" in modalities else None
            if timeline is not None and len(timeline.times) and (vector := self._visual_vector(query)) is not None:
                _, half, scale = self._measure("visual", vector, query.image is not None)
                raw = (timeline.vectors @ vector)[timeline.rows]
                seen = np.array([logistic(float(s), half, scale) for s in raw])
            if "speech" in modalities and query.text and self._has("speech"):
                said = tuple(candidate.match for candidate in self._hear(query.text, [media_id], CANDIDATES))
        return Curve(timeline.times if seen is not None and timeline else np.zeros(0), seen, said or ())

    # Visual

    def _visual_vector(self, query: Query) -> Vectors | None:
        if not self._has("visual"):
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
        self,
        vector: Vectors,
        chosen: Sequence[int] | None,
        limit: int,
        where: Filter = ANYWHERE,
        *,
        pictured: bool = False,
    ) -> list[Candidate]:
        centre, half, scale = self._measure("visual", vector, pictured)
        found: list[Candidate] = []
        for media_id in self._media_near(vector, chosen):
            timeline = self._timeline(media_id)
            if timeline is not None and len((timeline := cut(timeline, where)).times):
                found += [
                    Candidate(media_id, match) for match in moments_seen(timeline, vector, centre, half, scale, limit)
                ]
        return found

    def _media_near(self, vector: Vectors, chosen: Sequence[int] | None) -> list[int]:
        """Return the media with the nearest visual segments, nearest first."""
        if (index := self._index("visual")) is None:
            return []
        ids = [int(i) for i in index.search(vector, CANDIDATES, chosen)[0]]
        found: dict[int, None] = {}
        for first in range(0, len(ids), 2 * CANDIDATE_MEDIA):  # mostly the first of these parts is enough
            found |= dict.fromkeys(
                one.media_id for one in self._store.segments(ids[first : first + 2 * CANDIDATE_MEDIA])
            )
            if len(found) >= CANDIDATE_MEDIA:
                break
        return list(found)[:CANDIDATE_MEDIA]

    def _measure(self, modality: Modality, vector: Vectors, shown: bool) -> tuple[float, float, float]:
        """Return what cosine is usual for a query in this library, which one scores one half, and what is added to that
        for 0.73: known ones, else deviations. `shown` says that a picture or a sound is part of the query."""
        model = self._store.models.get(modality)
        usual = self._background(modality) @ vector
        centre = float(np.median(usual))
        if model is not None and not shown and model.name in KNOWN_COSINES:
            return centre, *KNOWN_COSINES[model.name]
        # 1.4826 makes the median absolute deviation of a normal distribution its standard deviation.
        spread = max(1.4826 * float(np.median(np.abs(usual - centre))), 0.01)
        return centre, centre + VISUAL_CENTRE * spread, VISUAL_SCALE * spread

    def _timeline(self, media_id: int) -> Timeline | None:
        key = (self._store.generation("visual"), media_id)
        return self._timelines.get(key, lambda: self._store.timeline(media_id))

    # Speech

    def _hear(self, text: str, chosen: Sequence[int] | None, limit: int) -> list[Candidate]:
        meaning = self._meaning(text)  # while the words are looked up
        asked = words.parse(text)
        forms = self._speech.forms(asked.words)
        said, by_words = said_in_words(
            asked, forms, self._store, media=chosen, limit=CANDIDATES, weight=WORDS_WEIGHT, total=self._speech.count()
        )
        vector = meaning.result()[0]
        meant = self._nearest("speech", vector, chosen)
        segments = {segment.id: segment for segment in said}
        if not asked.phrases:  # quoted words must be there
            segments |= {segment.id: segment for segment, _ in meant}
        cosine = {segment.id: value for segment, value in meant}
        cosine |= self._cosines_of("speech", [i for i in segments if i not in cosine], vector)
        usual = float(np.median(list(cosine.values()))) if cosine else 0.0
        generation = self._speech.generation()
        found = []
        for segment_id in self._closer(segments, cosine, by_words):
            segment = segments[segment_id]
            spoken = self._speech.utterances(segment.media_id, generation, len(vector))
            sayings = part_said(segment.segment, spoken, forms, vector, cosine[segment_id], usual)
            worth = by_words.get(segment_id, 0.0)
            first = None
            if worth > 0:
                transcript = self._speech.transcript(segment.media_id, generation)
                first = first_said(segment.segment, transcript, forms, sayings[0].start)
            found.append([Candidate(segment.media_id, said_match(saying, worth, first)) for saying in sayings])
        return settled(found)[: 5 * limit]

    def _meaning(self, text: str) -> Future[Vectors]:
        """Return the sentence vector of a query to come, (1, dim)."""
        return self._ahead.begin(self._models.passages(), words.plain(text))

    def _closer(self, segments: Iterable[int], cosine: Mapping[int, float], by_words: Mapping[int, float]) -> list[int]:
        """Return the passages worth a closer look, by what they score as wholes: parts of the others score no better
        than theirs."""

        def whole(segment_id: int) -> tuple[float, int]:
            by_meaning = logistic(cosine[segment_id], MEANING_CENTRE, MEANING_SCALE)
            return -either(by_meaning, by_words.get(segment_id, 0.0)), segment_id

        return sorted(segments, key=whole)[:CLOSER]

    # Screen

    def _read(
        self, text: str, chosen: Sequence[int] | None, limit: int, modality: Modality = "screen"
    ) -> list[Candidate]:
        meant: list[StoredSegment] = []
        vector = None
        if self._index(modality) is not None:
            vector = self._meaning(text).result()[0]
            meant = [segment for segment, _ in self._nearest(modality, vector, chosen)]

        def meanings(ids: Sequence[int]) -> dict[int, tuple[float, float]]:
            cosine = {} if vector is None else self._cosines_of(modality, ids, vector)
            return {i: (value, logistic(value, *scale)) for i, value in cosine.items()}

        scale = (SCREEN_CENTRE, SCREEN_SCALE) if modality == "screen" else (MEANING_CENTRE, MEANING_SCALE)
        asked, written = words.parse(text), self._written(modality)
        found = rank_shown(
            asked, self._store, written, meant, meanings, media=chosen, weight=WORDS_WEIGHT, modality=modality
        )
        return found[: 5 * limit]

    def _written(self, modality: Modality = "screen") -> Written:
        """Return the words of all texts of a modality."""
        generation = self._store.generation(modality)
        known = self._shown.get(modality)
        if known is None or known[0] != generation:
            known = self._shown[modality] = (generation, Written(self._store.texts(modality)))
        return known[1]

    # Sound

    def _sound_vector(self, query: Query) -> Vectors | None:
        encoder = self._models.sound() if self._has("sound") else None
        return None if encoder is None else asked_vector(query, encoder, window=self._store.recipe.sound_window)

    def _sounds(self, vector: Vectors, chosen: Sequence[int] | None, limit: int, shown: bool) -> list[Candidate]:
        near = [segment for segment, _ in self._nearest("sound", vector, chosen)]
        media = list(dict.fromkeys(segment.media_id for segment in near))[:CANDIDATE_MEDIA]
        return rank_heard(self._store, media, vector, self._measure("sound", vector, shown), limit)

    # Both

    def _nearest(
        self, modality: Modality, vector: Vectors, chosen: Sequence[int] | None
    ) -> list[tuple[StoredSegment, float]]:
        if (index := self._index(modality)) is None:
            return []
        ids, scores = index.search(vector, CANDIDATES, chosen)
        score = {int(segment_id): float(value) for segment_id, value in zip(ids, scores, strict=True)}
        return [(segment, score[segment.id]) for segment in self._store.segments([int(i) for i in ids])]

    def _cosines_of(self, modality: Modality, ids: Sequence[int], vector: Vectors) -> dict[int, float]:
        if not ids:
            return {}
        found, scores = cosines(vector, list(self._store.vectors(modality, ids=ids)))
        return {int(segment_id): float(value) for segment_id, value in zip(found, scores, strict=True)}

    def _index(self, modality: Modality) -> Nearest | None:
        generation = self._store.generation(modality)
        known = self._indexes.get(modality)
        if known is None or known[0] != generation:
            known = (generation, self._open_index(modality))
            self._indexes[modality] = known
        return known[1]

    def _background(self, modality: Modality) -> Vectors:
        """Return up to `BACKGROUND` vectors spread evenly over the whole library, (n, dim)."""
        index = self._index(modality)
        generation = self._store.generation(modality)
        known = self._backgrounds.get(modality)
        if known is None or known[0] != generation:
            few: NDArray[np.uint64] = index.spread(BACKGROUND) if index is not None else np.zeros(0, np.uint64)
            batches = [vectors for _, vectors in self._store.vectors(modality, ids=[int(i) for i in few])]
            if not batches:
                raise unreadable(self._store.place, f"the {modality} index knows other segments")
            known = (generation, np.concatenate(batches))
            self._backgrounds[modality] = known
        return known[1]

    def _chosen_media(self, query: Query) -> list[int] | None:
        """Return the ids of the media that the query asks; None when all are meant."""
        where = replace(query.where, start=None, end=None)  # these two choose no media
        if not query.media and where == ANYWHERE:
            return None
        media = self._store.media()
        return [stored.id for stored in media if chooses(stored.media, stored.added, query.media, where)]

    def _hit(self, moment: Moment, telling: Collection[str] = ()) -> Hit:
        stored = self._store.media_by_id(moment.media_id)
        if stored is None:
            raise unreadable(self._store.place, "a segment belongs to no media")
        start, end = fit(moment.start, moment.end, stored.media.start, stored.media.end)
        matches = tuple(
            replace(match, marks=words.spans(match.text, telling)) if match.text and telling else match
            for match in moment.matches
        )
        return Hit(stored.media.path, start, end, moment.score, matches, moment.media_id)


def _size(timeline: Timeline | None) -> int:
    return 1 if timeline is None else timeline.vectors.nbytes
