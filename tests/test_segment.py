import numpy as np
import pytest

from mmvideo.segment import differences, is_duplicate, shot_cuts, signatures, windows


def flat(*greys, size=(36, 64)):
    return np.stack([np.full((*size, 3), grey, np.uint8) for grey in greys])


def test_signatures_are_mean_colours():
    images = flat(0, 51, 255)
    images[1, :, 32:] = 204
    sigs = signatures(images)
    assert sigs.shape == (3, 16, 16, 3)
    assert sigs.dtype == np.float32
    np.testing.assert_allclose(sigs[0], 0)
    np.testing.assert_allclose(sigs[2], 1, atol=1e-6)
    np.testing.assert_allclose(sigs[1, :, :8], 0.2, atol=1e-6)
    np.testing.assert_allclose(sigs[1, :, 8:], 0.8, atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (17, 31), (16, 16), (1080, 1920)])
def test_any_size_has_a_signature(size):
    np.testing.assert_allclose(signatures(flat(102, size=size)), 0.4, atol=1e-6)


def test_signature_equals_block_means():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (1, 32, 48, 3), dtype=np.uint8)
    blocks = image.reshape(1, 16, 2, 16, 3, 3).mean(axis=(2, 4)) / 255
    np.testing.assert_allclose(signatures(image), blocks, atol=1e-6)


def test_a_small_thing_in_a_still_scene_is_no_duplicate():
    images = flat(100, 100, 103)
    images = np.concatenate([images, images[:1]])
    images[3, 4:8, 4:12] = 255  # 1.4 % of the picture
    sigs = signatures(images)
    assert is_duplicate(sigs[0], sigs[1], 0.02)
    assert is_duplicate(sigs[0], sigs[2], 0.02)  # noise of one per cent
    assert not is_duplicate(sigs[0], sigs[3], 0.02)


def test_cuts_lie_between_the_samples_that_differ():
    times = np.array([0.0, 1.0, 2.0, 3.5, 4.0])
    sigs = signatures(flat(10, 12, 200, 198, 30))
    np.testing.assert_allclose(shot_cuts(times, differences(sigs), 0.1), [1.5, 3.75])


def test_a_steady_change_is_no_cut():
    times = np.arange(10.0)
    sigs = signatures(flat(*range(0, 250, 25)))
    assert differences(sigs).min() > 0.09
    assert len(shot_cuts(times, differences(sigs), 0.05)) <= 1  # at most where the fade starts, never one a second


def test_one_or_two_frames():
    one = signatures(flat(1))
    assert len(shot_cuts(np.array([0.0]), differences(one), 0.1)) == 0
    two = signatures(flat(1, 250))
    np.testing.assert_allclose(shot_cuts(np.array([0.0, 2.0]), differences(two), 0.1), [1.0])


def test_windows_cover_without_gaps_and_keep_the_maximum():
    found = windows(1.0, 26.0, np.array([0.5, 4.0, 25.0, 30.0]), 10.0)
    assert found[0] == (1.0, 4.0)
    assert found[-1] == (25.0, 26.0)
    assert all(a[1] == b[0] for a, b in zip(found[:-1], found[1:], strict=True))
    assert max(end - start for start, end in found) <= 10.0
    assert len(found) == 5  # 21 s between the cuts are three windows of 7 s


def test_an_exact_multiple_makes_no_extra_window():
    assert windows(0.0, 30.0, np.zeros(0), 10.0) == [(0.0, 10.0), (10.0, 20.0), (20.0, 30.0)]
    assert windows(0.0, 0.0, np.zeros(0), 10.0) == []


def test_after_a_long_step_a_cut_is_at_the_sample_that_ended_it():
    times = np.array([0.0, 1.0, 2.0, 5.0, 6.0, 8.0, 9.0, 10.0, 14.0])
    difference = np.array([0, 0.5, 0, 0, 0.5, 0, 0, 0.5], np.float32)
    assert shot_cuts(times, difference, 0.12, 1.0).tolist() == [1.5, 8.0, 14.0]
    assert shot_cuts(times, difference, 0.12).tolist() == [1.5, 7.0, 12.0]
