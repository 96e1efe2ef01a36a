"""Text on screen: pure functions, stub readers, and the samples' film with the real weights of rapidocr."""

import json
import socket
import sys
import time
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from mmvideo import Library, ModelError, Recipe, cli, encode
from mmvideo.datatypes import Frames, ModelId
from mmvideo.encode import rapid
from mmvideo.screen import Watch, same_text, screen_texts, segments, spread, steady
from mmvideo.spelling import spellings, within
from mmvideo.written import ScreenLine

from .films import make_film
from .stubs import ColourEncoder, ScriptedTranscriber, WordEncoder

SAMPLES = Path(__file__).parent.parent / "samples"


def line(text, confidence=1.0, box=(0.1, 0.1, 0.9, 0.2)):
    return (ScreenLine(text, box, confidence),)


def slide(text, size=(512, 288), height=8, back=(20, 20, 30), colour=(235, 235, 235)):
    image = Image.new("RGB", size, back)
    if text:
        ImageDraw.Draw(image).text((40, 120), text, fill=colour, font=ImageFont.load_default(height))
    return np.asarray(image)


# Which frames are read


def read_of(images):
    watch = Watch()
    list(watch.over(iter([Frames(np.stack(images), np.arange(float(len(images))))])))
    return watch.changed


@pytest.mark.parametrize("height", [6, 12, 24])
def test_text_that_appears_is_a_change(height):
    agenda = slide("Agenda", height=height)
    assert read_of([slide(""), slide(""), agenda, agenda, slide("")]) == [0, 2, 4]


def test_so_are_other_words_and_another_digit():
    assert read_of([slide("one"), slide("two"), slide("one")]) == [0, 1, 2]
    assert read_of([slide("Case 12", height=12), slide("Case 13", height=12)]) == [0, 1]


def test_noise_and_a_soft_picture_that_moves_are_none():
    rng = np.random.default_rng(1)
    ramp = np.tile(np.linspace(0, 200, 512), (288, 1))
    images = [np.roll(ramp, 5 * i, axis=0) + rng.normal(0, 3, ramp.shape) for i in range(4)]
    assert read_of(list(np.clip(np.stack([images] * 3, axis=-1), 0, 255).astype(np.uint8))) == [0]


def test_a_picture_too_small_for_text():
    assert read_of(list(np.random.default_rng(1).integers(0, 255, (3, 10, 20, 3), dtype=np.uint8))) == [0]


def test_a_watch_notes_what_passes_by():
    batches = [Frames(np.stack([slide("one")] * 2), np.array([0.0, 1.0])), Frames(slide("two")[None], np.array([2.0]))]
    watch = Watch()
    assert [len(frames) for frames in watch.over(iter(batches))] == [2, 1]
    assert watch.times.tolist() == [0.0, 1.0, 2.0]
    assert watch.changed == [0, 2]
    idle = Watch(wanted=False)
    assert [len(frames) for frames in idle.over(iter(batches))] == [2, 1]
    assert (len(idle.times), idle.changed) == (0, [])


# From lines to segments


def test_the_same_text_is_one_segment_from_first_to_last():
    times = np.arange(6.0)
    shown = [
        (),
        line("Opening hours", 0.9),
        line("Opening hoors", 0.8),
        line("Opening hours", 1.0),
        (),
        line("The end"),
    ]
    texts = screen_texts(times, shown, np.zeros(0), 0.0, 7.5)
    assert [(t.start, t.end, t.text) for t in texts] == [(1.0, 4.0, "Opening hours"), (5.0, 7.5, "The end")]
    assert texts[0].lines[0].confidence == 1.0


def test_a_cut_between_two_samples_is_the_border():
    texts = screen_texts(np.arange(4.0), [(), *[line("Rome")] * 2, line("Athens")], np.array([0.5, 2.4]), 0.0, 4.0)
    assert [(t.start, t.end) for t in texts] == [(0.5, 2.4), (2.4, 4.0)]


def test_nothing_shown_makes_nothing():
    assert screen_texts(np.zeros(0), [], np.zeros(0), 0.0, 1.0) == []
    assert screen_texts(np.arange(3.0), [(), (), ()], np.zeros(0), 0.0, 3.0) == []


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Chapter 1", "Chapter 2", False),
        ("Closed on Mondays", "Closed on Mondavs", True),
        ("Closed on Mondays", "Open on Sundays", False),
        ("Rome", "", False),
        ("ROME", "Rome", True),
    ],
)
def test_same_text(one, other, same):
    assert same_text(line(one), line(other) if other else ()) is same


def test_what_was_read_last_still_stands():
    assert spread(5, [1, 3], [line("a"), line("b")]) == [(), line("a"), line("a"), line("b"), line("b")]


def test_what_flickers_beside_what_stays_is_left_out():
    caption = line("coins from Pompeii")
    flicker = [caption, (*caption, *line("0006")), caption, line("Rome"), ()]
    assert steady(flicker) == [caption, caption, caption, line("Rome"), ()]
    growing = [caption, *[(*caption, *line("Room 5"))] * 2]
    assert steady(growing) == growing


def test_several_lines_are_one_text():
    both = (*line("OPENING HOURS"), *line("Closed on Mondays"))
    (segment,) = segments(screen_texts(np.zeros(1), [both], np.zeros(0), 0.0, 2.0))
    assert (segment.modality, segment.text) == ("screen", "OPENING HOURS · Closed on Mondays")


# Spelling


def test_spellings_are_worth_less_the_further_they_are():
    known = ["opening", "openinghours", "reopening", "harbour", "0pera"]
    found = spellings("opening", known)
    assert set(found) == {"opening", "openinghours", "reopening"}
    assert found["opening"] == 1 > found["openinghours"] > found["reopening"]
    assert set(spellings("harbor", known)) == {"harbour"}
    assert set(spellings("opera", known)) == {"0pera"}
    assert spellings("xyz", known) == spellings("rome", known) == {}
    assert spellings("op", known) == {}


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [("harbor", "harbour", 1), ("pompeii", "pompei", 1), ("form", "from", 1), ("cat", "dog", 3), ("", "ab", 2)],
)
def test_letters_that_differ(one, other, distance):
    assert within(one, other, distance)
    assert within(other, one, distance)
    assert not within(one, other, distance - 1)


# A library with a reader whose answers are known


class ColourReader:
    """Reads a caption off plain colours."""

    CAPTIONS: ClassVar = {"red": "Tuesday to Sunday", "green": "Case 12: coins", "blue": ""}

    def __init__(self, name="captions"):
        self.model = ModelId(name, "1")
        self.sizes = []
        self.encoder = ColourEncoder()

    def read(self, images):
        self.sizes += [image.shape[:2] for image in images]
        names = ("red", "green", "blue")
        texts = [self.CAPTIONS[names[int(row[:3].argmax())]] for row in self.encoder.encode_images(images)]
        return [line(text) if text else () for text in texts]


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return make_film(tmp_path_factory.mktemp("films") / "film.mp4", (("red", 5), ("green", 6), ("blue", 4), ("red", 3)))


@pytest.fixture
def every_change(monkeypatch):
    """Plain colours have no strokes: count every frame as changed."""
    monkeypatch.setattr("mmvideo.screen.changed", lambda one, other: True)


def open_library(path, **options):
    chosen = {"visual": ColourEncoder(), "speech": ScriptedTranscriber(), "passages": WordEncoder(), **options}
    return Library.open(path, **chosen)


def test_text_on_screen_is_found_where_it_stands(film, tmp_path, every_change):
    reader = ColourReader()
    with open_library(tmp_path / "a.mmv", screen=reader) as library:
        report = library.add(film)
        assert report.media[0].segments["screen"] == 3
        assert library.models["screen"] == reader.model
        hit = library.search("coins", modalities=["screen"])[0]
        assert (hit.start, hit.end) == pytest.approx((5, 11), abs=0.51)
        assert (hit.matches[0].modality, hit.text) == ("screen", "Case 12: coins")
        assert hit.matches[0].words_matched
        for asked in ("coin", "conis", "CASE"):
            assert library.search(asked, modalities=["screen"])[0].text == "Case 12: coins"
        assert {h.text for h in library.search('"to sunday"', modalities=["screen"])} == {"Tuesday to Sunday"}
        assert [t.text for t in library.screen("film.mp4")] == [
            "Tuesday to Sunday",
            "Case 12: coins",
            "Tuesday to Sunday",
        ]
        assert library.screen("film.mp4")[0].lines[0].box == (0.1, 0.1, 0.9, 0.2)
        assert library.add(film).count("unchanged") == 1
        library.remove("film.mp4")
        assert library.search("coins", modalities=["screen"]) == []


def test_only_changed_frames_are_read(film, tmp_path):
    reader = ColourReader()
    with open_library(tmp_path / "b.mmv", screen=reader) as library:
        library.add(film)
    assert len(reader.sizes) == 1


def test_screen_alone_without_vectors(film, tmp_path, every_change):
    with open_library(
        tmp_path / "c.mmv", visual="none", speech="none", passages="none", screen=ColourReader()
    ) as library:
        assert library.add(film).media[0].segments == {"screen": 3}
        assert library.search("coins")[0].text == "Case 12: coins"


def test_another_reader_is_refused_and_reindexing_takes_it(film, tmp_path, every_change, monkeypatch):
    with open_library(tmp_path / "d.mmv", screen=ColourReader()) as library:
        library.add(film)
    with pytest.raises(encode.ModelError, match="no reader of text on screen"):
        open_library(tmp_path / "d.mmv", screen="other/reader")
    stubs = {"visual": ColourEncoder(), "speech": ScriptedTranscriber(), "passages": WordEncoder()}
    monkeypatch.setattr(encode, "load", lambda part, name, offline: (stubs[part], ""))
    with open_library(tmp_path / "d.mmv") as library:
        library.reindex(screen="none")
        assert "screen" not in library.models
        assert library.counts("film.mp4")["visual"] == 4
        assert "screen" not in library.counts("film.mp4")
        assert library.screen("film.mp4") == ()


def test_a_library_made_before_there_was_a_screen_opens_and_learns_it(film, tmp_path, every_change):
    import sqlite3

    with open_library(tmp_path / "old.mmv", screen="none") as library:
        library.add(film)
    with sqlite3.connect(tmp_path / "old.mmv" / "library.db") as db:
        db.execute("DROP TABLE screen")
    with open_library(tmp_path / "old.mmv") as library:
        assert library.screen("film.mp4") == ()
        assert library.search("green", modalities=["visual"])
    with open_library(tmp_path / "old.mmv", screen=ColourReader()) as library:
        library.add(film)
        assert len(library.screen("film.mp4")) == 3


# Where the package is missing


def test_without_the_package_auto_leaves_it_out_and_a_name_says_what_to_install(film, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(rapid, "package_file", lambda path: None)
    with open_library(tmp_path / "e.mmv") as library:
        report = library.add(film)
        assert report.count("added") == 1
        assert report.notes == ()
        assert "screen" not in library.models
    with pytest.raises(ModelError, match=r'pip install "mmvideo\[screen\]"'):
        encode.load("screen", "rapidocr")
    with open_library(tmp_path / "f.mmv", screen="rapidocr") as library, pytest.raises(ModelError, match="mmvideo"):
        library.add(film)
    assert cli.main(["models"]) == 0
    assert "· rapidocr" in capsys.readouterr().out
    assert cli.main(["models", "--json"]) == 0
    listed = {model["name"]: model for model in json.loads(capsys.readouterr().out)}
    assert listed["rapidocr"]["place"] == 'pip install "mmvideo[screen]"'


def test_auto_reads_where_the_package_is(film, tmp_path, monkeypatch, every_change):
    monkeypatch.setattr("mmvideo.encode.can_read_screen", lambda: True)
    monkeypatch.setattr("mmvideo.encode.rapid.RapidOcr", lambda: ColourReader("rapidocr"))
    with open_library(tmp_path / "g.mmv") as library:
        library.add(film)
        assert library.models["screen"].name == "rapidocr"
    monkeypatch.setattr("mmvideo.encode.can_read_screen", lambda: False)
    with open_library(tmp_path / "g.mmv") as library:
        library.recipe = Recipe(max_segment=3.0)
        assert "not read any more" in library.add(film).notes[0]
        assert library.search("coins", modalities=["screen"]) == []


# Real weights


@pytest.fixture(scope="module")
def harbour(tmp_path_factory):
    pytest.importorskip("rapidocr")
    with Library.open(
        tmp_path_factory.mktemp("real") / "screen.mmv", visual="none", speech="none", screen="rapidocr", offline=True
    ) as library:
        began = time.monotonic()
        report = library.add(SAMPLES / "harbour.mp4")
        print(f"read in {time.monotonic() - began:.1f} s", file=sys.stderr)
        assert report.count("added") == 1, report
        yield library


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("pompeii coins", 61.6, 68.8),
        ("coins from pompei", 61.6, 68.8),
        ("case 12", 61.6, 68.8),
        ("opening hours", 82.4, 88.2),
        ("closed on mondays", 82.4, 88.2),
        ("harbor museum", 0.0, 6.0),
        ("canaveral", 53.8, 61.6),
        ("cape canav", 53.8, 61.6),
        ("blender foundation", 105.4, 113.0),
        ("when may I visit on a weekend", 82.4, 88.2),
    ],
)
def test_the_cards_and_captions_of_the_samples_are_found_first(harbour, text, start, end):
    hit = harbour.search(text, modalities=["screen"])[0]
    assert (hit.start, hit.end) == pytest.approx((start, end), abs=1.01)  # a sampling step


def test_words_have_their_places(harbour):
    card = next(text for text in harbour.screen("harbour.mp4") if "HARBOUR MUSEUM" in text.text)
    words = [word for line in card.lines for word in line.words]
    assert [word.text for word in words][:3] == ["THE", "HARBOUR", "MUSEUM"]
    for word in words:
        left, top, right, bottom = word.box
        assert 0 <= left < right <= 1
        assert 0 <= top < bottom <= 1


def test_photographs_hold_next_to_no_text(harbour):
    cards = [(0, 6), (53.8, 68.8), (82.4, 88.2), (105.4, 113)]
    false = [t for t in harbour.screen("harbour.mp4") if not any(a - 1 <= t.start < b for a, b in cards)]
    assert len(false) <= 5, false  # letters and numbers that a texture looks like
    assert all(text.end - text.start <= 4.01 for text in false)  # one keyframe


def test_reading_makes_no_request_and_prints_nothing(monkeypatch, capfd):
    pytest.importorskip("rapidocr")

    def refuse(*_):
        raise AssertionError("a request was made")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    (found,) = encode.load_screen("rapidocr").read([slide("Harbour 1906", (640, 480), height=40)])
    assert [one.text for one in found] == ["Harbour 1906"]
    assert encode.load_screen().read([]) == []
    assert capfd.readouterr() == ("", "")
