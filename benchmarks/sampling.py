"""How often to look, and how to pool: recall, boundaries and cost on the samples' visual queries.

    python benchmarks/sampling.py [--visual MODEL]

Prints a Markdown table: a row per setting, all in one run on one machine. "frames" are sampled, "encoded" what is left
of them without near-duplicates. "time" is the processor time of adding the film, relative to the default's.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from mmvideo import Hit, Library, Recipe

SAMPLES = Path(__file__).resolve().parent.parent / "samples"
DEFAULT = Recipe(speech="none", passages="none")
SETTINGS: dict[str, Recipe] = {
    "default: every 1 s, 288 px, mean, segments ≤ 10 s": DEFAULT,
    "every 0.5 s": replace(DEFAULT, frame_interval=0.5),
    "every 2 s": replace(DEFAULT, frame_interval=2.0),
    "every 4 s": replace(DEFAULT, frame_interval=4.0),
    "short side 224 px": replace(DEFAULT, frame_size=224),
    "short side 540 px (the file's)": replace(DEFAULT, frame_size=540),
    "near-duplicates at 0.0 (none dropped)": replace(DEFAULT, duplicate_threshold=0.0),
    "near-duplicates at 0.05": replace(DEFAULT, duplicate_threshold=0.05),
    "near-duplicates at 0.1": replace(DEFAULT, duplicate_threshold=0.1),
    "cuts at 0.06": replace(DEFAULT, cut_threshold=0.06),
    "cuts at 0.2": replace(DEFAULT, cut_threshold=0.2),
    "pooling max": replace(DEFAULT, pooling="max"),
    "pooling topk": replace(DEFAULT, pooling="topk"),
    "segments ≤ 5 s": replace(DEFAULT, max_segment=5.0),
    "segments ≤ 30 s": replace(DEFAULT, max_segment=30.0),
}


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--visual", default="conse")
    visual = options.parse_args().visual
    known = json.loads((SAMPLES / "queries.json").read_text(encoding="utf-8"))
    queries = [one for one in known if one["modality"] == "visual" and one["file"]]
    warm_up(visual)
    print("| setting | R@1 | median IoU of right hits | median boundary error | frames | encoded | time |")
    print("|---|---|---|---|---|---|---|")
    whole = 0.0
    for name, recipe in SETTINGS.items():
        row = measured(recipe, visual, queries)
        whole = whole or row["seconds"]
        print(
            f"| {name} | {row['right']}/{len(queries)} | {row['iou']:.2f} | {row['error']:.2f} s "
            f"| {row['frames']} | {row['encoded']} | {row['seconds'] / whole:.2f} |",
            flush=True,
        )


def warm_up(visual: str) -> None:
    """Load everything once, so that the first row does not pay for it."""
    with tempfile.TemporaryDirectory() as folder, Library.open(Path(folder) / "w.mmv", visual=visual) as library:
        library.recipe = replace(DEFAULT, visual=visual, frame_interval=8.0)
        library.add(SAMPLES / "harbour.mp4")


def measured(recipe: Recipe, visual: str, queries: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what a recipe reaches on the queries and what it costs."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Library.open(Path(folder) / "b.mmv", recipe=recipe, visual=visual, speech="none", passages="none") as library,
    ):
        started = time.process_time()
        library.add(SAMPLES / "harbour.mp4")
        seconds = time.process_time() - started
        timeline = library._store.timeline(library.find("harbour.mp4").id)
        assert timeline is not None
        right = []
        for query in queries:
            image = SAMPLES / query["image"] if "image" in query else None
            hit = library.search(query.get("query"), image=image, modalities=["visual"], limit=1)[0]
            if shared(hit, query) >= 0.5 * min(hit.end - hit.start, query["end"] - query["start"]):
                right.append((hit, query))
    errors = [abs(a - b) for hit, q in right for a, b in ((hit.start, q["start"]), (hit.end, q["end"]))]
    ious = [shared(hit, q) / (max(hit.end, q["end"]) - min(hit.start, q["start"])) for hit, q in right]
    return {
        "right": len(right),
        "iou": median(ious),
        "error": median(errors),
        "frames": len(timeline.times),
        "encoded": len(np.unique(timeline.rows)),
        "seconds": seconds,
    }


def shared(hit: Hit, query: dict[str, Any]) -> float:
    """Return the seconds that a hit shares with the truth."""
    return float(max(0.0, min(hit.end, query["end"]) - max(hit.start, query["start"])))


if __name__ == "__main__":
    main()
