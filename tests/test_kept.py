"""What is kept in memory between searches."""

from mmvideo.kept import Kept


def test_the_oldest_go_when_the_cost_is_too_much():
    reads: list[int] = []
    kept: Kept[bytes] = Kept(10, len)

    def get(number: int, size: int) -> bytes:
        def read() -> bytes:
            reads.append(number)
            return bytes(size)

        return kept.get((0, number), read)

    get(1, 4), get(2, 4), get(1, 4), get(2, 4)
    assert reads == [1, 2]
    get(3, 4)  # 12 in all: the first goes
    get(2, 4), get(3, 4)
    assert reads == [1, 2, 3]
    get(1, 4)
    assert reads == [1, 2, 3, 1]


def test_one_that_costs_more_than_all_may_is_kept_alone():
    kept: Kept[bytes] = Kept(10, len)
    first = kept.get((0, 1), lambda: bytes(100))
    assert kept.get((0, 1), lambda: bytes(1)) is first
    kept.get((0, 2), lambda: bytes(1))
    assert kept.get((0, 1), lambda: bytes(2)) == bytes(2)
