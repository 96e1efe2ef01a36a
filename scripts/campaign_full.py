"""Fail the writes of `add`, and see that nothing is damaged: `python scripts/campaign_full.py 100`.

As in `campaign_kill.py`, a small library for LD_PRELOAD counts the operations on the library's files. In turns the disk
is full from a random one on (ENOSPC at every write, truncation and sync), or a single operation fails (EIO). `add` must
finish or say so in one of our errors; what it had finished must be there, `verify` be clean, and once there is room the
next `add` must end where an undisturbed one does. Stub encoders. Linux, with a C compiler.
"""

from __future__ import annotations

import argparse
import collections
import ctypes
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from campaign_kill import TOKEN, add, before, build_shim, check, child, finish, finished, make_media, start_from

FULL, BROKEN = 1, 2


def struck(library: Path, media: Path, durable: Path, at: int, mode: int) -> tuple[list[str], str]:
    """Add while the operations from the `at`-th on fail; return what was finished, and what `add` said of it."""
    shim = ctypes.CDLL(None)

    def work(tell: Callable[[str], None]) -> None:
        from mmvideo import MMVideoError

        shim.mmv_mode(mode)
        shim.mmv_arm(os.fsencode(library), os.fsencode(durable), ctypes.c_long(at))
        try:
            add(library, media, False, tell)
        except MMVideoError as error:
            tell(f"refused: {error}")

    lines = finish(*child(work))
    assert lines, "nothing was said"
    assert not any(line.startswith("failed") for line in lines), lines
    said = lines[-1]
    assert said == "end" or said.startswith("refused"), lines
    return lines[:-1] if said == "end" else lines[:-2], said


def campaign(count: int, folder: Path, *, first: int = 0, echo: Callable[[str], None] = print) -> dict[str, int]:
    """Run it, and return how often what happened. Raises AssertionError where a promise is broken."""
    os.environ[TOKEN] = str(os.getpid())
    media, other, library = folder / "media", folder / "other", folder / "library.mmv"
    make_media(media, other)
    shutil.copytree(media, folder / "final")
    wanted: dict[str, Any] = finished(folder, media, library)
    operations = wanted.pop("operations")
    wanted.pop("seconds")
    prepared = before(folder, media, other, folder / "final", library)
    counts: collections.Counter[str] = collections.Counter()
    for seed in range(first, first + count):
        rng = random.Random(seed)
        filled, mode = rng.random() < 0.4, FULL if seed % 2 else BROKEN
        start_from(prepared if filled else None, library, folder / "durable")
        at = 1 + rng.randrange(operations)
        committed, said = struck(library, media, folder / "durable", at, mode)
        counts["disk full" if mode == FULL else "one error"] += 1
        counts["refused" if said.startswith("refused") else "finished all the same"] += 1
        lines = finish(*child(partial(check, library, committed, media, wanted)))
        assert lines[-1:] == ["ok"], f"seed {seed}, operation {at}, mode {mode}, {said}: {lines}"
        if seed % 20 == 19:
            echo(f"{seed + 1 - first} of {count}: {dict(counts)}")
    return dict(counts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=100)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mmvideo-full-") as name:
        if os.environ.get("LD_PRELOAD", "").endswith("shim.so"):
            started = time.monotonic()
            counts = campaign(options.count, Path(name), first=options.first, echo=lambda t: print(t, flush=True))
            print(f"done in {time.monotonic() - started:.0f} s: {counts}")
            return 0
        environment = {**os.environ, "LD_PRELOAD": str(build_shim(Path(name)))}
        return subprocess.run([sys.executable, *sys.argv], env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
