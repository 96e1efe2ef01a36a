"""What is written on the screen, as values, and the protocol of what reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from .datatypes import Images, ModelId

Box = tuple[float, float, float, float]
"""Left, top, right, bottom, as parts of the picture's width and height, (0, 0) at the top left."""


@dataclass(frozen=True, slots=True)
class ShownWord:
    """One word on screen and where it stands."""

    text: str
    box: Box


@dataclass(frozen=True, slots=True)
class ScreenLine:
    """One line of text on screen. `confidence` in [0, 1] is the reader's own; `words` may be empty."""

    text: str
    box: Box
    confidence: float = 1.0
    words: tuple[ShownWord, ...] = ()


@dataclass(frozen=True, slots=True)
class ScreenText:
    """All the text on screen while it stays the same, in seconds [start, end)."""

    start: float
    end: float
    lines: tuple[ScreenLine, ...]

    @property
    def text(self) -> str:
        """The lines, parted by a dot."""
        return " · ".join(line.text for line in self.lines)


@runtime_checkable
class TextReader(Protocol):
    """Reads what is written in pictures."""

    @property
    def model(self) -> ModelId:
        """The weights that do it."""
        ...

    def read(self, images: Images | Sequence[Images]) -> list[tuple[ScreenLine, ...]]:
        """Return the lines of text in each picture (height, width, 3) uint8 RGB, in reading order."""
        ...
