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
    """Return all combinations, also those that training saw, in an order of chance, with when each begins."""
    order = np.random.default_rng(seed).permutation(len(everything))
    return [(everything[i], SHOT * place) for place, i in enumerate(order)]


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """A silent film of all 96 pictures, four seconds each; 16 of them were never trained."""
    shots, numbers = stretches(world.ALL_PICTURES, 5), np.random.default_rng(6)
    path = tmp_path_factory.mktemp("toy") / "shapes.mp4"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24"]
    command += ["-s", "96x96", "-r", "2", "-i", "-", "-pix_fmt", "yuv444p", "-crf", "12", "-g", "8", str(path)]
    frames = [world.draw(what, numbers) for what, _ in shots for _ in range(round(2 * SHOT))]
    subprocess.run(command, input=np.stack(frames).tobytes(), check=True)
    return path, shots


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """All 48 sounds, four seconds each; 16 of them were never trained."""
    sounds, numbers = stretches(world.ALL_SOUNDS, 7), np.random.default_rng(8)
    samples = np.concatenate([world.play(what, numbers, SHOT) for what, _ in sounds])
    return world.write_wav(tmp_path_factory.mktemp("toy") / "sounds.wav", samples), sounds


def recall(library, modality, asked):
    """Return which part of the held-out captions has its first hit's best moment where it is seen or heard."""
    new = [(what, start) for what, start in asked if world.held_out(what)]
    right = 0
    for what, start in new:
        hit = library.search(world.caption(what), modalities=[modality], limit=1)[0]
        right += start <= hit.time < start + SHOT
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


def test_eight_bits_find_them_as_well(film, tmp_path, monkeypatch):
    """`NAME:int8` through ONNX Runtime, which otherwise leaves networks as small as this one to torch."""
    from mmvideo.encode import exported, towers

    for module in (exported, towers):
        monkeypatch.setattr(module, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(towers, "WORTHWHILE", 0)
    path, shots = film
    visual = f"{WEIGHTS / 'tiny-clip'}:int8"
    recipe = Recipe(visual=visual, speech="none", screen="none", sound="none", passages="none", cut_threshold=0.02)
    with Library.open(tmp_path / "l.mmv", visual=visual, recipe=recipe, offline=True) as library:
        assert library.add(path).count("added") == 1
        assert recall(library, "visual", shots) >= 0.9
    made = {file.name.rsplit("-", 3)[1] + " " + file.name.split("-")[-2] for file in tmp_path.glob("*.onnx")}
    assert made == {"pictures int8", "texts int8"}  # the small network was computed, and nothing else


def test_new_sounds_are_found(recording, tmp_path):
    path, sounds = recording
    heard = str(WEIGHTS / "tiny-clap")
    recipe = Recipe(visual="none", speech="none", screen="none", sound=heard, passages="none")
    with Library.open(tmp_path / "l.mmv", sound=heard, recipe=recipe, offline=True) as library:
        assert library.add(path).count("added") == 1
        assert recall(library, "sound", sounds) >= 0.9
        what, start = sounds[2]
        query = world.write_wav(tmp_path / "query.wav", world.play(what, np.random.default_rng(10), 3.0))
        assert start <= library.search(audio=query, limit=1)[0].time < start + SHOT
