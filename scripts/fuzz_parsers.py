"""Coverage-guided fuzzing of our own parsers: `python scripts/fuzz_parsers.py --target=subtitles -max_total_time=60`.

Targets: `subtitles` and `query` (their text), `times` (times, dates, places and intervals on the command line), `truth`
(questions of an evaluation), `wire` (what a decoding process says to us).
Without one, the input's first byte chooses. Needs `pip install 'mmvideo[fuzz]'`; takes libFuzzer's options, such as a
folder of inputs to start from. Found is whatever is raised besides the errors that each promises, and what breaks a
promise: times in order, words without quotes, one second for an input.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import atheris

with atheris.instrument_imports(include=["mmvideo"]):
    from mmvideo import times, words
    from mmvideo.commands import interval
    from mmvideo.errors import MediaError, QueryError
    from mmvideo.evaluate import read_truth
    from mmvideo.options import place
    from mmvideo.sandbox.wire import WireError, media_from_json, receive
    from mmvideo.subtitles import _decode, parse, to_srt, to_vtt

_FOLDER = Path(tempfile.mkdtemp(prefix="mmvideo-fuzz-"))


def subtitles(data: bytes) -> None:
    """Any file is subtitles, with times in order, or refused."""
    try:
        transcript = parse("\n" + _decode(data))
    except MediaError:
        return
    for said in transcript.utterances:
        assert said.start <= said.end
        assert said.text.strip()
        assert all(said.start <= word.start <= word.end <= said.end for word in said.words)
    to_srt(transcript)
    to_vtt(transcript)


def query(data: bytes) -> None:
    """Any text is words, and an expression whose quotes are closed."""
    asked = words.parse(data.decode("utf-8", "replace"))
    assert all('"' not in word for word in asked.words)
    assert asked.any_word.count('"') % 2 == 0


def clocks(data: bytes) -> None:
    """Any text is a time, a date, a place or an interval, or is none."""
    text = data.decode("utf-8", "replace")
    with contextlib.suppress(ValueError):
        assert times.seconds(text) >= 0
    with contextlib.suppress(ValueError):
        times.moment(text)
    with contextlib.suppress(argparse.ArgumentTypeError):
        assert place(text)[1] >= 0
    with contextlib.suppress(argparse.ArgumentTypeError):
        start, end = interval(text)
        assert start < end


def truth(data: bytes) -> None:
    """Any file is questions or refused."""
    path = _FOLDER / "truth.json"
    path.write_bytes(data)
    with contextlib.suppress(QueryError):
        assert read_truth(path)


class _Said:
    """The end of a pipe, as `wire.Pipe`."""

    def __init__(self, data: bytes) -> None:
        self._left = memoryview(data)

    def readinto(self, room: memoryview, /) -> int:
        """Read some bytes."""
        part = self._left[: min(len(room), 7)]
        room[: len(part)] = part
        self._left = self._left[len(part) :]
        return len(part)

    def write(self, data: object, /) -> int:
        """Write nothing."""
        return 0


def wire(data: bytes) -> None:
    """Whatever a process says is a header with bytes, or refused; and a media in it, or none."""
    with contextlib.suppress(WireError):
        header, held = receive(_Said(data), 1000)
        assert len(held) <= 1000
        known = header.get("media")
        if isinstance(known, dict):
            media_from_json(known)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "subtitles": subtitles,
    "query": query,
    "times": clocks,
    "truth": truth,
    "wire": wire,
}


def main() -> None:
    chosen = [argument.partition("=")[2] for argument in sys.argv if argument.startswith("--target=")]
    sys.argv = [argument for argument in sys.argv if not argument.startswith("--target=")]
    every = list(TARGETS.values())

    def one(data: bytes) -> None:
        started = time.monotonic()
        with contextlib.suppress(RecursionError):  # JSON that is nested ten thousand deep
            if chosen:
                TARGETS[chosen[0]](data)
            elif data:
                every[data[0] % len(every)](data[1:])
        assert time.monotonic() - started < 1.0, "slow"

    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    json.loads("0")  # its C part is loaded before the clock runs
    main()
