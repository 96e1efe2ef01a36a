"""Many clients at once search and stream from a server: `python scripts/campaign_served.py --clients 50 --seconds 60`.

The server is a process of its own: `mmvideo serve` on a library of `samples/` with the packaged models, or, with
`--stubs`, the same server on films of plain colours with encoders that need no weights. Each client asks in turn:
words, words with a moment's look, a range of a recording, a thumbnail; one range in ten is left in the middle, as
players do. Every answer is compared: hits with those of the same question before the crowd came, bytes with the file's.
The memory of the server and of its decoding processes is read after 10 s and at the end.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

QUESTIONS = ("a cup of coffee", "a rocket", "the postman", "red", "green ferry", "bread flour water", "violins")
WARM = 10.0
"""Seconds after which memory is read first: models are loaded and caches filled by then."""
GROWTH = 1.1
"""What the memory at the end may be of that at `WARM`."""


def main() -> int:
    """Run it, print figures, and return 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--stubs", action="store_true")
    parser.add_argument("--library", type=Path, help="a library that is there already (default: one of samples/)")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve_stubs(options.serve, options.port)
    with tempfile.TemporaryDirectory(prefix="mmvideo-served-") as name:
        place = options.library or made(Path(name), stubs=options.stubs)
        figures = campaign(place, options.clients, options.seconds, stubs=options.stubs)
    print(json.dumps(figures, indent=2, ensure_ascii=False))
    held = figures["memory every 10 s, of the server and of all (MB)"]
    grown = any(end > GROWTH * warm for warm, end in zip(held[0], held[-1], strict=True))
    return 1 if figures["errors"] or grown else 0


def campaign(place: Path, clients: int, seconds: float, *, stubs: bool) -> dict[str, Any]:
    """Serve a library to so many clients for so long, and return figures; "errors" lists what went wrong."""
    with serving(place, stubs=stubs) as (process, port):
        crowd = Crowd(port)
        threads = [threading.Thread(target=crowd.client, args=(number,), daemon=True) for number in range(clients)]
        started = time.monotonic()
        for thread in threads:
            thread.start()
        held: list[list[float]] = []
        while time.monotonic() < started + seconds:
            time.sleep(max(0.0, min(started + (len(held) + 1) * WARM, started + seconds) - time.monotonic()))
            held.append(memory(process.pid))
        crowd.over.set()
        for thread in threads:
            thread.join(60)
        stuck = sum(thread.is_alive() for thread in threads)
        told = process.poll()
    errors = [*crowd.errors, *([f"{stuck} clients hang"] if stuck else [])]
    if told is not None:
        errors.append(f"the server ended ({told})")
    waits = {kind: sorted(times) for kind, times in crowd.times.items()}
    return {
        "clients": clients,
        "seconds": seconds,
        "requests": sum(map(len, waits.values())),
        "left in the middle": crowd.left,
        "median and 95th of 100 (ms)": {
            kind: [round(1000 * statistics.median(times)), round(1000 * times[int(0.95 * len(times))])]
            for kind, times in sorted(waits.items())
        },
        "memory every 10 s, of the server and of all (MB)": held,
        "errors": errors[:10],
    }


class Crowd:
    """The clients, what they measured, and what was wrong."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.over = threading.Event()
        self.errors: list[str] = []
        self.times: dict[str, list[float]] = defaultdict(list)
        self.left = 0
        client = self._connect()
        self._media = list(json.loads(self._get(client, "/api/media")[1]))
        self._bytes = {one["id"]: Path(one["path"]).read_bytes() for one in self._media}
        self._film = next(one for one in self._media if one["video"])
        like = f"{self._film['id']}@{self._film['start'] + 1.0}"
        asked = [{"q": text, "limit": 10} for text in QUESTIONS] + [{"q": QUESTIONS[0], "like": like, "limit": 10}]
        self._searches = [f"/api/search?{urlencode(one)}" for one in asked]
        self._hits = {path: json.loads(self._get(client, path)[1])["hits"] for path in self._searches}
        client.close()

    def client(self, number: int) -> None:
        """Ask until it is over."""
        chance = random.Random(number)
        client = self._connect()
        while not self.over.is_set():
            act = chance.choice([self._search, self._range, self._range, self._frame])
            started = time.monotonic()
            try:
                kind = act(client, chance)
            except (OSError, http.client.HTTPException, AssertionError, ValueError) as error:
                self.errors.append(f"{act.__name__}: {type(error).__name__}: {error}")
                client.close()
                client = self._connect()
            else:
                self.times[kind].append(time.monotonic() - started)
        client.close()

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)

    def _get(self, client: http.client.HTTPConnection, path: str) -> tuple[int, bytes]:
        client.request("GET", path)
        answer = client.getresponse()
        return answer.status, answer.read()

    def _search(self, client: http.client.HTTPConnection, chance: random.Random) -> str:
        path = chance.choice(self._searches)
        status, body = self._get(client, path)
        assert status == 200, (status, body[:200])
        assert json.loads(body)["hits"] == self._hits[path], f"{path}: other hits than before"
        return "search"

    def _range(self, client: http.client.HTTPConnection, chance: random.Random) -> str:
        media = chance.choice(self._media)
        whole = self._bytes[media["id"]]
        first = chance.randrange(len(whole))
        last = min(len(whole) - 1, first + chance.choice([1, 65_536, 1_000_000]))
        client.request("GET", f"/api/media/{media['id']}/file", headers={"range": f"bytes={first}-{last}"})
        answer = client.getresponse()
        assert answer.status == 206, answer.status
        assert answer.headers["content-range"] == f"bytes {first}-{last}/{len(whole)}"
        if chance.random() < 0.1 and last - first > 10_000:
            assert answer.read(1000) == whole[first : first + 1000]
            client.close()  # it connects again by itself
            self.left += 1
            return "range"
        assert answer.read() == whole[first : last + 1], "other bytes than the file's"
        return "range"

    def _frame(self, client: http.client.HTTPConnection, chance: random.Random) -> str:
        at = self._film["start"] + chance.randrange(int(self._film["duration"]))
        status, body = self._get(client, f"/api/media/{self._film['id']}/frame?t={at}&width=320")
        assert status == 200, (status, body[:200])
        assert body[:3] == b"\xff\xd8\xff"
        return "thumbnail"


def made(folder: Path, *, stubs: bool) -> Path:
    """Make a library in a folder, and return where it is."""
    from mmvideo import Library

    place = folder / "library.mmv"
    if stubs:
        from tests.films import make_film, make_sound

        make_film(folder / "film.mp4", [("red", 5), ("green", 6), ("blue", 4), ("cyan", 9)])
        make_sound(folder / "talk.mp3")
        with opened(place) as library:
            library.add([folder / "film.mp4", folder / "talk.mp3"])
    else:
        with Library.open(place, visual="conse", offline=True) as library:
            library.add(ROOT / "samples")
    return place


def opened(place: Path) -> Any:
    """Open a library with encoders that need no weights."""
    from mmvideo import Library
    from tests.stubs import ColourEncoder, ScriptedTranscriber, WordEncoder

    own: dict[str, Any] = {"visual": ColourEncoder(), "speech": ScriptedTranscriber(), "passages": WordEncoder()}
    return Library.open(place, **own)


def serve_stubs(place: Path, port: int) -> int:
    """Be the server of such a library."""
    from mmvideo.server import serve

    with opened(place) as library:
        serve(library, port=port)
    return 0


@contextmanager
def serving(place: Path, *, stubs: bool) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Serve a library in a process of its own; yield the process and its port once it answers."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    if stubs:
        command = [sys.executable, __file__, "--serve", str(place), "--port", str(port)]
    else:
        command = [sys.executable, "-m", "mmvideo", "serve", "-l", str(place), "--offline", "--port", str(port)]
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE) as process:
        try:
            for _ in range(600):
                if process.poll() is not None:
                    raise RuntimeError(process.stderr.read().decode() if process.stderr else "the server ended")
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    time.sleep(0.1)
            yield process, port
        finally:
            process.terminate()


def memory(pid: int) -> list[float]:
    """Return the megabytes that a process holds in memory, and with those that it started (Linux)."""
    pids, held = [pid], []
    while pids:
        one = pids.pop()
        try:
            pids += [
                int(child)
                for task in Path(f"/proc/{one}/task").iterdir()
                for child in (task / "children").read_text().split()
            ]
            held.append(int(Path(f"/proc/{one}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6)
        except OSError:
            continue
    return [round(held[0], 1), round(sum(held), 1)]


if __name__ == "__main__":
    sys.exit(main())
