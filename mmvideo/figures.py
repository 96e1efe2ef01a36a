"""What `mmvideo evaluate` prints: a table, JSON values, and a picture of recall against rank (SVG, drawn by hand: no
plotting library is worth its import for three lines and two axes)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from .evaluate import DEPTH, Evaluation

COLUMNS = ("R@1", "R@5", "R@10", "R1@0.5", "R1@0.7", "mAP", "mAP@0.5", "mAP@0.75", "edge")
COLOURS = ("#1b6ca8", "#c2571a", "#3a8f4b", "#8a4fa3", "#a3324a", "#5f6b6d", "#b58b00", "#008c8c")


def to_dict(evaluation: Evaluation) -> dict[str, Any]:
    """Return an evaluation as JSON values, without the hits of each question."""
    return {
        "min_score": evaluation.min_score,
        "left_out": list(evaluation.left_out),
        "figures": [asdict(figures) for figures in evaluation.figures],
        "thresholds": [asdict(threshold) for threshold in evaluation.thresholds],
    }


def to_text(evaluation: Evaluation) -> str:
    """Return the tables as text: each figure in per cent (`edge`: seconds), chance in brackets."""
    rows = [["asked in", "kind", "n", "R@1 95 %", *COLUMNS]]
    for one in evaluation.figures:
        interval = one.intervals["R@1"]
        span = f"{100 * interval[0]:.0f}–{100 * interval[1]:.0f}" if interval else "–"
        cells = [f"{_cell(name, one.values[name])} ({_cell(name, one.chance.get(name))})" for name in COLUMNS]
        rows.append([one.way, one.kind, str(one.count), span, *cells])
    shown = [one for one in evaluation.thresholds if one.min_score == evaluation.min_score]
    least = [["asked in", "kind", "absent", "false answers", "answered", "right first"]]
    least += [
        [one.way, one.kind, str(one.absent), *(_cell("", value) for value in (one.false, one.answered, one.right))]
        for one in shown
    ]
    text = f"{_columns(rows)}\n(in brackets: chance, the same hits against the answers of other questions; edge in s)\n"
    text += f"\nat a least score of {evaluation.min_score:g}:\n{_columns(least)}"
    if evaluation.left_out:
        text += f"\n\nnot searched here: {', '.join(evaluation.left_out)}; its questions are not in “all”"
    return text


def _cell(name: str, value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}" if name == "edge" else f"{100 * value:.1f}"


def _columns(rows: list[list[str]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines)


def to_svg(evaluation: Evaluation) -> str:
    """Return a picture of recall (0 to 1) against rank (1 to 10), a line for each way and kind, as SVG."""
    left, top, width, height = 50, 20, 400, 280
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 190}" height="{top + height + 50}" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for tenth in range(0, 11, 2):
        y = top + height * (1 - tenth / 10)
        lines.append(f'<line x1="{left}" x2="{left + width}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        lines.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{tenth * 10} %</text>')
    step = width / (DEPTH - 1)
    lines += [
        f'<text x="{left + step * (rank - 1):.1f}" y="{top + height + 18}" text-anchor="middle">{rank}</text>'
        for rank in range(1, DEPTH + 1)
    ]
    lines.append(f'<text x="{left + width / 2}" y="{top + height + 40}" text-anchor="middle">hits looked at</text>')
    for number, one in enumerate(evaluation.figures):
        colour = COLOURS[number % len(COLOURS)]
        dash = ' stroke-dasharray="5 3"' if one.way == "fused" else ""
        points = " ".join(
            f"{left + step * i:.1f},{top + height * (1 - value):.1f}" for i, value in enumerate(one.recall)
        )
        lines.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')
        y = top + 14 + 18 * number
        x = left + width + 16
        lines.append(
            f'<line x1="{x}" x2="{x + 20}" y1="{y - 4}" y2="{y - 4}" stroke="{colour}" stroke-width="2"{dash}/>'
        )
        lines.append(f'<text x="{x + 26}" y="{y}">{_escaped(f"{one.way}: {one.kind} ({one.count})")}</text>')
    return "\n".join([*lines, "</svg>"]) + "\n"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
