"""Work that blocks, a few at a time, and its newest results.

A thread of the server is given only to work that may begin: however many clients wait for a search or a thumbnail,
threads are left for those who stream.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

from anyio import CapacityLimiter, to_thread

T = TypeVar("T")


class Few:
    """Runs what blocks in threads, `at_once` at a time, in the order in which it came."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._limiter: CapacityLimiter | None = None  # belongs to an event loop, and none runs yet

    async def run(self, work: Callable[[], T]) -> T:
        """Return what `work` returns."""
        if self._limiter is None:
            self._limiter = CapacityLimiter(self._at_once)
        return await to_thread.run_sync(work, limiter=self._limiter)


class Kept(Generic[T]):
    """The newest results of something costly, at most `count` of them."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._lock = Lock()
        self._values: OrderedDict[object, T] = OrderedDict()

    def get(self, key: object) -> T | None:
        """Return what is kept under a key, None if nothing is."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: object, value: T) -> None:
        """Keep a result, and let the oldest go."""
        with self._lock:
            self._values[key] = value
            while len(self._values) > self._count:
                self._values.popitem(last=False)
