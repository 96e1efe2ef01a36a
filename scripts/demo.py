"""The main job, shown once: build a library from `samples/`, ask a few questions, show the answers.

Prints the hits as tables and writes a storyboard picture of them, a frame per hit with its time.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.table import Table

from mmvideo import Hit, Library
from mmvideo.export import storyboard
from mmvideo.progress import bars
from mmvideo.times import clock

ROOT = Path(__file__).resolve().parent.parent
PER_KIND = 3


def main() -> int:
    """Run the demo and return its exit code."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--out", type=Path, default=ROOT / "demo-output", help="where the library and the picture go")
    out: Path = options.parse_args().out
    console = Console(width=None if sys.stdout.isatty() else 110)
    folder = out / "samples.mmv"
    shutil.rmtree(folder, ignore_errors=True)
    with Library.open(folder) as library:
        started = time.perf_counter()
        with bars(sys.stderr) as progress:
            report = library.add(ROOT / "samples", progress=progress)
        recordings = ", ".join(f"{one.path.name} ({clock(one.duration)})" for one in library.media())
        console.print(f"indexed {recordings} in {time.perf_counter() - started:.1f} s")
        for note in report.notes:
            console.print(f"[dim]note: {note}[/dim]")
        best = [hits[0] for title, hits in _questions(library) if _show(console, title, hits)]
        media = {one.path: one for one in library.media()}
        picture = out / "storyboard.png"
        Image.fromarray(storyboard(best, [media[hit.path] for hit in best])).save(picture)
    console.print(f"\nthe best hit of each question, as a picture: {picture}")
    console.print(f'ask yourself:  .venv/bin/mmvideo search -l {folder} "your words"')
    return 1 if report.failed or not best else 0


def _questions(library: Library) -> list[tuple[str, list[Hit]]]:
    known = json.loads((ROOT / "samples" / "queries.json").read_text(encoding="utf-8"))
    asked: list[tuple[str, list[Hit]]] = []
    for modality in ("visual", "speech"):
        texts = [one["query"] for one in known if one.get("query") and one["modality"] == modality and one["file"]]
        few = texts[:: max(1, len(texts) // PER_KIND)][:PER_KIND]
        asked += [(f"{modality}: {text}", library.search(text, modalities=[modality], limit=3)) for text in few]
    pictures = [one["image"] for one in known if one.get("image")]
    return asked + [
        (f"picture: samples/{name}", library.search(image=ROOT / "samples" / name, limit=3)) for name in pictures[:1]
    ]


def _show(console: Console, title: str, hits: list[Hit]) -> bool:
    table = Table(title=title, title_justify="left", title_style="bold", expand=True)
    for column in ("file", "from", "to", "score"):
        table.add_column(column, no_wrap=True)
    table.add_column("why", ratio=1)
    for hit in hits:
        why = f"“{hit.text}”" if hit.text else f"seen at {clock(hit.time)}"
        table.add_row(hit.path.name, clock(hit.start), clock(hit.end), f"{hit.score:.2f}", why)
    console.print()
    console.print(table)
    return bool(hits)


if __name__ == "__main__":
    sys.exit(main())
