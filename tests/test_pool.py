import numpy as np
import pytest

from mmvideo.datatypes import Timeline
from mmvideo.pool import pool, pool_windows, query_scored, softmax_mean, unit

E = np.eye(4, dtype=np.float32)


def test_unit_scales_rows_and_leaves_zero():
    result = unit([[3.0, 4.0], [0.0, 0.0]])
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, [[0.6, 0.8], [0.0, 0.0]], atol=1e-7)


def test_mean_weighs_by_duration():
    np.testing.assert_allclose(pool(E[:2]), unit([1, 1, 0, 0]), atol=1e-6)
    np.testing.assert_allclose(pool(E[:2], [3.0, 1.0]), unit([3, 1, 0, 0]), atol=1e-6)
    np.testing.assert_allclose(pool(E[:2], [0.0, 0.0]), unit([1, 1, 0, 0]), atol=1e-6)


def test_max_and_topk_keep_what_few_frames_show():
    frames = np.array([[1.0, 0.2], [0.1, 0.9], [0.1, 0.1], [0.0, 0.0]], np.float32)
    np.testing.assert_allclose(pool(frames, how="max"), unit([1.0, 0.9]), atol=1e-6)
    np.testing.assert_allclose(pool(frames, how="topk", k=2), unit([0.55, 0.55]), atol=1e-6)
    np.testing.assert_allclose(pool(frames, how="topk", k=9), pool(frames), atol=1e-6)


@pytest.mark.parametrize("how", ["mean", "max", "topk"])
def test_one_frame_is_itself(how):
    np.testing.assert_allclose(pool(E[2:3], how=how), E[2], atol=1e-6)


def test_nothing_to_pool_is_an_error():
    with pytest.raises(ValueError, match="without frames"):
        pool(E[:0])
    with pytest.raises(ValueError, match="unknown pooling"):
        pool(E, how="median")
    with pytest.raises(ValueError, match="no frames"):
        query_scored(E[:0], E[0])


def test_query_scored_runs_from_max_to_mean():
    frames = np.stack([E[0], E[1], E[1], E[1]])
    assert query_scored(frames, E[0], temperature=1e-3) == pytest.approx(1.0)
    assert query_scored(frames, E[0], temperature=1e3) == pytest.approx(0.25, abs=1e-3)
    between = query_scored(frames, E[0], temperature=0.5)
    assert 0.25 < between < 1.0
    # softmax weights by hand: e^2 against three times e^0
    assert between == pytest.approx(np.exp(2) / (np.exp(2) + 3))
    assert softmax_mean([0.3]) == pytest.approx(0.3)


def test_windows_are_pooled_from_their_own_frames():
    # samples at 0, 1, 2, 3; the sample at 2 repeats that at 1
    timeline = Timeline(np.arange(4.0), np.array([0, 1, 1, 2], np.int32), E[:3], np.zeros(0), 0.0, 4.0)
    pooled = pool_windows(timeline, [(0.0, 1.0), (0.0, 3.0), (2.5, 2.9), (3.0, 4.0)])
    np.testing.assert_allclose(pooled[0], E[0], atol=1e-6)
    np.testing.assert_allclose(
        pooled[1], unit([1, 2, 0, 0]), atol=1e-6
    )  # the repeated frame counts as long as it shows
    np.testing.assert_allclose(pooled[2], E[1], atol=1e-6)  # no sample inside: what is on screen
    np.testing.assert_allclose(pooled[3], E[2], atol=1e-6)
    assert pool_windows(timeline, []).shape == (0, 4)
