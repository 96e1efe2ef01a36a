"""BLAS on one core while a query is answered."""

import os
import subprocess
import sys
from threading import Event, Thread

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from mmvideo.onecore import asleep_while_waiting, one_core


def cores() -> list[int]:
    """Return how many threads the BLAS of NumPy may use (SciPy, where something loaded it, has another of its own)."""
    np.ones((2, 2)) @ np.ones((2, 2))
    blas = [one for one in threadpool_info() if one["user_api"] == "blas"]
    return [one["num_threads"] for one in blas if "numpy" in one["filepath"]]


@pytest.fixture
def two():
    with threadpool_limits(2, user_api="blas"):
        before = cores()
        assert before
        assert max(before) == 2
        yield before


def fail() -> None:
    raise RuntimeError


def test_inside_products_have_one_core_and_afterwards_what_they_had(two):
    with one_core():
        assert set(cores()) == {1}
        with one_core():
            assert set(cores()) == {1}
        assert set(cores()) == {1}
    assert cores() == two
    with pytest.raises(RuntimeError), one_core():
        fail()
    assert cores() == two


def test_another_thread_inside_at_the_same_time_leaves_it_as_it_is(two):
    entered, leave = Event(), Event()

    def other() -> None:
        with one_core():
            entered.set()
            leave.wait(10)

    thread = Thread(target=other)
    with one_core():
        thread.start()
        assert entered.wait(10)
        assert set(cores()) == {1}
    assert cores() == two
    leave.set()
    thread.join()
    assert cores() == two


@pytest.mark.parametrize(("given", "expected"), [(None, "1"), ("2", "2")])
def test_the_command_keeps_to_one_core_unless_told_otherwise(given, expected):
    """Whoever sets OpenBLAS's own variable is obeyed."""
    code = (
        "from mmvideo.cli import main\n"
        "try: main(['--version'])\nexcept SystemExit: pass\n"
        "import numpy, os; print(os.environ['OMP_WAIT_POLICY'], os.environ['OPENBLAS_NUM_THREADS'])"
    )
    environment = {k: v for k, v in os.environ.items() if k not in ("OPENBLAS_NUM_THREADS", "OMP_WAIT_POLICY")}
    if given:
        environment["OPENBLAS_NUM_THREADS"] = given
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == f"passive {expected}"


@pytest.mark.parametrize("given", [None, "active"])
def test_a_library_imported_inside_reads_that_threads_sleep_and_later_ones_do_not(monkeypatch, given):
    """Whoever sets OpenMP's own variable is obeyed."""
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if given:
        monkeypatch.setenv("OMP_WAIT_POLICY", given)
    with asleep_while_waiting():
        assert os.environ["OMP_WAIT_POLICY"] == (given or "passive")
    assert os.environ.get("OMP_WAIT_POLICY") == given
