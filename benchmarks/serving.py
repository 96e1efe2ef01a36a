"""What HTTP adds to a search: the same questions to the library and to `mmvideo serve`, one after the other.

    python benchmarks/serving.py [LIBRARY] [--rounds 10]

Without a library, one is made of `samples/`. The server is a process of its own, its models warm; the client is a bare
socket that stays connected, so that the figures are the server's and not a client's. In each round all questions are
asked of the library, then of the server, and then as often something that costs no work, so that a change of the
machine's speed meets all three.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlencode

from machine import machine

from mmvideo import Library

SAMPLES = Path(__file__).resolve().parent.parent / "samples"
LIMIT = 10


def main() -> None:
    """Print the figures."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("library", nargs="?", type=Path)
    options.add_argument("--rounds", type=int, default=10)
    given = options.parse_args()
    entries = json.loads((SAMPLES / "queries.json").read_text("utf-8"))
    questions = [one["query"] for one in entries if "query" in one]
    with tempfile.TemporaryDirectory() as folder:
        place = given.library or made(Path(folder) / "samples.mmv")
        with Library.open(place, create=False, offline=True) as library, served(place) as client:
            took = compared(library, client, questions, given.rounds)
    print(machine("fastapi", "starlette", "uvicorn"))
    print(f"{len(questions)} questions, {given.rounds} rounds\n\n| what | p50 ms | p95 ms |\n|---|---|---|")
    for what, seconds in took.items():
        print(f"| {what} | {1000 * median(seconds):.1f} | {1000 * sorted(seconds)[int(0.95 * len(seconds))]:.1f} |")
    ratio = median(took["over HTTP"]) / median(took["the library"])
    print(f"\nover HTTP / the library: {ratio:.2f}")


def made(place: Path) -> Path:
    """Make a library of the samples and return where it is."""
    with Library.open(place, visual="conse", offline=True) as library:
        library.add(SAMPLES)
    return place


class Client:
    """The least that asks: a request as one piece, an answer with its length."""

    def __init__(self, port: int) -> None:
        self._line = socket.create_connection(("127.0.0.1", port), timeout=120)
        self._host = f"127.0.0.1:{port}"

    def get(self, path: str) -> bytes:
        """Return the body of an answer."""
        self._line.sendall(f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode())
        body = self._line.recv(65536)
        while b"\r\n\r\n" not in body:
            body += self._line.recv(65536)
        head, body = body.split(b"\r\n\r\n", 1)
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        while len(body) < int(length.split(b":")[1]):
            body += self._line.recv(65536)
        return body


@contextlib.contextmanager
def served(place: Path) -> Iterator[Client]:
    """Serve a library in a process of its own, and lend a connection to it."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    command = [sys.executable, "-m", "mmvideo", "serve", "-l", str(place), "--offline", "--port", str(port)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 60
            while True:
                try:
                    client = Client(port)
                    break
                except OSError:
                    if time.monotonic() > deadline or process.poll() is not None:
                        raise
                    time.sleep(0.1)
            yield client
        finally:
            process.terminate()


def compared(library: Library, client: Client, questions: list[str], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of every call, by way; the first two rounds load models and are not counted."""
    ways: dict[str, Callable[[str], Any]] = {
        "the library": lambda text: library.search(text, limit=LIMIT),
        "over HTTP": lambda text: json.loads(client.get(f"/api/search?{urlencode({'q': text, 'limit': LIMIT})}")),
        "no work": lambda _: client.get("/api/jobs/none"),
    }
    took: dict[str, list[float]] = {way: [] for way in [*ways, "the server, by its own clock"]}
    for number in range(rounds + 2):
        answers = {way: [timed(ask, text) for text in questions] for way, ask in ways.items()}
        for (hits, _), (answer, _) in zip(answers["the library"], answers["over HTTP"], strict=True):
            assert [hit["score"] for hit in answer["hits"]] == [round(hit.score, 4) for hit in hits]
        if number >= 2:
            for way, timings in answers.items():
                took[way] += [seconds for _, seconds in timings]
            took["the server, by its own clock"] += [answer["seconds"] for answer, _ in answers["over HTTP"]]
    return took


def timed(ask: Callable[[str], Any], text: str) -> tuple[Any, float]:
    """Return an answer, and the seconds that it took."""
    started = time.perf_counter()
    answer = ask(text)
    return answer, time.perf_counter() - started


if __name__ == "__main__":
    main()
