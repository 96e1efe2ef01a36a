"""One process adds while others search: `python scripts/campaign_together.py --seconds 60 --readers 8`.

Readers open the library once and search without pause. Each answer must belong to a media that the reader's own list
of media knows or that was added since, lie inside it, and hold nothing torn. Waiting for the writer is measured twice:
how often and how long a second connection, which does not wait for locks, is refused a snapshot because of one; and how
long a snapshot takes to begin on the clock, which on busy cores holds the time in which others ran as well. The first
search after each change, when indexes are brought up to date, is reported beside the others.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

QUERIES = ("red", "green", "cyan ferry", "bread flour water", '"flour and water"', "violins")


def read(library: Path, seconds: float) -> None:
    """Search until the time is over; print figures as JSON."""
    from campaign_kill import opened

    from mmvideo.store.schema import connect

    found: dict[str, list[float]] = {"begun": [], "locked": [], "changed": [], "same": []}
    searches, before = 0, -1
    impatient = connect(library / "library.db", readonly=True)
    impatient.execute("PRAGMA busy_timeout = 0")
    with opened(library, False) as one, contextlib.closing(impatient):
        stop = time.monotonic() + seconds
        while time.monotonic() < stop:
            found["locked"] += locked(impatient)
            started = time.monotonic()
            with one._store.snapshot():
                generation = one._store.generation("visual")
            found["begun"].append(time.monotonic() - started)
            started = time.monotonic()
            hits = one.search(QUERIES[searches % len(QUERIES)], limit=20)
            found["same" if generation == before else "changed"].append(time.monotonic() - started)
            before = generation
            known = {media.path: media for media in one.media()}
            for hit in hits:
                media = known.get(hit.path)  # None: removed since, by the writer
                assert media is None or media.start <= hit.start < hit.end <= media.end + 1e-6, hit
                assert hit.matches, hit
            searches += 1
    print(json.dumps(found))


def locked(db: sqlite3.Connection) -> list[float]:
    """Begin a snapshot that waits for nobody; return the seconds until it could, if a lock was in its way."""
    started, refused = time.monotonic(), False
    while True:
        try:
            db.execute("BEGIN")
            db.execute("SELECT value FROM meta LIMIT 1").fetchone()
            db.execute("ROLLBACK")
        except sqlite3.OperationalError as error:
            assert "locked" in str(error) or "busy" in str(error), error  # noqa: PT017
            refused = True
            if db.in_transaction:
                db.execute("ROLLBACK")
            time.sleep(0.001)
        else:
            return [time.monotonic() - started] if refused else []


def write(library: Path, media: Path, seconds: float) -> None:
    """Add, change and remove recordings until the time is over; print how often."""
    from campaign_kill import opened

    stop = time.monotonic() + seconds
    changes = 0
    with opened(library, False) as one:
        while time.monotonic() < stop:
            path = sorted(media.glob("xfilm*.m*"))[changes % 4]
            with path.open("ab") as file:  # another content, so it is made again
                file.write(bytes([changes % 256]))
            report = one.add(path)
            assert not report.failed, report
            if changes % 5 == 4:
                one.remove(path)
            changes += 1
    print(json.dumps({"changes": changes}))


def together(folder: Path, seconds: float, readers: int) -> dict[str, float]:
    """Run it and return figures; raises AssertionError where a process failed."""
    from campaign_kill import make_media, opened

    make_media(folder / "media", folder / "other")
    with opened(folder / "library.mmv", False) as library:
        library.add(folder / "media")
    shutil.copytree(folder / "media", folder / "changing")
    for path in (folder / "changing").glob("*.m*"):
        path.rename(path.with_name(f"x{path.name}"))
    me = [sys.executable, __file__, "--seconds", str(seconds), "--library", str(folder / "library.mmv")]
    roles = [[*me, "--role", "write", "--media", str(folder / "changing")], *[[*me, "--role", "read"]] * readers]
    running = [subprocess.Popen(role, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for role in roles]
    ended = [(process.communicate(), process.returncode) for process in running]
    for (_, error), status in ended:
        assert status == 0, error[-2000:]
    told = [json.loads(out) for (out, _), _ in ended]
    with opened(folder / "library.mmv", False) as library:
        assert not [finding for finding in library.verify().findings if finding.kind != "media"]
    every = {name: [1000 * wait for one in told[1:] for wait in one[name]] for name in told[1]}
    return {
        "changes": told[0]["changes"],
        "searches": len(every["begun"]),
        "refused by a lock": len(every["locked"]),
        "longest wait for a lock (ms)": round(max(every["locked"], default=0.0), 1),
        "longest begin of a snapshot (ms)": round(max(every["begun"]), 1),
        "begins over 100 ms": sum(wait > 100 for wait in every["begun"]),
        "median search (ms)": round(statistics.median(every["same"] or [0.0]), 1),
        "median search after a change (ms)": round(statistics.median(every["changed"]), 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--readers", type=int, default=8)
    parser.add_argument("--role", choices=("read", "write"))
    parser.add_argument("--library", type=Path)
    parser.add_argument("--media", type=Path)
    options = parser.parse_args()
    if options.role == "read":
        read(options.library, options.seconds)
    elif options.role == "write":
        write(options.library, options.media, options.seconds)
    else:
        with tempfile.TemporaryDirectory(prefix="mmvideo-together-") as name:
            figures = together(Path(name), options.seconds, options.readers)
        print(figures)
        if figures["changes"] < 1 or figures["searches"] < options.readers:
            return 1
        if figures["longest wait for a lock (ms)"] > 100:
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
