"""A tiny CLIP and a tiny CLAP, trained from nothing on generated pictures and sounds (`scripts/train_tiny.py`), through
the whole way from a film to a hit: combinations that were never trained are found."""

import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from mmvideo import Library
from mmvideo.datatypes import Recipe

from . import toyworld as world

WEIGHTS = Path(__file__).parent / "weights"
SHOT = 4.0
"""Seconds of each picture and sound in the film."""


def stretches(everything, seed):
    """Return all combinations kept from training and as many others, in an order of chance, with when each begins."""
    numbers = np.random.default_rng(seed)
    new = [what for what in everything if world.held_out(what)]
    known = [what for what in everything if not world.held_out(what)]
    chosen = new + [known[i] for i in numbers.permutation(len(known))[: len(new)]]
    return [(chosen[i], SHOT * place) for place, i in enumerate(numbers.permutation(len(chosen)))]


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """A silent film of held-out pictures among others, four seconds each."""
    shots, numbers = stretches(world.ALL_PICTURES, 5), np.random.default_rng(6)
    path = tmp_path_factory.mktemp("toy") / "shapes.mp4"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24"]
    command += ["-s", "96x96", "-r", "2", "-i", "-", "-pix_fmt", "yuv444p", "-crf", "12", "-g", "8", str(path)]
    frames = [world.draw(what, numbers) for what, _ in shots for _ in range(round(2 * SHOT))]
    subprocess.run(command, input=np.stack(frames).tobytes(), check=True)
    return path, shots


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """Held-out sounds among others, four seconds each."""
    sounds, numbers = stretches(world.ALL_SOUNDS, 7), np.random.default_rng(8)
    samples = np.concatenate([world.play(what, numbers, SHOT) for what, _ in sounds])
    return world.write_wav(tmp_path_factory.mktemp("toy") / "sounds.wav", samples), sounds


def recall(library, modality, asked):
    """Return which part of the held-out captions has its first hit's best moment where it is seen or heard."""
    new = [(what, start) for what, start in asked if world.held_out(what)]
    right = 0
    for what, start in new:
        hit = library.search(world.caption(what), modalities=[modality], limit=1)[0]
        right += start <= hit.time <= start + SHOT
    return right / len(new)


def test_new_pictures_are_found(film, tmp_path):
    path, shots = film
    visual = str(WEIGHTS / "tiny-clip")
    recipe = Recipe(visual=visual, speech="none", screen="none", sound="none", passages="none", cut_threshold=0.02)
    with Library.open(tmp_path / "l.mmv", visual=visual, recipe=recipe, offline=True) as library:
        assert library.add(path).count("added") == 1
        assert recall(library, "visual", shots) >= 0.9
        picture = world.draw(shots[3][0], np.random.default_rng(9))
        assert shots[3][1] <= library.search(image=picture, limit=1)[0].time < shots[3][1] + SHOT


def test_new_sounds_are_found(recording, tmp_path):
    path, sounds = recording
    heard = str(WEIGHTS / "tiny-clap")
    recipe = Recipe(visual="none", speech="none", screen="none", sound=heard, passages="none")
    with Library.open(tmp_path / "l.mmv", sound=heard, recipe=recipe, offline=True) as library:
        assert library.add(path).count("added") == 1
        # Six of eight: this CLAP has not learned all there is (its training ends at three of four right); chance is
        # one in sixteen.
        assert recall(library, "sound", sounds) >= 0.75
        what, start = sounds[2]
        query = world.write_wav(tmp_path / "query.wav", world.play(what, np.random.default_rng(10), 3.0))
        assert start <= library.search(audio=query, limit=1)[0].time < start + SHOT
