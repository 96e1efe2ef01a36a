"""What is seen, told in words: which frame stands for a shot, captions as segments, what makes them."""

import numpy as np
import pytest

from mmvideo import Library
from mmvideo.datatypes import ModelId, Recipe, Timeline
from mmvideo.describing import described, representatives
from mmvideo.encode import load_caption
from mmvideo.encode.captions import ASKED, Written
from mmvideo.encode.weights import find
from mmvideo.errors import ModelError

from .families import save, save_captioner, save_idefics
from .films import make_film
from .stubs import COLOURS, ColourEncoder, WordEncoder


class ColourCaptioner:
    """Says which colour a picture is of, nothing of a black one."""

    def __init__(self):
        self.model = ModelId("colour-words", "1")
        self.told = 0

    def caption(self, images):
        self.told += len(images)
        names = []
        for image in images:
            mean = image.reshape(-1, 3).mean(axis=0)
            name = min(COLOURS, key=lambda colour: np.abs(mean - COLOURS[colour]).sum())
            names.append("" if name == "black" else f"a wall painted {name}")
        return names


def test_the_frame_nearest_to_the_whole_stands_for_a_shot():
    vectors = np.array([[1, 0], [0.6, 0.8], [0, 1]], np.float32)
    times, rows = np.arange(9.0), np.array([0, 1, 1, 1, 2, 2, 2, 2, 2], np.int32)
    timeline = Timeline(times, rows, vectors, np.zeros(0), 0.0, 9.0)
    chosen = representatives(timeline, [(0, 4), (4, 9), (8.5, 9)], np.array([[0.6, 0.8], [0, 1], [0, 1]], np.float32))
    assert chosen == [1, 6, 8]  # of equal frames the middle one; of none in it, the one before


def test_neighbours_told_alike_are_one():
    frames = [(0, np.full((4, 4, 3), (255, 0, 0), np.uint8)), (5, np.zeros((4, 4, 3), np.uint8))]
    found = described([(0, 2), (2, 4), (4, 6)], [0, 0, 5], frames, ColourCaptioner())
    assert [(one.start, one.end, one.text) for one in found] == [(0, 4, "a wall painted red")]


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    shots = [("red", 5), ("black", 5), ("green", 14), ("blue", 5)]
    return make_film(tmp_path_factory.mktemp("films") / "walls.mp4", shots, sound=False)


def test_captions_are_found_by_words_and_by_meaning(film, tmp_path):
    captioner = ColourCaptioner()
    options = {"visual": ColourEncoder(), "passages": WordEncoder(), "caption": captioner}
    with Library.open(tmp_path / "l.mmv", **options, recipe=Recipe(screen="none", speech="none")) as library:
        library.add(film)
        assert library.counts(film)["caption"] == 3
        assert captioner.told <= 5  # a frame a segment
        hit = library.search("painted green", modalities=["caption"], limit=1)[0]
        assert (hit.start, hit.end) == pytest.approx((10, 24), abs=0.6)
        assert (hit.matches[0].text, hit.matches[0].words_matched) == ("a wall painted green", True)
        assert library.search("painted", modalities=["caption"])[0].matches[0].marks == ((7, 14),)
        assert library.verify().clean
        assert library.add(film).count("unchanged") == 1


def test_captions_are_left_out_unless_asked_for(film, tmp_path):
    with Library.open(tmp_path / "l.mmv", visual=ColourEncoder(), recipe=Recipe(screen="none")) as library:
        library.add(film)
        assert "caption" not in library.counts(film)


@pytest.mark.parametrize("family", ["blip", "blip-2", "git"])
def test_captions_equal_transformers_called_directly(family, tmp_path, capfd):
    import torch
    from PIL import Image
    from transformers import AutoModelForImageTextToText, AutoProcessor

    folder = save_captioner(family, tmp_path)
    capfd.readouterr()
    captioner = Written(find(str(folder)), name="x", device="cpu")
    pictures = [np.random.default_rng(i).integers(0, 256, (40, 50, 3), np.uint8) for i in range(2)]
    told = captioner.caption(pictures)
    assert capfd.readouterr() == ("", "")
    model = AutoModelForImageTextToText.from_pretrained(folder).eval()
    processor = AutoProcessor.from_pretrained(folder, backend="pil")
    longest = 22 if family == "blip" else 40
    for picture, text in zip(pictures, told, strict=True):
        inputs = processor(images=Image.fromarray(picture), return_tensors="pt")
        with torch.inference_mode():
            made = model.generate(**inputs, max_new_tokens=longest, do_sample=False)
        assert text == " ".join(processor.batch_decode(made, skip_special_tokens=True)[0].split())
    assert captioner.caption([]) == []
    assert captioner.model.dim == 0


def test_a_model_that_is_asked_describes_what_it_is_shown(tmp_path):
    """Idefics, SmolVLM and their like, through their chat template."""
    import torch
    from PIL import Image
    from transformers import AutoModelForImageTextToText, AutoProcessor

    folder = save_idefics(tmp_path)
    pictures = [np.random.default_rng(i).integers(0, 256, (40, 50, 3), np.uint8) for i in range(2)]
    told = Written(find(str(folder)), name="x", device="cpu").caption(pictures)
    model = AutoModelForImageTextToText.from_pretrained(folder).eval()
    processor = AutoProcessor.from_pretrained(folder, backend="pil")
    for picture, text in zip(pictures, told, strict=True):
        prompt = f"user: <image>{ASKED}assistant:"
        inputs = processor(text=prompt, images=[Image.fromarray(picture)], return_tensors="pt")
        with torch.inference_mode():
            made = model.generate(**inputs, max_new_tokens=40, do_sample=False)
        answer = processor.batch_decode(made[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)[0]
        assert text == " ".join(answer.split())
    assert told[0] != told[1]


def test_a_model_that_writes_nothing_is_refused(tmp_path):
    folder = save("clip", tmp_path)
    with pytest.raises(ModelError, match="writes no text"):
        load_caption(str(folder), offline=True).caption([np.zeros((30, 30, 3), np.uint8)])


def test_labels_name_what_photographs_show():
    pytest.importorskip("efficientnet_lite_pytorch")
    data = pytest.importorskip("skimage.data")
    captioner = load_caption("labels", offline=True, device="cpu")
    cat, cup = captioner.caption([data.chelsea(), data.coffee()])
    assert "cat" in cat or "tabby" in cat
    assert "espresso" in cup
    assert captioner.caption([]) == []
