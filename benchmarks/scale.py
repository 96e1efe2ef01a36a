"""How far one machine carries: libraries of many segments on both grounds, loaded, indexed and asked.

    python benchmarks/scale.py 100000 FOLDER            all of it, printed and kept in FOLDER/figures.json
    python benchmarks/scale.py 1000000 FOLDER load      one step; what was begun goes on

Steps are load, index and ask. The content is made: an hour of video is 360 segments seen and 240 said, with 3,600
vectors of frames and 240 of utterances, all of `DIM` numbers (those of CLIP). Vectors lie around topics, words follow
Zipf's law. Times of models are left out: a question's vector is at hand. Clients are processes of their own on the same
machine. PostgreSQL keeps its promise to survive a power cut (fsync on) and is given an eighth of the memory.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import PIPE
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

import mmvideo.search
import mmvideo.spoken
from mmvideo import Library
from mmvideo.datatypes import Media, ModelId, Recipe, Segment, Timeline, Transcript, Utterance, VideoStream
from mmvideo.ground import open_ground
from mmvideo.index import VectorIndex
from mmvideo.pool import unit
from mmvideo.store import Content
from tests.database import Server

DIM, TOPICS, SEEN, SAID, FRAMES = 512, 2_000, 360, 240, 3_600
NOISE = 0.9  # length of what is added to a topic's vector: cosines of about 0.55 within a topic
CLIENTS = (1, 8, 32)
SECONDS = 12.0
SLICE = 100_000
VOCABULARY = 20_000
MEMORY = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
SETTINGS = {
    "shared_buffers": f"{MEMORY // 8 // 2**20}MB",
    "max_wal_size": "8GB",
    "max_connections": 100,
    "max_parallel_maintenance_workers": 1,
}

centres = unit(np.random.default_rng(0).standard_normal((TOPICS, DIM)).astype(np.float32))


def near(rng: np.random.Generator, topics: Any) -> Any:
    """Return unit vectors near topics (n,)."""
    noise = rng.standard_normal((len(topics), DIM)).astype(np.float32) * (NOISE / DIM**0.5)
    return unit(centres[topics] + noise)


def hour(number: int) -> Content:
    """Return what is stored of one hour of video."""
    rng = np.random.default_rng(number + 1)
    scenes = rng.integers(TOPICS, size=60)
    words = rng.zipf(1.3, size=(SAID, 35)) % VOCABULARY
    texts = [" ".join(f"w{word}" for word in row) + "." for row in words]
    path = Path(f"/archive/{number // 1000:04}/{number:07}.mp4")
    media = Media(path, 10**9, 1, f"{number:032x}", "mp4", 0.0, 3600.0, VideoStream("h264", 1280, 720, 0, 25.0))
    frames = near(rng, np.repeat(scenes, FRAMES // 60))
    timeline = Timeline(
        np.arange(FRAMES) * 3600.0 / FRAMES,
        np.arange(FRAMES, dtype=np.int32),
        frames,
        np.arange(60) * 60.0,
        0.0,
        3600.0,
    )
    spoken = tuple(Utterance(15.0 * i, 15.0 * i + 14, text) for i, text in enumerate(texts))
    said = near(rng, np.repeat(rng.integers(TOPICS, size=40), SAID // 40))
    return Content(
        media,
        "i",
        {
            "visual": [Segment("visual", 10.0 * i, 10.0 * i + 10) for i in range(SEEN)],
            "speech": [Segment("speech", 15.0 * i, 15.0 * i + 14, text) for i, text in enumerate(texts)],
        },
        {"visual": unit(frames.reshape(SEEN, FRAMES // SEEN, DIM).mean(axis=1)), "speech": said},
        timeline,
        Transcript(spoken, "en", "made"),
        said,
        added=float(number),
    )


class Asked:
    """An encoder that knows the vectors of its questions."""

    def __init__(self, name: str) -> None:
        self.model = ModelId(name, "1", DIM)

    def encode_texts(self, texts: Sequence[str]) -> Any:
        """Return the vector that a text's first number names."""
        return np.stack([question(int(text.split()[0]))[0] for text in texts])

    def encode_images(self, images: Any) -> Any:
        """Refuse: nothing is asked by picture."""
        raise NotImplementedError


def question(number: int) -> tuple[Any, str]:
    """Return the vector and the text of a question: a topic, and three words of middling frequency."""
    rng = np.random.default_rng(10**9 + number)
    words = " ".join(f"w{word}" for word in rng.integers(20, 2_000, size=3))
    return near(rng, rng.integers(TOPICS, size=1))[0], f"{number} {words}"


def open_library(place: str) -> Library:
    """Return a library with these encoders."""
    return Library.open(place, visual=Asked("seen"), passages=Asked("said"), speech="none", screen="none")


# Steps


def load(place: str, hours: int, figures: dict[str, Any]) -> None:
    """Store what is not there yet."""
    recipe = Recipe(visual="seen", passages="said", speech="none", screen="none")
    ground = open_ground(place, recipe, create=True)
    made = spent = 0.0
    with ground.writing(wait=True) as writing:
        store = writing.store
        for part, name in (("visual", "seen"), ("passages", "said")):
            store.set_model(part, ModelId(name, "1", DIM))
        there = len(store.media_ids())
        for number in range(there, hours):
            started = time.perf_counter()
            content = hour(number)
            made += time.perf_counter() - started
            started = time.perf_counter()
            store.put(content)
            spent += time.perf_counter() - started
    ground.store.close()
    if hours > there:
        figures["load ms per hour"] = round(1000 * spent / (hours - there), 1)
        figures["loaded hours"] = hours
        print(f"  {hours - there} hours stored in {spent:.0f} s (made in {made:.0f} s)", flush=True)


def index(place: str, figures: dict[str, Any]) -> None:
    """Make the indexes; those of the folder in slices, which a later run goes on from."""
    ground = open_ground(place, Recipe(), create=False)
    started = time.perf_counter()
    with ground.writing(wait=True) as writing:
        if ground.folder is not None:
            for modality in ("visual", "speech"):
                wanted = writing.store.segment_ids(modality)
                opened = VectorIndex.open(ground.folder / modality)
                held = len(opened[0]) if opened else 0
                while held < len(wanted):
                    one = opened[0] if opened else VectorIndex(DIM)
                    for at in range(held, min(held + SLICE, len(wanted)), 5_000):
                        for ids, vectors in writing.store.vectors(modality, ids=wanted[at : at + 5_000].tolist()):
                            one.add(ids, vectors)
                    one.save(ground.folder / modality, library=writing.store.id, generation=0)
                    opened = VectorIndex.open(ground.folder / modality)
                    held = len(opened[0]) if opened else 0
                    figures["index s"] = round(figures.get("index s", 0) + time.perf_counter() - started, 1)
                    started = time.perf_counter()
                    print(f"  {modality}: {held} of {len(wanted)} after {figures['index s']:.0f} s", flush=True)
                    keep()
        ground.refresh(writing.store)
    figures["index s"] = round(figures.get("index s", 0) + time.perf_counter() - started, 1)
    ground.store.close()


def size(place: str, folder: Path, figures: dict[str, Any]) -> None:
    """Note how many bytes the library takes."""
    if place == str(folder / "folder.mmv"):
        sizes = {path.name: path.stat().st_size for path in Path(place).iterdir()}
        figures["GB"] = round(sum(sizes.values()) / 1e9, 3)
        figures["GB of indexes"] = round(sum(n for name, n in sizes.items() if name.endswith("usearch")) / 1e9, 3)
        return
    with open_library(place) as library:
        rows = library._store._rows(  # type: ignore[attr-defined]
            """SELECT sum(pg_total_relation_size(oid))::bigint, sum(pg_indexes_size(oid))::bigint FROM pg_class
            WHERE relkind = 'r' AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = 'archive')"""
        )
    figures["GB"], figures["GB of indexes"] = round(rows[0][0] / 1e9, 3), round(rows[0][1] / 1e9, 3)


def ask(place: str, figures: dict[str, Any]) -> None:
    """Measure recall of the nearest 200, and the times of whole searches and of the nearest alone."""
    if "recall" not in figures:
        with open_library(place) as library:
            figures["recall"] = recall(library)
            print(f"  recall: {figures['recall']}", flush=True)
    for clients in CLIENTS:
        for what in ("search", "nearest"):
            if f"{what}, {clients} clients" in figures:
                continue
            figures[f"{what}, {clients} clients"] = timed(place, clients, what)
            print(f"  {what}, {clients} clients: {figures[f'{what}, {clients} clients']}", flush=True)
        keep()


def recall(library: Library, questions: int = 20) -> dict[str, float]:
    """Return which part of the true nearest 10, 20 and 200 is among the 200 that the index proposes, by modality."""
    found = {}
    for modality in ("visual", "speech"):
        asked = np.stack([question(10_000 + i)[0] for i in range(questions)])
        # float16 as they are stored; compared in blocks, the best of each kept
        best: list[tuple[Any, Any]] = [(np.zeros(0, np.uint64), np.zeros(0, np.float32))] * questions
        for ids, vectors in library._store.vectors(modality, batch=50_000):
            scores = asked @ vectors.T
            for i in range(questions):
                joined = np.concatenate([best[i][0], ids]), np.concatenate([best[i][1], scores[i]])
                top = np.argsort(-joined[1])[:200]
                best[i] = joined[0][top], joined[1][top]
        index = library._ground.index(modality)
        assert index is not None
        answers = [index.search(asked[i], 200)[0] for i in range(questions)]
        for most in (10, 20, 200):
            parts = [np.isin(best[i][0][:most], answers[i]).sum() / most for i in range(questions)]
            found[f"{modality}, first {most}"] = round(float(np.mean(parts)), 4)
    return found


def timed(place: str, clients: int, what: str) -> dict[str, float]:
    """Return p50 and p99 in milliseconds, questions per second and the greatest memory, beside the files mapped, of
    clients that ask without a pause.

    Each is a program of its own, on the server's machine; they begin together, each after a first question."""
    command = [sys.executable, __file__, "client"]
    running = [
        subprocess.Popen([*command, place, what, str(number), str(clients)], stdin=PIPE, stdout=PIPE, text=True)
        for number in range(clients)
    ]
    for one in running:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    for one in running:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    said = [json.loads(one.communicate()[0]) for one in running]
    every = [t for some in said for t in some["times"]]
    p50, p99 = (1000 * float(np.quantile(every, q)) for q in (0.5, 0.99))
    lasted = max(sum(some["times"]) for some in said)
    memory = max(some["memory"] for some in said)
    found = {"p50 ms": round(p50, 1), "p99 ms": round(p99, 1), "questions": len(every)}
    return {**found, "per second": round(len(every) / lasted, 2), "MB": memory, "load": round(os.getloadavg()[0], 1)}


def client(place: str, what: str, number: str, clients: str = "1") -> None:
    """Ask without a pause from a word on standard input on, and say on standard output how long each answer took.

    Of more than eight, each keeps less of what it read: 32 times 500 MB would not fit beside the server. Questions are
    spread over everything, so that hardly any finds what was kept.
    """
    if int(clients) > 8:
        mmvideo.search.KEPT //= 8
        mmvideo.spoken.KEPT_SPOKEN //= 8
    with open_library(place) as library:
        index = library._ground.index("visual")
        assert index is not None
        once: Callable[[int], Any] = (
            (lambda n: library.search(question(n)[1], limit=10))
            if what == "search"
            else (lambda n: index.search(question(n)[0], 200))
        )
        at = 1_000_000 * (1 + int(number))
        once(at)  # opens what is opened once
        print("ready", flush=True)
        sys.stdin.readline()
        times: list[float] = []
        while sum(times) < SECONDS:
            at += 1
            started = time.perf_counter()
            once(at)
            times.append(time.perf_counter() - started)
    own = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
    print(json.dumps({"times": times, "memory": int(own.split()[1]) // 1024}))


kept: dict[str, Any] = {}
kept_in = Path()


def keep() -> None:
    """Write the figures down."""
    kept_in.write_text(json.dumps(kept, indent=2), encoding="utf-8")


def main(segments: str, folder: str, *steps: str) -> None:
    """Do the steps on both grounds."""
    global kept_in
    root = Path(folder).absolute()
    root.mkdir(parents=True, exist_ok=True)
    kept_in = root / "figures.json"
    if kept_in.exists():
        kept.update(json.loads(kept_in.read_text(encoding="utf-8")))
    (root / "server").mkdir(exist_ok=True)
    server = Server(root / "server", SETTINGS)
    try:
        for name, place in (("folder", str(root / "folder.mmv")), ("server", server.url("archive"))):
            figures = kept.setdefault(name, {})
            for step in steps or ("load", "index", "ask"):
                if step in ("folder", "server"):
                    continue
                if {"folder", "server"} & set(steps) and name not in steps:
                    continue
                print(f"{name}: {step}", flush=True)
                if step == "load":
                    load(place, round(int(segments) / (SEEN + SAID)), figures)
                elif step == "index":
                    index(place, figures)
                    size(place, root, figures)
                else:
                    ask(place, figures)
                keep()
    finally:
        server.stop()
        keep()


if __name__ == "__main__":
    if sys.argv[1] == "client":
        client(*sys.argv[2:])
    else:
        main(*sys.argv[1:])
