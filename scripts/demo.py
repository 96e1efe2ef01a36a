"""The main job, shown once: build a library from `samples/`, ask a few questions, show the answers.

Prints the hits as tables and writes a storyboard picture of them, a frame per hit with its time.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.table import Table

from mmvideo import Hit, Library
from mmvideo.datatypes import Modality
from mmvideo.export import storyboard
from mmvideo.progress import bars
from mmvideo.times import clock

ROOT = Path(__file__).resolve().parent.parent
QUESTIONS: dict[Modality, tuple[str, ...]] = {
    "visual": ("a cup of coffee", "a rocket on the launch pad", "a flower in bloom"),
    "speech": ("the postman on skates", "a skipper was punished for speeding", "an expensive repair of the building"),
}


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
    asked = [
        (f"{modality}: {text}", library.search(text, modalities=[modality], limit=3))
        for modality, texts in QUESTIONS.items()
        for text in texts
    ]
    asked.append(("seen or said: what the cat does", library.search("what the cat does", limit=3)))
    picture = ROOT / "samples" / "pavilion.jpg"
    asked.append((f"picture: {picture.relative_to(ROOT)}", library.search(image=picture, limit=3)))
    return asked


def _show(console: Console, title: str, hits: list[Hit]) -> bool:
    table = Table(title=title, title_justify="left", title_style="bold", expand=True)
    for column in ("file", "from", "to", "score"):
        table.add_column(column, no_wrap=True)
    table.add_column("why", ratio=1)
    for hit in hits:
        why = f"“{hit.text}”" if hit.text else f"seen at {clock(hit.time)}"
        if not hit.sure:
            why = f"less sure: {why}"
        style = None if hit.sure else "dim"
        table.add_row(hit.path.name, clock(hit.start), clock(hit.end), f"{hit.score:.2f}", why, style=style)
    console.print()
    console.print(table)
    return bool(hits)


if __name__ == "__main__":
    sys.exit(main())
