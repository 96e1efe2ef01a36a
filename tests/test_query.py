"""What can be asked beside words and a picture, on films of plain colours whose answers are known."""

import contextlib
import io
import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mmvideo import Filter, Library, QueryError, cli, models, options, times, words
from mmvideo.datatypes import Hit, Match, Timeline
from mmvideo.export import hits_to_text
from mmvideo.filters import clip, cut
from mmvideo.fuse import Candidate, Moment
from mmvideo.refine import chains, distinct, turn_down
from mmvideo.written import ScreenLine

from .films import make_film, make_sound
from .stubs import COLOURS, ColourEncoder, ScriptedTranscriber, WordEncoder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    films = tmp_path_factory.mktemp("films")
    (films / "short").mkdir()
    make_film(films / "long.mp4", (("red", 4), ("green", 4), ("blue", 4), ("red", 4), ("yellow", 12), ("blue", 4)))
    make_film(films / "short" / "near.mp4", (("red", 4), ("blue", 4)), sound=False)
    make_sound(films / "talk.mp3")
    return films


class Captions:
    """Reads "Room 7" wherever it is asked to read."""

    model = models.ModelId("captions", "1")

    def read(self, images):
        return [(ScreenLine("Room 7: ferries", (0.1, 0.1, 0.5, 0.2)),) for _ in images]


def stubs():
    return {"visual": ColourEncoder(), "speech": ScriptedTranscriber(), "passages": WordEncoder(), "screen": Captions()}


@pytest.fixture(scope="module")
def built(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("libraries") / "l.mmv"
    with Library.open(path, **stubs()) as library:
        assert library.add(folder).count("added") == 3
    return path


@pytest.fixture
def library(built):
    with Library.open(built, **stubs()) as opened:
        yield opened


def seen(library, *arguments, **options):
    hits = library.search(*arguments, modalities=["visual"], **options)
    return [(hit.path.name, round(hit.start), round(hit.end)) for hit in hits if hit.score > 0.5]


COLOUR_AT = {0: "red", 28: "blue"}
"""Where in long.mp4 red and blue stand alone: side by side they answer "red blue" equally, as one stretch."""


# Words and a picture


def test_the_weight_of_the_text_decides(library):
    blue = np.full((8, 8, 3), COLOURS["blue"], np.uint8)
    assert library.search("yellow", image=blue, text_weight=0.9)[0].start == pytest.approx(16, abs=0.51)
    assert library.search("yellow", image=blue, text_weight=0.1)[0].start != pytest.approx(16, abs=0.51)
    with pytest.raises(QueryError, match="from 0 to 1"):
        library.search("yellow", image=blue, text_weight=1.5)


# What is not wanted


def test_what_is_not_wanted_moves_down(library):
    def scores(**options):
        hits = library.search("red blue", modalities=["visual"], limit=50, **options)
        return {
            (hit.path.name, colour): hit.score for hit in hits if (colour := COLOUR_AT.get(round(hit.matches[0].time)))
        }

    plain = scores()
    assert plain[("long.mp4", "blue")] > 0
    for unwanted in ({"without": "blue"}, {"without_image": Image.new("RGB", (8, 8), COLOURS["blue"])}):
        turned = scores(**unwanted)
        assert turned.get(("long.mp4", "blue"), 0.0) < 0.1 * plain[("long.mp4", "blue")]
        assert turned[("long.mp4", "red")] == pytest.approx(plain[("long.mp4", "red")], rel=0.1)


def test_words_that_are_not_wanted(library):
    plain = library.search("ferry bread", modalities=["speech"], media="talk.mp3")
    assert {hit.text for hit in plain if hit.score > 0.1} >= {"The ferry left the harbour."}
    kept = library.search("ferry bread", modalities=["speech"], media="talk.mp3", without="ferry")
    assert kept[0].text == "Bread needs flour and water."
    score = {hit.text: hit.score for hit in kept}
    assert score.get("The ferry left the harbour.", 0.0) < 0.5 * plain[0].score


def test_turning_down_multiplies_by_what_is_covered():
    wanted = {"visual": [Candidate(1, Match("visual", 0.8, 0, 10, 5)), Candidate(2, Match("visual", 0.8, 0, 10, 5))]}
    bad = [[Candidate(1, Match("speech", 0.5, 5, 20, 5))]]
    first, second = turn_down(wanted, bad)["visual"]
    assert first.match.score == pytest.approx(0.8 * (1 - 0.5 * 0.5))
    assert second.match.score == pytest.approx(0.8)
    assert dict(first.match.reasons)["unwanted"] == pytest.approx(0.25)


# One after another


def test_a_sequence_spans_from_the_first_to_the_last(library):
    hit = library.search("red", then="blue", within=5, modalities=["visual"])[0]
    assert (hit.path.name, round(hit.start), round(hit.end)) == ("near.mp4", 0, 8)
    assert len(hit.matches) == 2
    assert hit.matches[0].time < 4 <= hit.matches[1].time
    assert seen(library, "red", then="blue", within=1) == [("near.mp4", 0, 8)]
    assert ("long.mp4", 0, 12) in seen(library, "red", then="blue", within=4.6)
    assert seen(library, "blue", then="red", within=1) == [("long.mp4", 8, 16)]
    assert seen(library, "red", then=["green", "blue"], within=1) == [("long.mp4", 0, 12)]
    assert seen(library, "yellow", then="red") == []


def test_bad_sequences_are_refused(library):
    with pytest.raises(QueryError, match="every step"):
        library.search("red", then=["  "])
    with pytest.raises(QueryError, match="0 or more"):
        library.search("red", then=["blue"], within=-1.0)


def moment(media, start, end, score=0.9, text=None, modality="visual"):
    return Moment(media, start, end, score, (Match(modality, score, start, end, start, text),))


def test_chains_follow_in_time_and_multiply():
    (one,) = chains(
        [[moment(1, 0, 5)], [moment(1, 7, 9, 0.5), moment(2, 6, 8), moment(1, 0, 1), moment(1, 20, 21)]], 3, 9
    )
    assert (one.media_id, one.start, one.end, len(one.matches)) == (1, 0, 9, 2)
    assert one.score == pytest.approx(0.45)
    assert chains([[moment(1, 0, 5)], []], 3, 9) == []


# Where


def test_filters_choose_media(library, folder):
    def names(**options):
        where = options.pop("where", Filter())
        return {name for name, _, _ in seen(library, "red", where=where, **options)}

    assert names() == {"long.mp4", "near.mp4"}
    assert names(where=Filter(longer_than=10)) == {"long.mp4"}
    assert names(where=Filter(shorter_than=10)) == {"near.mp4"}
    assert names(media="short") == names(media=str(folder / "short")) == names(media="sho*/") == {"near.mp4"}
    assert names(media=["long*", "talk*"]) == {"long.mp4"}
    assert names(media=["near*", "long*"]) == {"long.mp4", "near.mp4"}
    now = datetime.now()
    assert names(where=Filter(added_after=now - timedelta(hours=1), added_before=now)) == {"long.mp4", "near.mp4"}
    assert names(where=Filter(added_after=now + timedelta(hours=1))) == set()
    assert names(where=Filter(added_before=datetime(2020, 1, 1, tzinfo=timezone.utc))) == set()


def test_a_stretch_of_the_media(library):
    assert seen(library, "red", media="long.mp4", where=Filter(start=2.0)) == [("long.mp4", 2, 4), ("long.mp4", 12, 16)]
    assert seen(library, "red", media="long.mp4", where=Filter(end=11.0)) == [("long.mp4", 0, 4)]
    assert seen(library, "yellow", where=Filter(end=10.0)) == []
    hits = library.search("ferry", modalities=["speech"], where=Filter(start=1.0, end=9.0))
    assert hits
    assert all(1.0 <= hit.start < hit.end <= 9.0 for hit in hits)
    assert library.search("ferry", modalities=["speech"], media="talk.mp3", where=Filter(start=100.0)) == []


def test_cutting_and_clipping():
    timeline = Timeline(
        np.arange(5.0), np.arange(5, dtype=np.int32), np.eye(5, dtype=np.float32), np.zeros(0), 0.0, 5.0
    )
    part = cut(timeline, Filter(start=1.5, end=3.0))
    assert (part.times.tolist(), part.rows.tolist(), part.start, part.end) == ([1.5, 2.0], [1, 2], 1.5, 3.0)
    assert cut(timeline, Filter()) is timeline
    assert len(cut(timeline, Filter(start=9.0)).times) == 0
    match = Match("speech", 0.5, 2.0, 6.0, 2.5)
    assert clip(match, Filter(start=7.0)) is None
    trimmed = clip(match, Filter(start=3.0, end=5.0))
    assert (trimmed.start, trimmed.end, trimmed.time) == (3.0, 5.0, 3.0)


# Repeats


def test_repeats_are_left_out(library):
    assert len(seen(library, "red", limit=10)) == 3
    assert len(seen(library, "red", limit=10, distinct=True)) == 1
    said = library.search("ferry", modalities=["speech"], distinct=True)
    assert len(library.search("ferry", modalities=["speech"])) > len(said)
    assert len({hit.text for hit in said}) == len(said)


def test_distinct_keeps_what_differs():
    eye = np.eye(3, dtype=np.float32)
    moments = [moment(1, 0, 1), moment(1, 2, 3), moment(2, 0, 1), moment(3, 0, 1, text="A word.", modality="speech")]
    moments.append(moment(3, 5, 6, text="a WORD", modality="speech"))
    looks = {(1, 0): eye[0], (1, 2): eye[1], (2, 0): eye[0]}
    kept = distinct(moments, lambda m: looks.get((m.media_id, m.start)), 10)
    assert [(m.media_id, m.start) for m in kept] == [(1, 0), (1, 2), (3, 0)]
    assert len(distinct(moments, lambda m: None, 2)) == 2


# More like this


def test_more_like_a_moment(library):
    encoded = library._models.visual().encoded
    hits = library.similar("long.mp4", 2.0)
    assert library._models.visual().encoded == encoded  # the stored vector, not the picture again
    best = {(hit.path.name, round(hit.start)) for hit in hits[:2]}
    assert best == {("long.mp4", 12), ("near.mp4", 0)}
    assert not any(hit.path.name == "long.mp4" and hit.start <= 2.0 < hit.end for hit in hits)
    assert len(library.similar("long.mp4", 2.0, limit=1)) == 1


def test_more_like_what_was_said(library):
    best = library.similar("talk.mp3", 1.0)[0]
    assert (best.path.name, best.text) == ("long.mp4", "The ferry left the harbour.")


def test_a_moment_that_is_not_there(library):
    with pytest.raises(QueryError, match=r"no moment 99 s; it lasts from 0"):
        library.similar("long.mp4", 99.0)
    with pytest.raises(QueryError, match="at least 1"):
        library.similar("long.mp4", 1.0, limit=0)


# What is shown


def test_the_words_of_the_query_are_marked(library):
    hit = library.search("the Ferry, HARBOUR", modalities=["speech"])[0]
    match = hit.matches[0]
    assert [match.text[a:b] for a, b in match.marks] == ["ferry", "harbour"]
    shown = library.search("room ferris", modalities=["screen"])[0].matches[0]
    assert [shown.text[a:b] for a, b in shown.marks] == ["Room", "ferries"]


@pytest.mark.parametrize("modality", ["visual", "speech", "screen"])
def test_reasons_say_how_a_score_came_about(library, modality):
    match = library.search("red ferry", modalities=[modality])[0].matches[0]
    reasons = dict(match.reasons)
    assert reasons["cosine"] == pytest.approx(match.similarity or 0.0)
    if modality == "visual":
        assert {"background", "half"} <= set(reasons)
    else:
        assert match.score == pytest.approx(1 - (1 - reasons["meaning"]) * (1 - reasons["words"]))


# The command line


@pytest.fixture
def run(built, monkeypatch, capsys):
    made = stubs()
    monkeypatch.setenv("MMVIDEO_LIBRARY", str(built))
    monkeypatch.setattr(models.LibraryModels, "_load", lambda self, part, name: made[part])

    def call(*arguments):
        code = cli.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_every_option_reaches_the_search(run, tmp_path):
    Image.new("RGB", (8, 8), COLOURS["blue"]).save(tmp_path / "blue.png")

    def starts(*arguments):
        code, out, err = run("search", *arguments, "--in", "visual", "--json")
        assert (code, err) == (0, "")
        return [(hit["path"].rsplit("/")[-1], round(hit["start"])) for hit in json.loads(out) if hit["score"] > 0.5]

    assert starts("red", "--then", "blue", "--within", "0:01") == [("near.mp4", 0)]
    assert starts("red", "--shorter-than", "10") == [("near.mp4", 0)]
    assert starts("red", "--media", "talk*", "--media", "near*") == [("near.mp4", 0)]
    assert starts("red", "--from", "00:00:11") == [("long.mp4", 12)]
    assert starts("red", "--added-after", "1d", "--to", "3", "--longer-than", "10") == [("long.mp4", 0)]
    assert starts("red", "--added-before", "2020-01-31") == []
    assert len(starts("red", "--distinct")) == 1
    for option in (["--not", "blue"], ["--not-image", tmp_path / "blue.png"]):
        assert ("near.mp4", 4) in starts("blue")
        assert starts("blue", *option) == []
    assert starts("yellow", "--image", tmp_path / "blue.png", "--text-weight", "0.9")[0] == ("long.mp4", 16)


def test_explaining(run):
    out = run("search", "red", "--in", "visual", "--explain", "-k", "1")[1]
    assert "cosine 1.000" in out
    assert "background 0." in out
    (hit,) = json.loads(run("search", "ferry", "--in", "speech", "--explain", "--json", "-k", "1")[1])
    assert set(hit["matches"][0]["explain"]) == {"cosine", "meaning", "words"}
    (hit,) = json.loads(run("search", "ferry", "--in", "speech", "--json", "-k", "1")[1])
    assert "explain" not in hit["matches"][0]
    text = hit["matches"][0]["text"]
    assert [text[a:b] for a, b in hit["matches"][0]["marks"]] == ["ferry"]


def test_similar_moments(run):
    code, out, _ = run("similar", "long.mp4@0:02", "-k", "2", "--json")
    assert code == 0
    assert {(hit["path"].rsplit("/")[-1], round(hit["start"])) for hit in json.loads(out)} == {
        ("long.mp4", 12),
        ("near.mp4", 0),
    }
    code, _, err = run("similar", "long.mp4@1:00")
    assert (code, "no moment 60 s" in err) == (1, True)
    for wrong in ("long.mp4", "long.mp4@", "@3", "long.mp4@soon"):
        with pytest.raises(SystemExit, match="2"):
            cli.main(["similar", wrong])


def test_words_are_bold_on_a_terminal_only(run, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    assert "\x1b" not in run("search", "ferry", "--in", "speech")[1]
    terminal = Terminal()
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr("sys.stdout", terminal)
    assert cli.main(["search", "ferry", "--in", "speech"]) == 0
    assert "The \x1b[1mferry\x1b[22m left" in terminal.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    terminal.truncate(0)
    assert cli.main(["search", "ferry", "--in", "speech"]) == 0
    assert "\x1b" not in terminal.getvalue()


def test_marks_stay_right_in_a_text_that_is_shortened():
    text = "ferry \x02 " + "word " * 60 + "ferry"
    match = Match("speech", 0.5, 0, 5, 0, text, marks=words.spans(text, ["ferry"]))
    assert len(match.marks) == 2
    shown = hits_to_text([Hit(Path("a.mp3"), 0, 5, 0.5, (match,))], marks=("\x02", "\x03"))
    assert "“\x02ferry\x03   word" in shown
    assert (shown.count("\x02"), shown.count("\x03")) == (1, 1)
    assert "word …”" in shown


# Times and words, whatever is typed


@given(st.floats(0, 1e6))
def test_a_clock_reads_back(value):
    assert times.seconds(times.clock(value)) == pytest.approx(value, abs=0.0501)


@given(st.floats(0, 1e6))
def test_plain_seconds_read_back(value):
    assert times.seconds(f"{value:.3f}") == pytest.approx(value, abs=5.1e-4)


@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59))
def test_hours_minutes_and_seconds(hours, minutes, rest):
    assert times.seconds(f"{hours}:{minutes:02}:{rest:02}") == hours * 3600 + minutes * 60 + rest


@given(st.text(max_size=12))
def test_a_time_is_a_number_or_refused(text):
    with contextlib.suppress(ValueError):
        assert 0 <= times.seconds(text) < float("inf")
    with contextlib.suppress(ValueError):
        assert times.moment(text).tzinfo is not None


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "7w", "1e3d", "0001-01-01T00:00+23:59"])
def test_what_is_no_date(text):
    with pytest.raises(ValueError, match="is no date"):
        times.moment(text)


@pytest.mark.parametrize("text", ["", "1:60", "1:2:3:4", "-5", "nan", "inf", "1e3", "1:", ":5", "٣", "5 s", "99:99:99"])
def test_what_is_no_time(text):
    with pytest.raises(ValueError, match="is no time"):
        times.seconds(text)


@given(st.text(st.characters(exclude_characters="@"), min_size=1), st.floats(0, 1e5))
def test_a_place_is_a_media_and_a_time(media, time):
    assert options.place(f"{media}@{times.clock(time)}") == (media, pytest.approx(time, abs=0.0501))


@given(st.text(max_size=60))
def test_any_text_is_parsed_into_folded_words(text):
    asked = words.parse(text)
    assert set(asked.words) <= set(words.tokens(text))
    assert bool(asked.words) == bool(words.tokens(text))
    for phrase in asked.phrases:
        assert phrase
        assert set(phrase) <= set(words.tokens(text))
    assert asked.any_word.count('"') % 2 == 0


@given(st.text(max_size=60), st.text(max_size=20))
def test_marks_lie_in_order_on_words(text, query):
    wanted = words.parse(query).words
    last = 0
    for start, end in words.spans(text, wanted):
        assert last <= start < end <= len(text)
        assert not set(words.tokens(text[start:end])).isdisjoint(wanted)
        last = end


@given(st.lists(st.sampled_from(["red", "blue", "harbour", "café"]), min_size=1, max_size=5))
def test_every_word_of_a_query_is_marked_in_its_own_text(said):
    text = ", ".join(said)
    assert [text[a:b] for a, b in words.spans(text, words.parse(text).words)] == said
