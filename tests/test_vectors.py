"""Vectors out of a library and into one, with their times."""

import json

import numpy as np
import pytest

from mmvideo import Library
from mmvideo.cli import main
from mmvideo.datatypes import Recipe
from mmvideo.errors import LibraryError

from .films import make_film
from .stubs import COLOURS, ColourEncoder, ScriptedTranscriber, WordEncoder

SHOTS = (("red", 4), ("green", 4), ("blue", 4))
HALF = 0.51  # a cut lies between two samples


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return make_film(tmp_path_factory.mktemp("films") / "colours.mp4", SHOTS)


def open_library(folder, **options):
    return Library.open(
        folder,
        visual=ColourEncoder(),
        speech=ScriptedTranscriber(),
        passages=WordEncoder(),
        recipe=Recipe(screen="none", keyframe_gap=0.0),  # a frame a second
        **options,
    )


@pytest.fixture(scope="module")
def folder(film, tmp_path_factory):
    place = tmp_path_factory.mktemp("library") / "films.mmv"
    with open_library(place) as library:
        library.add(film)
    return place


def test_npy_holds_the_segments_with_their_times(folder, film, tmp_path):
    with open_library(folder) as library:
        written = library.export_vectors(tmp_path, form="npy")
        assert [file.name for file in written] == ["visual.npy", "visual.jsonl", "speech.npy", "speech.jsonl"]
    matrix = np.load(tmp_path / "visual.npy")
    rows = [json.loads(line) for line in (tmp_path / "visual.jsonl").read_text().splitlines()]
    assert [row["start"] for row in rows] == pytest.approx([0, 4, 8], abs=HALF)
    assert [row["end"] for row in rows] == pytest.approx([4, 8, 12], abs=HALF)
    assert {(row["path"], row["model"]) for row in rows} == {(str(film), "colours")}
    assert [list(COLOURS)[i] for i in matrix.argmax(axis=1)] == ["red", "green", "blue"]
    said = [json.loads(line) for line in (tmp_path / "speech.jsonl").read_text().splitlines()]
    assert said[0]["text"].startswith("The ferry")


def test_parquet_holds_the_same_and_frames_by_the_second(folder, tmp_path, capsys):
    parquet = pytest.importorskip("pyarrow.parquet")
    assert main(["export", "--vectors", str(tmp_path), "-l", str(folder), "--in", "visual"]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / "visual.parquet")]
    table = parquet.read_table(tmp_path / "visual.parquet")
    assert table.column_names[-1] == "vector"
    assert table["start"].to_pylist() == pytest.approx([0, 4, 8], abs=HALF)
    vectors = np.stack(table["vector"].to_numpy())
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)

    assert main(["export", "--vectors", str(tmp_path), "--frames", "--in", "visual", "-l", str(folder)]) == 0
    frames = parquet.read_table(tmp_path / "visual-frames.parquet")
    assert frames["start"].to_pylist() == pytest.approx(list(range(12)), abs=0.06)
    assert [list(COLOURS)[int(np.argmax(v))] for v in frames["vector"].to_pylist()] == (
        ["red"] * 4 + ["green"] * 4 + ["blue"] * 4
    )


@pytest.mark.parametrize("timed", [True, False])
def test_what_was_exported_elsewhere_is_found_after_import(folder, film, tmp_path, timed):
    """As clip-video-encode writes them: one row per second, not of unit length, half precision."""
    with open_library(folder) as library:
        library.export_vectors(tmp_path, form="npy", rows="frames")
        expected = library.search("green", modalities=["visual"], limit=1)[0]
    np.save(tmp_path / "film.npy", (7 * np.load(tmp_path / "visual-frames.npy")).astype(np.float16))
    with open_library(tmp_path / "other.mmv") as library:
        stored = library.import_vectors(tmp_path / "film.npy", film, interval=1.0 if timed else None)
        hit = library.search("green", modalities=["visual"], limit=1)[0]
        assert "said to be made by colours" in stored.notes[-1]
        assert library.verify().clean
        assert library.add(film).count("unchanged") == 1
    assert hit.path == film
    assert (hit.start, hit.end) == pytest.approx((expected.start, expected.end), abs=HALF)


def test_import_keeps_what_was_said(folder, film, tmp_path):
    place = tmp_path / "said.mmv"
    with open_library(place) as library:
        library.add(film)
        np.save(tmp_path / "blue.npy", np.tile(np.eye(8, dtype=np.float32)[2], (6, 1)))
        np.save(tmp_path / "times.npy", np.arange(6) * 2.0)
        library.import_vectors(tmp_path / "blue.npy", film, times=tmp_path / "times.npy")
        assert library.search("ferry harbour", modalities=["speech"], limit=1)[0].start < 4
        assert library.search("blue", modalities=["visual"], limit=1)[0].end == pytest.approx(12)
        assert library.verify().clean


@pytest.mark.parametrize(
    ("matrix", "why"),
    [
        (np.ones((3, 7), np.float32), "7 numbers"),
        (np.ones((3, 2, 8), np.float32), "one row of floats"),
        (np.zeros((3, 8), np.float32), "no direction"),
        (np.ones((200, 8), np.float32), "lie inside"),
        (np.array(["text"]), "one row of floats"),
    ],
)
def test_what_does_not_fit_is_refused(film, tmp_path, matrix, why):
    np.save(tmp_path / "v.npy", matrix)
    with open_library(tmp_path / "l.mmv") as library, pytest.raises(LibraryError, match=why):
        library.import_vectors(tmp_path / "v.npy", film, interval=1.0)


def test_no_pickle_is_read(film, tmp_path):
    np.save(tmp_path / "v.npy", np.array([{}], dtype=object), allow_pickle=True)
    with open_library(tmp_path / "l.mmv") as library, pytest.raises(LibraryError, match="not an"):
        library.import_vectors(tmp_path / "v.npy", film)
