"""Overlap: how near adding a film comes to its slowest stage alone, and how much memory it takes.

    python benchmarks/overlap.py [FILM] [--seconds 300] [--hours 10]

A film with speech (made of `samples/harbour.mp4`, repeated) is added with everything, then with pictures alone and with
speech alone, each in a process of its own with its models loaded before. Printed is the wall time of the whole beside
the larger of the slowest stage alone and the processor time of the whole over the cores. With `--hours`, the film is
repeated without encoding to a recording so long, which is added without text on screen, and the largest memory of the
process beyond what it has with its models loaded is printed, beside that of the short film.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import imageio_ffmpeg
from decoding import make_film
from machine import machine

ADD = """
import json, os, resource, sys, time
from mmvideo import Library, Recipe
folder, film, options = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
library = Library.open(folder, offline=True, **options)
library.add(sys.argv[4])  # the models are loaded
def spent():
    return sum(os.times()[:4])
def memory():
    own = int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
    return own / 1024
open("/proc/self/clear_refs", "w").write("5")
before, began, started = memory(), spent(), time.perf_counter()
[report] = library.add(film).media
wall, peak = time.perf_counter() - started, memory()
assert report.outcome == "added", report
library.close()
print(json.dumps({"wall": wall, "processors": spent() - began, "before": before, "peak": peak}))
"""
PARTS: dict[str, dict[str, str]] = {
    "everything": {},
    "pictures and text on screen alone": {"speech": "none"},
    "speech alone": {"visual": "none", "screen": "none"},
}


def main() -> None:
    """Print the figures."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("film", nargs="?", type=Path)
    options.add_argument("--seconds", type=int, default=300)
    options.add_argument("--hours", type=float, default=0.0)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        film = given.film or make_film(folder / "film.mp4", given.seconds)
        short = repeated(film, folder / "short.mp4", 8.0)
        print(
            machine("faster-whisper", "onnxruntime"),
            "\n\n| what | wall s | processors s | MB beyond models |\n|---|---|---|---|",
        )
        said = {}
        for number, (what, chosen) in enumerate(PARTS.items()):
            said[what] = added(folder / f"{number}.mmv", film, chosen, short)
            row(what, said[what])
        whole = said["everything"]
        slowest = max(one["wall"] for what, one in said.items() if what != "everything")
        cores = whole["processors"] / len(os.sched_getaffinity(0))
        limit = max(slowest, cores)
        print(f"\n{whole['wall'] / limit:.2f} times the larger of the two that bound it:")
        print(f"the slowest alone, {slowest:.1f} s, and the processors' time over the cores, {cores:.1f} s")
        if given.hours:
            long = repeated(film, folder / "long.mp4", 3600 * given.hours)
            row(
                f"{given.hours:g} hours, without text on screen",
                added(folder / "l.mmv", long, {"screen": "none", "speech": "whisper-tiny.en"}, short),
            )


def added(library: Path, film: Path, chosen: dict[str, str], first: Path) -> dict[str, Any]:
    """Add a film in a process of its own, and return what it said."""
    command = [
        sys.executable,
        "-c",
        ADD,
        str(library),
        str(film),
        json.dumps({"visual": "conse", **chosen}),
        str(first),
    ]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def row(what: str, said: dict[str, Any]) -> None:
    """Print a row."""
    more = said["peak"] - said["before"]
    print(f"| {what} | {said['wall']:.1f} | {said['processors']:.1f} | {more:.0f} |", flush=True)


def repeated(film: Path, path: Path, seconds: float) -> Path:
    """Repeat or cut a film to a length, without encoding it again."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-stream_loop", "-1", "-i", film, "-t", str(seconds)]
    subprocess.run([*command, "-c", "copy", path], check=True)
    return path


if __name__ == "__main__":
    main()
