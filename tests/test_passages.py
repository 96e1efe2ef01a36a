import pytest

from mmvideo.datatypes import Segment, Transcript, Utterance, Word
from mmvideo.passages import ends_sentence, passages, words_in


def said(*utterances):
    return Transcript(tuple(Utterance(start, end, text) for start, end, text in utterances))


def timed(start, step, text, length=0.8):
    words = tuple(Word(start + i * step, start + (i + length) * step, word) for i, word in enumerate(text.split()))
    return Utterance(words[0].start, words[-1].end, text, words)


def test_nothing_said():
    assert passages(Transcript(())) == []
    assert passages(said((0, 3, "  "))) == []


def test_sentences_are_joined_to_the_minimum_and_cut_after_it():
    transcript = said((0, 3, "One."), (3, 6, "Two."), (6, 9, "Three."), (9, 12, "Four."))
    assert passages(transcript) == [Segment("speech", 0, 6, "One. Two."), Segment("speech", 6, 12, "Three. Four.")]


def test_without_sentence_ends_a_pause_cuts():
    transcript = said((0, 6, "one"), (6.5, 9, "two"), (11, 17, "three"))
    assert [(p.start, p.end, p.text) for p in passages(transcript)] == [(0, 9, "one two"), (11, 17, "three")]


def test_a_short_passage_crosses_a_pause_but_not_a_long_silence():
    transcript = said((0, 1, "Yes."), (3, 4, "No."), (10, 11, "Well."), (100, 101, "Late."))
    assert [p.text for p in passages(transcript)] == ["Yes. No.", "Well.", "Late."]


def test_a_short_tail_joins_the_passage_before():
    transcript = said((0, 6, "Long sentence."), (6.2, 7, "End."))
    assert passages(transcript) == [Segment("speech", 0, 7, "Long sentence. End.")]
    assert len(passages(transcript, maximum=6.5)) == 2


def test_a_long_utterance_is_split_at_its_words():
    text = " ".join(f"word{i}" for i in range(100))
    found = passages(Transcript((timed(10.0, 0.5, text),)))
    assert all(p.end - p.start <= 20.0 for p in found)
    assert all(p.end - p.start >= 5.0 for p in found)
    assert " ".join(p.text for p in found) == text
    assert found[0].start == 10.0
    assert found[-1].end == pytest.approx(10.0 + 99.8 * 0.5)


def test_a_split_prefers_the_end_of_a_sentence_then_the_longest_pause():
    words = "a b c d. e f g h".split()
    utterance = timed(0.0, 1.0, " ".join(words))
    assert [p.text for p in passages(Transcript((utterance,)), minimum=1, maximum=5)] == ["a b c d.", "e f g h"]
    gap = (*(Word(i, i + 0.9, f"w{i}") for i in range(4)), *(Word(i + 0.6, i + 1.5, f"w{i}") for i in range(4, 9)))
    utterance = Utterance(0, 9.5, " ".join(word.text for word in gap), gap)
    assert passages(Transcript((utterance,)), minimum=1, maximum=6)[0].text == "w0 w1 w2 w3"


def test_a_long_utterance_without_word_times_is_split_by_its_letters():
    found = passages(said((0, 60, "aaaa bbbb cccc dddd eeee ffff")))
    assert [p.text for p in found] == ["aaaa bbbb", "cccc dddd", "eeee ffff"]
    assert [p.start for p in found] == [0, 20, 40]
    found = passages(said((0, 40, "一二三四五六七八")))
    assert [p.text for p in found] == ["一二三四", "五六七八"]
    assert len(passages(said((0, 36_000_000, "two words")))) <= 9


def test_languages_without_spaces_are_cut_inside_the_text():
    characters = "今日は良い天気ですね明日も"
    words = tuple(Word(i * 2.0, i * 2.0 + 1.9, character) for i, character in enumerate(characters))
    found = passages(Transcript((Utterance(0, 26, characters, words),), "ja"))
    assert "".join(p.text for p in found) == characters
    assert all(" " not in p.text for p in found)


def test_a_passage_starts_with_its_first_word_and_lasts_half_a_second():
    utterance = Utterance(0.0, 5.0, "Hey", (Word(2.0, 2.1, "Hey"),))
    assert passages(Transcript((utterance,))) == [Segment("speech", 2.0, 2.5, "Hey")]


def test_overlapping_and_unordered_utterances():
    transcript = said((5, 6, "b"), (0, 8, "a"), (7, 7, "c"))
    assert passages(transcript) == [Segment("speech", 0, 8, "a b c")]


def test_one_word_longer_than_a_passage():
    utterance = Utterance(0, 100, "Ommm", (Word(0, 100, "Ommm"),))
    assert passages(Transcript((utterance,))) == [Segment("speech", 0, 20, "Ommm")]


def test_senseless_limits():
    with pytest.raises(ValueError, match="cannot last"):
        passages(Transcript(()), minimum=10, maximum=5)


def test_words_in_an_interval():
    transcript = Transcript((timed(0.0, 1.0, "one two three, four"), Utterance(10, 12, "untimed text")))
    assert words_in(transcript, 1.0, 3.0) == "two three,"
    assert words_in(transcript, 9.0, 20.0) == "untimed text"
    assert words_in(transcript, 10.5, 10.6) == "untimed text"
    assert words_in(transcript, 0.0, 20.0) == "one two three, four untimed text"
    assert words_in(transcript, 5.0, 9.0) == ""


def test_words_in_text_that_is_not_made_of_its_words():
    utterance = Utterance(0, 2, "completely different", (Word(0, 1, "one"), Word(1, 2, "two")))
    assert words_in(Transcript((utterance,)), 0, 1) == "one"


@pytest.mark.parametrize("text", ["Done.", "Really?", 'He said "no!"', "終わり。", "so…", "(yes.)"])
def test_a_sentence_ends(text):
    assert ends_sentence(text)


@pytest.mark.parametrize("text", ["and", "well,", "3.5 apples", ""])
def test_a_sentence_goes_on(text):
    assert not ends_sentence(text)
