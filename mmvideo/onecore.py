"""NumPy's products on one core while a query is answered or a sentence encoded, and threads that sleep while they wait.

OpenBLAS waits for its threads in a loop. Where something else computes (an `add`, a browser), the wait lasts until the
scheduler gives the other thread its turn, for each of the dozens of small products in a sentence: a query took 670 ms
instead of 20 beside two busy processes. On an idle machine the second core gains nothing at these sizes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any

_WAITING = "OMP_WAIT_POLICY"

_held = Lock()


@contextmanager
def one_core() -> Iterator[None]:
    """Keep BLAS to one thread inside, in the whole process, and give it back what it had.

    Where another thread is inside already, nothing changes: only who took the threads away may give them back.
    """
    if not _held.acquire(blocking=False):
        yield
        return
    try:
        with _blas().limit(limits=1):
            yield
    finally:
        _held.release()


def always_one_core() -> None:
    """Keep BLAS to one thread and let OpenMP's sleep while they wait, from now on: for a process of our own, before
    NumPy, torch or CTranslate2 are imported. Whoever has set these variables is obeyed."""
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    os.environ.setdefault(_WAITING, "passive")


@contextmanager
def asleep_while_waiting() -> Iterator[None]:
    """Have a library that is imported inside let its OpenMP threads sleep while they wait for each other.

    By default they spin. Recognising a minute of speech beside two busy processes took 75 s of wall time so, and 19 s
    asleep; on an idle machine both take the same.
    """
    before = os.environ.get(_WAITING)
    os.environ[_WAITING] = before or "passive"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_WAITING]


def cores() -> int:
    """Return how many cores this process may use: `OMP_NUM_THREADS` where it is set, else what the system grants."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    if told.isdecimal() and int(told) > 0:
        return int(told)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _blas() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")
