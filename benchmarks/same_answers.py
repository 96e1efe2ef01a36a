"""Do a folder and a server answer alike? A library is carried to a PostgreSQL of its own, and both are evaluated.

    python benchmarks/same_answers.py LIBRARY TRUTH

The library and its TRUTH are those of `scripts/make_benchmark.py`, added with real models. Printed are R@k on
both grounds, the largest difference in percentage points, and how many of the questions got the very same first hits.
"""

from __future__ import annotations

import glob
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from mmvideo import Library
from mmvideo.evaluate import DEPTH, evaluate, read_truth
from tests.database import Server


def main(library: str, truth: str) -> None:
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    server = Server(folder)
    questions = read_truth(Path(truth))
    found: dict[str, dict[tuple[str, str], dict[str, float]]] = {}
    firsts: dict[str, list[object]] = {}
    try:
        url = server.url()
        with Library.open(url) as other:
            print(f"{len(other.merge([library]).carried)} media carried over")
        for name, place in (("folder", library), ("server", url)):
            asked: list[object] = []
            with Library.open(place, offline=True) as opened:

                def search(question, modalities, opened=opened, asked=asked):  # type: ignore[no-untyped-def]
                    within = f"*{glob.escape(question.within)}*" if question.within else None
                    hits = opened.search(
                        question.text, image=question.image, modalities=modalities, limit=DEPTH, media=within
                    )
                    asked.append([(hit.path, round(hit.start, 3), round(hit.end, 3)) for hit in hits[:10]])
                    return hits

                figures = evaluate(search, questions, min_score=0.5).figures
            found[name] = {(figure.way, figure.kind): figure.values for figure in figures}
            firsts[name] = asked
    finally:
        server.stop()
        shutil.rmtree(folder)
    report(found, firsts)


def report(found: dict[str, dict[tuple[str, str], dict[str, float]]], firsts: dict[str, list[object]]) -> None:
    worst = 0.0
    for key, here in found["folder"].items():
        there = found["server"][key]
        names = [name for name in here if name.startswith("R@") and here[name] is not None]
        worst = max([worst, *(100 * abs(here[name] - there[name]) for name in names)])
        print(*key, *(f"{name} {100 * here[name]:.1f} {100 * there[name]:.1f}" for name in names))
    equal = sum(a == b for a, b in zip(firsts["folder"], firsts["server"], strict=True))
    print(f"largest difference {worst:.2f} points; {equal} of {len(firsts['folder'])} questions with the same ten hits")


if __name__ == "__main__":
    main(*sys.argv[1:])
