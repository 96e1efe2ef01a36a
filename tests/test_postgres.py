"""What only a library on a server promises; what both grounds promise is in test_store and test_library."""

import logging
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from mmvideo import Filter, Library, LibraryError, Recipe, RecipeError
from mmvideo.cli import main
from mmvideo.datatypes import ModelId, Segment
from mmvideo.pool import unit
from mmvideo.store import Content, SQLiteStore
from mmvideo.store.postgres import Address, PostgresStore, connections, nearest
from mmvideo.store.postgres.schema import MIGRATIONS
from mmvideo.words import parse

from .database import PASSWORD
from .films import make_film, make_sound
from .stubs import ColourEncoder, ScriptedTranscriber, WordEncoder
from .test_store import content, media

pytest.importorskip("psycopg")

WORDS = "ferry harbour bread flour water violin night garden river stone bridge glass letter".split()


def open_library(place, **options):
    return Library.open(
        place, isolated=False, visual=ColourEncoder(), speech=ScriptedTranscriber(), passages=WordEncoder(), **options
    )


@pytest.fixture
def store(database):
    with PostgresStore.open(database.url(), Recipe(), create=True) as opened:
        yield opened


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    colours = ["red", "green", "blue", "yellow", "cyan", "magenta"]
    for i in range(6):
        make_film(folder / f"{i}.mp4", [(colours[(i + j) % 6], 3 + (i + j) % 3) for j in range(3)], sound=i % 2 == 0)
    make_sound(folder / "talk.mp3")
    return folder


def said(path, texts, seed):
    """A media of which only speech is known."""
    rng = np.random.default_rng(seed)
    segments = [Segment("speech", 10.0 * i, 10.0 * i + 8, text) for i, text in enumerate(texts)]
    return Content(media(path, str(seed)), "i", {"speech": segments}, {"speech": unit(rng.random((len(texts), 4)))})


# The same answers


def test_both_grounds_answer_the_same(films, tmp_path, database):
    questions = [
        {"text": "red"},
        {"text": "ferry harbour"},
        {"text": '"left the harbour"'},
        {"text": "bread and a blue room", "limit": 3},
        {"text": "green", "media": "*[024].mp4"},
        {"text": "violins", "modalities": ["speech"], "where": Filter(start=5.0)},
        {"text": "red", "without": "ferry"},
        {"text": "red", "then": "green"},
        {"text": "blue", "distinct": True, "limit": 20},
    ]
    with open_library(tmp_path / "l.mmv") as folder, open_library(database.url()) as server:
        for library in (folder, server):
            assert library.add(films).count("added") == 7
        for question in questions:
            here, there = folder.search(**question), server.search(**question)
            assert here, question
            assert [(h.path, h.start, h.end) for h in there] == [(h.path, h.start, h.end) for h in here], question
            assert [h.score for h in there] == pytest.approx([h.score for h in here], abs=2e-3)
        alike = [[(h.path, h.start) for h in library.similar(films / "0.mp4", 1.0)] for library in (folder, server)]
        assert alike[0] == alike[1]
        assert server.verify().clean


def test_words_rank_as_in_sqlite(store, tmp_path):
    rng = np.random.default_rng(4)
    SQLiteStore.create(tmp_path / "library.db", Recipe())
    with SQLiteStore.open(tmp_path / "library.db") as local:
        for m in range(12):
            texts = [" ".join(rng.choice(WORDS, rng.integers(3, 40))) + "." for _ in range(25)]
            for one in (store, local):
                one.put(said(f"/films/{m}.mp4", texts, m))
        for one in (store, local):
            one.remove(one.media_ids()[3])
        for question in ("ferry", "bread water glass", '"stone bridge"', '"river stone" "glass letter"', "Nothing"):
            expression = parse(question).any_word
            mine, theirs = (one.match_words(expression, "speech", limit=40) for one in (store, local))
            assert [s.segment.text for s, _ in mine] == [s.segment.text for s, _ in theirs]
            assert [score for _, score in mine] == pytest.approx([score for _, score in theirs], rel=1e-6)
            assert store.document_frequency(expression) == local.document_frequency(expression)


@pytest.fixture
def hasty(database, monkeypatch):
    """A store that makes graphs early and prefers them, as the server does by itself where there is much."""
    monkeypatch.setattr(nearest, "EXACT_LIMIT", 500)
    for setting in ("enable_seqscan", "enable_sort", "enable_bitmapscan"):
        monkeypatch.setitem(connections._SETTINGS, setting, "off")
    with PostgresStore.open(database.url(), Recipe(), create=True) as opened:
        yield opened


def test_the_graph_answers_for_many_and_goes_on_under_a_filter(hasty):
    store = hasty
    rng = np.random.default_rng(1)
    every = []
    for m in range(10):
        vectors = unit(rng.standard_normal((300, 16)).astype(np.float32))
        every.append(vectors)
        segments = [Segment("visual", float(i), i + 1.0) for i in range(300)]
        store.put(Content(media(f"/films/{m}.mp4", str(m)), "i", {"visual": segments}, {"visual": vectors}))
    store.refresh()
    store.refresh()  # a second one finds it made
    index, query = store.index("visual"), unit(rng.standard_normal((1, 16)).astype(np.float32))[0]
    ids, cosines = index.search(query, 100)
    best = np.sort(np.concatenate(every) @ query)[::-1][:100]
    assert len(ids) == 100
    assert np.isin(np.round(cosines, 2), np.round(best, 2)).mean() > 0.95
    with store._connections.reading() as db:
        plan = db.execute(
            f"EXPLAIN SELECT id FROM segment WHERE {nearest.partial_index('visual')} ORDER BY vector::halfvec(16) <#> "
            "(SELECT vector::halfvec(16) FROM segment LIMIT 1) LIMIT 10"
        ).fetchall()
    assert any("nearest_visual_16" in row[0] for row in plan), plan
    chosen = store.media_ids()[4:6]  # 600 of 3,000, more than are compared one by one
    found = store.segments([int(i) for i in index.search(query, 200, chosen)[0]])
    assert len(found) == 200
    assert {segment.media_id for segment in found} == set(chosen)
    few = store.segments([int(i) for i in index.search(query, 200, chosen[:1])[0]])
    assert len(few) == 200


# Many at once

ADDS = """
import sys
from mmvideo import Library
from tests.stubs import ColourEncoder, ScriptedTranscriber, WordEncoder
with Library.open(sys.argv[1], isolated=False, visual=ColourEncoder(), speech=ScriptedTranscriber(),
                  passages=WordEncoder()) as library:
    print("ready", flush=True)
    sys.stdin.readline()
    report = library.add(sys.argv[2], progress=lambda p: print(p.stage, flush=True))
    print("ended", *[m.outcome for m in report.media], flush=True)
"""


def adding(url, films):
    """Another process that adds; it has opened the library and waits for a line."""
    process = subprocess.Popen(
        [sys.executable, "-c", ADDS, url, str(films)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    return process


def test_of_several_writers_each_media_is_added_once(films, database):
    url = database.url()
    with open_library(url) as library:
        processes = [adding(url, films) for _ in range(3)]
        outcomes = [process.communicate("go\n", timeout=60)[0].splitlines()[-1].split()[1:] for process in processes]
        assert sum(outcome.count("added") for outcome in outcomes) == 7
        assert sum(outcome.count("unchanged") for outcome in outcomes) == 14
        assert len(library.media()) == len(set(library.media())) == 7
        assert len(library.reports()) == 7
        assert library.verify().clean


def test_what_a_killed_writer_had_claimed_the_next_one_adds(films, database):
    url = database.url()
    with open_library(url) as library:
        process = adding(url, films)
        process.stdin.write("go\n")
        process.stdin.flush()
        while process.stdout.readline().strip() != "looking":  # in the middle of a film, which it has claimed
            pass
        process.kill()
        process.communicate()
        assert len(library.media()) < 7
        report = library.add(films)
        assert report.count("added", "unchanged") == 7
        assert len(library.media()) == 7
        assert library.verify().clean


def test_readers_do_not_wait_for_writers(store, database):
    store.put(content())
    begun, go_on = threading.Event(), threading.Event()

    def write():
        with store._connections.transaction() as db:
            db.execute("DELETE FROM media")
            db.execute("UPDATE meta SET value = '99' WHERE key = 'generation:visual'")
            begun.set()
            go_on.wait(30)

    writer = threading.Thread(target=write)
    writer.start()
    begun.wait(30)
    started = time.monotonic()
    with store.snapshot():
        assert store.count("visual") == 3
        assert store.match_words('"ferry"', "speech")
        go_on.set()
        writer.join()
        assert store.count("visual") == 3  # one state, whatever was committed meanwhile
    assert time.monotonic() - started < 5
    assert store.count("visual") == 0


def test_reindexing_wants_to_be_alone(films, database):
    url = database.url()
    with open_library(url) as library, open_library(url) as other:
        library.add(films / "0.mp4")
        with other._writing():
            with pytest.raises(LibraryError, match="another mmvideo is writing"):
                library.reindex(visual="colours")
            library.add(films / "1.mp4")  # to add beside others is no trouble
        with other._writing(alone=True), pytest.raises(LibraryError, match="another mmvideo is writing"):
            library.add(films / "2.mp4")


def test_the_first_model_of_several_writers_counts(films, database):
    url = database.url()
    with open_library(url) as library:
        library._store.set_model("visual", ModelId("other", "1", 8))
        library._store.set_model("visual", ModelId("colours", "1", 8))
        assert library.models["visual"].name == "other"
        with pytest.raises(RecipeError, match="made with other"):
            library.add(films / "0.mp4")


# Addresses


def test_a_password_is_shown_nowhere(films, database, capsys, caplog):
    url = database.url()
    address = Address.parse(url)
    assert (address.place, address.schema) == (
        f"postgresql://ada@127.0.0.1:{database.port}/postgres?schema={address.schema}",
        address.schema,
    )
    with caplog.at_level(logging.DEBUG):
        with open_library(url) as library:
            library.add(films / "0.mp4")
            shown = [repr(library._store), repr(address), library.place, str(library.reports())]
            with pytest.raises(LibraryError) as unknown:
                library.find("nothing.mp4")
        wrong = url.replace("ada:", "ada:no")
        with pytest.raises(LibraryError, match="cannot be opened") as refused:
            Library.open(wrong)
        assert main(["ls", "-l", url.replace("/postgres?", "/nowhere?")]) == 1
        assert main(["ls", "-l", url]) == 0
    out, err = capsys.readouterr()
    assert "0.mp4" in out
    assert "nowhere" in err
    for text in (*shown, str(unknown.value), str(refused.value), out, err, caplog.text):
        for secret in (PASSWORD, "s3cret"):
            assert secret not in text


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("postgresql://h/db?schema=a;drop", "letters, digits"),
        ("postgresql://h:port/db", "cannot be read"),
        ("postgresql://127.0.0.1:1/db", "cannot be opened"),
    ],
)
def test_an_address_that_leads_nowhere_is_refused(url, why):
    with pytest.raises(LibraryError, match=why):
        Library.open(url)


def test_a_library_that_is_not_there_is_not_made_by_looking(database):
    with pytest.raises(LibraryError, match="no mmvideo library here"):
        Library.open(database.url(), create=False)


# Formats


def test_older_libraries_are_brought_forward_and_newer_ones_refused(database):
    url = database.url()
    with PostgresStore.open(url, Recipe(), create=True) as store:
        store.put(content())
    longer = (*MIGRATIONS, "ALTER TABLE media ADD COLUMN colour text NOT NULL DEFAULT 'red'")
    with pytest.raises(LibraryError, match="cannot be opened"):
        PostgresStore.open(url, steps=(*longer, "ALTER TABLE nothing ADD COLUMN a text"))
    with PostgresStore.open(url, steps=longer) as store:
        assert store._row("SELECT colour FROM media") == ("red",)
        assert store.count("visual") == 3
    PostgresStore.open(url, steps=longer).close()
    with pytest.raises(LibraryError, match="newer mmvideo"):
        PostgresStore.open(url)


def test_damage_is_found_and_words_are_made_again(store):
    media_id = store.put(content())
    store.set_model("visual", ModelId("clip", "1", 8))
    assert (store.integrity(), store.words_fit(), store.damaged_media()) == ([], True, [])
    with store._connections.transaction() as db:
        db.execute("UPDATE segment SET words = 'wrong'::tsvector WHERE text LIKE '%ferry%'")
        db.execute("UPDATE segment SET vector = '[3,0,0,0,0,0,0,0]' WHERE modality = 'visual'")
        db.execute("UPDATE tally SET texts = 7 WHERE modality = 'speech'")
    assert not store.words_fit()
    assert store.integrity() == ["the count of texts of speech is not that of its segments"]
    assert "length is 2 off" in dict(store.damaged_media())[media_id]
    store.rebuild_words()
    assert (store.integrity(), store.words_fit()) == ([], True)
    assert store.match_words('"ferry"', "speech")


def test_a_null_character_is_replaced(store):
    store.put(content(texts=("before\0after",)))
    assert list(store.texts("speech")) == ["before\N{REPLACEMENT CHARACTER}after"]
