"""What an engine heard in a clip, made into utterances: hallucinations dropped, times put right, sentences parted.

Pure functions, the same for both engines.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..datatypes import Utterance, Word
from .clips import Clip

SHORTEST_WORD = 0.02
"""Seconds: Whisper's own resolution of time."""

PAUSE = 1.0
"""Seconds of silence inside a segment that part two utterances."""

_SENTENCE_END = re.compile(r"""[.!?…。！？｡؟।]["'”’»)\]]*$""")
_ABBREVIATION = re.compile(r"""^["'“‘«(\[]*(?:[A-Z]|(?:Mr|Mrs|Ms|Dr|Prof|St|Sr|Jr|vs|etc|No|Mt|Gen|Col|Lt|Sgt))\.$""")


@dataclass(frozen=True, slots=True)
class Heard:
    """A segment of Whisper's, with times from the clip's first sample and words as it writes them (" word").

    `no_speech` is the probability that nobody speaks, `likelihood` the mean log probability of the text's tokens,
    `compression` how much shorter gzip makes the text: above 2.4 it repeats itself.
    """

    text: str
    words: tuple[Word, ...]
    no_speech: float
    likelihood: float
    compression: float

    @property
    def is_loop(self) -> bool:
        """Whether the decoder was caught in a loop (the threshold is Whisper's own)."""
        return self.compression > 2.4

    @property
    def is_invented(self) -> bool:
        """Whether this is text on something that is no speech (the thresholds are Whisper's own)."""
        return self.no_speech > 0.6 and self.likelihood < -1.0


def utterances(clip: Clip, segments: Sequence[Heard]) -> list[Utterance]:
    """Return the utterances in a clip on the media's timeline, in order.

    What Whisper invented is dropped, loops are cut to one round. Words begin in order, last at least 0.02 s and lie
    inside the clip's speech. Segments are split at the ends of sentences and at pauses.
    """
    kept = [segment for segment in segments if not segment.is_invented and not segment.is_loop]
    spoken = [(i, word) for i, segment in enumerate(kept) for word in segment.words if word.text.strip()]
    spoken = without_loops(spoken)
    timed = in_order([inside_speech(_shift(word, clip.start), clip) for _, word in spoken], clip.end)
    result: list[Utterance] = []
    current: list[Word] = []
    for at, (segment, _) in enumerate(spoken):
        word = timed[at]
        if current and (
            segment != spoken[at - 1][0] or ends_sentence(current[-1].text) or word.start - current[-1].end >= PAUSE
        ):
            result.append(_utterance(current))
            current = []
        current.append(word)
    return [*result, _utterance(current)] if current else result


def ends_sentence(word: str) -> bool:
    """Tell whether a sentence ends with this word: a mark that ends one, but neither "Dr." nor an initial."""
    word = word.strip()
    return _SENTENCE_END.search(word) is not None and _ABBREVIATION.match(word) is None


def without_loops(spoken: Sequence[tuple[int, Word]]) -> list[tuple[int, Word]]:
    """Return the words without the rounds that repeat up to eight of them at once, when there are five rounds or more.

    People say "no, no, no"; nobody says the same sentence five times running, but Whisper does on noise.
    """
    kept = list(spoken)
    for length in range(1, 9):
        rounds = 5 if length > 1 else 8
        i = 0
        while i + length * rounds <= len(kept):
            same = i
            while same + length < len(kept) and _bare(kept[same]) == _bare(kept[same + length]):
                same += 1
            if (same - i) // length + 1 >= rounds:
                del kept[i + length : i + length * ((same - i) // length + 1)]
            i += 1
    return kept


def inside_speech(word: Word, clip: Clip) -> Word:
    """Return the word cut to the region of speech in which most of it lies, or the nearest one.

    Whisper lets the word after a pause begin in the pause, and times a stray word in silence.
    """
    regions = clip.speech or ((clip.start, clip.end),)
    start, end = max(regions, key=lambda region: min(word.end, region[1]) - max(word.start, region[0]))
    first = min(max(word.start, start), end - SHORTEST_WORD)
    return replace(word, start=first, end=max(first + SHORTEST_WORD, min(word.end, end)))


def in_order(words: Sequence[Word], end: float) -> list[Word]:
    """Return the words with starts that never go back and ends no later than the next word's start, and `end`.

    Whisper gives some words no time at all: such a word takes half of the next one's.
    """
    starts: list[float] = []
    for i, word in enumerate(words):
        start = word.start
        if i and start - starts[-1] < SHORTEST_WORD:
            start = max(starts[-1], (starts[-1] + word.end) / 2)
        starts.append(min(start, end - SHORTEST_WORD))
    following = [*starts, end][1:]
    return [
        replace(word, start=start, end=max(start + SHORTEST_WORD, min(word.end, after)))
        for word, start, after in zip(words, starts, following, strict=True)
    ]


def _shift(word: Word, offset: float) -> Word:
    return replace(word, start=word.start + offset, end=word.end + offset)


def _bare(item: tuple[int, Word]) -> str:
    return item[1].text.strip(" .,!?…").lower()


def _utterance(words: Sequence[Word]) -> Utterance:
    text = "".join(word.text for word in words).strip()
    stripped = tuple(replace(word, text=word.text.strip()) for word in words)
    return Utterance(words[0].start, max(word.end for word in words), text, stripped)
