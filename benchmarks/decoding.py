"""Decoding: what a sampled film costs, beside decoding it in full and beside other programs.

    python benchmarks/decoding.py [FILM] [--seconds 300] [--runs 3] [--peer PYTHON]

Without a film, one is made of `samples/harbour.mp4`: 1280 × 720, H.264 with B-frames, a keyframe at least every 4 s.
Prints a Markdown table, all rows in one run on one machine: the median of wall and processor seconds over the runs,
and each row's speed as a multiple of `ffmpeg -vf fps=1` to a pipe. Pictures are scaled to a short side of 288 pixels in
all rows but those that say otherwise. `--peer` is the Python of an environment with `amon-hen` (`python -m venv`, `pip
install`): its decoding and adaptive sampling, one frame a second, as a process of its own.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import imageio_ffmpeg
import numpy as np
from machine import machine

from mmvideo.datatypes import Media, Recipe
from mmvideo.decode import sample_frames
from mmvideo.media import probe
from mmvideo.segment import is_duplicate, signatures

SAMPLES = Path(__file__).resolve().parent.parent / "samples"


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("film", nargs="?", type=Path)
    options.add_argument("--seconds", type=int, default=300)
    options.add_argument("--runs", type=int, default=3)
    options.add_argument("--peer", type=Path)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        film = given.film or make_film(Path(folder) / "film.mp4", given.seconds)
        media = probe(film)
        print(machine())
        assert media.video is not None
        print(f"{media.duration:.0f} s of {media.video.width} × {media.video.height} {media.video.codec}\n")
        ways = {
            "ffmpeg -vf fps=1, full size, to a pipe": lambda: by_ffmpeg(media, "fps=1"),
            "ffmpeg -vf fps=1,scale, to a pipe": lambda: by_ffmpeg(media, "fps=1,scale=-2:288"),
            "every frame through PyAV, none kept": lambda: every_frame(media),
            "decord, one frame a second": lambda: by_decord(media, keys=False),
            "decord, keyframes": lambda: by_decord(media, keys=True),
            "mmvideo, one frame a second": lambda: ours(media, 0.0),
            "mmvideo, keyframes up to 4 s apart (the default)": lambda: ours(media, 4.0),
            "the same, near-duplicates told": lambda: ours(media, 4.0, sampled=True),
        }
        if given.peer:
            ways["amon-hen, adaptive sampling"] = lambda: by_amon_hen(given.peer, media)
        runs: dict[str, list[tuple[float, float, int]]] = {name: [] for name in ways}
        for _ in range(given.runs):
            for name, way in ways.items():
                runs[name].append(timed(way))
    whole = median(wall for wall, _, _ in next(iter(runs.values())))
    print("| way | frames | wall s | cpu s | speed |\n|---|---|---|---|---|")
    for name, results in runs.items():
        wall, cpu = (median(result[i] for result in results) for i in (0, 1))
        print(f"| {name} | {results[0][2]} | {wall:.2f} | {cpu:.2f} | {whole / wall:.1f} |")


def make_film(path: Path, seconds: int) -> Path:
    """Make the film by repeating the sample."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-stream_loop", "-1", "-i", SAMPLES / "harbour.mp4"]
    video = ["-vf", "scale=1280:720", "-c:v", "libx264", "-preset", "fast", "-crf", "21", "-g", "100"]
    subprocess.run([*command, *video, "-t", str(seconds), "-c:a", "copy", path], check=True)
    return path


def timed(way: Callable[[], int]) -> tuple[float, float, int]:
    """Return wall seconds, processor seconds with those of child processes, and the number of frames."""
    before, started = os.times(), time.perf_counter()
    count = way()
    wall, after = time.perf_counter() - started, os.times()
    return wall, sum(after[:4]) - sum(before[:4]), count


def by_ffmpeg(media: Media, filters: str) -> int:
    """Read raw pictures from ffmpeg's pipe."""
    assert media.video is not None
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(media.path), "-vf", filters]
    with subprocess.Popen([*command, "-pix_fmt", "rgb24", "-f", "rawvideo", "-"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        size = 0
        while block := process.stdout.read(1 << 22):
            size += len(block)
    height, width = media.video.height, media.video.width
    if "scale" in filters:
        height, width = 288, round(width * 288 / height / 2) * 2
    return size // (3 * height * width)


def every_frame(media: Media) -> int:
    """Decode everything, with the threads that libav chooses."""
    import av

    with av.open(str(media.path)) as container:
        container.streams.video[0].thread_type = "AUTO"
        return sum(1 for _ in container.decode(video=0))


def by_decord(media: Media, *, keys: bool) -> int:
    """Read through decord's `get_batch`."""
    import decord

    assert media.video is not None
    width = round(media.video.width * 288 / media.video.height)
    reader = decord.VideoReader(str(media.path), width=width, height=288)
    step = reader.get_avg_fps()
    numbers = reader.get_key_indices() if keys else [round(i * step) for i in range(int(len(reader) / step))]
    return sum(len(reader.get_batch(np.array(numbers[i : i + 32])).asnumpy()) for i in range(0, len(numbers), 32))


def ours(media: Media, gap: float, *, sampled: bool = False) -> int:
    """Decode as `add` does; `sampled`: also tell near-duplicates, and count what an encoder would get."""
    kept, last = 0, None
    with sample_frames(media, interval=1.0, short_side=288, keyframe_gap=gap) as frames:
        for batch in frames:
            if not sampled:
                kept += len(batch)
                continue
            for signature in signatures(batch.images):
                if last is None or not is_duplicate(signature, last, Recipe().duplicate_threshold):
                    last = signature
                    kept += 1
    return kept


PEER = """
import sys
from amonhen import decode, sample
keep = sample.build_sampler("adaptive", fps=1.0).keep
print(sum(keep(frame.image) for frame in decode.iter_frames(sys.argv[1], fps=1.0)))
"""


def by_amon_hen(python: Path, media: Media) -> int:
    """Decode and sample as amon-hen does, in its own environment."""
    return int(subprocess.run([python, "-c", PEER, media.path], check=True, stdout=subprocess.PIPE).stdout)


if __name__ == "__main__":
    main()
