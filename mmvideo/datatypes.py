"""The values that travel between the stations, and the protocols of the encoders.

Values are frozen dataclasses without behaviour beyond what can be read off their fields. Times are float seconds of
presentation time as the container states them (a stream may start after zero), intervals are half open: [start, end).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Modality = Literal["visual", "speech", "sound", "screen", "caption"]
"""One way to perceive a media."""

SEARCHED: tuple[Modality, ...] = ("visual", "speech", "screen", "sound", "caption")
"""The modalities that can be searched."""

MEANT: tuple[Modality, ...] = ("speech", "screen", "caption")
"""The modalities made of text, whose vectors are those of the recipe's `passages`."""

Pooling = Literal["mean", "max", "topk"]
"""How the frame vectors of a segment become one vector (see `mmvideo.pool`)."""

Images = NDArray[np.uint8]
"""RGB pictures of one size, shape (n, height, width, 3)."""

Vectors = NDArray[np.float32]
"""Unit vectors, shape (n, dim)."""

Samples = NDArray[np.float32]
"""Mono sound in [-1, 1], shape (n,)."""

SAMPLE_RATE = 16_000
"""Samples per second of sound unless another rate is asked for: what Whisper and voice activity detection expect."""


# Media


@dataclass(frozen=True, slots=True)
class VideoStream:
    """The video stream of a media, as its container describes it. `rotation` is in degrees, clockwise, to show it
    upright."""

    codec: str
    width: int
    height: int
    rotation: int = 0
    frame_rate: float | None = None


@dataclass(frozen=True, slots=True)
class AudioStream:
    """One audio stream of a media. `language` is the container's ISO 639 tag, where it has one."""

    codec: str
    sample_rate: int
    channels: int
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Media:
    """One file, and what is in it.

    `path` is absolute. Its timeline is [start, end), `start` being the container's own (0 for most files). `size` in
    bytes and `mtime_ns` tell cheaply whether the file has changed; `fingerprint` (hexadecimal) recognises its content
    when it was moved or renamed.
    """

    path: Path
    size: int
    mtime_ns: int
    fingerprint: str
    container: str
    start: float
    duration: float
    video: VideoStream | None = None
    audio: tuple[AudioStream, ...] = ()

    @property
    def end(self) -> float:
        """The moment after the last one, in seconds."""
        return self.start + self.duration


@dataclass(frozen=True, slots=True)
class Frames:
    """A batch of pictures with their times: `images` (n, height, width, 3) uint8 RGB upright, `times` (n,) float64."""

    images: Images
    times: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.times)


@dataclass(frozen=True, slots=True)
class Audio:
    """A stretch of mono sound at `rate` samples per second: the first of `samples` (n,) is heard at `start` seconds."""

    samples: Samples
    start: float = 0.0
    rate: int = SAMPLE_RATE

    @property
    def end(self) -> float:
        """The moment after the last sample, in seconds."""
        return self.start + len(self.samples) / self.rate


# What was said


@dataclass(frozen=True, slots=True)
class Word:
    """One spoken word with its time. `text` has no surrounding space; `probability` is the recogniser's own, if any."""

    start: float
    end: float
    text: str
    probability: float | None = None


@dataclass(frozen=True, slots=True)
class Utterance:
    """A sentence or less, as the recogniser or the subtitle gives it. `words` is empty where nothing timed them."""

    start: float
    end: float
    text: str
    words: tuple[Word, ...] = ()


@dataclass(frozen=True, slots=True)
class Transcript:
    """All that is said in a media, in order. `source` is a model's name or the path of the subtitle file."""

    utterances: tuple[Utterance, ...]
    language: str | None = None
    source: str = ""


# What is indexed


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a media in one modality: the unit that is indexed. `text` is what is said or shown, if anything."""

    modality: Modality
    start: float
    end: float
    text: str | None = None


@dataclass(frozen=True)
class Timeline:
    """What was seen when: sample i at `times[i]` (n,) shows vector `rows[i]` (n,) of `vectors` (m, dim), m ≤ n.

    Samples that repeat an earlier one share its row: they lengthen the moment without being encoded again. `cuts` are
    the times of shot cuts. The media lasts from `start` to `end`.
    """

    times: NDArray[np.float64]
    rows: NDArray[np.int32]
    vectors: Vectors
    cuts: NDArray[np.float64]
    start: float
    end: float

    @cached_property
    def edges(self) -> NDArray[np.float64]:
        """The borders (n + 1,) of what the samples stand for: each from its own time to the next one's, the first from
        the media's start, the last to its end."""
        if len(self.times) == 0:
            return np.array([self.start, self.end])
        last = max(self.end, float(self.times[-1]))
        return np.concatenate([[min(self.start, float(self.times[0]))], self.times[1:], [last]])

    @cached_property
    def step(self) -> float:
        """How many seconds a sample usually stands for."""
        return float(np.median(np.diff(self.edges)))

    @cached_property
    def shots(self) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Which shot each sample lies in (n,), and how long each shot lasts, in seconds."""
        borders = np.concatenate(([self.start], self.cuts, [self.end]))
        return np.searchsorted(self.cuts, self.times, side="right"), np.diff(borders)


@dataclass(frozen=True, slots=True)
class ModelId:
    """Which weights made a vector: vectors with different `ModelId`s must never be compared.

    `name` is the short name or hub id, `revision` a hash of the weights or the hub's commit, `dim` the length of a
    vector (0 for a model that makes text).
    """

    name: str
    revision: str
    dim: int = 0


@dataclass(frozen=True, slots=True)
class Recipe:
    """Every setting that decides what is stored. The defaults' reasons are in `docs/DESIGN.md`.

    `visual`, `speech`, `passages`, `screen`, `sound` and `caption` name models ("auto" = the best one that can be had
    here, "none" = leave out; "auto" leaves `screen` out where `rapidocr` is not installed, and `sound` where no weights
    for it are on this machine). Text is read in frames of `screen_size`; sound is heard in windows of `sound_window`
    seconds, every half of that.
    `language` is a two-letter code, or None to detect it. A frame is taken every `frame_interval` seconds; where
    keyframes are at most `keyframe_gap` seconds apart, the keyframe before it, which costs a tenth (0: never).
    """

    visual: str = "auto"
    speech: str = "auto"
    passages: str = "auto"
    screen: str = "auto"
    sound: str = "auto"
    caption: str = "none"
    language: str | None = None
    frame_interval: float = 1.0
    keyframe_gap: float = 4.0
    frame_size: int = 288
    duplicate_threshold: float = 0.02
    cut_threshold: float = 0.12
    max_segment: float = 10.0
    pooling: Pooling = "mean"
    min_passage: float = 5.0
    max_passage: float = 20.0
    sidecar: bool = True
    screen_size: int = 480
    sound_window: float = 5.0


# Questions and answers


@dataclass(frozen=True, slots=True)
class Filter:
    """Which media are asked, and which stretch of each. Lengths and times in seconds; None sets no bound.

    A time of day without a zone is local. `start` and `end` are times inside the media: hits lie in [start, end).
    """

    longer_than: float | None = None
    shorter_than: float | None = None
    added_after: datetime | None = None
    added_before: datetime | None = None
    start: float | None = None
    end: float | None = None


ANYWHERE = Filter()
"""No bounds."""


@dataclass(frozen=True, slots=True)
class Query:
    """A question: words, a picture, or both together as one composed query (their vectors are averaged by weight); or a
    sound, with or without words.

    `media` are globs of which one must fit. `without` and `without_image` are not wanted. `then` are words for what
    must follow, one after another, each at most `within` seconds after the end of the one before. `distinct` leaves out
    hits that repeat a better one.
    """

    text: str | None = None
    image: Images | None = None
    audio: Audio | None = None
    modalities: tuple[Modality, ...] | None = None
    limit: int = 10
    media: tuple[str, ...] = ()
    text_weight: float = 0.5
    min_score: float = 0.0
    without: str | None = None
    without_image: Images | None = None
    then: tuple[str, ...] = ()
    within: float = 30.0
    distinct: bool = False
    where: Filter = ANYWHERE


@dataclass(frozen=True, slots=True)
class Match:
    """A segment that one modality ranked.

    `score` in [0, 1] is calibrated per modality, so that scores of different queries and modalities can be compared;
    `similarity` is the raw cosine where there is one. `time` is the best moment in [start, end). `text` holds the words
    said or shown, `marks` where words of the query stand in it, [start, end) in characters. `reasons` are the numbers
    that the score was made of, by name.
    """

    modality: Modality
    score: float
    start: float
    end: float
    time: float
    text: str | None = None
    similarity: float | None = None
    words_matched: bool = False
    marks: tuple[tuple[int, int], ...] = ()
    reasons: tuple[tuple[str, float], ...] = ()


SURE = 0.5
"""The score from which on a hit counts as found; what that lets through and withholds is in `docs/EVALUATION.md`."""


@dataclass(frozen=True, slots=True)
class Hit:
    """What the user gets: an interval of a media with the matches that speak for it, best first."""

    path: Path
    start: float
    end: float
    score: float
    matches: tuple[Match, ...] = ()
    media_id: int | None = None

    @property
    def text(self) -> str | None:
        """The words said in this hit, if a match carries any."""
        return next((match.text for match in self.matches if match.text), None)

    @property
    def sure(self) -> bool:
        """Whether it is likelier right than not; one that is not is just the nearest that there is."""
        return self.score >= SURE

    @property
    def time(self) -> float:
        """The best moment of the best match: where to start playing or take a thumbnail."""
        return self.matches[0].time if self.matches else self.start


@dataclass(frozen=True, slots=True)
class Curve:
    """How well each moment of one media answers a query, scores in [0, 1] as in `Match`.

    `seen` (n,) belongs to the samples at `times` (n,), None where the pictures were not asked; `said` are the passages,
    best first.
    """

    times: NDArray[np.float64]
    seen: NDArray[np.float64] | None = None
    said: tuple[Match, ...] = ()


# Reports


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a long task is. `done` and `total` count `unit`s of the `stage` for this `path`; `total` may be
    unknown."""

    stage: str
    path: Path | None
    done: float
    total: float | None
    unit: str = "s"


ProgressCallback = Callable[[Progress], Any]

Outcome = Literal["added", "updated", "moved", "unchanged", "failed"]


@dataclass(frozen=True, slots=True)
class MediaReport:
    """What became of one file: `message` says why it failed; `notes` what a careful user wants to know."""

    path: Path
    outcome: Outcome
    message: str = ""
    notes: tuple[str, ...] = ()
    segments: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class AddReport:
    """What became of every file of one `add`, in the order in which they were taken."""

    media: tuple[MediaReport, ...]
    notes: tuple[str, ...] = ()

    def count(self, *outcomes: Outcome) -> int:
        """The number of files with one of these outcomes."""
        return sum(report.outcome in outcomes for report in self.media)

    @property
    def failed(self) -> tuple[MediaReport, ...]:
        """The files that could not be added."""
        return tuple(report for report in self.media if report.outcome == "failed")


# Encoders


@runtime_checkable
class TextEncoder(Protocol):
    """Makes unit vectors of texts. Heavy imports and weights wait until the first call."""

    @property
    def model(self) -> ModelId:
        """The weights that do it."""

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Return one unit vector per text, shape (n, dim) float32; n may be 0."""


@runtime_checkable
class ImageTextEncoder(TextEncoder, Protocol):
    """Makes unit vectors of pictures and of texts in one space."""

    def encode_images(self, images: Images | Sequence[Images]) -> Vectors:
        """Return one unit vector per picture, shape (n, dim) float32; `images` is (n, height, width, 3) uint8 RGB, or a
        sequence of (height, width, 3) pictures of any sizes; n may be 0."""


@runtime_checkable
class SoundTextEncoder(TextEncoder, Protocol):
    """Makes unit vectors of sounds and of texts in one space. One with `encode_images` takes pictures as well."""

    @property
    def rate(self) -> int:
        """The samples per second that it wants."""

    @property
    def longest(self) -> float:
        """The seconds that it hears at most."""

    def encode_sounds(self, sounds: Sequence[Samples]) -> Vectors:
        """Return one unit vector per sound (n,) at `rate`, none longer than `longest`; shape (n, dim) float32."""


@runtime_checkable
class Captioner(Protocol):
    """Says what pictures show."""

    @property
    def model(self) -> ModelId:
        """The weights that do it."""

    def caption(self, images: Images | Sequence[Images]) -> list[str]:
        """Return what each picture (height, width, 3) uint8 RGB shows, "" for one of which nothing can be said."""


@runtime_checkable
class Transcriber(Protocol):
    """Makes text of speech."""

    @property
    def model(self) -> ModelId:
        """The weights that do it."""

    def transcribe(
        self,
        audio: Iterable[Audio],
        *,
        language: str | None = None,
        progress: Callable[[float], Any] | None = None,
    ) -> Transcript:
        """Return what is said in consecutive stretches of sound, with times on the media's timeline.

        Memory is bounded by the longest stretch. `progress` is told the time up to which the sound has been heard.
        """
