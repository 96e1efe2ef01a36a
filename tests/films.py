"""Films of plain colours, made by ffmpeg."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import imageio_ffmpeg

from .stubs import COLOURS

Shots = Sequence[tuple[str, float]]


def ffmpeg(*arguments: object) -> None:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True)


def make_film(path: Path, shots: Shots, *, sound: bool = True) -> Path:
    """Make a film with one plain colour per shot, (colour, seconds), and a tone beside it."""
    inputs: list[object] = []
    for colour, seconds in shots:
        inputs += ["-f", "lavfi", "-i", f"color=c=0x{bytes(COLOURS[colour]).hex()}:s=96x64:r=10:d={seconds}"]
    joined = "".join(f"[{i}]" for i in range(len(shots))) + f"concat=n={len(shots)}[v]"
    length = sum(seconds for _, seconds in shots)
    if sound:
        inputs += ["-f", "lavfi", "-i", f"sine=frequency=440:duration={length}"]
    audio = ["-map", f"{len(shots)}:a", "-c:a", "aac"] if sound else []
    ffmpeg(*inputs, "-filter_complex", joined, "-map", "[v]", *audio, "-pix_fmt", "yuv420p", "-g", 20, path)
    return path


def make_sound(path: Path, seconds: float = 25.0) -> Path:
    """Make a recording of a tone."""
    ffmpeg("-f", "lavfi", "-i", f"sine=frequency=330:duration={seconds}", path)
    return path
