"""How good a library's answers are, on recordings whose true moments are known.

Every question is asked in the modality that should answer it and in all of them together, and every figure stands
beside chance: what the same hits would reach against the answers of other questions. So a film with few or long
moments, where anything is easily right, cannot flatter. A question without an answer counts apart: it should get none.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .datatypes import SEARCHED, Hit, Modality
from .errors import QueryError
from .metrics import THRESHOLDS, Span, average_precision, bootstrap, boundary_errors, overlaps, rank_of

RANKS = (1, 5, 10)
DEPTH = 10
"""Hits that count, as in QVHighlights."""

OTHERS = 5
"""Other questions whose answers stand for chance."""

FUSED = "fused"


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and where the answers are; no `answers`: nowhere.

    `modality` is the one that should know, None where nobody said. `within` limits the search to one media.
    """

    text: str | None
    image: Path | None
    modality: Modality | None
    kind: str
    answers: tuple[Span, ...]
    within: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with the hits that it got: spans and scores, best first. `way` is a modality or `FUSED`."""

    question: Question
    way: str
    hits: tuple[Span, ...]
    scores: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Figures:
    """What a group of questions reached. `values` by name (`R@1` … `edge`), fractions or seconds; `intervals` their
    95 % bootstrap intervals; `chance` what the same hits reach against other questions' answers; `recall` at 1, 2, … 10
    hits. None: not to be had."""

    way: str
    kind: str
    count: int
    values: dict[str, float | None]
    intervals: dict[str, tuple[float, float] | None]
    chance: dict[str, float | None]
    recall: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Threshold:
    """What stays at a least score: the part of questions without answer that still get one (`false`), of those with
    one that get any (`answered`), and that get the right one first (`right`)."""

    way: str
    kind: str
    min_score: float
    absent: int
    false: float | None
    answered: float | None
    right: float | None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All figures: `figures` and `thresholds` by way and kind, `left_out` modalities that cannot be searched here."""

    figures: tuple[Figures, ...]
    thresholds: tuple[Threshold, ...]
    min_score: float
    left_out: tuple[str, ...] = ()
    asked: tuple[Asked, ...] = field(default=(), repr=False)


Search = Callable[[Question, tuple[Modality, ...] | None], Sequence[Hit]]


# The truth


def read_truth(path: Path) -> list[Question]:
    """Return the questions of a file: QVHighlights' JSON lines, or a JSON list as in `samples/queries.json`.

    Raises `QueryError` that names the file and the row for anything else.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise QueryError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise QueryError(f"{path}: not text in UTF-8, so no questions") from error
    questions = []
    try:
        rows = (
            json.loads(text) if text.lstrip().startswith("[") else map(json.loads, filter(str.strip, text.split("\n")))
        )
        for row in rows:
            questions.append(_question(row, path.parent))  # noqa: PERF401 - its length tells which row failed
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise QueryError(f"{path}: question {len(questions) + 1} is not understood ({error!r})") from error
    if not questions:
        raise QueryError(f"{path}: no questions in it")
    return questions


def _question(row: Mapping[str, Any], folder: Path) -> Question:
    if "relevant_windows" in row:
        windows = tuple(Span(row["vid"], float(start), float(end)) for start, end in row["relevant_windows"])
        return Question(row["query"], None, None, row.get("kind", ""), windows, within=row["vid"])
    text, image = row.get("query"), row.get("image")
    if not text and not image:
        raise KeyError("query")
    given = row["answers"] if "answers" in row else [] if row["file"] is None else [row]
    answers = tuple(Span(one["file"], float(one["start"]), float(one["end"])) for one in given)
    kind = row.get("kind") or ("image" if image else "")
    return Question(text, folder / image if image else None, row.get("modality"), kind, answers)


# Asking


def evaluate(
    search: Search,
    questions: Sequence[Question],
    *,
    min_score: float,
    searched: Iterable[Modality] = SEARCHED,
    progress: Callable[[int, int], Any] | None = None,
) -> Evaluation:
    """Return the figures of all questions.

    `search` answers a question in some modalities (None: all), with every hit down to a score of 0. `min_score` is the
    least score of what would be shown.
    """
    known = {answer.media for question in questions for answer in question.answers}
    every = tuple(searched)
    asked = []
    for number, question in enumerate(questions):
        ways: list[tuple[str, tuple[Modality, ...] | None]] = [(FUSED, None)]
        if question.modality is None:
            ways += [(modality, (modality,)) for modality in every]
        elif question.modality in every:
            ways.append((question.modality, (question.modality,)))
        for way, modalities in ways:
            hits = search(question, modalities)
            spans = tuple(Span(_label(hit.path, known), hit.start, hit.end) for hit in hits[:DEPTH])
            asked.append(Asked(question, way, spans, tuple(hit.score for hit in hits[:DEPTH])))
        if progress:
            progress(number + 1, len(questions))
    groups = _groups(asked, every)
    figures = tuple(measure(way, kind, group) for (way, kind), group in groups.items())
    thresholds = [
        threshold(way, kind, [one for one in asked if one.way == way], group, least)
        for (way, kind), group in groups.items()
        for least in sorted({min_score, *(round(0.1 * i, 1) for i in range(10))})
    ]
    named = {question.modality for question in questions if question.modality}
    left_out = tuple(sorted(name for name in named if name not in every))
    return Evaluation(figures, tuple(thresholds), min_score, left_out, tuple(asked))


def _label(path: Path, known: set[str]) -> str:
    return path.stem if path.stem in known and path.name not in known else path.name


def _groups(asked: Sequence[Asked], searched: Sequence[str]) -> dict[tuple[str, str], list[Asked]]:
    """Return (way, kind) → what was asked and has an answer; "all" is every kind that some modality here can know."""
    groups: dict[tuple[str, str], list[Asked]] = {}
    for way in (*searched, FUSED):
        here = [one for one in asked if one.way == way and one.question.answers]
        kinds = dict.fromkeys(_kind(one.question) for one in here)
        for kind in kinds if len(kinds) > 1 else ():
            groups[way, kind] = [one for one in here if _kind(one.question) == kind]
        every = [one for one in here if one.question.modality is None or one.question.modality in searched]
        if every:
            groups[way, "all"] = every
    return groups


def _kind(question: Question) -> str:
    return question.kind or question.modality or "all"


# Measuring


def measure(way: str, kind: str, asked: Sequence[Asked]) -> Figures:
    """Return the figures of some questions that have answers."""
    rows = [row_of(one.hits, one.question.answers) for one in asked]
    names = [name for name in rows[0] if name != "edge"] if rows else []
    columns = {name: [float(row[name]) for row in rows] for name in names}
    edges = [error for row in rows for error in row["edge"]]
    values: dict[str, float | None] = {name: float(np.mean(column)) for name, column in columns.items()}
    intervals = {name: bootstrap(column) for name, column in columns.items()}
    values["edge"] = float(np.median(edges)) if edges else None
    intervals["edge"] = bootstrap(edges, statistic=lambda drawn: np.asarray(np.median(drawn, axis=1)))
    ranks = [rank_of(one.hits, one.question.answers) for one in asked]
    recall = tuple(sum(r is not None and r <= k for r in ranks) / len(ranks) for k in range(1, DEPTH + 1))
    return Figures(way, kind, len(asked), values, intervals, _chance(asked), recall)


def row_of(hits: Sequence[Span], truths: Sequence[Span]) -> dict[str, Any]:
    """Return what one question's hits reach, by name; `edge` is the errors of both ends of the first, if right."""
    rank = rank_of(hits, truths) or math.inf
    table = overlaps(hits, truths)
    first = float(table[0].max()) if table.size else 0.0
    precisions = {threshold: average_precision(table, threshold) for threshold in THRESHOLDS}
    return {
        **{f"R@{k}": float(rank <= k) for k in RANKS},
        "R1@0.5": float(first >= 0.5),
        "R1@0.7": float(first >= 0.7),
        "mAP": float(np.mean(list(precisions.values()))),
        "mAP@0.5": precisions[0.5],
        "mAP@0.75": precisions[0.75],
        "edge": list(boundary_errors(hits, truths) or ()),
    }


def _chance(asked: Sequence[Asked]) -> dict[str, float | None]:
    """Return what hits reach against the answers of other questions, up to `OTHERS` for each, by a fixed seed."""
    random = np.random.default_rng(0)
    sums: dict[str, list[float]] = {}
    edges: list[float] = []
    for one in asked:
        others = [other.question.answers for other in asked if other.question.answers != one.question.answers]
        for i in random.permutation(len(others))[:OTHERS]:
            row = row_of(one.hits, others[i])
            edges += row.pop("edge")
            for name, value in row.items():
                sums.setdefault(name, []).append(value)
    chance: dict[str, float | None] = {name: float(np.mean(values)) for name, values in sums.items()}
    chance["edge"] = float(np.median(edges)) if edges else None
    return chance


def threshold(way: str, kind: str, asked: Sequence[Asked], present: Sequence[Asked], least: float) -> Threshold:
    """Return what stays of a way's answers at a least score: `present` of its kind, absent ones of the whole way."""
    absent = [one for one in asked if not one.question.answers]
    right = [_shows(one, least) and rank_of(one.hits, one.question.answers) == 1 for one in present]
    return Threshold(
        way,
        kind,
        least,
        len(absent),
        float(np.mean([_shows(one, least) for one in absent])) if absent else None,
        float(np.mean([_shows(one, least) for one in present])) if present else None,
        float(np.mean(right)) if present else None,
    )


def _shows(one: Asked, least: float) -> bool:
    return bool(one.scores) and one.scores[0] >= least
