"""What decoding in processes of its own costs: `python benchmarks/isolation.py --films 6 --rounds 3`.

The same films (60 s, 720p, H.264 and AAC, made by ffmpeg) are added with stub encoders, which cost next to nothing, so
that decoding is nearly all there is: the worst case. Isolated and direct runs take turns, each in a fresh process. CPU
seconds are those of the process, its workers and their ffmpeg (/proc, Linux); printed is the median film of each.
Besides, the time of a thumbnail either way.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

TICK = os.sysconf("SC_CLK_TCK")


def make_film(path: Path) -> None:
    from tests.films import ffmpeg

    picture = ("-f", "lavfi", "-i", "testsrc2=s=1280x720:r=25:d=60", "-f", "lavfi", "-i", "sine=330:duration=60")
    ffmpeg(*picture, "-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "veryfast", "-c:a", "aac", path)


def spent(workers: list[int]) -> float:
    """Return the CPU seconds of this process, those it has waited for, and its running workers with theirs."""
    own, waited = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    total = own.ru_utime + own.ru_stime + waited.ru_utime + waited.ru_stime
    for pid in workers:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += sum(map(int, fields[11:15])) / TICK
    return total


def run(films: list[Path], isolated: bool) -> None:
    """Add the films one after the other and print (CPU seconds, seconds) of each as JSON."""
    from mmvideo import Library
    from tests.stubs import ColourEncoder, ScriptedTranscriber, WordEncoder

    stubs: dict[str, Any] = {"visual": ColourEncoder(), "speech": ScriptedTranscriber(), "passages": WordEncoder()}
    figures = []
    with (
        tempfile.TemporaryDirectory() as folder,
        Library.open(Path(folder) / "l.mmv", screen="none", isolated=isolated, **stubs) as library,
    ):
        for film in films:
            idle = getattr(library.decoding, "_idle", [])
            before, started = spent([worker._process.pid for worker in idle]), time.monotonic()
            report = library.add(film)
            assert report.count("added") == 1, report
            idle = getattr(library.decoding, "_idle", [])
            figures.append((spent([worker._process.pid for worker in idle]) - before, time.monotonic() - started))
    print(json.dumps(figures))


def pictures(film: Path, count: int = 40) -> dict[str, float]:
    """Return the median milliseconds of a thumbnail, 320 pixels wide, at random times; the first one's besides."""
    from mmvideo.cutting import frame_jpeg
    from mmvideo.media import probe
    from mmvideo.sandbox import Direct, Sandbox

    media, rng = probe(film), random.Random(1)
    ways: dict[str, Direct | Sandbox] = {"direct": Direct(), "isolated": Sandbox()}
    taken: dict[str, list[float]] = {how: [] for how in ways}
    for _ in range(count):
        at = rng.uniform(0, media.duration)
        for how, decoding in ways.items():
            started = time.perf_counter()
            frame_jpeg(media, at, width=320, decoding=decoding)
            taken[how].append(1000 * (time.perf_counter() - started))
    for decoding in ways.values():
        decoding.close()
    found = {f"first {how}": times[0] for how, times in taken.items()}
    return found | {how: statistics.median(times[1:]) for how, times in taken.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--films", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--run", choices=("isolated", "direct"))
    parser.add_argument("paths", nargs="*", type=Path)
    options = parser.parse_args()
    if options.run:
        run(options.paths, options.run == "isolated")
        return 0
    with tempfile.TemporaryDirectory(prefix="mmvideo-isolation-") as name:
        films = [Path(name) / f"{number}.mp4" for number in range(options.films)]
        make_film(films[0])
        for number, film in enumerate(films[1:], 1):  # another content, so that it is decoded again
            shutil.copy(films[0], film)
            with film.open("ab") as file:
                file.write(bytes([number]) * 64)
        found: dict[str, list[list[list[float]]]] = {"isolated": [], "direct": []}
        for _ in range(options.rounds):
            for how, figures in found.items():
                me = [sys.executable, __file__, "--run", how, *map(str, films)]
                figures.append(json.loads(subprocess.run(me, check=True, capture_output=True, text=True).stdout))
        shown = ", ".join(f"{how} {value:.0f}" for how, value in pictures(films[0]).items())
        print(f"milliseconds of a thumbnail: {shown}")
    for what, column in (("CPU seconds", 0), ("seconds", 1)):
        first = {how: statistics.median(run[0][column] for run in runs) for how, runs in found.items()}
        later = {
            how: statistics.median(film[column] for run in runs for film in run[1:]) for how, runs in found.items()
        }
        for which, one in (("first film", first), ("further film", later)):
            ratio = one["isolated"] / one["direct"] - 1
            print(f"{what:12} {which:13} direct {one['direct']:.3f}  isolated {one['isolated']:.3f}  {ratio:+.1%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
