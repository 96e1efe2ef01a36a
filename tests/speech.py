"""Sound for the tests of voice activity and speech: real speech, silence, tones."""

import subprocess
from importlib.util import find_spec
from pathlib import Path

import imageio_ffmpeg
import numpy as np

from mmvideo.datatypes import SAMPLE_RATE, Audio

# Looked up, not imported: the package is a plugin of pytest's, which is switched off here.
SPOKEN = Path(find_spec("pytest_audioeval").submodule_search_locations[0]) / "samples" / "audio"


def load(path):
    """Return a file's sound, (n,) float32 at 16 kHz."""
    ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error"]
    command = [*ffmpeg, "-i", str(path), "-ac", "1", "-ar", str(SAMPLE_RATE), "-f", "f32le", "-"]
    return np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, np.float32)


def silence(seconds):
    return np.zeros(int(seconds * SAMPLE_RATE), np.float32)


def tone(seconds, hertz=440.0):
    return (0.4 * np.sin(np.arange(int(seconds * SAMPLE_RATE)) * 2 * np.pi * hertz / SAMPLE_RATE)).astype(np.float32)


def blocks(samples, seconds, start=0.0):
    """Return the sound cut into consecutive blocks."""
    size = int(seconds * SAMPLE_RATE)
    return [Audio(samples[i : i + size], start + i / SAMPLE_RATE) for i in range(0, len(samples), size)]
