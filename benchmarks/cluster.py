"""What Ray costs on one machine: the same recordings added locally and with `--ray auto`, each to a new library.

    python benchmarks/cluster.py FILE… [--rounds 2] [-- OPTIONS OF mmvideo add]

Both are whole programs as a user runs them, so that starting Ray and loading models counts. The two take turns.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--add", default="", help="more options of mmvideo add")
    options = parser.parse_args()
    times: dict[str, list[float]] = {"local": [], "ray": []}
    for _ in range(options.rounds):
        for name, more in (("local", []), ("ray", ["--ray", "auto"])):
            with tempfile.TemporaryDirectory() as folder:
                command = [sys.executable, "-m", "mmvideo", "add", "--offline", "-l", str(Path(folder) / "l.mmv")]
                started = time.perf_counter()
                subprocess.run([*command, *options.add.split(), *more, *options.files], check=True)
                times[name].append(time.perf_counter() - started)
                print(f"{name}: {times[name][-1]:.1f} s", flush=True)
    local, ray = (statistics.median(times[name]) for name in ("local", "ray"))
    print(f"local {local:.1f} s, Ray {ray:.1f} s: {100 * (ray / local - 1):+.1f} %")


if __name__ == "__main__":
    main()
