"""A query's vector, computed beside the search of words."""

import numpy as np
import pytest

from mmvideo.ahead import Ahead
from mmvideo.errors import ModelError


class Counting:
    """An encoder that counts its calls, and fails as often as it is told to."""

    def __init__(self, fails: int = 0) -> None:
        self.calls: list[list[str]] = []
        self.fails = fails

    def encode_texts(self, texts):
        self.calls.append(list(texts))
        if len(self.calls) <= self.fails:
            raise ModelError("no weights")
        return np.full((len(texts), 3), len(self.calls), np.float32)


def test_a_text_is_encoded_once_until_another_is_asked_for():
    ahead, encoder = Ahead(), Counting()
    assert ahead.begin(encoder, "tea").result().tolist() == [[1, 1, 1]]
    assert ahead.begin(encoder, "tea").result().tolist() == [[1, 1, 1]]
    assert ahead.begin(encoder, "cake").result().tolist() == [[2, 2, 2]]
    assert encoder.calls == [["tea"], ["cake"]]


def test_another_encoder_is_asked_for_the_same_text():
    ahead, one, other = Ahead(), Counting(), Counting()
    ahead.begin(one, "tea").result()
    ahead.begin(other, "tea").result()
    assert one.calls == other.calls == [["tea"]]


def test_what_failed_is_told_and_tried_again():
    ahead, encoder = Ahead(), Counting(fails=1)
    with pytest.raises(ModelError, match="no weights"):
        ahead.begin(encoder, "tea").result()
    assert ahead.begin(encoder, "tea").result().tolist() == [[2, 2, 2]]
