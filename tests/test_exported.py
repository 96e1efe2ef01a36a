import subprocess
import sys

import numpy as np
import pytest
import torch

from mmvideo import encode
from mmvideo.encode import conse, exported, load, load_passages, sentence
from mmvideo.encode.exported import Exported


class Small(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.layers = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.GELU(), torch.nn.Linear(128, 32))

    def forward(self, x):
        return self.layers(x)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(exported, "cache_folder", lambda: tmp_path)
    return tmp_path


def made(network=None):
    """Return a `make` that counts its calls."""

    def make():
        make.calls += 1
        return (network or Small()).eval(), {"x": torch.randn(2, 64)}

    make.calls = 0
    return make


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("count", [1, 2, 7])
def test_it_computes_what_torch_computes(precision, count):
    portable = exported.exported("small", made(), precision=precision)
    x = torch.randn(count, 64)
    with torch.inference_mode():
        wanted = Small().eval()(x).numpy()
    cosines = (portable({"x": x.numpy()}) * wanted).sum(1) / np.linalg.norm(wanted, axis=1) ** 2
    assert cosines == pytest.approx(1, abs=0.03 if precision == "int8" else 1e-5)


def test_it_is_exported_once(cache):
    make = made()
    first, second = (exported.exported("small", make) for _ in range(2))
    x = np.ones((1, 64), np.float32)
    assert np.array_equal(first({"x": x}), second({"x": x}))
    assert make.calls == 1
    assert [file.name for file in cache.iterdir()] == ["small-float32-1.onnx"]


def test_a_damaged_file_is_made_again(cache):
    make = made()
    exported.exported("small", make)
    file = cache / "small-float32-1.onnx"
    file.write_bytes(file.read_bytes()[:1000])
    assert exported.exported("small", make)({"x": np.ones((1, 64), np.float32)}).shape == (1, 32)
    assert make.calls == 2


def test_what_torch_and_it_disagree_about_is_left_to_torch(cache, monkeypatch):
    monkeypatch.setattr(Exported, "__call__", lambda self, inputs: np.ones((3, 32), np.float32))
    assert exported.exported("small", made()) is None
    assert list(cache.iterdir()) == []


def test_what_cannot_be_exported_is_left_to_torch(cache):
    class Sorting(torch.nn.Module):
        def forward(self, x):
            return torch.from_numpy(np.sort(x.numpy()))

    assert exported.exported("sorting", made(Sorting())) is None  # tracing keeps what came out once
    assert list(cache.iterdir()) == []


def test_with_a_gpu_or_without_the_packages_torch_computes(monkeypatch):
    monkeypatch.setattr(exported, "_gpu", lambda: True)
    assert exported.exported("small", made()) is None
    monkeypatch.setattr(exported, "_gpu", lambda: False)
    monkeypatch.setattr(exported, "find_spec", lambda name: None)
    assert exported.exported("small", made()) is None


def test_conse_is_the_same_by_either(monkeypatch):
    encoder, _ = load("visual", "conse", offline=True)
    images = np.random.default_rng(0).integers(0, 256, (3, 120, 160, 3), np.uint8)
    assert encoder._portable is not None
    one = encoder.encode_images(images)
    monkeypatch.setattr(conse.Conse, "_portable", None)
    other = load("visual", "conse", offline=True)[0].encode_images(images)
    assert (one * other).sum(1) == pytest.approx(1, abs=1e-5)


def test_once_exported_pictures_are_encoded_without_torch(tmp_path):
    code = """
import sys
from pathlib import Path
import numpy as np
from mmvideo.encode import exported, load
exported.cache_folder = lambda: Path(sys.argv[1])
load("visual", "conse", offline=True)[0].encode_images(np.zeros((1, 60, 80, 3), np.uint8))
print("torch" in sys.modules)
"""
    run = [sys.executable, "-c", code, str(tmp_path)]
    said = [subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip() for _ in range(2)]
    assert said == ["True", "False"]


def test_thousands_of_passages_are_encoded_by_an_exported_network(cache, monkeypatch):
    monkeypatch.setattr(sentence, "WORTHWHILE", 60)
    encode._sentence.cache_clear()  # what the tests before have encoded does not count
    texts = [" ".join(["harbour", "bees", "roof", "ferry"][: 1 + i % 4] * (1 + i % 9)) for i in range(40)]
    encoder = load_passages("minilm", offline=True)
    by_numpy = encoder.encode_texts(texts)
    assert list(cache.iterdir()) == []
    exported_now = encoder.encode_texts(texts)
    assert [file.suffix for file in cache.iterdir()] == [".onnx"]
    assert (by_numpy * exported_now).sum(1) == pytest.approx(1, abs=1e-5)
    monkeypatch.setattr(sentence._Bert, "pooled", None)  # a later process finds it made
    encode._sentence.cache_clear()
    later = load_passages("minilm", offline=True).encode_texts(texts)
    encode._sentence.cache_clear()
    assert np.array_equal(later, exported_now)
