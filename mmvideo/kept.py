"""What was read lately, kept in memory between searches."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class Kept(Generic[T]):
    """What was read of the last `most` media; several threads may ask."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: OrderedDict[tuple[int, int], T] = OrderedDict()
        self._lock = Lock()

    def get(self, key: tuple[int, int], read: Callable[[], T]) -> T:
        """Return what is kept under a (generation, media), read now where it is not."""
        with self._lock:
            if key in self._held:
                return self._held[key]
        value = read()
        with self._lock:
            self._held[key] = value
            while len(self._held) > self._most:
                self._held.popitem(last=False)
        return value
