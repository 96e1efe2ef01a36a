"""The sound of a recording at an address: through PyAV, which reads from a file object, where ffmpeg wants a name.

The packets are decoded by the same libraries and go through the same filters with the same settings as in `sound`.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

import numpy as np

from ..datatypes import Audio, Media, Samples
from ..errors import MediaError
from .stream import Account
from .timeline import opened, packetwise


def blocks_of(
    media: Media, stream: int, length: int, rate: int, filters: tuple[str, str], account: Account
) -> Generator[Audio]:
    """Yield the sound of a media's stream in blocks of `length` samples at `rate`, the last one shorter. `filters` are
    the settings of two resamplers, one to the rate, one that fills gaps. Raises `MediaError` if nothing decodes."""
    most = round(rate * (600 + 4 * media.duration))  # a damaged time far ahead is filled with silence for ever
    heard, waiting = 0, np.zeros(0, np.float32)
    for some in _samples(media, stream, filters, account):
        waiting = np.concatenate([waiting, some])
        while len(waiting) >= length:
            yield Audio(waiting[:length], media.start + heard / rate, rate)
            heard, waiting = heard + length, waiting[length:]
        if heard > most:
            account.note(f"sound damaged: it goes on long after the end, read up to {heard / rate:.0f} s")
            return
    if len(waiting):
        yield Audio(waiting, media.start + heard / rate, rate)
    elif not heard:
        if account.notes:
            raise MediaError(f"{media.path}: its sound cannot be decoded; see if a player plays it")
        account.note("the sound is empty")


def _samples(media: Media, stream: int, filters: tuple[str, str], account: Account) -> Iterator[Samples]:
    """Yield mono samples as the filters give them, within [-1, 1]."""
    chain: _Chain | None = None
    with opened(media.path) as container:
        for frame in _frames(container, stream, account):
            if chain is None or not chain.fits(frame):  # some broadcasts change on the way
                if chain is not None:
                    yield from chain.end()
                chain = _Chain(frame, filters)
            yield from chain.put(frame)
        if chain is not None:
            yield from chain.end()


def _frames(container: Any, stream: int, account: Account) -> Iterator[Any]:
    import av.stream

    wanted = container.streams.audio[stream]
    discard: Any = getattr(av.stream, "Discard", None)  # not in older ones: then what is left out is read as well
    for other in container.streams if discard else ():
        if other.index != wanted.index:
            other.discard = discard.all

    def damaged(why: str) -> None:
        account.note(f"sound damaged or incomplete ({why})")

    yield from (frame for frame in packetwise(container, wanted, damaged) if frame is not None)


class _Chain:
    """ffmpeg's filters for sound of one shape."""

    def __init__(self, frame: Any, filters: tuple[str, str]) -> None:
        from av.filter import Graph

        self._shape = self._of(frame)
        self._graph = Graph()
        source = self._graph.add_abuffer(
            sample_rate=frame.sample_rate, format=frame.format.name, layout=frame.layout.name, time_base=frame.time_base
        )
        nodes = [source, *(self._graph.add("aresample", how) for how in filters), self._graph.add("abuffersink")]
        for one, other in zip(nodes[:-1], nodes[1:], strict=True):
            one.link_to(other)
        self._graph.configure()

    @staticmethod
    def _of(frame: Any) -> tuple[Any, ...]:
        return frame.sample_rate, frame.format.name, frame.layout.name, frame.time_base

    def fits(self, frame: Any) -> bool:
        """Tell whether a frame has the shape that these filters are for."""
        return self._of(frame) == self._shape

    def put(self, frame: Any) -> Iterator[Samples]:
        """Put a frame in, and yield what comes out."""
        self._graph.push(frame)
        yield from self._out()

    def end(self) -> Iterator[Samples]:
        """Yield what is left."""
        self._graph.push(None)
        yield from self._out()

    def _out(self) -> Iterator[Samples]:
        import av

        while True:
            try:
                out = self._graph.pull()
            except (av.BlockingIOError, av.EOFError):
                return
            yield np.clip(np.nan_to_num(out.to_ndarray().reshape(-1)), -1, 1).astype(np.float32, copy=False)
