"""What was read lately, kept in memory between searches."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class Kept(Generic[T]):
    """What was read of the last media, as long as their `cost` together (1 each, if not given) is at most `most`;
    several threads may ask."""

    def __init__(self, most: int, cost: Callable[[T], int] = lambda _: 1) -> None:
        self._most = most
        self._cost = cost
        self._spent = 0
        self._held: OrderedDict[tuple[int, int], T] = OrderedDict()
        self._lock = Lock()

    def get(self, key: tuple[int, int], read: Callable[[], T]) -> T:
        """Return what is kept under a (generation, media), read now where it is not."""
        with self._lock:
            if key in self._held:
                return self._held[key]
        value = read()
        with self._lock:
            if key not in self._held:  # nobody was quicker
                self._held[key] = value
                self._spent += self._cost(value)
            while self._spent > self._most and len(self._held) > 1:
                self._spent -= self._cost(self._held.popitem(last=False)[1])
        return value
