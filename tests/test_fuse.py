import numpy as np
import pytest

from mmvideo.datatypes import Match
from mmvideo.fuse import Candidate, agree, by_rank, fit, fuse, grow_peaks, logistic, normalised, snap


def match(modality, start, end, score, time=None):
    return Match(modality, score, start, end, start if time is None else time)


def candidates(modality, *rows):
    return [Candidate(media, match(modality, start, end, score)) for media, start, end, score in rows]


def test_logistic():
    assert logistic(2.0, 2.0, 0.5) == pytest.approx(0.5)
    assert logistic(2.5, 2.0, 0.5) == pytest.approx(0.731, abs=1e-3)
    assert 0.0 < logistic(-1e9, 0, 1) < logistic(1e9, 0, 1) <= 1.0


def test_a_peak_grows_to_half_its_height():
    scores = np.array([0.0, 0.0, 0.6, 1.0, 0.55, 0.4, 0.0, 0.0, 0.0, 0.8])
    peaks = grow_peaks(scores, floor=0.0)
    assert [(p.first, p.last, p.best) for p in peaks[:2]] == [(2, 4, 3), (9, 9, 9)]


def test_peaks_never_share_a_sample():
    rng = np.random.default_rng(1)
    for _ in range(50):
        peaks = grow_peaks(rng.random(40), limit=40)
        covered = [i for p in peaks for i in range(p.first, p.last + 1)]
        assert len(covered) == len(set(covered))
        assert sorted(covered) == list(range(40))


def test_the_floor_of_a_media_that_is_all_relevant_comes_from_elsewhere():
    scores = np.array([0.8, 0.9, 0.85, 0.82])
    assert grow_peaks(scores, floor=0.1)[0].last - grow_peaks(scores, floor=0.1)[0].first == 3
    assert len(grow_peaks(scores)) > 1
    assert grow_peaks(np.zeros(0)) == []


def test_snap_only_to_a_near_cut():
    cuts = np.array([2.0, 10.0])
    assert snap(np.array([[2.4, 9.6], [5.0, 0.0]]), cuts, 0.5).tolist() == [[2.0, 10.0], [5.0, 0.0]]
    assert snap(np.array([5.0]), np.zeros(0), 0.5).tolist() == [5.0]


@pytest.mark.parametrize(
    ("given", "fitted"),
    [((1, 2), (1, 2)), ((3.0, 3.0), (2.75, 3.25)), ((0, 0.1), (0, 0.5)), ((9.9, 10), (9.5, 10)), ((-5, 50), (0, 10))],
)
def test_intervals_are_fitted_into_the_media(given, fitted):
    assert fit(*given, 0.0, 10.0) == pytest.approx(fitted)


def test_a_media_shorter_than_the_minimum_is_one_interval():
    assert fit(0.1, 0.2, 0.0, 0.3) == pytest.approx((0.0, 0.3))


def test_agreement_is_half_of_the_shorter():
    assert agree(match("visual", 0, 4, 1), match("speech", 3, 5, 1))
    assert not agree(match("visual", 0, 4, 1), match("speech", 3.5, 5, 1))


def test_two_modalities_that_agree_make_one_hit_that_names_both():
    moments = fuse(
        {
            "visual": candidates("visual", (1, 10, 14, 0.5)),
            "speech": candidates("speech", (1, 9, 20, 0.8), (2, 0, 5, 0.85)),
        },
        limit=10,
    )
    assert len(moments) == 2
    assert [m.modality for m in moments[0].matches] == ["speech", "visual"]
    assert (moments[0].start, moments[0].end) == (9, 20)
    assert moments[0].score == pytest.approx(1 - 0.5 * 0.2)
    assert moments[1].media_id == 2


def test_overlaps_are_not_joined_transitively():
    chain = candidates("speech", *[(1, i * 4.0, i * 4.0 + 6.0, 0.9 - i * 0.01) for i in range(20)])
    moments = fuse({"speech": chain}, limit=50)
    assert len(moments) > 5
    assert max(m.end - m.start for m in moments) <= 6.0
    ordered = sorted(moments, key=lambda m: m.start)
    assert all(a.end <= b.start for a, b in zip(ordered[:-1], ordered[1:], strict=True))


def test_hits_of_different_media_may_overlap_in_time():
    assert len(fuse({"visual": candidates("visual", (1, 0, 5, 0.9), (2, 0, 5, 0.9))}, limit=5)) == 2


def test_ties_break_the_same_way_in_any_order():
    rows = [(2, 0, 5, 0.5), (1, 20, 25, 0.5), (1, 0, 5, 0.5)]
    answers = {
        tuple((m.media_id, m.start) for m in fuse({"visual": candidates("visual", *order)}, limit=5))
        for order in (rows, rows[::-1], [rows[1], rows[0], rows[2]])
    }
    assert answers == {((1, 0), (1, 20), (2, 0))}


def test_a_trimmed_hit_keeps_its_time_inside():
    moments = fuse(
        {"visual": candidates("visual", (1, 0, 10, 0.9)), "speech": candidates("speech", (1, 8, 16, 0.5))}, limit=5
    )
    assert [(m.start, m.end) for m in moments] == [(0, 10), (10, 16)]
    assert 10 <= moments[1].matches[0].time < 16


def test_weights_decide_between_modalities():
    rankings = {"visual": candidates("visual", (1, 0, 5, 0.9)), "speech": candidates("speech", (2, 0, 5, 0.6))}
    assert fuse(rankings, limit=1, weights={"visual": 0.5})[0].media_id == 2
    assert fuse(rankings, limit=1)[0].media_id == 1


def ranked(modality, *rows):
    """Candidates of media 1: (start, score), ten seconds each."""
    return [Candidate(1, Match(modality, score, start, start + 10.0, start)) for start, score in rows]


def test_reciprocal_ranks_know_only_the_order():
    rankings = {"visual": ranked("visual", (0.0, 0.2), (20.0, 0.9)), "speech": ranked("speech", (0.0, 0.5))}
    known = by_rank(rankings, k=60)
    assert [(c.match.start, c.match.score) for c in known["visual"]] == [(20.0, 1.0), (0.0, 61 / 62)]
    moments = fuse(known, limit=10, combine="sum")
    # found by both: (61/62 + 1) / 2; found by one: 1/2
    assert [(m.start, m.score) for m in moments] == [(0.0, pytest.approx(123 / 124)), (20.0, 0.5)]


def test_a_convex_mix_of_stretched_scores():
    rankings = {
        "visual": ranked("visual", (0.0, 0.2), (20.0, 0.4), (40.0, 0.3)),
        "speech": ranked("speech", (40.0, 0.8)),
    }
    stretched = normalised(rankings)
    assert {c.match.start: c.match.score for c in stretched["visual"]} == pytest.approx(
        {0.0: 0.0, 20.0: 1.0, 40.0: 0.5}
    )
    assert stretched["speech"][0].match.score == 1.0
    assert normalised({"visual": []}) == {"visual": []}
    moments = fuse(stretched, limit=10, weights={"visual": 1.0, "speech": 0.5}, combine="sum")
    assert [(m.start, m.score) for m in moments][:2] == [
        (20.0, pytest.approx(1 / 1.5)),
        (40.0, pytest.approx((0.5 + 0.5) / 1.5)),
    ]
