"""The commands that make files of what was found, and the one that serves the page."""

from __future__ import annotations

import argparse
import contextlib
import glob
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import MediaError, QueryError

if TYPE_CHECKING:
    from .library import Library

Opener = Callable[..., "Library"]
Maker = Callable[..., argparse.ArgumentParser]


def register(make: Maker, opener: Opener, shared: argparse.ArgumentParser, asking: Callable[[Any], None]) -> None:
    """Add the commands. `make` adds one to the parser, `opener` opens the library that the options name, `asking` adds
    the options of a search."""
    command = make("clip", partial(clip, opener), "cut a stretch out of a media", [shared])
    hits = "a path, a name, or a glob that fits one; or - for the best hit of `search --json` on standard input"
    command.add_argument("media", metavar="HIT|MEDIA", help=hits)
    command.add_argument(
        "interval", metavar="START-END", type=interval, nargs="?", help="such as 1:02-1:15.5 or 62-75.5"
    )
    command.add_argument("-o", "--out", metavar="FILE", type=Path, required=True, help="its suffix decides the format")
    command.add_argument("--exact", action="store_true", help="encode again, to begin and end on the frame")
    command = make("storyboard", partial(storyboard, opener), "draw the hits of a search on one sheet", [shared])
    asking(command)
    command.add_argument("-o", "--out", metavar="FILE", type=Path, required=True, help="a .jpg or .png")
    command = make("timeline", partial(timeline, opener), "draw how well each moment of a media answers", [shared])
    command.add_argument("media", metavar="MEDIA", help="a path, a name, or a glob that fits one")
    command.add_argument("text", nargs="+", metavar="TEXT", help='words, and "phrases in quotes"')
    command.add_argument("-o", "--out", metavar="FILE", type=Path, required=True, help="a .png or .jpg")
    command = make("export", partial(export, opener), "write the hits of a search for other programs", [shared])
    asking(command)
    command.add_argument("--format", choices=["csv", "json", "srt", "edl", "otio"], default="csv", help="default: csv")
    command.add_argument("-o", "--out", metavar="FILE", type=Path, help="default: standard output")
    command.add_argument("--vectors", metavar="DIR", type=Path, help="write the vectors of the whole library instead")
    command.add_argument("--frames", action="store_true", help="with --vectors: of each frame, not of each segment")
    command.add_argument("--npy", action="store_true", help="with --vectors: .npy and .jsonl instead of Parquet")
    lake = "write the library's segments with their vectors instead, as tables for"
    command.add_argument("--delta", metavar="DIR", type=Path, help=f"{lake} a lake (Delta)")
    command.add_argument("--parquet", metavar="DIR", type=Path, help=f"{lake} any engine (Parquet)")
    command = make("import", partial(take_vectors, opener), "take frame vectors computed elsewhere", [shared])
    command.add_argument("vectors", metavar="FILE.npy", type=Path, help="a row per frame, as clip-video-encode writes")
    command.add_argument("media", metavar="MEDIA", type=Path, help="the recording that they were made of")
    command.add_argument("--interval", type=float, metavar="SECONDS", help="between rows (default: spread evenly)")
    command.add_argument("--times", type=Path, metavar="FILE.npy", help="the seconds of each row")
    command.add_argument("--visual", metavar="MODEL", help="the model that made them (of a new library)")
    command = make("serve", partial(serve, opener), "open a page to search and watch in the browser", [shared])
    command.add_argument("--host", default="127.0.0.1", help="an address beyond this machine needs the printed token")
    command.add_argument("--port", type=int, default=8765, help="default: 8765")
    command.add_argument("--token", help="the token to ask for (default beyond this machine: a new one)")
    command.add_argument(
        "--allow-host", action="append", default=[], metavar="NAME", help="another name of this server"
    )
    command.add_argument(
        "--writable",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="let the page add and remove (default: only on this machine)",
    )


def clip(opener: Opener, options: argparse.Namespace) -> int:
    """Cut a stretch out of a media: copied from the keyframe before its start, or encoded again with --exact."""
    from .cutting import clip as cut

    name, times = (options.media, options.interval) if options.media != "-" else _piped(options.interval)
    if times is None:
        raise QueryError(f"{name}: say what to cut, as START-END; a hit of `mmvideo search --json` (-) says it itself")
    with opener(options) as library:
        media = library.find(name).media
    _new(options.out, media.path)
    start, end = times
    print(cut(media, start, end, options.out, exact=options.exact))
    return 0


def storyboard(opener: Opener, options: argparse.Namespace) -> int:
    """Draw the hits of a search on one sheet, a frame each."""
    from PIL import Image

    from .export import storyboard as draw

    with opener(options) as library:
        hits = _asked(library, options)
        media = {one.path: one for one in library.media()}
        if not hits:
            print("nothing found", file=sys.stderr)
            return 0
        sheet = draw(hits, [media[hit.path] for hit in hits], decoding=library.decoding)
    _saved(Image.fromarray(sheet), options.out)
    return 0


def timeline(opener: Opener, options: argparse.Namespace) -> int:
    """Draw how well each moment of a media answers a query, over its sound."""
    from .cutting import waveform
    from .graph import POINTS, draw_curve

    text = " ".join(options.text)
    with opener(options) as library:
        stored = library.find(options.media)
        curve = library.curve(stored.media.path, text)
        hits = [hit for hit in library.search(text, media=_literal(stored.media.path)) if hit.media_id == stored.id]
        seen = library.timeline(stored.media.path)
        wave = []
        with contextlib.suppress(MediaError):  # the recording may be elsewhere by now: its curve is known all the same
            wave = waveform(stored.media, POINTS, decoding=library.decoding)
    cuts = [] if seen is None else [float(cut) for cut in seen.cuts]
    title = f"{stored.media.path.name}: {text}"
    _saved(draw_curve(stored.media, curve, hits, cuts, wave=wave, title=title), options.out)
    return 0


def export(opener: Opener, options: argparse.Namespace) -> int:
    """Write the hits of a search as CSV, JSON, subtitles, an edit decision list or an OpenTimelineIO timeline; with
    --vectors, the vectors of the whole library with their times."""
    from .editlist import FORMATS

    if options.delta or options.parquet:
        with opener(options) as library:
            if options.delta:
                print(*library.export_tables(options.delta, form="delta", modalities=options.modalities), sep="\n")
            if options.parquet:
                print(*library.export_tables(options.parquet, form="parquet", modalities=options.modalities), sep="\n")
        return 0
    if options.vectors is not None:
        with opener(options) as library:
            rows: Any = "frames" if options.frames else "segments"
            made = library.export_vectors(
                options.vectors, form="npy" if options.npy else "parquet", modalities=options.modalities, rows=rows
            )
        for file in made:
            print(file)
        return 0
    with opener(options) as library:
        hits = _asked(library, options)
        text = FORMATS[options.format](hits, {one.path: one for one in library.media()})
    if options.out is None:
        sys.stdout.write(text)
        return 0
    try:
        with options.out.open("w", encoding="utf-8", newline="") as file:
            file.write(text)
    except OSError as error:
        raise MediaError(f"{options.out}: cannot be written ({error.strerror})") from error
    print(options.out)
    return 0


def take_vectors(opener: Opener, options: argparse.Namespace) -> int:
    """Take frame vectors computed elsewhere as what is seen in a recording."""
    with opener(options, create=True) as library:
        stored = library.import_vectors(options.vectors, options.media, interval=options.interval, times=options.times)
        counted = library.counts(stored.media.path)
    print(f"{stored.media.path}: {counted.get('visual', 0)} segments")
    return 0


def serve(opener: Opener, options: argparse.Namespace) -> int:
    """Open a page to search and watch in the browser."""
    try:
        from .server import serve as run
    except ImportError as error:
        raise QueryError(f"the page needs {error.name}: pip install 'mmvideo[server]'") from error
    with opener(options, create=True) as library:
        run(
            library,
            host=options.host,
            port=options.port,
            token=options.token,
            allow_hosts=tuple(options.allow_host),
            writable=options.writable,
        )
    return 0


def interval(value: str) -> tuple[float, float]:
    """Return the seconds of START-END, each as seconds, MM:SS or HH:MM:SS. Raises argparse's error otherwise."""
    try:
        start, end = (
            sum(float(part) * 60**power for power, part in enumerate(reversed(time.split(":"))))
            for time in value.split("-")
        )
    except ValueError:
        raise argparse.ArgumentTypeError(f"{value!r} is no START-END, such as 1:02-1:15.5") from None
    if not 0 <= start < end < float("inf"):
        raise argparse.ArgumentTypeError(f"{value!r}: the end must come after the start")
    return start, end


def _piped(given: tuple[float, float] | None) -> tuple[str, tuple[float, float]]:
    """Return path and interval of the first hit on standard input: what `search --json` prints, or one hit of it."""
    try:
        read = json.load(sys.stdin)
        hit = read[0] if isinstance(read, list) else read
        name, start, end = str(hit["path"]), float(hit["start"]), float(hit["end"])
    except (ValueError, LookupError, TypeError) as error:
        raise QueryError("standard input: no hit; pipe `mmvideo search … --json` here") from error
    return glob.escape(name), given or (start, end)


def _asked(library: Library, options: argparse.Namespace) -> Any:
    return library.search(
        " ".join(options.text) or None,
        image=options.image,
        audio=options.audio,
        modalities=options.modalities,
        limit=options.limit,
        media=options.media,
        min_score=options.min_score,
    )


def _literal(path: Path) -> str:
    """Return a glob that fits this path only."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in str(path))


def _new(out: Path, source: Path) -> None:
    if out.exists() and out.samefile(source):
        raise QueryError(f"{out}: is the media itself; name another file")


def _saved(image: Any, out: Path) -> None:
    try:
        image.save(out)
    except (OSError, ValueError) as error:
        raise MediaError(f"{out}: cannot be written ({error})") from error
    print(out)
