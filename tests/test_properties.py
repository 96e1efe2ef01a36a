"""What must hold for every input: intervals, fusion, pooling, times, subtitles, the words of a query."""

import contextlib
import json
import struct
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mmvideo import times, words
from mmvideo.datatypes import Match, Timeline, Transcript, Utterance
from mmvideo.errors import MediaError, QueryError
from mmvideo.evaluate import read_truth
from mmvideo.fuse import Candidate, fit, fuse
from mmvideo.pool import pool_windows, unit
from mmvideo.sandbox.wire import WireError, receive
from mmvideo.segment import windows
from mmvideo.subtitles import parse, timestamp, to_srt, to_vtt
from mmvideo.times import clock

settings.register_profile("short", max_examples=30, deadline=None)
settings.load_profile("short")

SECONDS = st.floats(0, 100_000, allow_nan=False)
SCORES = st.floats(0, 1, allow_nan=False)
ANY_TEXT = st.text(max_size=200)


@given(SECONDS, st.floats(0, 3000), st.lists(SECONDS, max_size=20), st.floats(0.5, 60))
def test_windows_cover_the_media_without_overlap(start, length, cuts, most):
    end = start + length
    pieces = windows(start, end, np.array(sorted(set(cuts))), most)
    assert all(a < b for a, b in pieces) or length == 0
    assert all(b - a <= most + 1e-6 for a, b in pieces)
    assert all(abs(a[1] - b[0]) < 1e-9 for a, b in zip(pieces, pieces[1:], strict=False))
    if length > 1e-3:
        assert abs(pieces[0][0] - start) < 1e-9
        assert abs(pieces[-1][1] - end) < 1e-9


@given(SECONDS, SECONDS, SECONDS, st.floats(0.5, 50_000))
def test_a_fitted_interval_lies_inside_its_media(a, b, start, length):
    first, last = fit(min(a, b), max(a, b), start, start + length)
    assert start - 1e-6 <= first <= last <= start + length + 1e-6


def candidates(modality):
    made = st.tuples(st.integers(1, 4), SCORES, st.floats(0, 100), st.floats(0.5, 30), SCORES)
    return st.lists(made, max_size=12).map(
        lambda rows: [
            Candidate(media, Match(modality, score, start, start + length, start + share * length * 0.99))
            for media, score, start, length, share in sorted(rows, key=lambda row: -row[1])
        ]
    )


@given(candidates("visual"), candidates("speech"), st.integers(1, 20))
def test_fused_moments_are_ranked_bounded_and_apart(seen, said, limit):
    moments = fuse({"visual": seen, "speech": said}, limit=limit)
    assert len(moments) <= limit
    assert [moment.score for moment in moments] == sorted((moment.score for moment in moments), reverse=True)
    for moment in moments:
        assert 0 <= moment.score <= 1
        assert moment.start < moment.end
        assert moment.matches
    for a in moments:
        for b in moments:
            assert a is b or a.media_id != b.media_id or a.end <= b.start + 1e-9 or b.end <= a.start + 1e-9


@given(st.integers(1, 30), st.integers(0, 2**32 - 1), st.sampled_from(["mean", "max", "topk"]), st.floats(0.5, 12))
def test_pooled_vectors_have_length_one(count, seed, how, most):
    rng = np.random.default_rng(seed)
    vectors = unit(rng.normal(size=(count, 16)).astype(np.float32))
    times = np.cumsum(rng.uniform(0.1, 3, count))
    end = float(times[-1]) + 1
    timeline = Timeline(times, np.arange(count, dtype=np.int32), vectors, np.zeros(0), 0.0, end)
    pieces = windows(0.0, end, np.zeros(0), most)
    pooled = pool_windows(timeline, pieces, how=how)
    assert pooled.shape == (len(pieces), 16)
    assert np.allclose(np.linalg.norm(pooled, axis=1), 1, atol=1e-4)


@given(st.floats(0, 359_000))
def test_a_timestamp_reads_back_to_the_millisecond(seconds):
    text = f"WEBVTT\n\n{timestamp(seconds)} --> {timestamp(seconds + 2)}\nsaid\n"
    assert abs(parse(text).utterances[0].start - seconds) <= 0.0005 + 1e-9
    assert clock(seconds).count(":") == 2


@given(st.text(max_size=400))
def test_any_text_is_subtitles_or_refused(text):
    with contextlib.suppress(MediaError):
        assert parse("\n" + text).utterances


class Said:
    """The end of a pipe from which anything may come, a few bytes at a time."""

    def __init__(self, data):
        self.left = data

    def readinto(self, room):
        part, self.left = self.left[: min(5, len(room))], self.left[min(5, len(room)) :]
        room[: len(part)] = part
        return len(part)


HEADERS = st.one_of(
    st.binary(max_size=60),
    st.dictionaries(st.sampled_from(["bytes", "kind", "media", "shape"]), st.none() | st.integers() | st.text()).map(
        lambda header: json.dumps(header).encode()
    ),
)


@given(HEADERS, st.binary(max_size=40), st.integers(-2, 2))
def test_whatever_a_decoding_process_says_is_bytes_or_refused(header, rest, off):
    said = struct.pack(">I", max(0, len(header) + off)) + header + rest
    with contextlib.suppress(WireError):
        known, held = receive(Said(said), 30)
        assert len(held) == known["bytes"] <= 30


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
ROWS = st.dictionaries(st.sampled_from(["query", "image", "file", "start", "end", "answers", "vid"]), VALUES)


@given(st.one_of(st.binary(max_size=80), st.lists(ROWS | VALUES, max_size=3).map(lambda x: json.dumps(x).encode())))
def test_any_file_is_questions_or_refused(data):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "truth.json"
        path.write_bytes(data)
        with contextlib.suppress(QueryError):
            assert read_truth(path)


@given(ANY_TEXT)
def test_any_text_is_a_time_or_none(text):
    with contextlib.suppress(ValueError):
        assert times.seconds(text) >= 0
    with contextlib.suppress(ValueError):
        times.moment(text)


@given(st.floats(0, 359_000))
def test_a_clock_reads_back_to_the_tenth(value):
    assert abs(times.seconds(clock(value)) - value) <= 0.05 + 1e-6


TIMES = st.lists(st.tuples(st.integers(0, 10**7), st.integers(1, 20_000), st.text(min_size=1, max_size=40)), max_size=8)


@given(TIMES)
def test_subtitles_survive_being_written_and_read(rows):
    said = []
    for start, length, text in sorted(rows):
        shown = text.translate(dict.fromkeys(map(ord, "<{&\\\u200e\u200f\ufeff")))
        shown = " ".join("".join(c for c in shown if c.isprintable() or c.isspace()).split())
        if shown and "-->" not in shown and "->" not in shown:
            said.append(Utterance(start / 1000, (start + length) / 1000, shown))
    transcript = Transcript(tuple(said))
    if not said:
        return
    for write in (to_srt, to_vtt):
        again = parse("\n" + write(transcript)).utterances
        # A cue that only repeats the line before it is taken for a rolling caption.
        assert {(u.start, u.end) for u in again} <= {(u.start, u.end) for u in said}
        assert again
        assert all(any(" ".join(u.text.split()) == known.text for known in said) for u in again)


@given(ANY_TEXT)
def test_any_query_is_words(text):
    asked = words.parse(text)
    assert len(set(asked.words)) == len(asked.words)
    assert all('"' not in word and word == words.fold(word) for word in asked.words)
    weights = dict.fromkeys(asked.words, 1.0)
    assert 0 <= words.coverage(asked, text, weights) <= 1
    if asked.words:
        assert words.coverage(asked, text, weights) == 1


@given(ANY_TEXT)
def test_any_query_is_an_expression_that_fts_understands(text):
    import sqlite3

    db = sqlite3.connect(":memory:")
    try:
        db.execute("CREATE VIRTUAL TABLE words USING fts5 (text)")
        expression = words.parse(text).any_word
        if expression:
            assert db.execute("SELECT count(*) FROM words WHERE words MATCH ?", (expression,)).fetchone() == (0,)
    finally:
        db.close()
