"""What of a passage answers a query: one utterance, or one between its neighbours."""

from pathlib import Path

import numpy as np
import pytest

from mmvideo.datatypes import Hit, Match, Segment, Transcript, Utterance
from mmvideo.export import hits_to_text
from mmvideo.fuse import Candidate
from mmvideo.pool import unit
from mmvideo.refine import settled
from mmvideo.said import HESITATION, PAUSE, Spoken, around, encoded, saying

WORDS = ("mayor", "clock", "fast", "late", "goats", "roof")


def encode(texts: list[str]) -> np.ndarray:
    """One component for each known word, and one that all texts share."""
    return unit(np.array([[1.0, *(3.0 * (word in text) for word in WORDS)] for text in texts], np.float32))


def talk(*said: tuple[float, float, str]) -> Transcript:
    return Transcript(tuple(Utterance(start, end, text, ()) for start, end, text in said), "en", "made")


CLOCK = talk(
    (0.0, 2.0, "the clock runs"),
    (2.2, 4.0, "four minutes fast"),
    (4.2, 6.0, "the mayor hates people who are late"),
    (9.0, 11.0, "goats on the roof"),
)


def spoken_of(transcript: Transcript) -> Spoken:
    _, vectors = encoded(transcript, encode, [])
    return Spoken.of(transcript, vectors, len(WORDS) + 1)


def answers(spoken: Spoken, passage: Segment, query: str) -> list[tuple[float, float]]:
    vector = encode([query])[0]
    cosine = float(encode([passage.text or ""])[0] @ vector)
    return [(s.start, s.end) for s in saying(passage, spoken, {}, vector, cosine, 0.2)]


def test_utterances_are_taken_with_their_neighbours_unless_a_pause_parts_them():
    starts, ends = np.array([0.0, 2.2, 4.2, 9.0]), np.array([2.0, 4.0, 6.0, 11.0])
    assert PAUSE < 9.0 - 6.0
    assert around(starts, ends).tolist() == [[0, 1], [0, 2], [1, 2], [3, 3]]
    long = np.array([0.0, 14.0, 28.0])
    assert around(long, long + 13.0).tolist() == [[0, 1], [1, 1], [1, 2]], "three would last 41 s"
    assert around(starts[:1], ends[:1]).tolist() == [[0, 0]]


def test_each_utterance_has_its_own_vector_and_that_between_its_neighbours():
    first, vectors = encoded(CLOCK, encode, ["a passage", "another"])
    dim = len(WORDS) + 1
    assert first.shape == (2, dim)
    assert vectors.shape == (4, 2 * dim)
    texts = [u.text for u in CLOCK.utterances]
    np.testing.assert_allclose(vectors[:, :dim], encode(texts))
    np.testing.assert_allclose(vectors[1, dim:], encode([" ".join(texts[:3])])[0])
    np.testing.assert_allclose(vectors[3, dim:], vectors[3, :dim], err_msg="alone it is just itself")


def test_what_takes_three_sentences_is_found_as_three():
    passage = Segment("speech", 0.0, 6.0, "the clock runs four minutes fast the mayor hates people who are late")
    wide, narrow = answers(spoken_of(CLOCK), passage, "the mayor wants the clock fast because of late people")
    assert wide == (0.0, 6.0)
    assert narrow[1] - narrow[0] < 6.0


def test_what_takes_one_sentence_is_found_as_one():
    passage = Segment("speech", 9.0, 11.0, "goats on the roof")
    assert answers(spoken_of(CLOCK), passage, "goats on a roof") == [(9.0, 11.0)]


def test_an_answer_may_reach_across_the_border_of_a_passage():
    passage = Segment("speech", 0.0, 4.0, "the clock runs four minutes fast")
    found = saying(
        passage, spoken_of(CLOCK), {}, (vector := encode(["mayor clock fast late"])[0]), float(vector[0]), 0.2
    )[0]
    assert (found.start, found.end) == (0.0, 6.0)
    assert found.text == "the clock runs four minutes fast the mayor hates people who are late"


def test_pauses_inside_an_answer_cost_something():
    spoken = spoken_of(CLOCK)
    assert spoken.hesitation == pytest.approx([0.2 * HESITATION, 0.2 * HESITATION, 0.2 * HESITATION, 0.0])


def test_libraries_from_before_answer_by_utterances_alone():
    own = encode([u.text for u in CLOCK.utterances])
    spoken = Spoken.of(CLOCK, own, own.shape[1])
    passage = Segment("speech", 0.0, 6.0, "the clock runs four minutes fast the mayor hates people who are late")
    assert len(answers(spoken, passage, "the mayor wants the clock fast because of late people")) == 1


def candidate(score: float, start: float, end: float, media: int = 1) -> Candidate:
    return Candidate(media, Match("speech", score, start, end, start))


def test_a_passage_does_not_answer_with_what_a_better_one_answers_with():
    best = [candidate(0.9, 0, 10), candidate(0.8, 0, 4)]
    beside = [candidate(0.7, 5, 14), candidate(0.3, 11, 14)]
    elsewhere = [candidate(0.6, 5, 14, media=2), candidate(0.2, 11, 14, media=2)]
    assert settled([beside, elsewhere, best]) == [best[0], elsewhere[0], beside[1]]


def test_what_is_not_sure_is_printed_below_a_line_that_says_so():
    hits = [Hit(Path("a.mp3"), i, i + 5, score) for i, score in ((0, 0.9), (10, 0.5), (20, 0.49), (30, 0.1))]
    lines = hits_to_text(hits).splitlines()
    assert [line.strip()[:2] for line in lines] == ["1.", "2.", "le", "3.", "4."]
    assert [hit.sure for hit in hits] == [True, True, False, False]
    assert "less sure" not in hits_to_text(hits[2:]), "where nothing is sure the command says so above all hits"
