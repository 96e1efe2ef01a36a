"""The command line.

Answers go to standard output, everything else to standard error. Exit codes: 0 all well, 1 something failed (one clear
line says what), 2 wrong usage, 130 stopped by Ctrl-C. Heavy modules are imported inside the commands, so that `--help`
is instant.
"""

from __future__ import annotations

import argparse
import glob
import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from . import __version__, exchange
from .asking import register as register_ask
from .commands import register
from .errors import MMVideoError
from .onecore import always_one_core
from .options import (
    add_query_options,
    count,
    model_options,
    place,
    query_arguments,
    recipe_options,
    search_options,
)

if TYPE_CHECKING:
    from .library import Library

EXAMPLES = """\
examples:
  mmvideo add talks/ film.mp4                 index a folder and a file
  mmvideo search "a red car on a bridge"      find moments by what is seen or said
  mmvideo search --image key.jpg --in visual  find moments that look like a picture
  mmvideo transcript talk.mp3 --format srt    print what is said as subtitles
"""


MODEL_PARTS = ("visual", "speech", "passages", "screen", "sound", "caption")
"""The options that name models."""

MARKS = ("\x02", "\x03")
"""Stand around words to be shown bold until it is known whether the terminal can."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    always_one_core()
    options = parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    if getattr(options, "verbose", False):
        _log_to_stderr()
    try:
        return run(options)
    except MMVideoError as error:
        print(f"mmvideo: {printable(str(error))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "\nmmvideo: stopped; what was finished is kept, and the next `mmvideo add` goes on from there",
            file=sys.stderr,
        )
        return 130
    except BrokenPipeError:  # the reader of a pipe went away: nothing is wrong
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


# Commands


def add(options: argparse.Namespace) -> int:
    """Index files and folders."""
    from .progress import bars

    clock = None
    if options.profile:
        from .profiling import Clock

        clock = Clock()
    with ExitStack() as stack:
        library = stack.enter_context(_library(options, create=True))
        progress = stack.enter_context(bars(sys.stderr))
        report = library.add(options.paths, progress=progress, ray=options.ray, clock=clock)
    if clock is not None:
        print("\n".join(clock.lines()), file=sys.stderr)
    return _report(report, options.json)


def reindex(options: argparse.Namespace) -> int:
    """Make everything in the library again with other models."""
    from .progress import bars

    chosen = {part: getattr(options, part) for part in MODEL_PARTS}
    if not any(chosen.values()):
        print("mmvideo reindex: name at least one of " + ", ".join(f"--{p}" for p in MODEL_PARTS), file=sys.stderr)
        return 2
    plain = argparse.Namespace(**{**vars(options), **dict.fromkeys(chosen)})
    with ExitStack() as stack:
        library = stack.enter_context(_library(plain))
        progress = stack.enter_context(bars(sys.stderr))
        report = library.reindex(**chosen, progress=progress)
    return _report(report, options.json)


def search(options: argparse.Namespace) -> int:
    """Find moments by words, a picture, or both."""
    with _library(options) as library:
        hits = library.search(
            " ".join(options.text) or None,
            image=options.image,
            audio=options.audio,
            modalities=options.modalities,
            limit=options.limit,
            media=options.media,
            min_score=options.min_score,
            **query_arguments(options),
        )
    return _print_hits(hits, options)


def similar(options: argparse.Namespace) -> int:
    """Find more moments like one, by what is seen there, or where there is no picture, by what is said."""
    media, time = options.place
    with _library(options) as library:
        return _print_hits(library.similar(media, time, limit=options.limit), options)


def transcript(options: argparse.Namespace) -> int:
    """Print what is said in a media."""
    from . import subtitles

    write = {"txt": subtitles.to_text, "srt": subtitles.to_srt, "vtt": subtitles.to_vtt, "json": subtitles.to_json}
    with _library(options) as library:
        text = write[options.format](library.transcript(options.media))
    sys.stdout.write(text if text.endswith("\n") else text + "\n")
    return 0


def ls(options: argparse.Namespace) -> int:
    """List the media of a library."""
    from .export import media_to_dict
    from .times import clock

    with _library(options) as library:
        media = library.media()
    if options.json:
        _print_json([media_to_dict(one) for one in media])
        return 0
    for one in media:
        kinds = " + ".join(kind for kind, there in (("video", one.video), ("audio", one.audio)) if there)
        print(f"{clock(one.duration)}  {kinds:13}  {printable(str(one.path))}")
    if not media:
        print("the library is empty; `mmvideo add PATH` fills it", file=sys.stderr)
    return 0


def info(options: argparse.Namespace) -> int:
    """Show what is known of a media."""
    from .export import media_to_dict, stored_to_text

    with _library(options) as library:
        stored = library.find(options.media)
        counts, models = library.counts(stored.media.path), library.models
    if options.json:
        _print_json({**media_to_dict(stored.media), "segments": counts, "notes": list(stored.notes)})
    else:
        print(printable(stored_to_text(stored, counts, models), newlines=True))
    return 0


def rm(options: argparse.Namespace) -> int:
    """Remove media from a library."""
    with _library(options) as library:
        for media in options.media:
            print(f"removed {printable(str(library.remove(media)))}")
    return 0


def verify(options: argparse.Namespace) -> int:
    """Look whether a library is whole. Exit code: 0 all is well, 1 damage, 3 only recordings that are missing or
    changed."""
    from dataclasses import asdict

    with _library(options) as library:
        result = library.verify(repair=options.repair or options.drop, drop=options.drop)
    if options.json:
        _print_json({**asdict(result), "clean": result.clean})
    else:
        for finding in result.findings:
            print(printable(f"{finding.kind:6}  {finding.text}{f'  ({finding.done})' if finding.done else ''}"))
        for note in result.notes:
            print(f"note    {note}")
        print(
            f"{result.media} media, {result.segments} segments: "
            + ("all is well" if result.clean else f"{len(result.open)} found wrong")
        )
    if result.clean:
        return 0
    return 3 if all(finding.kind == "media" for finding in result.open) else 1


def relocate(options: argparse.Namespace) -> int:
    """Say that recordings were moved; nothing is computed again."""
    with _library(options) as library:
        moved, left = library.relocate(options.old, options.new)
    for before, now in moved:
        print(printable(f"{before} → {now}"))
    for before, why in left:
        print(printable(f"left    {before}: {why}"), file=sys.stderr)
    return 1 if left else 0


def models(options: argparse.Namespace) -> int:
    """List the models that can be used here."""
    from dataclasses import asdict

    from .encode import list_models

    found = list_models()
    if options.json:
        _print_json([asdict(model) for model in found])
        return 0
    for model in found:
        mark = "✓" if model.available else "·"
        size = f"{model.size / 1e6:.0f} MB"
        print(f"{mark} {model.name:16} {model.part:9} {size:>8}  {model.licence:10}  {model.note}")
        print(f"  {'':16} {model.place}{f' ({model.origin})' if model.origin else ''}")
    print("\n✓ here now   · would be downloaded   (any hub id or local folder works too)", file=sys.stderr)
    return 0


def evaluate(options: argparse.Namespace) -> int:
    """Measure how good the library's answers are, on questions whose answers are known."""
    from . import figures
    from .datatypes import SEARCHED
    from .evaluate import DEPTH, Question, read_truth
    from .evaluate import evaluate as measure

    questions = read_truth(options.truth)
    with _library(options) as library:

        def search(question: Question, modalities: Any) -> Any:
            within = f"*{glob.escape(question.within)}*" if question.within else None
            return library.search(
                question.text, image=question.image, modalities=modalities, limit=DEPTH, media=within, min_score=0.0
            )

        searched = [part for part in SEARCHED if part not in ("sound", "caption") or part in library.models]
        found = measure(search, questions, min_score=options.min_score, searched=searched)
    if options.picture:
        options.picture.write_text(figures.to_svg(found), encoding="utf-8")
    if options.json:
        _print_json(figures.to_dict(found))
    else:
        print(printable(figures.to_text(found), newlines=True))
    return 0


# The parser


class _Parser(argparse.ArgumentParser):
    """Says how a file whose name looks like an option is named."""

    def error(self, message: str) -> NoReturn:
        """End with a message about wrong usage."""
        dashed = next((word for word in sys.argv[1:] if word.startswith("-") and Path(word).exists()), None)
        super().error(message if dashed is None else f"{message} (to name the file {dashed}, write ./{dashed})")


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    top = _Parser(
        prog="mmvideo",
        description="Search inside videos, podcasts and other recordings, on your own machine.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"mmvideo {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    shared = _Parser(add_help=False)
    shared.add_argument(
        "-l",
        "--library",
        metavar="DIR",
        help="the library's folder, or postgresql://… (default: $MMVIDEO_LIBRARY, else the user's data folder)",
    )
    shared.add_argument("--offline", action="store_true", help="never fetch a model")
    shared.add_argument("-v", "--verbose", action="store_true", help="tell on standard error what happens")
    as_json = argparse.ArgumentParser(add_help=False)
    as_json.add_argument("--json", action="store_true", help="print JSON and nothing else")
    writer = argparse.ArgumentParser(add_help=False)
    writer.add_argument("--wait", action="store_true", help="wait while another mmvideo writes to the library")
    chosen = model_options()

    command = _command(commands, "add", add, "index files, folders and addresses", [shared, as_json, writer, chosen])
    command.add_argument(
        "paths", nargs="+", metavar="PATH", help="a recording, or a folder of them; also https://…, s3://…"
    )
    command.add_argument("--profile", action="store_true", help="tell where the time went, stage by stage")
    command.add_argument("--ray", metavar="ADDRESS", help="work on a Ray cluster; auto: the one here, or a new one")
    recipe_options(command)
    command = _command(commands, "search", search, "find moments", [shared, as_json])
    search_options(command)
    add_query_options(command)
    command = _command(commands, "similar", similar, "find more like a moment", [shared, as_json])
    command.add_argument("place", type=place, metavar="MEDIA@TIME", help="such as film.mp4@90 or film.mp4@00:01:30")
    command.add_argument("-k", "--limit", type=count, default=10, metavar="N", help="how many hits (default: 10)")
    command.add_argument("--explain", action="store_true", help="show how each score came about")
    command = _command(commands, "transcript", transcript, "print what is said in a media", [shared])
    command.add_argument("media", metavar="MEDIA", help="a path, a name, or a glob that fits one")
    command.add_argument("--format", choices=["txt", "srt", "vtt", "json"], default="txt", help="default: txt")
    _command(commands, "ls", ls, "list the media of a library", [shared, as_json])
    command = _command(commands, "info", info, "show what is known of a media", [shared, as_json])
    command.add_argument("media", metavar="MEDIA", help="a path, a name, or a glob that fits one")
    command = _command(commands, "rm", rm, "remove media from a library (the files stay)", [shared, writer])
    command.add_argument("media", nargs="+", metavar="MEDIA", help="a path, a name, or a glob that fits one")
    command = _command(commands, "evaluate", evaluate, "measure how good the answers are", [shared, as_json])
    command.add_argument(
        "truth", type=Path, metavar="TRUTH", help="questions with answers: QVHighlights' JSON lines, or JSON"
    )
    command.add_argument(
        "--min-score",
        type=float,
        default=0.5,
        metavar="S",
        help="the least score of an answer, for counting false ones (default: %(default)s)",
    )
    command.add_argument("--picture", type=Path, metavar="FILE.svg", help="draw recall against rank")
    _command(commands, "reindex", reindex, "make everything again with other models", [shared, as_json, writer, chosen])
    command = _command(commands, "verify", verify, "look whether a library is whole", [shared, as_json, writer])
    command.add_argument("--repair", action="store_true", help="make again what can be made again")
    command.add_argument(
        "--drop", action="store_true", help="repair, and remove also what cannot be made again from the recordings"
    )
    command = _command(commands, "relocate", relocate, "say that recordings were moved", [shared, writer])
    command.add_argument("old", metavar="OLD", help="the file or folder before")
    command.add_argument("new", metavar="NEW", help="the same file or folder now")
    register(partial(_command, commands), _library, shared, search_options)
    register_ask(partial(_command, commands), _library, shared)
    exchange.register(partial(_command, commands))
    _command(commands, "models", models, "list the models that can be used here", [as_json])
    return top


def _command(
    commands: Any,
    name: str,
    run: Callable[[argparse.Namespace], int],
    line: str,
    parents: list[argparse.ArgumentParser],
) -> argparse.ArgumentParser:
    about = getattr(run, "func", run).__doc__  # a partial's own is that of `partial`
    command: argparse.ArgumentParser = commands.add_parser(name, help=line, description=about, parents=parents)
    command.set_defaults(run=run)
    return command


# What commands share


def _library(options: argparse.Namespace, *, create: bool = False) -> Library:
    from .datatypes import Recipe
    from .library import Library

    folder = options.library or os.environ.get("MMVIDEO_LIBRARY") or _default_library()
    chosen: dict[str, Any] = {part: getattr(options, part, None) for part in MODEL_PARTS}
    library = Library.open(
        folder, create=create, offline=options.offline, wait=getattr(options, "wait", False), **chosen
    )
    given = {name: getattr(options, name, None) for name in Recipe.__dataclass_fields__ if name not in chosen}
    library.recipe = replace(library.recipe, **{name: value for name, value in given.items() if value is not None})
    return library


def _log_to_stderr() -> None:
    import logging

    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s", "%H:%M:%S"))
    logger = logging.getLogger("mmvideo")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.DEBUG)


def _default_library() -> Path:
    import platformdirs

    return Path(platformdirs.user_data_dir("mmvideo")) / "library.mmv"


def _report(report: Any, as_json: bool) -> int:
    from .export import report_to_dict, report_to_text

    if as_json:
        _print_json(report_to_dict(report))
    else:
        print(printable(report_to_text(report), newlines=True))
    return 1 if report.failed else 0


def _print_hits(hits: list[Any], options: argparse.Namespace) -> int:
    from .export import hit_to_dict, hits_to_text

    if options.json:
        _print_json([hit_to_dict(hit, explain=options.explain) for hit in hits])
    elif not hits:
        print("nothing found", file=sys.stderr)
    else:
        if not any(hit.sure for hit in hits):
            print("nothing found that is sure; what comes nearest:", file=sys.stderr, flush=True)
        text = printable(hits_to_text(hits, explain=options.explain, marks=MARKS), newlines=True, keep="".join(MARKS))
        bold = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        for mark, code in zip(MARKS, ("\x1b[1m", "\x1b[22m") if bold else ("", ""), strict=True):
            text = text.replace(mark, code)
        print(text)
    for note in getattr(hits, "notes", ()):
        print(printable(f"note: {note}"), file=sys.stderr)
    return 0


def _print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=2, default=str).encode("utf-8", "replace").decode("utf-8"))


def printable(text: str, *, newlines: bool = False, keep: str = "") -> str:
    """Return text that a terminal shows as it is: control characters of file names and transcripts are escaped."""
    keep += "\n" if newlines else ""
    shown = "".join(
        c if c.isprintable() or c in keep else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )
    encoding = sys.stdout.encoding or "utf-8"
    return shown.encode(encoding, "replace").decode(encoding)


if __name__ == "__main__":
    sys.exit(main())
