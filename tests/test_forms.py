"""Words of a query against words as they were said or heard, and which modality a query means."""

import numpy as np
import pytest

from mmvideo import routing, words
from mmvideo.datatypes import Match
from mmvideo.forms import SAME_SOUND, SAME_STEM, Vocabulary, held, sound, stem
from mmvideo.fuse import Candidate


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("glacier", "glaciers"),
        ("brew", "brewing"),
        ("stop", "stopped"),
        ("bake", "baking"),
        ("carry", "carries"),
        ("box", "boxes"),
        ("church", "churches"),
    ],
)
def test_inflected_words_share_a_stem(one, other):
    assert stem(one) == stem(other)


@pytest.mark.parametrize(("one", "other"), [("sing", "sin"), ("bus", "bu"), ("red", "r"), ("glass", "glas")])
def test_what_is_no_ending_stays(one, other):
    assert stem(one) != stem(other)


@pytest.mark.parametrize(
    ("written", "heard"),
    [
        ("wrigglesworth", "rigglesworth"),
        ("blenkinsop", "blankinsop"),
        ("throckmorton", "frogmorton"),
        ("featherstone", "fetherston"),
        ("knight", "night"),
        ("philippa", "filipa"),
    ],
)
def test_names_of_one_sound_share_a_key(written, heard):
    assert sound(written) == sound(heard)


def test_a_name_is_found_as_it_was_heard_even_in_two_words():
    vocabulary = Vocabulary(["Captain Ravens Worth met Mr. Rigglesworth", "wrinkles are worth nothing"])
    assert vocabulary.forms("ravensworth") == {"ravens worth": SAME_SOUND}
    assert vocabulary.forms("wrigglesworth") == {"rigglesworth": SAME_SOUND}
    assert vocabulary.forms("zebra") == {}


def test_sound_is_the_last_resort():
    vocabulary = Vocabulary(["the knights came by night", "fourteen miles, or 40"])
    assert vocabulary.forms("night") == {"night": 1.0}
    assert vocabulary.forms("knight") == {"knights": SAME_STEM}
    assert vocabulary.forms("14") == {"fourteen": SAME_STEM}
    assert vocabulary.forms("forty") == {"40": SAME_STEM}


def test_held_takes_whole_words_and_the_best_form():
    forms = {"glacier": {"glaciers": 0.95, "glacier": 1.0}, "ravensworth": {"ravens worth": 0.7}}
    assert held(forms, "Glaciers at Ravens' worth") == {"glacier": 0.95, "ravensworth": 0.7}
    assert held(forms, "the ravens worthless") == {}


def ranking(modality, *scores):
    return [Candidate(1, Match(modality, score, 10.0 * i, 10.0 * i + 5, 10.0 * i)) for i, score in enumerate(scores)]


def test_what_a_query_less_likely_means_is_lowered_and_keeps_its_order():
    names = routing.stems(["cup", "espresso"])
    rankings = {"visual": ranking("visual", 0.6, 0.3), "speech": ranking("speech", 0.6, 0.4)}
    routed = routing.routed("a cup of espresso", names, rankings)
    assert routed["visual"] == rankings["visual"]
    lowered = [candidate.match.score for candidate in routed["speech"]]
    assert lowered[0] < 0.6
    assert lowered[1] / lowered[0] == pytest.approx(0.4 / 0.6)
    told = {"visual": ranking("visual", 0.3), "speech": ranking("speech", 0.9)}
    routed = routing.routed("why the time shown downtown is wrong on purpose", names, told)
    assert routed["speech"] == told["speech"]
    assert routed["visual"][0].match.score < 0.3
    assert dict(routed["visual"][0].match.reasons)["meant"] < 1


def test_one_modality_alone_is_not_routed():
    rankings = {"visual": ranking("visual", 0.6)}
    assert routing.routed("anything that was said", frozenset(), rankings) == rankings


def test_features_count_what_the_classifier_has_names_for():
    looked = routing.features("a cup of tea", routing.stems(["coffee cup"]), {})
    assert looked[:3] == (pytest.approx(np.log(4)), 0.0, pytest.approx(0.5))
    assert words.parse("a cup of tea").words == ("cup", "tea")
