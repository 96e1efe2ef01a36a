"""What a model is shown before it is asked: questions with their right answers, as models of the Flamingo line learn a
task from a few (Alayrac et al. 2022, arXiv 2204.14198)."""

from __future__ import annotations

from dataclasses import dataclass

from .datatypes import Images


@dataclass(frozen=True, slots=True)
class Example:
    """A question, the answer that is wanted, and the picture (height, width, 3) uint8 RGB that it is about, if any."""

    question: str
    answer: str
    picture: Images | None = None
