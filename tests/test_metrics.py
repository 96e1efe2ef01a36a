import numpy as np
import pytest

from mmvideo.metrics import (
    Span,
    average_precision,
    bootstrap,
    boundary_errors,
    finds,
    iou,
    overlaps,
    rank_of,
)


def span(start, end, media="a"):
    return Span(media, float(start), float(end))


def test_iou_by_hand():
    assert iou(span(0, 10), span(5, 15)) == pytest.approx(5 / 15)
    assert iou(span(0, 10), span(0, 10)) == 1.0
    assert iou(span(0, 10), span(10, 20)) == 0.0
    assert iou(span(0, 10), span(0, 10, "b")) == 0.0
    assert iou(span(3, 3), span(3, 3)) == 0.0


def test_a_hit_finds_what_it_shares_half_of_the_shorter_with():
    assert finds(span(0, 2), span(1, 20))
    assert not finds(span(0, 2), span(1.01, 20))
    assert finds(span(0, 100), span(40, 42))
    assert not finds(span(0, 100, "b"), span(40, 42))


def test_rank_and_boundary_errors():
    hits = [span(0, 4), span(10, 20)]
    assert rank_of(hits, [span(11, 19)]) == 2
    assert rank_of(hits, [span(50, 60)]) is None
    assert rank_of([], [span(0, 1)]) is None
    assert boundary_errors(hits, [span(1, 4.5), span(0, 30)]) == (1.0, 0.5)
    assert boundary_errors(hits, [span(10, 20)]) is None


def test_average_precision_by_hand():
    truths = [span(0, 10), span(20, 30)]
    hits = [span(0, 10), span(50, 60), span(20, 28)]
    table = overlaps(hits, truths)
    assert table[2, 1] == pytest.approx(0.8)
    # right, wrong, right: precision 1 at recall 1/2, 2/3 at recall 1
    assert average_precision(table, 0.5) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision(table, 0.85) == pytest.approx(0.5)
    # wrong, right, right: precision 1/2 then 2/3; made monotonous both are 2/3
    assert average_precision(table[[1, 0, 2]], 0.5) == pytest.approx(2 / 3)


def test_a_window_is_found_once():
    hits = [span(0, 10), span(0, 9), span(20, 30)]
    table = overlaps(hits, [span(0, 10), span(20, 30)])
    assert average_precision(table, 0.5) == pytest.approx((1 + 2 / 3) / 2)
    # the second hit takes the window that is free, although it overlaps the taken one more
    table = np.array([[0.9, 0.0], [0.8, 0.6]])
    assert average_precision(table, 0.5) == 1.0
    assert average_precision(table, 0.7) == 0.5


def test_average_precision_of_nothing():
    assert average_precision(overlaps([], [span(0, 1)]), 0.5) == 0.0
    assert average_precision(overlaps([span(0, 1)], []), 0.5) == 0.0


def test_bootstrap_is_the_same_every_time_and_holds_the_mean():
    values = [1.0] * 30 + [0.0] * 70
    low, high = bootstrap(values)
    assert bootstrap(values) == (low, high)
    assert low < 0.3 < high
    # a binomial's standard deviation is √(0.3 · 0.7 / 100) = 0.0458; 1.96 of them to each side
    assert high - low == pytest.approx(2 * 1.96 * 0.0458, abs=0.03)
    assert bootstrap([1.0, 1.0]) == (1.0, 1.0)
    assert bootstrap([]) is None
