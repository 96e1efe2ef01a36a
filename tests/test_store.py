import os
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from mmvideo.datatypes import (
    AudioStream,
    Media,
    ModelId,
    Recipe,
    Segment,
    Timeline,
    Transcript,
    Utterance,
    VideoStream,
    Word,
)
from mmvideo.errors import LibraryError
from mmvideo.pool import unit
from mmvideo.store import Content, SQLiteStore
from mmvideo.store.postgres import PostgresStore


def media(path="/films/a.mp4", fingerprint="f"):
    video = VideoStream("h264", 640, 360, rotation=90, frame_rate=25.0)
    return Media(Path(path), 10, 20, fingerprint, "mp4", 1.5, 60.0, video, (AudioStream("aac", 44100, 2, "eng"),))


def content(path="/films/a.mp4", texts=("Good morning, café.", "The ferry leaves at noon."), seed=0):
    rng = np.random.default_rng(seed)
    said = [Segment("speech", 2.0 + i * 5, 6.0 + i * 5, text) for i, text in enumerate(texts)]
    seen = [Segment("visual", 1.5 + i, 2.5 + i) for i in range(3)]
    timeline = Timeline(
        np.array([1.5, 2.5, 3.5]),
        np.array([0, 1, 1], np.int32),
        unit(rng.standard_normal((2, 8))),
        np.array([2.0]),
        1.5,
        61.5,
    )
    words = (Word(2.0, 2.4, "Good", 0.9), Word(2.4, 3.0, "morning,"))
    transcript = Transcript((Utterance(2.0, 3.0, "Good morning,", words), Utterance(3, 4, "café.")), "en", "script")
    return Content(
        media(path),
        "inputs",
        {"speech": said, "visual": seen},
        {"speech": unit(rng.standard_normal((len(said), 4))), "visual": unit(rng.standard_normal((3, 8)))},
        timeline,
        transcript,
        unit(rng.standard_normal((2, 4))),
        ("a note",),
    )


@pytest.fixture
def sqlite(tmp_path):
    SQLiteStore.create(tmp_path / "library.db", Recipe(max_segment=7.0))
    with SQLiteStore.open(tmp_path / "library.db") as opened:
        yield opened


@pytest.fixture(params=["folder", "server"])
def store(request):
    """A new store on each ground: what these tests say holds for both."""
    if request.param == "folder":
        yield request.getfixturevalue("sqlite")
    else:
        url = request.getfixturevalue("database").url()
        with PostgresStore.open(url, Recipe(max_segment=7.0), create=True) as opened:
            yield opened


def test_everything_comes_back_as_it_went_in(store):
    given = content()
    media_id = store.put(given)
    stored = store.media_by_id(media_id)
    assert stored.media == given.media
    assert (stored.inputs, stored.notes) == ("inputs", ("a note",))
    assert store.find_media(given.media.path) == stored
    assert store.media() == [stored] == store.media_by_fingerprint("f")
    assert store.transcript(media_id) == given.transcript
    np.testing.assert_allclose(store.utterance_vectors(media_id), given.utterance_vectors, atol=1e-3)
    assert store.utterance_vectors(99) is None
    timeline = store.timeline(media_id)
    assert (timeline.start, timeline.end) == (1.5, 61.5)
    for name in ("times", "rows", "cuts"):
        np.testing.assert_array_equal(getattr(timeline, name), getattr(given.timeline, name))
    np.testing.assert_allclose(timeline.vectors, given.timeline.vectors, atol=1e-3)
    assert [s.segment for s in store.segments_of(media_id, "speech")] == given.segments["speech"]
    assert store.counts(media_id) == {"speech": 2, "visual": 3}
    ids, vectors = next(store.vectors("visual"))
    np.testing.assert_array_equal(ids, store.segment_ids("visual"))
    np.testing.assert_allclose(vectors, given.vectors["visual"], atol=1e-3)


def test_recipe_and_models_are_remembered(store):
    assert store.recipe == Recipe(max_segment=7.0)
    store.set_model("visual", ModelId("clip", "abc", 512))
    store.set_model("speech", ModelId("whisper", "def"))
    store.set_recipe(Recipe(language="de"))
    assert store.models == {"visual": ModelId("clip", "abc", 512), "speech": ModelId("whisper", "def")}
    assert store.recipe == Recipe(language="de")
    assert len(store.id) == 32


def test_putting_a_path_again_replaces_it_and_ids_are_never_used_twice(store):
    first = store.put(content())
    old = set(store.segment_ids("visual").tolist())
    second = store.put(content(seed=1))
    assert store.media_by_id(first) is None
    assert store.count("visual") == 3
    assert not old & set(store.segment_ids("visual").tolist())
    assert second > first
    assert store.segments(sorted(old)) == []


def test_removing_removes_everything(store):
    kept = store.put(content("/films/b.mp4", texts=("Nothing else.",)))
    store.remove(store.put(content()))
    store.remove(12345)
    assert [m.id for m in store.media()] == [kept]
    assert store.match_words('"ferry"', "speech") == []
    assert len(store.segment_ids("visual")) == store.count("visual") == 3
    assert store.text_count() == 1


def test_no_row_is_left_behind(sqlite):
    kept = sqlite.put(content("/films/b.mp4", texts=("Nothing else.",)))
    sqlite.remove(sqlite.put(content()))
    with sqlite3.connect(sqlite.path) as db:
        for table in ("segment", "timeline", "transcript"):
            assert {row[0] for row in db.execute(f"SELECT media_id FROM {table}")} == {kept}
    db.close()


def test_words_are_found_without_case_and_accents_best_first(store):
    store.put(content(texts=("cafe cafe ferry", "A ferry in the harbour of the old town, with many people", "bread")))
    found = store.match_words('"CAFE" OR "ferry"', "speech")
    assert [s.segment.text for s, _ in found] == [
        "cafe cafe ferry",
        "A ferry in the harbour of the old town, with many people",
    ]
    assert found[0][1] > found[1][1] > 0
    store.put(content("/films/c.mp4"))
    assert store.match_words('"café"', "speech")[0][0].segment.text.startswith(("cafe", "Good"))
    assert store.match_words('"ferry leaves"', "speech")[0][0].segment.text == "The ferry leaves at noon."
    assert store.document_frequency('"ferry"') == 3
    assert store.text_count() == 5
    with pytest.raises(LibraryError, match="cannot be searched"):
        store.match_words('"', "speech")


def test_words_and_vectors_of_some_media_only(store):
    a, b = store.put(content()), store.put(content("/films/b.mp4"))
    assert {s.media_id for s, _ in store.match_words('"ferry"', "speech", media=[b])} == {b}
    assert len(next(store.vectors("visual", media=[a]))[0]) == 3
    assert list(store.vectors("visual", media=[])) == []
    wanted = store.segment_ids("visual")[[1, 4]]
    assert next(store.vectors("visual", ids=wanted.tolist()))[0].tolist() == wanted.tolist()
    assert [len(ids) for ids, _ in store.vectors("visual", batch=4)] == [4, 2]


def test_segments_keep_the_order_asked_for(store):
    store.put(content())
    ids = store.segment_ids("visual").tolist()
    assert [s.id for s in store.segments([ids[2], ids[0], 999, ids[1]])] == [ids[2], ids[0], ids[1]]


def test_each_change_of_a_modality_counts(store):
    media_id = store.put(content())
    assert (store.generation("visual"), store.generation("speech"), store.generation("sound")) == (1, 1, 0)
    store.update_file(media_id, media("/films/moved.mp4"))
    assert store.generation("visual") == 1
    assert store.find_media(Path("/films/moved.mp4")).id == media_id
    store.remove(media_id)
    assert store.generation("visual") == 2


def test_forgetting_a_model_removes_what_it_made(store):
    store.set_model("visual", ModelId("conse", "1", 8))
    store.set_model("speech", ModelId("whisper", "1"))
    media_id = store.put(content())
    store.forget(["visual"], ["visual"], Recipe(visual="clip"))
    assert store.count("visual") == 0
    assert store.count("speech") == 2
    assert store.timeline(media_id) is None
    assert store.transcript(media_id) is not None
    assert list(store.models) == ["speech"]
    assert store.recipe.visual == "clip"
    assert store.media_by_id(media_id).inputs == ""
    store.forget(["speech"], ["speech"], Recipe())
    assert store.transcript(media_id) is None


def test_a_failed_put_leaves_no_trace(store):
    broken = content()
    broken.vectors["speech"] = broken.vectors["speech"][:1]
    with pytest.raises(ValueError, match="zip"):
        store.put(broken)
    assert store.media() == []
    assert store.count("visual") == 0
    store.put(content())
    assert store.count("visual") == 3


def test_a_snapshot_sees_one_state(sqlite):
    sqlite.put(content())
    with SQLiteStore.open(sqlite.path, readonly=True) as reader:
        with reader.snapshot():
            assert reader.count("visual") == 3
            sqlite.put(content("/films/b.mp4"))
            assert reader.count("visual") == 3
        assert reader.count("visual") == 6


def test_reading_cannot_write(sqlite):
    with (
        SQLiteStore.open(sqlite.path, readonly=True) as reader,
        pytest.raises(LibraryError, match="could not be written"),
    ):
        reader.put(content())


def test_any_file_name_survives(store):
    for name in (b"/films/caf\xe9.mp4", "/films/ünïcödé 🎥.mp4".encode(), b"/films/a\nb'\".mp4"):
        path = Path(os.fsdecode(name))
        media_id = store.put(content(os.fsdecode(name)))
        assert store.media_by_id(media_id).media.path == path
        assert store.find_media(path).id == media_id


def test_what_is_no_library_is_refused(tmp_path):
    with pytest.raises(LibraryError, match="no mmvideo library here"):
        SQLiteStore.open(tmp_path / "library.db")
    (tmp_path / "library.db").write_text("hello, I am a text file, and long enough to look at")
    with pytest.raises(LibraryError, match="not an mmvideo library"):
        SQLiteStore.open(tmp_path / "library.db")
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE t (x)")
    db.close()
    with pytest.raises(LibraryError, match="some other database"):
        SQLiteStore.open(other)


def test_a_newer_library_is_refused_politely(sqlite):
    with sqlite3.connect(sqlite.path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(LibraryError, match="newer mmvideo"):
        SQLiteStore.open(sqlite.path, readonly=True)
