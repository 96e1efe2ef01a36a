"""Add thousands of damaged and hostile files and see that each is refused or partly read: `python … 3000`.

Every file is made from a seed and a small sound recording of some container: bytes flipped, cut, boxes resized,
streams of one put into another, other endings, sizes and durations of enormous claims; besides, a few special ones
(16k and 1 × 1 pictures, one frame, zip, text, subtitle bombs). They are added through `Library.add` with stub encoders,
decoding in a process of its own. Reported: outcomes, crashes and time-outs of the worker, the slowest file, and the
largest memory of this process and of the workers.
"""

from __future__ import annotations

import argparse
import collections
import logging
import random
import resource
import struct
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

PATIENCE = 20.0
ENORMOUS = (0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 0, 1, 0x00FFFFFF)
BOXES = (b"moov", b"mvhd", b"trak", b"tkhd", b"mdhd", b"stsz", b"stco", b"stts", b"stsc", b"mdat", b"avcC", b"elst")


# The sound recordings


def make_seeds(folder: Path) -> list[Path]:
    """Make a small recording of every container."""
    from tests.films import ffmpeg

    folder.mkdir(parents=True, exist_ok=True)
    video = ("-f", "lavfi", "-i", "testsrc=s=96x64:r=10:d=3")
    sound = ("-f", "lavfi", "-i", "sine=440:duration=3")
    both = {
        "a.mp4": ("-pix_fmt", "yuv420p", "-c:a", "aac"),
        "b.mkv": ("-c:v", "mpeg4", "-c:a", "libmp3lame"),
        "c.webm": ("-c:v", "libvpx", "-c:a", "libvorbis"),
        "d.avi": ("-c:v", "mjpeg", "-c:a", "pcm_s16le"),
        "e.ts": ("-c:v", "mpeg2video", "-c:a", "mp2"),
        "f.mov": ("-pix_fmt", "yuv420p", "-c:v", "libx265", "-x265-params", "log-level=none", "-c:a", "alac"),
        "g.flv": ("-c:v", "flv", "-c:a", "libmp3lame", "-ar", 44100),
        "h.wmv": ("-c:v", "wmv2", "-c:a", "wmav2"),
        "i.mpg": ("-r", 25, "-c:v", "mpeg1video", "-c:a", "mp2"),
    }
    for name, options in both.items():
        ffmpeg(*video, *sound, *options, folder / name)
    for name in ("j.mp3", "k.wav", "l.flac", "m.ogg", "n.opus", "o.m4a", "p.aiff"):
        ffmpeg(*sound, folder / name)
    ffmpeg(*video, "-r", 5, folder / "q.gif")
    return sorted(folder.iterdir())


# Mutations: each takes the bytes, the random numbers and the other seeds, and returns bytes


def flipped(data: bytearray, rng: random.Random, _: list[bytes]) -> bytes:
    for _i in range(rng.choice((1, 4, 32, 256))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def head_flipped(data: bytearray, rng: random.Random, _: list[bytes]) -> bytes:
    for _i in range(rng.choice((1, 3, 10))):
        data[rng.randrange(min(len(data), 700))] = rng.randrange(256)
    return bytes(data)


def cut(data: bytearray, rng: random.Random, _: list[bytes]) -> bytes:
    return bytes(data[: rng.randrange(len(data))])


def beheaded(data: bytearray, rng: random.Random, _: list[bytes]) -> bytes:
    return bytes(data[rng.randrange(1, len(data)) :])


def noise(data: bytearray, rng: random.Random, _: list[bytes]) -> bytes:
    start = rng.randrange(len(data))
    length = min(len(data) - start, rng.choice((16, 400, 5000)))
    data[start : start + length] = rng.randbytes(length)
    return bytes(data)


def zeroed(data: bytearray, rng: random.Random, _: list[bytes]) -> bytes:
    start = rng.randrange(len(data))
    data[start : start + rng.randrange(1, 4000)] = b""
    start = rng.randrange(max(1, len(data)))
    data[start : start + 500] = bytes(len(data[start : start + 500]))
    return bytes(data)


def resized(data: bytearray, rng: random.Random, _: list[bytes]) -> bytes:
    """Change the size or a field of an MP4 box; elsewhere, any four bytes, to an enormous number."""
    found = [at for name in BOXES if (at := data.find(name)) >= 4]
    at = rng.choice(found) - 4 if found else rng.randrange(max(1, min(len(data), 2000) - 4))
    if found and rng.random() < 0.6:
        at += 8 + 4 * rng.randrange(8)
    struct.pack_into(rng.choice((">I", "<I")), data, min(at, len(data) - 4), rng.choice(ENORMOUS))
    return bytes(data)


def claimed(data: bytearray, rng: random.Random, _: list[bytes]) -> bytes:
    """Claim an enormous duration or size of picture, where the header of the container has it."""
    for name, offset in ((b"mvhd", 20), (b"mdhd", 20), (b"tkhd", 24), (b"stts", 16), (b"avc1", 28), (b"stsz", 8)):
        at = data.find(name)
        if at >= 0 and rng.random() < 0.6 and at + offset + 4 <= len(data):
            struct.pack_into(">I", data, at + offset, max(0, rng.choice(ENORMOUS) - rng.randrange(2)))
    for name, length in ((b"\x44\x89", 8), (b"\xb0", 2), (b"\xba", 2), (b"strh", 40), (b"avih", 40)):
        at = data.find(name)
        if at >= 0 and rng.random() < 0.5:
            data[at + 3 : at + 3 + length] = bytes(rng.choice((0xFF, 0x7F)) for _i in range(length))
    return bytes(data)


def swapped(data: bytearray, rng: random.Random, others: list[bytes]) -> bytes:
    """Put the body of one recording behind the head of another."""
    other = rng.choice(others)
    return bytes(data[: rng.randrange(1, len(data))]) + other[rng.randrange(len(other)) :]


def woven(data: bytearray, rng: random.Random, others: list[bytes]) -> bytes:
    """Put pieces of another recording into one."""
    other = rng.choice(others)
    for _i in range(rng.randrange(1, 8)):
        source, target = rng.randrange(len(other)), rng.randrange(len(data))
        piece = other[source : source + rng.randrange(1, 2000)]
        data[target : target + len(piece)] = piece
    return bytes(data)


def repeated(data: bytearray, rng: random.Random, _: list[bytes]) -> bytes:
    start = rng.randrange(len(data))
    piece = bytes(data[start : start + rng.randrange(1, 3000)])
    return bytes(data[:start]) + piece * rng.randrange(2, 30) + bytes(data[start:])


MUTATIONS: tuple[Callable[[bytearray, random.Random, list[bytes]], bytes], ...] = (
    flipped, head_flipped, cut, beheaded, noise, zeroed, resized, claimed, swapped, woven, repeated,
)  # fmt: skip


def mutated(seed: int, seeds: list[Path], folder: Path) -> Path:
    """Make the file of a seed, and sometimes subtitles beside it."""
    rng = random.Random(seed)
    contents = [path.read_bytes() for path in seeds]
    number = rng.randrange(len(seeds))
    change = MUTATIONS[seed % len(MUTATIONS)]
    data = change(bytearray(contents[number]), rng, contents)
    if rng.random() < 0.15 and data:
        data = rng.choice(MUTATIONS)(bytearray(data), rng, contents)
    suffix = seeds[rng.randrange(len(seeds))].suffix if rng.random() < 0.1 else seeds[number].suffix
    path = folder / f"{seed:05d}-{change.__name__}{suffix}"
    path.write_bytes(data)
    if rng.random() < 0.05:
        path.with_suffix(rng.choice((".srt", ".vtt"))).write_bytes(subtitles(rng))
    return path


def subtitles(rng: random.Random) -> bytes:
    """Return subtitles that are wrong in some way."""
    cue = b"1\n00:00:01,000 --> 00:00:02,000\n<i>one {\\an8}two &amp; three\n\n"
    return rng.choice(
        (
            rng.randbytes(3000),
            cue * 2000,
            cue[: rng.randrange(len(cue))],
            b"WEBVTT\n\n00:00:00.000 --> 9999:59:59.999\n" + b"<" * 100_000,
            b"00:00:05,000 --> 00:00:01,000\nbackwards\n" * 50,
            b"\xff\xfe" + "00:00:01,000 --> 00:00:02,000\nx\n".encode("utf-16-le"),
            b"00:00:01,000 --> 00:00:02,000\n" + b"&" * 200_000,
            cue.replace(b"1,000", b"99999999999,000"),
            b"\0" * 5000,
        )
    )


def special(folder: Path) -> list[Path]:
    """Make the files that no mutation gives."""
    from tests.films import ffmpeg

    folder.mkdir(parents=True, exist_ok=True)
    source = ("-f", "lavfi", "-i")
    ffmpeg(
        *source,
        "color=red:s=16000x16000:r=1:d=1",
        "-pix_fmt",
        "yuvj420p",
        "-c:v",
        "mjpeg",
        "-frames:v",
        1,
        folder / "16k.mkv",
    )
    ffmpeg(*source, "color=red:s=8190x64:r=1:d=2", "-c:v", "mpeg4", folder / "strip.avi")
    ffmpeg(*source, "color=red:s=2x16000:r=1:d=2", "-pix_fmt", "yuvj420p", "-c:v", "mjpeg", folder / "needle.mkv")
    ffmpeg(*source, "color=red:s=1x1:r=1:d=2", "-c:v", "png", folder / "1x1.mkv")
    ffmpeg(*source, "color=red:s=64x64:r=25:d=0.04", "-frames:v", 1, "-pix_fmt", "yuv420p", folder / "one_frame.mp4")
    ffmpeg(*source, "sine=440:duration=0.02", folder / "short.wav")
    with zipfile.ZipFile(folder / "zip.mp4", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("bomb", bytes(20_000_000))
    (folder / "text.mkv").write_text("This is no recording.\n" * 1000)
    (folder / "html.webm").write_text("<!DOCTYPE html><html><body>Not found</body></html>")
    (folder / "list.ts").write_text("#EXTM3U\n#EXTINF:10,\nhttp://127.0.0.1:9/a.ts\n")
    (folder / "concat.mp4").write_text("ffconcat version 1.0\nfile /etc/passwd\n")
    (folder / "empty.mp3").touch()
    (folder / "zeros.mp4").write_bytes(bytes(3_000_000))
    with (folder / "sparse.mov").open("wb") as file:
        file.truncate(50_000_000_000)
    (folder / "loud.wav").write_bytes(
        b"RIFF\xff\xff\xff\xffWAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 65535, 1, 1, 1, 8)
    )
    ffmpeg(*source, "sine=440:duration=2", folder / "bomb.mp3")
    (folder / "bomb.srt").write_bytes(b"00:00:01,000 --> 00:00:02,000\n" + b"<b>" * 3_000_000)
    return sorted(path for path in folder.iterdir() if path.suffix != ".srt")


# Running it


def campaign(
    count: int, folder: Path, *, first: int = 0, memory: int | None = None, echo: Callable[[str], None] = print
) -> dict[str, Any]:
    """Add `count` mutated files and the special ones, and return figures. AssertionError: a promise is broken."""
    from mmvideo import Library
    from mmvideo.sandbox import Sandbox
    from tests.stubs import ColourEncoder, ScriptedTranscriber, WordEncoder

    seeds = make_seeds(folder / "seeds")
    files = special(folder / "special")
    (folder / "mutated").mkdir()
    outcomes: collections.Counter[str] = collections.Counter()
    reasons: collections.Counter[str] = collections.Counter()
    slow: list[tuple[float, str]] = []
    alarms: list[str] = []
    encoders: dict[str, Any] = {"visual": ColourEncoder(), "speech": ScriptedTranscriber(), "passages": WordEncoder()}
    with Library.open(folder / "hostile.mmv", **encoders) as library:
        library.decoding = Sandbox(patience=PATIENCE, **({"memory": memory} if memory else {}))
        for position in range(0, count + 1, 100):
            batch = range(first + position, first + min(position + 100, count))
            made = [mutated(seed, seeds, folder / "mutated") for seed in batch]
            for report in library.add([*made, *(files if position == 0 else [])]).media:
                kind = report.outcome if report.outcome == "failed" or not report.notes else "with notes"
                outcomes[kind] += 1
                slow = sorted([*slow, (report.seconds, report.path.name)])[-5:]
                text = " ".join([report.message, *report.notes])
                for sign in ("crashed", "nothing came of it", "understood", "more memory", "report this"):
                    if sign in text:
                        reasons[sign] += 1
                        alarms.append(f"{report.path.name}: {text[-200:]}")
                assert report.outcome != "failed" or (report.message and "\n" not in report.message), report
                assert "please report this" not in text, report
            for path in (folder / "mutated").iterdir():
                path.unlink()
            if position % 500 == 0:
                echo(f"{position}: {dict(outcomes)} {dict(reasons)}")
        for query in ("red", "ferry harbour", "&", "three"):
            library.search(query, limit=20)
        library.decoding.close()
        damage = [finding for finding in library.verify().findings if finding.kind != "media"]
        assert not damage, damage
    return {
        "outcomes": dict(outcomes),
        "reasons": dict(reasons),
        "slowest": [(round(seconds, 1), name) for seconds, name in slow[::-1]],
        "memory here (MB)": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "memory of the workers (MB)": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024,
        "alarms": alarms[:20],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=3000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="mmvideo-hostile-") as name:
        started = time.monotonic()
        figures = campaign(options.count, Path(name), first=options.first, echo=lambda t: print(t, flush=True))
        print(f"done in {time.monotonic() - started:.0f} s")
        for key, value in figures.items():
            print(f"{key}: {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
