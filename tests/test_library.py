import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmvideo import Library, LibraryError, MMVideoError, QueryError, Recipe, RecipeError

from .films import make_film, make_sound
from .stubs import COLOURS, ColourEncoder, ScriptedTranscriber, WordEncoder

FIRST = (("red", 5), ("green", 6), ("blue", 4), ("red", 3))
SECOND = (("yellow", 8), ("cyan", 7))


@pytest.fixture(scope="session")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    make_film(folder / "first.mp4", FIRST)
    make_film(folder / "second.mkv", SECOND, sound=False)
    make_sound(folder / "talk.mp3")
    return folder


class Encoders:
    def __init__(self):
        self.visual, self.speech, self.passages = ColourEncoder(), ScriptedTranscriber(), WordEncoder()

    def open(self, path, **options):
        return Library.open(
            path, isolated=False, visual=self.visual, speech=self.speech, passages=self.passages, **options
        )


@pytest.fixture
def encoders():
    return Encoders()


@pytest.fixture(scope="session")
def built(films, tmp_path_factory):
    folder = tmp_path_factory.mktemp("libraries") / "films.mmv"
    with Encoders().open(folder) as library:
        report = library.add(films)
        assert report.count("added") == 3, report
    return folder


@pytest.fixture(scope="session")
def shared(films, database):
    """The same library on a server."""
    url = database.url()
    with Encoders().open(url) as library:
        assert library.add(films).count("added") == 3
    return url


@pytest.fixture(params=["built", "shared"])
def place(request):
    """Where the library is on each ground: what these tests say holds for both."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def library(place, encoders):
    with encoders.open(place) as opened:
        yield opened


@pytest.fixture(params=["folder", "server"])
def own(request, films, tmp_path, encoders):
    """A library and films that the test may change."""
    shutil.copytree(films, tmp_path / "films")
    place = tmp_path / "own.mmv" if request.param == "folder" else request.getfixturevalue("database").url()
    with encoders.open(place) as opened:
        opened.add(tmp_path / "films")
        yield opened, tmp_path / "films"


# Searching


@pytest.mark.parametrize(
    ("text", "name", "start", "end"),
    [("green", "first.mp4", 5, 11), ("blue", "first.mp4", 11, 15), ("cyan", "second.mkv", 8, 15)],
)
def test_a_shot_is_found_by_what_is_seen(library, text, name, start, end):
    hit = library.search(text, modalities=["visual"])[0]
    assert hit.path.name == name
    assert hit.start == pytest.approx(start, abs=0.51)  # half a sampling step
    assert hit.end == pytest.approx(end, abs=0.51)
    assert hit.start <= hit.matches[0].time < hit.end
    assert [m.modality for m in hit.matches] == ["visual"]
    assert hit.matches[0].similarity > 0.9


def test_a_colour_shown_twice_is_two_hits(library):
    first, second = sorted(library.search("red", modalities=["visual"], limit=2), key=lambda hit: hit.start)
    assert (first.start, first.end) == pytest.approx((0, 5), abs=0.51)
    assert (second.start, second.end) == pytest.approx((15, 18), abs=0.51)


@pytest.mark.parametrize("kind", ["path", "PIL", "array"])
def test_a_clip_is_found_by_a_picture(library, tmp_path, kind):
    array = np.full((40, 50, 3), COLOURS["blue"], np.uint8)
    image = {"path": tmp_path / "key.png", "PIL": Image.fromarray(array), "array": array}[kind]
    if kind == "path":
        Image.fromarray(array).save(image)
    hit = library.search(image=image)[0]
    assert hit.path.name == "first.mp4"
    assert hit.start == pytest.approx(11, abs=0.51)


def test_text_and_picture_are_one_query(library):
    red = np.full((8, 8, 3), COLOURS["red"], np.uint8)
    best, second = sorted(library.search("green", image=red, limit=2), key=lambda hit: hit.start)
    assert {best.path.name, second.path.name} == {"first.mp4"}
    assert (best.start, best.end) == pytest.approx((0, 11), abs=0.51)  # red, then green
    assert (second.start, second.end) == pytest.approx((15, 18), abs=0.51)
    assert [m.modality for m in best.matches] == ["visual"]


def test_what_is_said_is_found_by_words_and_by_meaning(library):
    hits = library.search("ferry harbour", modalities=["speech"])
    assert "ferry" in hits[0].text
    assert hits[0].matches[0].words_matched
    assert hits[0].matches[0].time == pytest.approx(hits[0].start + 0.6)  # when "ferry" is said
    assert {h.path.name for h in hits[:2]} == {"first.mp4", "talk.mp3"}


def test_quotes_ask_for_the_very_words(library):
    assert [h.text for h in library.search('"flour and water"', modalities=["speech"])] == [
        "Bread needs flour and water."
    ] * 2
    assert library.search('"water and flour"', modalities=["speech"]) == []


def test_two_modalities_that_agree_make_one_hit(library):
    hit = library.search("blue bread flour water", media="first*")[0]
    assert hit.path.name == "first.mp4"
    assert {m.modality for m in hit.matches} == {"visual", "speech"}


def test_hits_are_intervals_inside_their_media_and_do_not_overlap(library):
    for text in ("red", "green bread", "water violins ferry", "white", "cyan yellow", "nothing at all"):
        hits = library.search(text, limit=50)
        assert [h.score for h in hits] == sorted((h.score for h in hits), reverse=True)
        for hit in hits:
            assert 0 <= hit.start < hit.end <= 25.2
            assert hit.end - hit.start >= 0.5 - 1e-9
            assert 0 <= hit.score <= 1
        for a in hits:
            for b in hits:
                assert a is b or a.path != b.path or a.end <= b.start or b.end <= a.start


def test_the_answer_is_the_same_every_time(place, library):
    with Encoders().open(place) as other:
        for text in ("red", "water", "green ferry"):
            assert library.search(text, limit=20) == other.search(text, limit=20) == library.search(text, limit=20)


def test_the_limit_cuts_and_does_not_change(library):
    everything = library.search("red water", limit=20)
    assert library.search("red water", limit=3) == everything[:3]


def test_a_glob_chooses_media(library):
    assert {h.path.name for h in library.search("green", media="*.mkv")} == {"second.mkv"}
    assert {h.path.name for h in library.search("water", media="TALK*")} == {"talk.mp3"}
    assert library.search("green", media="*.wav") == []


def test_a_minimum_score(library):
    hits = library.search("green", limit=20)
    assert library.search("green", limit=20, min_score=hits[0].score) == hits[:1]
    assert library.search("green", min_score=1.01) == []


def test_bad_questions_are_refused(library, tmp_path):
    for text in (None, "", "   "):
        with pytest.raises(QueryError, match="nothing to search for"):
            library.search(text)
    with pytest.raises(QueryError, match="at least 1"):
        library.search("red", limit=0)
    with pytest.raises(QueryError, match="unknown modality 'smell'"):
        library.search("red", modalities=["smell"])
    with pytest.raises(QueryError, match="among pictures"):
        library.search(image=np.zeros((4, 4, 3), np.uint8), modalities=["speech"])
    with pytest.raises(QueryError, match="no such picture"):
        library.search(image=tmp_path / "absent.png")
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(QueryError, match="cannot be read as a picture"):
        library.search(image=tmp_path / "text.png")
    with pytest.raises(QueryError, match=r"\(height, width, 3\) uint8"):
        library.search(image=np.zeros((4, 4), np.uint8))


@pytest.mark.parametrize(
    "text", ['"', "''--", "NEAR(a b)", "a* OR", "\0", "🎥", "x" * 20_000, "'); DROP TABLE media; --"]
)
def test_any_text_can_be_asked(library, text):
    assert isinstance(library.search(text), list)


def test_an_empty_library_answers_nothing(tmp_path, encoders):
    with encoders.open(tmp_path / "empty.mmv") as library:
        assert library.search("anything") == []
        assert library.media() == []


# Adding


def test_what_is_known_of_the_media(library):
    assert [m.path.name for m in library.media()] == ["first.mp4", "second.mkv", "talk.mp3"]
    first = library.media()[0]
    assert (first.video.width, first.video.height) == (96, 64)
    assert library.counts("first.mp4")["visual"] == 4
    assert library.counts("talk*") == {"speech": len(library.transcript("talk.mp3").utterances)}
    assert library.transcript("talk.mp3").utterances[0].text == "The ferry left the harbour."
    assert set(library.models) == {"visual", "speech", "passages"}


def test_repeated_frames_are_not_encoded(films, tmp_path, encoders):
    with encoders.open(tmp_path / "few.mmv") as library:
        library.add(films / "first.mp4")
    assert encoders.visual.encoded <= 5  # 18 sampled frames of four shots


def test_adding_again_skips_what_is_unchanged(own, encoders):
    library, folder = own
    encoded, heard = encoders.visual.encoded, encoders.speech.heard
    assert library.add(folder).count("unchanged") == 3
    assert (encoders.visual.encoded, encoders.speech.heard) == (encoded, heard)
    os.utime(folder / "talk.mp3")  # touched, the same content
    assert library.add(folder).count("unchanged") == 3
    assert encoders.speech.heard == heard
    assert library.add(folder).count("unchanged") == 3


def test_a_changed_file_is_made_again(own):
    library, folder = own
    make_film(folder / "second.mkv", (("magenta", 6),), sound=False)
    report = library.add(folder)
    assert (report.count("updated"), report.count("unchanged")) == (1, 2)
    assert library.search("magenta", modalities=["visual"])[0].path.name == "second.mkv"
    best = library.search("cyan", modalities=["visual"])[0]
    assert best.matches[0].similarity < 0.6


def test_a_moved_file_is_recognised(own, encoders):
    library, folder = own
    heard = encoders.speech.heard
    (folder / "talk.mp3").rename(folder / "renamed.mp3")
    report = library.add(folder)
    assert report.count("moved") == 1
    assert encoders.speech.heard == heard
    assert [m.path.name for m in library.media()] == ["first.mp4", "renamed.mp3", "second.mkv"]
    assert library.search("violins", modalities=["speech"], media="renamed*")


def test_a_copy_is_a_media_of_its_own(own):
    library, folder = own
    shutil.copy(folder / "talk.mp3", folder / "copy.mp3")
    assert library.add(folder).count("added") == 1
    assert len(library.media()) == 4


def test_another_recipe_makes_everything_again(own):
    library, folder = own
    library.recipe = Recipe(max_segment=2.0)
    assert library.add(folder).count("updated") == 3
    assert library.counts("first.mp4")["visual"] > 4


def test_removing_removes_everything_but_the_file(own):
    library, folder = own
    assert library.remove("talk.mp3") == folder / "talk.mp3"
    assert (folder / "talk.mp3").exists()
    assert {h.path.name for h in library.search("ferry water", modalities=["speech"])} == {"first.mp4"}
    with pytest.raises(LibraryError, match="not in the library"):
        library.remove("talk.mp3")
    with pytest.raises(LibraryError, match="fits 2 media"):
        library.remove("*")


def test_a_sidecar_is_taken_instead_of_listening(own, encoders):
    library, folder = own
    heard = encoders.speech.heard
    (folder / "talk.srt").write_text("1\n00:00:02,000 --> 00:00:05,000\nThe lighthouse keeper waved.\n")
    report = library.add(folder)
    assert report.count("updated") == 1
    assert encoders.speech.heard == heard
    assert "talk.srt" in next(r for r in report.media if r.outcome == "updated").notes[0]
    hit = library.search("lighthouse", modalities=["speech"])[0]
    assert (hit.path.name, round(hit.start, 1)) == ("talk.mp3", 2.0)
    assert library.add(folder).count("unchanged") == 3
    library.recipe = Recipe(sidecar=False)
    library.add(folder)
    assert encoders.speech.heard > heard
    assert library.transcript("talk.mp3").source == "script"


def test_a_damaged_sidecar_is_left_out(own):
    library, folder = own
    (folder / "talk.srt").write_text("no subtitles at all")
    report = library.add(folder)
    assert "subtitles left out" in next(r for r in report.media if r.outcome == "updated").notes[0]
    assert library.transcript("talk.mp3").source == "script"


def test_bad_files_are_reported_and_the_good_ones_added(own):
    library, folder = own
    (folder / "text.mp4").write_text("I am no film, whatever my name says. " * 50)
    (folder / "empty.mp3").write_bytes(b"")
    whole = (folder / "first.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 3])
    make_sound(folder / "zz-good.wav", 12)
    report = library.add([folder, folder / "absent.mp4"])
    assert report.count("added") == 1
    assert sorted(r.path.name for r in report.failed) == ["absent.mp4", "cut.mp4", "empty.mp3", "text.mp4"]
    for failed in report.failed:
        assert failed.path.name in failed.message
        assert "\n" not in failed.message


def test_an_encoder_that_chokes_on_one_file_does_not_end_the_batch(films, tmp_path, caplog):
    class Choking(ColourEncoder):
        def encode_images(self, images):
            if np.asarray(images)[0].mean(axis=(0, 1))[1] > 200:  # second.mkv begins yellow
                raise RuntimeError("unexpected colour")
            return super().encode_images(images)

    with Library.open(
        tmp_path / "l.mmv", visual=Choking(), speech=ScriptedTranscriber(), passages=WordEncoder()
    ) as library:
        report = library.add(films)
    assert report.count("added") >= 1
    assert any("unexpected colour" in r.message for r in report.failed)


def test_parts_can_be_left_out(films, tmp_path, encoders):
    with Library.open(tmp_path / "seen.mmv", visual=encoders.visual, speech="none", passages="none") as library:
        library.add(films)
        assert library.counts("first.mp4") == {"visual": 4}
        assert library.counts("talk.mp3") == {}
        with pytest.raises(LibraryError, match="no transcript"):
            library.transcript("talk.mp3")


def test_progress_runs_from_start_to_end(films, tmp_path, encoders):
    seen = []
    with encoders.open(tmp_path / "p.mmv") as library:
        library.add(films / "first.mp4", progress=seen.append)
    stages = {p.stage for p in seen}
    assert stages == {"files", "looking", "listening"}
    looking = [p.done for p in seen if p.stage == "looking"]
    assert looking == sorted(looking)
    assert 0 < looking[-1] <= seen[-1].total if seen[-1].unit == "s" else True


def test_stopping_keeps_what_is_finished_and_the_next_add_goes_on(films, tmp_path, encoders):
    def stop(progress):
        if progress.path.name == "second.mkv" and progress.stage == "looking":
            raise KeyboardInterrupt

    with encoders.open(tmp_path / "s.mmv") as library:
        with pytest.raises(KeyboardInterrupt):
            library.add(films, progress=stop)
        assert [m.path.name for m in library.media()] == ["first.mp4"]
        assert library.search("green", modalities=["visual"])
        report = library.add(films)
        assert (report.count("unchanged"), report.count("added")) == (1, 2)
    assert not [t for t in threading.enumerate() if t.name in ("decode",) or t.name.startswith("speech")]


# Models


def test_another_model_is_refused_with_the_command_that_helps(built):
    with pytest.raises(RecipeError, match=r"made with colours .*mmvideo reindex --library .* --visual other"):
        Library.open(built, visual=ColourEncoder("other"))
    with pytest.raises(RecipeError, match="another revision"):
        Library.open(built, visual=ColourEncoder(revision="2"))
    with pytest.raises(RecipeError, match="made with colours"):
        Library.open(built, visual="conse")


def test_reindexing_takes_the_new_model(own, monkeypatch):
    from mmvideo import encode

    library, _ = own

    def load(part, name, offline):
        return {"visual": ColourEncoder(name), "speech": ScriptedTranscriber(), "passages": WordEncoder()}[
            part
        ], "a note"

    monkeypatch.setattr(encode, "load", load)
    report = library.reindex(visual="other")
    assert report.count("updated") == 3
    assert report.notes == ("a note",)
    assert library.models["visual"].name == "other"
    assert library.search("green", modalities=["visual"])[0].path.name == "first.mp4"
    assert library.search("ferry", modalities=["speech"])


# The folder


def test_a_library_is_a_folder_of_its_own(tmp_path, encoders):
    (tmp_path / "file.mmv").write_text("x")
    with pytest.raises(LibraryError, match="a file, not a library"):
        Library.open(tmp_path / "file.mmv")
    with pytest.raises(LibraryError, match="other things in it"):
        Library.open(tmp_path)
    with pytest.raises(LibraryError, match="no mmvideo library here"):
        Library.open(tmp_path / "absent", create=False)
    (tmp_path / "bad.mmv").mkdir()
    (tmp_path / "bad.mmv" / "library.db").write_text("not a database, only its name, but long enough")
    with pytest.raises(LibraryError, match="not an mmvideo library"):
        Library.open(tmp_path / "bad.mmv")


def test_one_writer_at_a_time(built, films, encoders):
    with encoders.open(built) as one, encoders.open(built) as two, one._writing():
        with pytest.raises(LibraryError, match=rf"another mmvideo \(process {os.getpid()} on .* is writing"):
            two.add(films)
        assert two.search("green")


def test_searching_writes_nothing(built, encoders):
    before = {
        p.name: (p.stat().st_mtime_ns, p.stat().st_size)
        for p in built.iterdir()
        if not p.name.endswith(("-shm", "-wal"))
    }
    with encoders.open(built) as library:
        library.search("green bread")
    after = {
        p.name: (p.stat().st_mtime_ns, p.stat().st_size)
        for p in built.iterdir()
        if not p.name.endswith(("-shm", "-wal"))
    }
    assert before == after


def test_a_copied_library_works_and_lost_caches_are_no_loss(built, tmp_path):
    with Encoders().open(built) as library:
        wanted = library.search("green bread", limit=20)
    copy = Path(shutil.copytree(built, tmp_path / "copy.mmv"))
    for cache in (*copy.glob("*.usearch"), *copy.glob("*.json")):
        cache.unlink()
    with Encoders().open(copy) as library:
        assert library.search("green bread", limit=20) == wanted


def test_every_error_of_ours_has_one_root():
    assert issubclass(RecipeError, LibraryError)
    assert issubclass(LibraryError, MMVideoError)


def test_a_storyboard_has_a_frame_of_each_hit(library):
    from mmvideo.export import storyboard

    hits = [library.search(text, modalities=["visual"])[0] for text in ("green", "blue", "cyan")]
    hits.append(library.search("violins", modalities=["speech"], media="talk*")[0])
    media = {one.path: one for one in library.media()}
    sheet = storyboard(hits, [media[hit.path] for hit in hits], columns=2, width=96)
    assert sheet.shape == (2 * (54 + 22 + 8) + 8, 2 * (96 + 8) + 8, 3)
    for position, colour in enumerate(("green", "blue", "cyan")):
        x, y = 8 + position % 2 * 104 + 48, 8 + position // 2 * 84 + 27
        np.testing.assert_allclose(sheet[y, x], COLOURS[colour], atol=12)
    assert sheet[100:140, 115:200].max() > 150  # the words of a recording without picture
    with pytest.raises(ValueError, match="at least one hit"):
        storyboard([], [])
