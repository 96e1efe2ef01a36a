"""Sound cut into the clips that Whisper hears: only where somebody speaks, and never inside a word.

A clip is a stretch of the original sound, at most 30 s (Whisper's window), from the beginning of speech to a pause. It
is not glued together from pieces, so a time inside it is a time of the media less the clip's start. Speech that runs
over the border of two blocks waits for the next block: the clips are the same however the sound is cut into blocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..datatypes import SAMPLE_RATE, Audio, Samples
from .voice import MERGE_STEPS, PADDING, SHORTEST_STEPS, STEP, FloatArray, Region, VoiceDetector, padded, runs

LONGEST = 29.5
"""Seconds of a clip; Whisper's window is 30."""

GAP = 3.0
"""Seconds of silence inside a clip at most: Whisper invents text on more."""

_Run = tuple[int, int]
_PADDING = round(PADDING * SAMPLE_RATE)  # samples
_LONGEST = round((LONGEST - 2 * PADDING) * SAMPLE_RATE) // STEP
_GAP = round(GAP * SAMPLE_RATE) // STEP

UNHEARD = 1.0
"""Seconds of speech without a word after which it is worth listening again."""

JUMP = 0.05
"""Seconds by which a block may miss the end of the one before and still be its continuation."""


@dataclass(frozen=True, slots=True)
class Clip:
    """Sound (n,) heard at `start`, at most 30 s; `speech` are the padded regions in it, on the media's timeline."""

    start: float
    samples: Samples
    speech: tuple[Region, ...]

    @property
    def end(self) -> float:
        """The moment after the last sample, in seconds."""
        return self.start + len(self.samples) / SAMPLE_RATE

    def halves(self) -> tuple[Clip, Clip] | None:
        """Return the clip in two, cut where its middle third is quietest; None if it is too short for that."""
        third = len(self.samples) // STEP // 3
        if third * STEP < SAMPLE_RATE:
            return None
        steps = self.samples[third * STEP : 2 * third * STEP].reshape(-1, STEP)
        at = (third + _lowest(_loudness(steps))) * STEP
        cut = self.start + at / SAMPLE_RATE
        before = tuple((start, min(end, cut)) for start, end in self.speech if start < cut)
        after = tuple((max(start, cut), end) for start, end in self.speech if end > cut)
        return Clip(self.start, self.samples[:at], before), Clip(cut, self.samples[at:], after)

    def unheard(self, said: Sequence[Region]) -> list[Clip]:
        """Return the parts of the clip in which somebody speaks for a second or more, but in no interval of `said`.

        `said` is in order. Stretches with nothing said between them are one part.
        """
        missed: list[Region] = []
        for start, end in self.speech:
            for a, b in [*said, (end, end)]:
                if min(a, end) - start >= UNHEARD:
                    missed.append((start, min(a, end)))
                start = max(start, b)
        parts: list[Region] = []
        for start, end in missed:
            if parts and not any(parts[-1][1] <= a < start for a, _ in said):
                parts[-1] = (parts[-1][0], end)
            else:
                parts.append((start, end))
        return [self._part(start, end) for start, end in parts]

    def _part(self, start: float, end: float) -> Clip:
        first = max(0, round((start - self.start) * SAMPLE_RATE))
        last = min(len(self.samples), round((end - self.start) * SAMPLE_RATE))
        speech = tuple((max(a, start), min(b, end)) for a, b in self.speech if a < end and b > start)
        return Clip(self.start + first / SAMPLE_RATE, self.samples[first:last], speech)


def clips(audio: Iterable[Audio]) -> Iterator[tuple[list[Clip], float]]:
    """Yield, after each block, the clips that are complete, and the time before which nothing is missing any more.

    At most two clips and one block are held. Blocks that do not continue each other are parted there.
    """
    waiting: _Waiting | None = None
    heard = 0.0
    for block in audio:
        if waiting is not None and abs(block.start - waiting.end) > JUMP:
            yield waiting.take(final=True), waiting.end
            waiting = None
        if waiting is None:
            waiting = _Waiting(block.start)
        waiting.add(block.samples)
        done = waiting.take(final=False)
        heard = waiting.start
        yield done, heard
    if waiting is not None:
        yield waiting.take(final=True), waiting.end


class _Waiting:
    """Sound that has not been made into clips yet, with its probabilities of speech.

    It starts in silence or at a cut, a whole number of steps after the first block's start, and `start` tells when.
    Everything inside is counted in steps of 32 ms, so that rounding cannot depend on the blocks.
    """

    def __init__(self, start: float) -> None:
        self._origin = start
        self._dropped = 0
        self._samples: Samples = np.zeros(0, np.float32)
        self._probabilities: FloatArray = np.zeros(0, np.float32)
        self._detector = VoiceDetector()

    @property
    def start(self) -> float:
        return self._origin + self._dropped * STEP / SAMPLE_RATE

    @property
    def end(self) -> float:
        return self.start + len(self._samples) / SAMPLE_RATE

    def add(self, samples: Samples) -> None:
        """Append sound, and listen to the whole steps in it."""
        self._samples = np.concatenate([self._samples, samples.astype(np.float32, copy=False)])
        self._listen(self._samples[: len(self._samples) // STEP * STEP])

    def take(self, *, final: bool) -> list[Clip]:
        """Return the clips that later sound cannot change, and forget their sound; all of them if this is the end."""
        if final:
            self._listen(padded(self._samples))
        heard = len(self._probabilities)
        groups: list[list[_Run]] = []
        for start, end, settled in self._pieces(final):
            if groups and start - groups[-1][-1][1] <= _GAP and end - groups[-1][0][0] <= _LONGEST:
                groups[-1].append((start, end))
            else:
                groups.append([(start, end)])
            if not settled:
                break
        waiting = groups.pop() if groups and not final and heard - groups[-1][-1][1] <= _GAP else None
        # Padding stops at a cut inside speech, else words there would be heard twice.
        ends = [None, *(group[-1][1] for group in groups)]
        starts = [*(group[0][0] for group in groups), waiting[0][0] if waiting else None]
        found = [
            self._clip(group, before=group[0][0] != ends[i], after=group[-1][1] != starts[i + 1])
            for i, group in enumerate(groups)
        ]
        if waiting is None:
            self._forget(heard, cut=False)
        else:
            self._forget(waiting[0][0], cut=waiting[0][0] == ends[-1])
        return found

    def _listen(self, samples: Samples) -> None:
        new = samples[len(self._probabilities) * STEP :]
        self._probabilities = np.concatenate([self._probabilities, self._detector.probabilities(new)])

    def _pieces(self, final: bool) -> Iterator[tuple[int, int, bool]]:
        """Yield the runs of speech and whether they are over; those longer than a clip are cut where it is quietest."""
        heard = len(self._probabilities)
        for first, end in runs(self._probabilities):
            start, over = first, final or heard - end >= MERGE_STEPS
            while end - start > _LONGEST:
                middle = self._quietest(start + _LONGEST // 2, start + _LONGEST)
                yield start, middle, True
                start = middle
            if not over or end - start >= SHORTEST_STEPS:
                yield start, end, over

    def _quietest(self, first: int, last: int) -> int:
        """Return the step between two others around which it sounds least like speech."""
        loudness = _loudness(self._samples[first * STEP : last * STEP].reshape(-1, STEP))
        # Loudness decides where the network is sure of speech throughout, the network where there is music.
        speech = self._probabilities[first:last] + loudness / max(float(loudness.max()), 1e-9)
        return first + _lowest(speech)

    def _clip(self, group: list[_Run], *, before: bool, after: bool) -> Clip:
        """Return the clip of these runs, with padding before and after."""
        first = max(0, group[0][0] * STEP - _PADDING * before)
        last = min(len(self._samples), group[-1][1] * STEP + _PADDING * after)
        lengths = (first / SAMPLE_RATE, last / SAMPLE_RATE)
        speech = tuple(
            (
                self.start + max(lengths[0], start * STEP / SAMPLE_RATE - PADDING),
                self.start + min(lengths[1], end * STEP / SAMPLE_RATE + PADDING),
            )
            for start, end in group
        )
        return Clip(self.start + first / SAMPLE_RATE, self._samples[first:last].copy(), speech)

    def _forget(self, before: int, *, cut: bool) -> None:
        """Drop the sound before a step, but for the padding in front of it."""
        if not cut:
            before = max(0, before - -(-_PADDING // STEP))
        self._samples = self._samples[before * STEP :].copy()
        self._probabilities = self._probabilities[before:].copy()
        self._dropped += before
        if cut:  # here speech goes on, however quiet the very place of the cut is
            self._probabilities[0] = 1.0


def _loudness(steps: Samples) -> FloatArray:
    return np.asarray(np.sqrt(np.mean(steps**2, axis=1)), np.float32)


def _lowest(values: FloatArray) -> int:
    """Return the middle of the five values (160 ms) whose mean is lowest, the last of equals."""
    smooth = np.convolve(values, np.ones(5) / 5, mode="valid")
    return 2 + len(smooth) - 1 - int(np.argmin(smooth[::-1]))
