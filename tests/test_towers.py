"""Exported towers against the same networks computed by torch, for every family that has pictures and texts."""

import subprocess
import sys

import numpy as np
import pytest

from mmvideo.encode import exported, load_visual, towers
from mmvideo.encode.clip import Clip
from mmvideo.encode.weights import Weights
from mmvideo.errors import ModelError

from . import families

TEXTS = ["a dog", "Zwei FRAUEN lachen", "x", "long " * 200]
PICTURES = np.random.default_rng(3).integers(0, 256, (3, 50, 80, 3), np.uint8)
LEFT_TO_TORCH = {"x-clip", "siglip2-naflex", "blip-2-retrieval"}
"""Frames of a clip look at each other; pictures come with their shapes; queries are expanded to one fixed number."""


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(exported, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(towers, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(towers, "WORTHWHILE", 0)
    return tmp_path


def encoder(folder, **options):
    return Clip(Weights(folder, "folder", (folder / "model.safetensors",)), name=folder.name, **options)


@pytest.mark.parametrize("family", families.FAMILIES)
def test_exported_towers_make_the_same_vectors(family, cache, tmp_path_factory):
    folder = families.save(family, tmp_path_factory.mktemp("model") / family)
    plain, fast = encoder(folder, device="cpu"), encoder(folder)
    assert fast.encode_images(PICTURES) == pytest.approx(plain.encode_images(PICTURES), abs=1e-4)
    assert fast.encode_texts(TEXTS) == pytest.approx(plain.encode_texts(TEXTS), abs=1e-4)
    assert fast.notes == plain.notes
    made = {file.name.split("-")[-3] for file in cache.glob("*.onnx")}
    assert ("pictures" in made) == (family not in LEFT_TO_TORCH)
    again = encoder(folder)
    assert again.encode_texts(TEXTS) == pytest.approx(plain.encode_texts(TEXTS), abs=1e-4)


def test_a_query_needs_neither_torch_nor_transformers(cache, tmp_path_factory):
    folder = families.save("clip", tmp_path_factory.mktemp("model") / "clip")
    wanted = encoder(folder).encode_texts(["a dog"])
    code = """
import sys
from pathlib import Path
from mmvideo.encode import exported, load_visual, towers
exported.cache_folder = towers.cache_folder = lambda: Path(sys.argv[1])
towers.WORTHWHILE = 0
from mmvideo.encode.clip import Clip
from mmvideo.encode.weights import Weights
folder = Path(sys.argv[2])
vector = Clip(Weights(folder, "folder", (folder / "model.safetensors",)), name="clip").encode_texts(["a dog"])
print(sorted({"torch", "transformers"} & set(sys.modules)), *vector[0][:3])
"""
    run = [sys.executable, "-c", code, str(cache), str(folder)]
    said = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    loaded, _, numbers = said.partition("] ")
    assert loaded == "["
    assert [float(number) for number in numbers.split()] == pytest.approx(wanted[0][:3].tolist(), abs=1e-5)


def test_eight_bits_make_nearly_the_same_and_are_another_model(cache, tmp_path_factory):
    folder = families.save("clip", tmp_path_factory.mktemp("model") / "clip")
    whole, small = encoder(folder), encoder(folder, precision="int8")
    cosines = (whole.encode_images(PICTURES) * small.encode_images(PICTURES)).sum(1)
    assert cosines == pytest.approx(1, abs=0.02)
    assert small.model != whole.model


def test_small_networks_are_left_to_torch(tmp_path_factory):
    folder = families.save("clip", tmp_path_factory.mktemp("model") / "clip")
    assert not towers.worthwhile(folder)


def test_eight_bits_are_asked_for_in_the_name(cache, tmp_path_factory):
    folder = families.save("clip", tmp_path_factory.mktemp("model") / "clip")
    small = load_visual(f"{folder}:int8")
    assert (small.model.name, small.model.revision[-5:]) == (f"{folder}:int8", "-int8")
    with pytest.raises(ModelError, match="no matrices"):
        load_visual("conse:int8")
