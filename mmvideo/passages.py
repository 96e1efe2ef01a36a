"""What is said, cut into passages: the segments of speech that are indexed.

A passage should hold one thought and be short enough to jump to. It ends at the end of a sentence or at a pause, once
it has its minimum length; a long silence ends it whatever its length, because two things said minutes apart are two
moments. Pure functions over a `Transcript`.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from .datatypes import Segment, Transcript, Utterance, Word

SILENCE = 5.0
"""Seconds of silence that no passage crosses. Shorter ones may be crossed by a passage under its minimum."""

SHORTEST = 0.5
"""Every passage lasts at least so many seconds: a single "yes" must be long enough to play."""

_SENTENCE_END = re.compile(r"""[.!?…。！？｡؟।]["'”’»)\]]*$""")


@dataclass(frozen=True, slots=True)
class _Piece:
    """Speech that is not cut any more: an utterance, or a part of one that was too long."""

    start: float
    end: float
    text: str

    @property
    def ends_sentence(self) -> bool:
        return ends_sentence(self.text)


def passages(
    transcript: Transcript, *, minimum: float = 5.0, maximum: float = 20.0, pause: float = 1.0
) -> list[Segment]:
    """Return the passages of a transcript as segments of modality "speech", ordered by start.

    Most last `minimum` to `maximum` seconds and none more than `maximum`; each starts with its first word and ends
    with its last. A passage of at least `minimum` ends at the end of a sentence or at a pause of `pause` seconds, one
    that is shorter only at `SILENCE`. What remains at the end joins the passage before it, where that stays below
    `maximum`. Utterances without text are left out. `ValueError` unless 0 ≤ minimum ≤ maximum and maximum > 0.
    """
    if not 0 <= minimum <= maximum or maximum <= 0:
        raise ValueError(f"a passage cannot last {minimum} to {maximum} s")
    groups: list[list[_Piece]] = []
    for piece in _pieces(transcript, maximum):
        if groups and _belongs(piece, groups[-1], minimum, maximum, pause):
            groups[-1].append(piece)
        else:
            groups.append([piece])
    groups = _join_short(groups, minimum, maximum, pause)
    return _lengthen([_segment(group) for group in groups], min(SHORTEST, maximum))


def words_in(transcript: Transcript, start: float, end: float) -> str:
    """Return what is said in [start, end), joined by single spaces.

    A word counts when its middle lies inside; an utterance whose words are not timed counts as a whole, when its middle
    lies inside or the interval lies inside it.
    """
    said: list[str] = []
    for utterance in transcript.utterances:
        if utterance.start >= end or utterance.end <= start:
            continue
        if utterance.words:
            inside = [i for i, word in enumerate(utterance.words) if start <= (word.start + word.end) / 2 < end]
            said += [_slices(utterance, [inside[0], inside[-1] + 1])[1]] if inside else []
        elif start <= (utterance.start + utterance.end) / 2 < end or utterance.start <= start < end <= utterance.end:
            said.append(utterance.text)
    return " ".join(text for text in said if text)


def ends_sentence(text: str) -> bool:
    """Tell whether a text ends with a mark that ends a sentence, quotation marks and brackets after it aside."""
    return _SENTENCE_END.search(text.rstrip()[-8:]) is not None


# From utterances to pieces


def _pieces(transcript: Transcript, maximum: float) -> Iterator[_Piece]:
    utterances = sorted(transcript.utterances, key=lambda utterance: (utterance.start, utterance.end))
    for utterance in utterances:
        text = " ".join(utterance.text.split())
        if not text:
            continue
        start, end = utterance.start, max(utterance.end, utterance.start)
        if utterance.words:  # a recogniser's utterance may reach into the silence around it, its words do not
            start = utterance.words[0].start
            end = max(start, max(word.end for word in utterance.words))
        if end - start <= maximum:
            yield _Piece(start, end, text)
        elif utterance.words:
            yield from _split_at_words(utterance, maximum)
        else:
            yield from _split_by_length(start, end, text, maximum)


def _split_at_words(utterance: Utterance, maximum: float) -> Iterator[_Piece]:
    """Cut before the word with the longest pause in the second half of what fits, again and again."""
    words = utterance.words
    borders = [0]
    while borders[-1] < len(words):
        borders.append(_next_border(words, borders[-1], maximum))
    texts = _slices(utterance, borders)
    for first, last, text in zip(borders[:-1], borders[1:], texts[1:-1], strict=True):
        start = words[first].start
        # One word longer than a passage may be is a fault of the recogniser: its beginning is what is right.
        end = min(max(word.end for word in words[first:last]), start + maximum)
        if text:
            yield _Piece(start, end, text)


def _next_border(words: Sequence[Word], first: int, maximum: float) -> int:
    """Return the index after the last word of the piece that starts with word `first`."""
    start = words[first].start
    fitting = first
    while fitting < len(words) and words[fitting].end - start <= maximum:
        fitting += 1
    if fitting == len(words) or fitting <= first + 1:
        return max(fitting, first + 1)
    late = [i for i in range(first + 1, fitting + 1) if words[i].start - start >= maximum / 2] or [fitting]
    return max(late, key=lambda i: (ends_sentence(words[i - 1].text), words[i].start - words[i - 1].end, i))


def _slices(utterance: Utterance, borders: Sequence[int]) -> list[str]:
    """Return the utterance's text before the first border, between each two, and after the last.

    Borders are indices of words. The text itself is cut, because some languages put no spaces between words.
    """
    starts: list[int] = []
    at = 0
    for word in utterance.words:
        found = utterance.text.find(word.text, at)
        if found < 0:  # the words are not the text's: join them
            cuts = [0, *borders, len(utterance.words)]
            return [" ".join(word.text for word in utterance.words[a:b]) for a, b in pairwise(cuts)]
        starts.append(found if starts else 0)
        at = found + len(word.text)
    starts.append(len(utterance.text))
    places = [0, *(starts[border] for border in borders), len(utterance.text)]
    return [" ".join(utterance.text[a:b].split()) for a, b in pairwise(places)]


def _split_by_length(start: float, end: float, text: str, maximum: float) -> Iterator[_Piece]:
    """Cut a text without word times at spaces, into parts of equal length; time goes by characters."""
    parts = min(math.ceil((end - start) / maximum), len(text))
    seconds = (end - start) / parts
    spaces = [match.start() for match in re.finditer(" ", text)]
    borders = [0]
    for part in range(1, parts):
        borders.append(max(borders[-1], _nearest(spaces, round(len(text) * part / parts))))
    borders.append(len(text))
    for part, (first, last) in enumerate(pairwise(borders)):
        if said := text[first:last].strip():
            at = start + part * seconds
            yield _Piece(at, at + min(seconds, maximum), said)


def _nearest(ordered: Sequence[int], wanted: int) -> int:
    """Return the number nearest to `wanted`, or `wanted` where there is none (Chinese and Thai are cut anywhere)."""
    at = bisect_left(ordered, wanted)
    return min(ordered[max(0, at - 1) : at + 1], key=lambda number: abs(number - wanted), default=wanted)


# From pieces to passages


def _belongs(piece: _Piece, group: Sequence[_Piece], minimum: float, maximum: float, pause: float) -> bool:
    start, end = group[0].start, _end(group)
    gap = piece.start - end
    if gap >= SILENCE or max(end, piece.end) - start > maximum:
        return False
    if end - start < minimum:
        return True
    return gap < pause and not group[-1].ends_sentence


def _join_short(groups: list[list[_Piece]], minimum: float, maximum: float, pause: float) -> list[list[_Piece]]:
    """Join a passage that stayed too short to the one before it, where they are close and both fit."""
    joined: list[list[_Piece]] = []
    for group in groups:
        before = joined[-1] if joined else None
        short = _end(group) - group[0].start < minimum
        if (
            before is not None
            and short
            and group[0].start - _end(before) < max(pause, SILENCE / 2)
            and _end([*before, *group]) - before[0].start <= maximum
        ):
            before.extend(group)
        else:
            joined.append(group)
    return joined


def _end(group: Sequence[_Piece]) -> float:
    """Subtitles overlap: the last piece to start need not be the last to end."""
    return max(piece.end for piece in group)


def _segment(group: Sequence[_Piece]) -> Segment:
    return Segment("speech", group[0].start, _end(group), " ".join(piece.text for piece in group))


def _lengthen(segments: list[Segment], shortest: float) -> list[Segment]:
    return [
        Segment("speech", segment.start, max(segment.end, segment.start + shortest), segment.text)
        for segment in segments
    ]
