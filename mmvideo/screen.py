"""Text on screen: which frames are worth reading, and how what was read becomes segments.

Reading a frame costs more than encoding it, and most text stays for seconds, so a frame is read only where its strokes
differ from those of the last frame read: the places of its strong edges, which letters are made of. A soft picture that
moves has none, and a slide that stays keeps them. How dense the edges are would not do: in "Chapter 1" and "Chapter 2"
they are equally dense. Pure functions, and a `Watch` that looks at the frames on their way to the encoder of pictures.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

import numpy as np
from numpy.typing import NDArray

from .datatypes import Frames, Images, Segment
from .written import ScreenLine, ScreenText

ROWS, COLUMNS = 18, 32
"""Cells of the grid in which strokes are counted: 16 × 16 pixels of a frame of 512 × 288."""

EDGE = 32
"""Levels of green between two neighbours that make a strong edge."""

CHANGED = 0.04
"""Part of a cell's pixels that are strokes in one frame only. Between repeated frames of a compressed film it was 0.023
at most; a line of text of 2 % of the picture's height that appears makes 0.08 and more, another digit in text of 3 %
0.05. A single digit in smaller text may be missed."""

ALIKE = 0.85
"""Two readings as similar as this (difflib's ratio) are one text, read a little differently."""


class Watch:
    """Notes the times of frames that pass by, and which of them to read, if that is `wanted`."""

    def __init__(self, *, wanted: bool = True) -> None:
        self._wanted = wanted
        self._times: list[float] = []
        self._changed: list[int] = []
        self._last: NDArray[np.bool_] | None = None

    def over(self, batches: Iterator[Frames]) -> Iterator[Frames]:
        """Yield the same frames."""
        for frames in batches:
            if self._wanted:
                for time, seen in zip(frames.times, strokes(frames.images), strict=True):
                    if self._last is None or changed(seen, self._last):
                        self._last = seen
                        self._changed.append(len(self._times))
                    self._times.append(float(time))
            yield frames

    @property
    def times(self) -> NDArray[np.float64]:
        """The times of all frames so far, (n,)."""
        return np.array(self._times)

    @property
    def changed(self) -> list[int]:
        """Which frames to read: the first, and each whose strokes differ from those of the last one to read."""
        return list(self._changed)


def strokes(images: Images) -> NDArray[np.bool_]:
    """Return where strong upright edges are in pictures (n, height, width, 3), (n, height, width)."""
    green = images[..., 1].astype(np.int16)
    edge = np.zeros(green.shape, dtype=bool)
    edge[:, :, 1:] = np.abs(np.diff(green, axis=2)) > EDGE
    return edge


def changed(one: NDArray[np.bool_], other: NDArray[np.bool_], threshold: float = CHANGED) -> bool:
    """Tell whether in some cell more than `threshold` of the pixels are strokes in one of two pictures (h, w) only."""
    height, width = one.shape
    if height < ROWS or width < COLUMNS:  # too small for any text
        return False
    rows = np.linspace(0, height, ROWS, endpoint=False).astype(int)
    columns = np.linspace(0, width, COLUMNS, endpoint=False).astype(int)
    sums = np.add.reduceat(np.add.reduceat(one ^ other, rows, axis=0, dtype=np.int32), columns, axis=1)
    area = np.outer(np.diff([*rows, height]), np.diff([*columns, width]))
    return bool((sums / area).max() > threshold)


def spread(count: int, read: Sequence[int], lines: Sequence[tuple[ScreenLine, ...]]) -> list[tuple[ScreenLine, ...]]:
    """Return the lines on each of `count` samples: what was read last, at the samples `read`, still stands."""
    last = np.searchsorted(np.asarray(read), np.arange(count), side="right") - 1
    return [lines[int(i)] if i >= 0 else () for i in last]


def steady(lines: Sequence[tuple[ScreenLine, ...]]) -> list[tuple[ScreenLine, ...]]:
    """Return the samples' lines without those that flicker: seen in one sample, beside others that stay.

    In a photograph of coins under a caption "0006" was read for a second; it must not part the caption in two.
    """
    kept = []
    for position, here in enumerate(lines):
        around = [
            *(lines[position - 1] if position else ()),
            *(lines[position + 1] if position + 1 < len(lines) else ()),
        ]
        staying = tuple(line for line in here if any(same_text([line], [other]) for other in around))
        kept.append(staying or here)
    return kept


def screen_texts(
    times: NDArray[np.float64],
    lines: Sequence[tuple[ScreenLine, ...]],
    cuts: NDArray[np.float64],
    start: float,
    end: float,
) -> list[ScreenText]:
    """Return the texts shown in a media of [start, end) in order: consecutive samples (n,) that show the same.

    A text begins with the first sample that shows it and ends with the first that does not, or at the shot cut between
    two samples where there is one. Of several readings of one text the surest is kept. Samples without lines make none.
    """
    found: list[ScreenText] = []
    first = 0
    for position in range(1, len(times) + 1):
        if position < len(times) and same_text(lines[first], lines[position]):
            continue
        if lines[first]:
            begin = _border(times, first, cuts, start, end)
            surest = max(lines[first:position], key=lambda some: sum(line.confidence for line in some) / len(some))
            found.append(ScreenText(begin, _border(times, position, cuts, start, end), surest))
        first = position
    return [text for text in found if text.end > text.start]


def same_text(one: Sequence[ScreenLine], other: Sequence[ScreenLine]) -> bool:
    """Tell whether two readings are of the same text: equal words, or nearly equal ones with the same numbers."""
    a, b = (re.findall(r"[^\W_]+", " ".join(line.text for line in lines).casefold()) for lines in (one, other))
    if a == b or not a or not b:
        return a == b
    if [word for word in a if word.isdigit()] != [word for word in b if word.isdigit()]:
        return False  # "Chapter 1" and "Chapter 2" are alike, and two texts
    return SequenceMatcher(None, " ".join(a), " ".join(b), autojunk=False).ratio() >= ALIKE


def segments(texts: Sequence[ScreenText]) -> list[Segment]:
    """Return the texts as segments of modality "screen"."""
    return [Segment("screen", text.start, text.end, text.text) for text in texts]


def _border(times: NDArray[np.float64], position: int, cuts: NDArray[np.float64], start: float, end: float) -> float:
    """Return where a sample begins: at the cut between it and the sample before, if there is one; else with it."""
    if position == 0:
        return min(start, float(times[0]))
    if position == len(times):
        return max(end, float(times[-1]))
    between = cuts[(cuts > times[position - 1]) & (cuts <= times[position])]
    return float(between[0]) if len(between) else float(times[position])
