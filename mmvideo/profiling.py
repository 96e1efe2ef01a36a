"""Where the time of adding goes: how long each stage worked, and how near the whole came to what is possible.

Stages overlap, so their times add up to more than the whole. Two things bound it from below: the slowest stage, and the
time of all processors over their number.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

from .datatypes import Audio, Media
from .decode import Stream
from .decode.stream import Account
from .onecore import cores


class Clock:
    """Adds up the seconds that each stage worked, from any thread. It starts when it is made."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._lock = Lock()
        self._started, self._processors = time.perf_counter(), _processor_seconds()

    @contextmanager
    def over(self, stage: str) -> Iterator[None]:
        """Count the time inside to a stage."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.count(stage, time.perf_counter() - started)

    def count(self, stage: str, seconds: float) -> None:
        """Add seconds to a stage."""
        with self._lock:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds

    def models(self, models: Any) -> Any:
        """Return the same models, whose work is counted."""
        return _Models(models, self)

    def decoding(self, decoding: Any) -> Any:
        """Return the same decoding, whose work is counted."""
        return _Decoding(decoding, self)

    def lines(self) -> list[str]:
        """Return a table: each stage with its seconds and its part of the whole; then the whole beside its limits.

        Processes that still run are not in the processors' time: close the library before.
        """
        whole = time.perf_counter() - self._started
        processors = _processor_seconds() - self._processors
        count = cores()
        with self._lock:
            stages = sorted(self.seconds.items(), key=lambda stage: -stage[1])
        told = [f"{stage:<22}{seconds:>9.2f} s {100 * seconds / whole:>5.0f} %" for stage, seconds in stages]
        slowest = max((seconds for _, seconds in stages), default=0.0)
        limit = max(slowest, processors / count)
        told.append(f"{'the whole':<22}{whole:>9.2f} s")
        told.append(f"{'processors':<22}{processors:>9.2f} s over {count} cores: {processors / count:.2f} s each")
        if limit > 0:
            why = "the slowest stage" if slowest >= processors / count else "the processors"
            told.append(f"{whole / limit:.2f} times the limit that {why} set")
        return told


class _Timed:
    """Something whose named methods are counted to stages; all else is its own."""

    def __init__(self, inner: Any, clock: Clock, stages: dict[str, str]) -> None:
        self._inner, self._clock, self._stages = inner, clock, stages

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        stage = self._stages.get(name)
        if stage is None:
            return found

        def call(*arguments: Any, **options: Any) -> Any:
            with self._clock.over(stage):
                return found(*arguments, **options)

        return call


class _Models:
    def __init__(self, models: Any, clock: Clock) -> None:
        self._models, self._clock = models, clock

    def _timed(self, part: str, stages: dict[str, str]) -> Any:
        with self._clock.over("loading models"):
            model = getattr(self._models, part)()
        return None if model is None else _Timed(model, self._clock, stages)

    def visual(self) -> Any:
        return self._timed("visual", dict.fromkeys(("encode_images", "encode_clips"), "encoding pictures"))

    def passages(self) -> Any:
        return self._timed("passages", {"encode_texts": "encoding texts"})

    def screen(self) -> Any:
        return self._timed("screen", {"read": "reading screen"})

    def sound(self) -> Any:
        return self._timed("sound", dict.fromkeys(("encode_sounds", "name_sounds"), "encoding sound"))

    def caption(self) -> Any:
        return self._timed("caption", {"caption": "captioning"})

    def speech(self) -> Any:
        with self._clock.over("loading models"):
            model = self._models.speech()
        return None if model is None else _Recogniser(model, self._clock)


class _Recogniser(_Timed):
    """A recogniser; the time that it waits for sound is not its work."""

    def __init__(self, inner: Any, clock: Clock) -> None:
        super().__init__(inner, clock, {})

    def transcribe(self, blocks: Iterable[Audio], **options: Any) -> Any:
        waited = 0.0

        def counted() -> Iterator[Audio]:
            nonlocal waited
            items = iter(blocks)
            while True:
                started = time.perf_counter()
                block = next(items, None)
                waited += time.perf_counter() - started
                if block is None:
                    return
                yield block

        started = time.perf_counter()
        try:
            return self._inner.transcribe(counted(), **options)
        finally:
            self._clock.count("recognising speech", time.perf_counter() - started - waited)


class _Decoding:
    def __init__(self, decoding: Any, clock: Clock) -> None:
        self._decoding, self._clock = decoding, clock

    def probe(self, path: Path) -> Media:
        with self._clock.over("probing"):
            return self._decoding.probe(path)  # type: ignore[no-any-return]

    def sample_frames(self, media: Media, **options: Any) -> Any:
        with self._clock.over("decoding pictures"):
            return _Counted(self._decoding.sample_frames(media, **options), self._clock, "decoding pictures")

    def read_audio(self, media: Media, **options: Any) -> Any:
        with self._clock.over("decoding sound"):
            return _Counted(self._decoding.read_audio(media, **options), self._clock, "decoding sound")


class _Counted(Stream[Any]):
    """A stream, the time of whose items is counted."""

    def __init__(self, stream: Stream[Any], clock: Clock, stage: str) -> None:
        super().__init__((item for item in stream), Account(""))
        self._stream, self._clock, self._stage = stream, clock, stage

    @property
    def notes(self) -> list[str]:
        return self._stream.notes

    @property
    def decoder(self) -> str:
        return self._stream.decoder

    @property
    def why(self) -> str:
        return self._stream.why

    def __next__(self) -> Any:
        with self._clock.over(self._stage):
            return next(self._stream)

    def close(self) -> None:
        self._stream.close()


def _processor_seconds() -> float:
    """Return the processor seconds of this process and of those it has waited for."""
    return float(sum(os.times()[:4]))
