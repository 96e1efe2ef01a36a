import pytest

from mmvideo import words


def test_case_and_accents_are_folded():
    assert words.tokens("L'Élève ÉTUDIE à l’Université, STRASSE Straße!") == [
        "l", "eleve", "etudie", "a", "l", "universite", "strasse", "strasse",
    ]  # fmt: skip


def test_stop_words_count_only_alone():
    assert words.parse("what is the lighthouse").words == ("lighthouse",)
    assert words.parse("to be or not to be").words == ("to", "be", "or", "not")
    assert words.parse("").words == ()


def test_quotes_make_phrases():
    parsed = words.parse('we met “at the old Harbour” with "Anna"')
    assert parsed.phrases == (("at", "the", "old", "harbour"), ("anna",))
    assert parsed.any_word == '"at the old harbour" AND "anna"'
    assert words.plain('met "at noon"') == "met  at noon"


@pytest.mark.parametrize(
    "text", ['"', '""', "*", "NEAR(", "a AND", "x:y", "^", "-z", "'); DROP TABLE media;--", "\0", "🎥"]
)
def test_nothing_typed_is_syntax(text):
    expression = words.parse(text).any_word
    assert all(
        part.strip('"').replace(" ", "").isalnum() or part in ("OR", "AND", "") for part in expression.split(" ")
    )


def test_coverage_weighs_rare_words():
    weights = {"ferry": words.rarity(1, 100), "water": words.rarity(60, 100)}
    query = words.parse("ferry water")
    assert words.coverage(query, "The ferry left.", weights) > 0.8
    assert words.coverage(query, "Water everywhere", weights) < 0.2
    assert words.coverage(query, "ferry on the WATER", weights) == pytest.approx(1.0)
    assert words.coverage(words.parse("..."), "anything", {}) == 0.0
