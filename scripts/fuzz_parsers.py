"""Coverage-guided fuzzing of our own parsers, subtitles and queries: `python … -max_total_time=60`.

Needs `pip install atheris`; takes libFuzzer's options, such as a folder of inputs to start from. Found is whatever is
raised besides `MediaError`, and what breaks a promise: times in order, words without quotes, one second for an input.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import atheris

with atheris.instrument_imports(include=["mmvideo"]):
    from mmvideo import words
    from mmvideo.errors import MediaError
    from mmvideo.subtitles import parse, to_srt, to_vtt


def one(data: bytes) -> None:
    """Give one input to both parsers."""
    text = data.decode("utf-8", "replace")
    started = time.monotonic()
    try:
        transcript = parse("\n" + text)
    except MediaError:
        pass
    else:
        for said in transcript.utterances:
            assert said.start <= said.end
            assert said.text.strip()
            assert all(said.start <= word.start <= word.end <= said.end for word in said.words)
        to_srt(transcript)
        to_vtt(transcript)
    asked = words.parse(text)
    assert all('"' not in word for word in asked.words)
    assert asked.any_word.count('"') % 2 == 0
    assert time.monotonic() - started < 1.0, "slow"


if __name__ == "__main__":
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
