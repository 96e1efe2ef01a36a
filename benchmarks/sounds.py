"""How well sounds are found by words: films of real recordings, each sound asked for in two wordings.

    apt-get download gcompris-qt-data tuxpaint-stamps-default sound-theme-freedesktop sonic-pi-samples
    for file in *.deb; do dpkg-deb -x $file sounds; done
    python benchmarks/sounds.py sounds --sound yamnet

Recordings of four packages of Debian 12, one after another with pauses of three seconds between them, each at the same
loudness, in a faint hiss; and the same under a voice (the samples' interview). `tune` (GCompris, 40 sounds) served to
choose settings, `test` (Tux Paint, freedesktop, Sonic Pi, 51 sounds) did not. A hit is right if it shares at least half
of the shorter of the two intervals, it or the sound. Then sounds are asked for that are in neither film: how many are
"found" (score of 0.5 and more) all the same. Names of files were taken at their word: nobody listened to each.
"""

from __future__ import annotations

import argparse
import json
import struct
import tempfile
import wave
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mmvideo import Library, Recipe
from mmvideo.datatypes import SURE
from mmvideo.decode import read_audio
from mmvideo.media import probe

HERE = Path(__file__).parent
RATE = 16_000
LONGEST = 6.0  # seconds that are taken of a recording
LOUDNESS, HISS, VOICE = 0.12, 0.001, 0.1  # of the loudest tenth of a second of a sound; of the hiss; of the voice


def resources(file: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the name and bytes of each file in a Qt resource file."""
    held = file.read_bytes()
    _, tree, data, names = struct.unpack(">IIII", held[4:20])

    def walk(number: int, prefix: str) -> Iterator[tuple[str, bytes]]:
        at = tree + number * 22
        named, flags, one, two = struct.unpack(">IHII", held[at : at + 14])
        length = struct.unpack(">H", held[names + named : names + named + 2])[0] if number else 0
        first = names + named + 6
        name = prefix + held[first : first + 2 * length].decode("utf-16-be")
        if flags & 2:
            for child in range(two, two + one):
                yield from walk(child, name + "/")
            return
        size = struct.unpack(">I", held[data + two : data + two + 4])[0]
        content = held[data + two + 4 : data + two + 4 + size]
        yield name, zlib.decompress(content[4:]) if flags & 1 else content

    yield from walk(0, "")


def recording(name: str, folder: Path, scratch: Path) -> Path:
    """Return the file of a sound: one in the folder, or `FILE.rcc:NAME` taken out of a resource file."""
    archive, _, inner = name.partition(":")
    found = next(iter(sorted(folder.rglob(archive))), None)
    if found is None:
        raise SystemExit(f"{folder} lacks {archive}: see the first lines of this script")
    if not inner:
        return found
    target = scratch / Path(inner).name
    target.write_bytes(next(content for path, content in resources(found) if path.endswith("/" + inner)))
    return target


def samples_of(file: Path) -> Any:
    return np.concatenate([block.samples for block in read_audio(probe(file.absolute()), rate=RATE)])


def film(sounds: list[Any], chance: np.random.Generator) -> tuple[Any, list[tuple[float, float]]]:
    """Return the sounds one after another, and where each is."""
    parts: list[Any] = []
    where, at = [], 0
    for sound in sounds:
        short = sound[: round(LONGEST * RATE)]
        tenths = [short[i : i + 1600] for i in range(0, max(1, len(short) - 800), 1600)]
        loudest = max(float(np.sqrt(np.mean(np.square(tenth)))) for tenth in tenths)
        short = short * min(LOUDNESS / loudest, 0.99 / float(np.abs(short).max()))
        pause = np.zeros(round(RATE * chance.uniform(2.5, 4)), np.float32)
        where.append(((at + len(pause)) / RATE, (at + len(pause) + len(short)) / RATE))
        parts += [pause, short]
        at += len(pause) + len(short)
    whole = np.concatenate([*parts, np.zeros(3 * RATE, np.float32)])
    return whole + HISS * chance.standard_normal(len(whole)), where


def write(file: Path, samples: Any) -> Path:
    with wave.open(str(file), "wb") as target:
        target.setnchannels(1)
        target.setsampwidth(2)
        target.setframerate(RATE)
        target.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return file


def ask(library: Library, queries: list[list[str]], where: list[tuple[float, float]]) -> tuple[Any, Any]:
    """Return the rank of the sound that each query means (0: not among the first fifty hits), and the first scores."""
    ranks, scores = [], []
    for (start, end), wordings in zip(where, queries, strict=True):
        for text in wordings:
            hits = library.search(text, modalities=["sound"], limit=50)
            right = [
                rank
                for rank, hit in enumerate(hits, 1)
                if min(hit.end, end) - max(hit.start, start) >= 0.5 * min(hit.end - hit.start, end - start)
            ]
            ranks.append(right[0] if right else 0)
            scores.append(hits[0].score)
    return np.array(ranks), np.array(scores)


def told(name: str, ranks: Any, scores: Any, false: Any) -> str:
    reciprocal = np.where(ranks > 0, 1 / np.maximum(ranks, 1), 0.0)
    first, five = ranks == 1, (ranks > 0) & (ranks <= 5)
    plain, own = first[::2].mean(), first[1::2].mean()
    return (
        f"| {name} | {len(ranks)} | {first.mean():.2f} ({plain:.2f}, {own:.2f}) | {five.mean():.2f} | "
        f"{reciprocal.mean():.2f} | {(first & (scores >= SURE)).sum()} of {first.sum()} | "
        f"{(~first & (scores >= SURE)).sum()} of {(~first).sum()} | {(false >= SURE).sum()} of {len(false)} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="where the Debian packages were unpacked")
    parser.add_argument("--sound", default="yamnet", help="a model, as for `mmvideo add`")
    options = parser.parse_args()
    asked = json.loads((HERE / "sounds.json").read_text("utf-8"))
    chance = np.random.default_rng(1)
    recipe = Recipe(visual="none", speech="none", screen="none", passages="none", sound=options.sound)
    print("| film | n | R@1 (plain, own words) | R@5 | MRR | right and sure | wrong and sure | absent and sure |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        voice = samples_of(HERE.parent / "samples" / "lighthouse.mp3")
        voice = voice * VOICE / np.sqrt(np.mean(np.square(voice[np.abs(voice) > 0.01])))
        for part in ("tune", "test"):
            sounds = [samples_of(recording(file, options.folder, scratch)) for file in asked[part]]
            alone, where = film(sounds, chance)
            under = 0.7 * alone + np.resize(voice, len(alone))
            for kind, samples in (("alone", alone), ("under a voice", under)):
                with Library.open(scratch / f"{part}-{kind}.mmv", recipe=recipe) as library:
                    library.add(write(scratch / f"{part}-{kind}.wav", samples))
                    ranks, scores = ask(library, list(asked[part].values()), where)
                    false = [library.search(text, modalities=["sound"], limit=1) for text in asked["absent"]]
                    none = np.array([hits[0].score if hits else 0.0 for hits in false])
                    print(told(f"{part}, {kind}", ranks, scores, none), flush=True)


if __name__ == "__main__":
    main()
