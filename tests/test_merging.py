"""Libraries joined: the result answers as its parts together, on every ground."""

import dataclasses

import numpy as np
import pytest

from mmvideo import Library, LibraryError, RecipeError
from mmvideo.cli import main
from mmvideo.merging import content_of
from mmvideo.store import SQLiteStore

from .films import make_film, make_sound
from .stubs import ColourEncoder, ScriptedTranscriber, WordEncoder

FILMS = {
    "a.mp4": [("red", 4), ("green", 5)],
    "b.mp4": [("blue", 5), ("yellow", 3), ("red", 2)],
    "c.mp4": [("cyan", 4), ("magenta", 4)],
}
QUESTIONS = ("red", "blue yellow", "ferry", '"flour and water"', "a green violin", "cyan")


def open_library(place, visual=None, **options):
    visual = visual or ColourEncoder()
    return Library.open(
        place, isolated=False, visual=visual, speech=ScriptedTranscriber(), passages=WordEncoder(), **options
    )


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    made = [make_film(folder / name, shots) for name, shots in FILMS.items()]
    return [*made, make_sound(folder / "talk.mp3")]


@pytest.fixture(scope="module")
def parts(films, tmp_path_factory):
    """Two libraries that share a film, and one of all films in the order in which a merge takes them."""
    folder = tmp_path_factory.mktemp("parts")
    for name, some in (("one", films[:2]), ("two", films[1:]), ("all", films)):
        with open_library(folder / f"{name}.mmv") as library:
            library.add(some)
    return folder


def answers(place):
    with open_library(place) as library:
        hits = [library.search(text, limit=20) for text in QUESTIONS]
        return [[dataclasses.replace(hit, media_id=None) for hit in some] for some in hits]


def everything(place):
    with open_library(place) as library:
        return {stored.media.path: (stored.inputs, content_of(library._store, stored)) for stored in library.stored()}


def same(one, other):
    assert one.keys() == other.keys()
    for path, (made_from, content) in one.items():
        made_there, there = other[path]
        assert (made_from, content.media, content.segments) == (made_there, there.media, there.segments)
        assert (content.transcript, content.screen, content.notes) == (there.transcript, there.screen, there.notes)
        for modality, vectors in content.vectors.items():
            np.testing.assert_array_equal(vectors, there.vectors[modality])
        if content.timeline is not None:
            for name in ("times", "rows", "vectors", "cuts"):
                np.testing.assert_array_equal(getattr(content.timeline, name), getattr(there.timeline, name))


def test_a_merged_library_is_its_parts_together(parts, films, tmp_path, capsys):
    out = tmp_path / "out.mmv"
    command = ["merge", str(parts / "one.mmv"), str(parts / "two.mmv"), "-o", str(out)]
    assert main(command) == 0
    assert "4 media carried over" in capsys.readouterr().out
    same(everything(out), everything(parts / "all.mmv"))
    assert answers(out) == answers(parts / "all.mmv")
    with open_library(out) as library:
        assert library.verify().clean
        assert library.add(films).count("unchanged") == 4  # what it was made from is known too
    assert main(command) == 0
    assert "0 media carried over" in capsys.readouterr().out


def test_to_a_server_and_back_nothing_changes(parts, database, tmp_path):
    url, back = database.url(), tmp_path / "back.mmv"
    with open_library(url) as server:
        report = server.merge([parts / "one.mmv", parts / "two.mmv"])
        assert len(report.carried) == 4
        assert len(report.there) == 1
    with open_library(back) as folder:
        assert len(folder.merge([url]).carried) == 4
    same(everything(url), everything(parts / "all.mmv"))
    same(everything(back), everything(parts / "all.mmv"))
    assert answers(back) == answers(parts / "all.mmv")
    for here, there in zip(answers(url), answers(back), strict=True):
        assert [(h.path, h.start, h.end) for h in here] == [(h.path, h.start, h.end) for h in there]
        assert [h.score for h in here] == pytest.approx([h.score for h in there], abs=2e-3)


@pytest.mark.parametrize("ground", ["folder", "server"])
def test_an_interrupted_merge_goes_on(parts, tmp_path, request, ground, monkeypatch):
    out = tmp_path / "out.mmv" if ground == "folder" else request.getfixturevalue("database").url()

    def stop(progress):
        if progress.stage == "merging" and progress.done == 1:
            raise KeyboardInterrupt

    with open_library(out) as library:
        with pytest.raises(KeyboardInterrupt):
            library.merge([parts / "all.mmv"], progress=stop)
        assert len(library.media()) == 1
        report = library.merge([parts / "all.mmv"])
        assert (len(report.carried), len(report.there)) == (3, 1)
    same(everything(out), everything(parts / "all.mmv"))


def test_of_two_accounts_of_one_path_the_last_one_stays(films, tmp_path):
    with open_library(tmp_path / "old.mmv") as old, open_library(tmp_path / "new.mmv") as new:
        old.add(films[0])
        new.recipe = dataclasses.replace(new.recipe, max_segment=2.0)
        new.add(films[0])
        finer = new.counts(films[0])["visual"]
        assert finer > old.counts(films[0])["visual"]
    for name, order in (("x", ("old", "new")), ("y", ("new", "old"))):
        with open_library(tmp_path / f"{name}.mmv") as out:
            out.merge([tmp_path / f"{part}.mmv" for part in order])
            assert out.counts(films[0])["visual"] == finer


def test_other_models_and_itself_are_refused(parts, films, tmp_path):
    with open_library(tmp_path / "other.mmv", visual=ColourEncoder("other")) as other:
        other.add(films[2])
    with open_library(tmp_path / "out.mmv") as out:
        with pytest.raises(RecipeError, match="made with other"):
            out.merge([parts / "one.mmv", tmp_path / "other.mmv"])
        assert out.media() == []
        with pytest.raises(LibraryError, match="no mmvideo library here"):
            out.merge([tmp_path / "nothing.mmv"])
    with open_library(parts / "one.mmv") as one, pytest.raises(LibraryError, match="merge into"):
        one.merge([parts / "one.mmv"])


def test_segments_without_vectors_are_told(parts, tmp_path):
    with SQLiteStore.open(_copied(parts / "one.mmv", tmp_path) / "library.db") as store:
        store._db.execute("UPDATE segment SET vector = NULL WHERE id = (SELECT min(id) FROM segment)")
    with open_library(tmp_path / "out.mmv") as out, pytest.raises(LibraryError, match="without vectors"):
        out.merge([tmp_path / "one.mmv"])


def _copied(library, folder):
    import shutil

    return shutil.copytree(library, folder / library.name)
