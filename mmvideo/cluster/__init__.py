"""Adding on Ray: decoding on every machine's processors, models kept loaded where the accelerators are.

One media is one task of a *maker*, an actor that holds the models and runs the very `ingest` that runs locally, so the
results are the local ones. It asks a pool of decoding tasks for frames and sound: of a long film each decodes a stretch
of the frames that were chosen for the whole, and they are put together in order; frames go through the object store
once, from the decoder to the maker. Only the program that adds writes to the library, after a media came back whole: a
machine that dies costs a retry of what it was at, never a media twice or half.

Recordings must be at the same paths on all machines. Decoding happens in the same isolated processes as locally.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from queue import Queue
from typing import TYPE_CHECKING, Any

from ..datatypes import Media, ModelId, Progress, ProgressCallback, Recipe
from ..errors import LibraryError, MediaError, MMVideoError

if TYPE_CHECKING:
    from ..models import LibraryModels
    from .making import Made

log = logging.getLogger(__name__)

RETRIES = 3
"""Times that a media is begun again because what worked on it died."""

PAUSE = 2.0
"""Seconds before it is begun again, and twice and thrice as many the next times: until a loss is noticed everywhere."""

INSTALL = "adding on a cluster needs Ray: pip install 'mmvideo[ray]'"


@dataclass(frozen=True, slots=True)
class Order:
    """What every maker is told: which models to use and how."""

    recipe: Recipe
    models: Mapping[str, ModelId]
    given: Mapping[str, Any]
    offline: bool
    isolated: bool
    place: str

    @classmethod
    def of(cls, recipe: Recipe, models: LibraryModels, place: str, *, isolated: bool) -> Order:
        """Return the order of the library at `place` with these models."""
        return cls(recipe, models.known, models.given, models.offline, isolated, place)


class Cluster:
    """A running Ray with makers for one library. Close it, or use it in a `with`."""

    def __init__(self, address: str, order: Order, *, makers: int | None = None) -> None:
        """Connect to the cluster at `address`; "auto" takes the one that runs here, or starts one.

        `makers` is by default one for each GPU, or
        one for every four processors. Raises `LibraryError` where Ray is missing or does not answer.
        """
        ray = _ray()
        self._started = _connect(ray, address)
        resources = ray.cluster_resources()
        gpus, processors = int(resources.get("GPU", 0)), max(1, int(resources.get("CPU", 1)))
        self.makers = makers or gpus or max(1, processors // 4)
        threads = max(1, processors // self.makers)
        from .making import Maker

        # Half a processor each, so that decoding always finds room beside them, also on a machine with one.
        needs: dict[str, Any] = {"num_gpus": 1, "num_cpus": 0.5} if gpus else {"num_cpus": 0.5}
        needs["runtime_env"] = {"env_vars": {"OMP_NUM_THREADS": str(threads)}}
        self._new: Callable[[], Any] = lambda: ray.remote(**needs)(Maker).remote(order, threads)
        self._idle: Queue[Any] = Queue()
        for _ in range(self.makers):
            self._idle.put(self._new())

    def close(self) -> None:
        """End the makers, and Ray if it was started here."""
        ray = _ray()
        while not self._idle.empty():
            ray.kill(self._idle.get())
        if self._started:
            ray.shutdown()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def make(self, media: Media, progress: ProgressCallback) -> Made:
        """Return what a maker made of a media; several threads may ask. Raises `MediaError` as `ingest` does, also
        where the work on it died too often."""
        maker = self._idle.get()
        try:
            for attempt in range(1 + RETRIES):
                try:
                    return self._made(maker, media, progress)
                except _ray().exceptions.RayError as error:
                    log.warning("%s: what worked on it died: %s", media.path, error)
                    if attempt == RETRIES:
                        raise MediaError(
                            f"{media.path}: what worked on it died {1 + RETRIES} times ({type(error).__name__}); "
                            "it was left out"
                        ) from error
                    if isinstance(error, _ray().exceptions.RayActorError):
                        maker = self._new()
                    time.sleep(PAUSE * (1 + attempt))
            raise AssertionError("unreachable")
        finally:
            self._idle.put(maker)

    def _made(self, maker: Any, media: Media, progress: ProgressCallback) -> Made:
        ray = _ray()
        for reference in maker.make.options(num_returns="streaming").remote(media):
            said = ray.get(reference)
            if isinstance(said, Progress):
                progress(said)
            elif isinstance(said, MMVideoError):
                raise said
            else:
                made: Made = said
                return made
        raise MediaError(f"{media.path}: nothing came back; please report this")


def _ray() -> Any:
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise LibraryError(INSTALL) from error
    return ray


def _connect(ray: Any, address: str) -> bool:
    """Connect, and tell whether a cluster was started for it."""
    if ray.is_initialized():
        return False
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "include_dashboard": False}
    # Workers import what this program imports, from where it does; NumPy's threads are in the models' way (`onecore`).
    path = os.pathsep.join(part or os.getcwd() for part in sys.path)  # noqa: PTH109
    options["runtime_env"] = {"env_vars": {"PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}}
    try:
        if address != "auto":
            ray.init(address=address, **_without(options, "include_dashboard"))
            return True
        try:
            ray.init(address="auto", **_without(options, "include_dashboard"))
        except ConnectionError:
            ray.init(address="local", **options)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        raise LibraryError(f"{address}: no Ray answers there ({str(error).splitlines()[0]})") from error
    return True


def _without(options: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in options.items() if key != name}
