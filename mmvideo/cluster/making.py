"""What runs on the cluster: makers, which hold models, and tasks that decode for them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue
from threading import Thread
from time import monotonic
from typing import TYPE_CHECKING, Any

from ..datatypes import SAMPLE_RATE, Audio, Frames, Media, ModelId, Progress
from ..decode import Stream, chosen_times
from ..decode.stream import Account
from ..errors import MediaError, MMVideoError
from ..ingest import ingest
from ..models import LibraryModels, Part
from ..sandbox import BLOCK, Direct, Sandbox
from ..store import Content

if TYPE_CHECKING:
    from . import Order

STRETCH = 640
"""Frames of a long film that one task decodes (20 batches, 280 MB of pictures of 512 × 288, of which few wait)."""

ABREAST = 2
"""Stretches of one film that are decoded at once."""

WAITING = 4
"""Batches that a decoding task may be ahead: 57 MB in the object store."""

_PAUSE = 0.2  # seconds between two signs of progress

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Made:
    """What a maker made of a media, by which models, and what it has to say about them."""

    content: Content
    models: dict[str, ModelId]
    notes: tuple[str, ...]


@dataclass(slots=True)
class Chosen:
    """The library's models as a maker knows them: those that were there, and those that it chose at first need."""

    place: str
    models: dict[str, ModelId] = field(default_factory=dict)

    def set_model(self, part: str, model: ModelId) -> None:
        """Remember a choice."""
        self.models.setdefault(part, model)


class Maker:
    """Makes one media after another with models that stay loaded."""

    def __init__(self, order: Order, threads: int) -> None:
        self._order = order
        self._chosen = Chosen(order.place, dict(order.models))
        self._models = LibraryModels(self._chosen, order.recipe, offline=order.offline)
        for name, model in order.given.items():
            part: Part = name  # type: ignore[assignment]
            self._models.use(part, model)
        self._models.writer = self._chosen
        _use_threads(threads)

    def make(self, media: Media) -> Iterator[Progress | MMVideoError | Made]:
        """Yield how far it is, and at the end what was made, or the error of ours that it met.

        Any other error is Ray's to tell (something died), or becomes a `MediaError` (a model choked on this file).
        """
        said: Queue[Progress | MMVideoError | Made | BaseException] = Queue()
        last: dict[str, float] = {}

        def progress(one: Progress) -> None:
            if monotonic() - last.get(one.stage, 0.0) > _PAUSE:
                last[one.stage] = monotonic()
                said.put(one)

        worker = Thread(target=self._make, args=(media, progress, said.put), daemon=True)
        worker.start()
        while True:
            one = said.get()
            if isinstance(one, BaseException) and not isinstance(one, MMVideoError):
                raise one
            yield one
            if not isinstance(one, Progress):
                return

    def _make(self, media: Media, progress: Callable[[Progress], None], say: Callable[[Any], None]) -> None:
        from ray.exceptions import RayError

        try:
            decoding = Remote(isolated=self._order.isolated)
            content = ingest(media, self._order.recipe, self._models, progress, decoding)
            say(Made(content, dict(self._chosen.models), tuple(self._models.notes)))
        except (MMVideoError, RayError) as error:
            say(error)
        except Exception as error:
            log.exception("%s could not be made", media.path)
            say(MediaError(f"{media.path}: could not be added ({type(error).__name__}: {error}); please report this"))


def _use_threads(count: int) -> None:
    """Ray gives a process one thread per processor it reserves; what is loaded already must be told otherwise."""
    import sys

    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(count)


# Decoding elsewhere


class Remote(Direct):
    """Decoding in tasks of their own, anywhere on the cluster."""

    def __init__(self, *, isolated: bool) -> None:
        self._isolated = isolated

    def probe(self, path: Path) -> Media:
        """Return what a file is, as seen from here."""
        return _decoder(self._isolated).probe(path)

    def sample_frames(
        self,
        media: Media,
        *,
        interval: float,
        short_side: int | None = None,
        batch: int = 32,
        start: float | None = None,
        end: float | None = None,
        keyframe_gap: float = 0.0,
        at: Sequence[float] | None = None,
    ) -> Stream[Frames]:
        """Return its pictures; of a long film, stretches that are decoded side by side, in order."""
        options: dict[str, Any] = {"interval": interval, "short_side": short_side, "batch": batch}
        options |= {"start": start, "end": end, "keyframe_gap": keyframe_gap, "at": at}
        plain = start is None and end is None and at is None
        if not plain or media.duration / interval <= 1.5 * STRETCH:
            return self._joined(media, [("frames", options)])
        times = _remote(chosen_times, num_cpus=0.25, max_retries=3, get=True)(
            media, interval=interval, keyframe_gap=keyframe_gap
        )
        if times is None or len(times) <= 1.5 * STRETCH:
            return self._joined(media, [("frames", options)])
        size = max(1, STRETCH // batch) * batch  # whole batches: models then see the very same ones
        starts = list(range(0, len(times), size))
        if len(times) - starts[-1] < size // 2:
            starts.pop()
        stretches = [times[a:b] for a, b in zip(starts, [*starts[1:], len(times)], strict=True)]
        parts = [("frames", {**options, "keyframe_gap": 0.0, "at": [float(t) for t in some]}) for some in stretches]
        return self._joined(media, parts)

    def read_audio(self, media: Media, *, block_seconds: float = BLOCK, rate: int = SAMPLE_RATE) -> Stream[Audio]:
        """Return its sound."""
        return self._joined(media, [("sound", {"block_seconds": block_seconds, "rate": rate})])

    def _joined(self, media: Media, parts: Sequence[tuple[str, dict[str, Any]]]) -> Stream[Any]:
        account = Account("cluster")
        begin = _remote(
            decode,
            num_cpus=0.25,
            max_retries=3,
            num_returns="streaming",
            _generator_backpressure_num_objects=WAITING,
        )

        def items() -> Generator[Any]:
            import ray

            running: list[Any] = []
            waiting = list(parts)
            while running or waiting:
                while waiting and len(running) < ABREAST:
                    what, options = waiting.pop(0)
                    running.append(begin(media, what, options, self._isolated))
                for reference in running.pop(0):
                    said = ray.get(reference)
                    del reference  # or its pictures stay in the object store
                    if isinstance(said, Account):
                        account.decoder, account.why = said.decoder, account.why or said.why
                        for note in said.notes:
                            account.note(note)
                    elif isinstance(said, MMVideoError):
                        raise said
                    else:
                        yield said

        return Stream(items(), account)


def decode(
    media: Media, what: str, options: dict[str, Any], isolated: bool
) -> Iterator[Frames | Audio | Account | MMVideoError]:
    """Yield what is decoded, and at the end what a user should know of it, or why it went no further."""
    decoder = _decoder(isolated)
    try:
        stream: Stream[Any] = (
            decoder.sample_frames(media, **options) if what == "frames" else decoder.read_audio(media, **options)
        )
        with stream:
            for one in stream:  # noqa: UP028 - Ray sends into generators, and a stream takes nothing
                yield one
            yield Account(stream.decoder, stream.why, list(stream.notes))
    except MMVideoError as error:
        yield error


_decoders: dict[bool, Sandbox | Direct] = {}


def _decoder(isolated: bool) -> Sandbox | Direct:
    """Return this process's own, which keeps its workers from one task to the next."""
    if isolated not in _decoders:
        _decoders[isolated] = Sandbox() if isolated else Direct()
    return _decoders[isolated]


def _remote(function: Callable[..., Any], *, get: bool = False, **options: Any) -> Callable[..., Any]:
    import ray

    remote = ray.remote(function).options(scheduling_strategy="SPREAD", **options)
    return (lambda *args, **named: ray.get(remote.remote(*args, **named))) if get else remote.remote
