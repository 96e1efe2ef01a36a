"""Recognising speech: mmvideo beside openai-whisper and faster-whisper themselves, on the same audio and weights.

    python benchmarks/speech.py [AUDIO] [--model whisper-base] [--minutes 5] [--runs 2]

Without a recording, `samples/lighthouse.mp3` is repeated. openai-whisper decodes greedily, as its command does without
beams; faster-whisper is loaded and called as its own documentation does, batched, in 8 bits as mmvideo uses it. Each is
warm: the models are loaded before. Prints a Markdown table: the median of the runs, how many times real time, and the
ratio.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from faster_whisper import BatchedInferencePipeline, WhisperModel
from machine import machine

from mmvideo.datatypes import SAMPLE_RATE, Audio
from mmvideo.decode import read_audio
from mmvideo.encode import load_transcriber
from mmvideo.media import probe

SAMPLES = Path(__file__).resolve().parent.parent / "samples"


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("audio", nargs="?", type=Path, default=SAMPLES / "lighthouse.mp3")
    options.add_argument("--model", default="whisper-base")
    options.add_argument("--minutes", type=float, default=5.0)
    options.add_argument("--runs", type=int, default=2)
    given = options.parse_args()
    with read_audio(probe(given.audio)) as blocks:
        once = np.concatenate([block.samples for block in blocks])
    count = int(given.minutes * 60 * SAMPLE_RATE)
    samples = np.tile(once, -(-count // len(once)))[:count]
    openai, faster = (load_transcriber(given.model, offline=True, engine=engine) for engine in ("openai", "faster"))
    plain = WhisperModel(str(faster._found.place), device="cpu", compute_type="int8", local_files_only=True)
    ways: dict[str, Callable[[], Any]] = {
        "openai-whisper, greedy": lambda: openai_whisper(openai, samples),
        "faster-whisper, its batched pipeline": lambda: faster_whisper(plain, samples),
        "mmvideo with openai-whisper": lambda: openai.transcribe(blocks_of(samples), language=None),
        "mmvideo with faster-whisper": lambda: faster.transcribe(blocks_of(samples), language=None),
    }
    faster_whisper(plain, samples[: 20 * SAMPLE_RATE])
    short = samples[: 20 * SAMPLE_RATE]
    for engine in (openai, faster):
        engine.transcribe(blocks_of(short), language=None)  # loads it
    took: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(given.runs):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            took[name].append(time.perf_counter() - started)
    print(machine("openai-whisper", "faster-whisper", "torch"))
    print(f"{given.model}, {given.minutes:g} minutes of speech\n")
    print("| way | s | times real time | times openai-whisper |\n|---|---|---|---|")
    first = median(took["openai-whisper, greedy"])
    for name, seconds in took.items():
        wall = median(seconds)
        print(f"| {name} | {wall:.1f} | {60 * given.minutes / wall:.1f} | {first / wall:.2f} |")


def blocks_of(samples: Any) -> Any:
    """Return audio as the decoder hands it out, in blocks of ten minutes."""
    size = 600 * SAMPLE_RATE
    return iter([Audio(samples[at : at + size], at / SAMPLE_RATE) for at in range(0, len(samples), size)])


def openai_whisper(engine: Any, samples: Any) -> Any:
    """Transcribe as openai-whisper's own function does, with word times as mmvideo needs them."""
    return engine._engine._model.transcribe(samples, temperature=0.0, fp16=False, word_timestamps=True, verbose=None)


def faster_whisper(model: Any, samples: Any) -> Any:
    """Transcribe with faster-whisper's batched pipeline, with its own voice detection and word times."""
    segments, _ = BatchedInferencePipeline(model).transcribe(samples, batch_size=8, word_timestamps=True)
    return list(segments)


if __name__ == "__main__":
    main()
