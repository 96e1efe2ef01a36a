"""The options of `mmvideo search` that say more than words and a picture, and what they mean to `Library.search`."""

from __future__ import annotations

import argparse
from typing import Any

from . import times
from .datatypes import Filter

FILTERS = ("longer_than", "shorter_than", "added_after", "added_before", "start", "end")


def add_query_options(command: argparse.ArgumentParser) -> None:
    """Add the options to the parser of a command."""
    group = command.add_argument_group("more to ask")
    group.add_argument(
        "--text-weight", type=_share, default=0.5, metavar="W", help="of TEXT beside --image, 0 to 1 (default: 0.5)"
    )
    group.add_argument("--not", dest="without", metavar="TEXT", help="what the moments should not be about")
    group.add_argument("--not-image", dest="without_image", metavar="FILE", help="what they should not look like")
    group.add_argument(
        "--then", action="append", default=[], metavar="TEXT", help="what must follow; again for more steps"
    )
    group.add_argument(
        "--within", type=_seconds, default=30.0, metavar="TIME", help="between one and the next (default: 30 s)"
    )
    group.add_argument("--distinct", action="store_true", help="leave out hits that repeat a better one")
    group.add_argument("--explain", action="store_true", help="show how each score came about")
    group = command.add_argument_group("where (TIME: seconds or HH:MM:SS.s; DATE: 2026-01-31, or 7d or 12h ago)")
    group.add_argument("--longer-than", type=_seconds, metavar="TIME", help="only media that last longer")
    group.add_argument("--shorter-than", type=_seconds, metavar="TIME", help="only media that are shorter")
    group.add_argument("--added-after", type=_moment, metavar="DATE", help="only media added at or after")
    group.add_argument("--added-before", type=_moment, metavar="DATE", help="only media added before")
    group.add_argument("--from", dest="start", type=_seconds, metavar="TIME", help="only what is later in its media")
    group.add_argument("--to", dest="end", type=_seconds, metavar="TIME", help="only what is earlier in its media")


def query_arguments(options: argparse.Namespace) -> dict[str, Any]:
    """Return what the options mean as arguments of `Library.search`."""
    return {
        "text_weight": options.text_weight,
        "without": options.without,
        "without_image": options.without_image,
        "then": options.then,
        "within": options.within,
        "distinct": options.distinct,
        "where": Filter(**{name: getattr(options, name) for name in FILTERS}),
    }


def place(value: str) -> tuple[str, float]:
    """Return the media and the seconds that MEDIA@TIME names; for use as a type of argparse."""
    media, at, time = value.rpartition("@")
    if not (media and at):
        raise argparse.ArgumentTypeError(f"{value!r} is no MEDIA@TIME, such as film.mp4@00:01:30")
    return media, _seconds(time)


def _seconds(value: str) -> float:
    try:
        return times.seconds(value)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _moment(value: str) -> Any:
    try:
        return times.moment(value)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _share(value: str) -> float:
    number = float(value)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"must be from 0 to 1, not {value}")
    return number


def model_options() -> argparse.ArgumentParser:
    """Return a parser of the options that name models."""
    options = argparse.ArgumentParser(add_help=False)
    group = options.add_argument_group(
        "models", "a short name (see `mmvideo models`), a hub id or a folder; none leaves it out"
    )
    group.add_argument(
        "--visual", metavar="MODEL", help="for what is seen (default: clip where it can be had, else conse)"
    )
    group.add_argument("--speech", metavar="MODEL", help="for what is said (default: the best Whisper that is here)")
    group.add_argument("--passages", metavar="MODEL", help="for the meaning of what is said (default: minilm)")
    group.add_argument("--screen", metavar="MODEL", help="for text on screen (default: rapidocr where it is installed)")
    group.add_argument(
        "--sound",
        metavar="MODEL",
        help="for what is heard (default: clap where its weights are here; yamnet comes along)",
    )
    group.add_argument("--caption", metavar="MODEL", help="for frames told in words, such as labels (default: none)")
    return options


def recipe_options(command: argparse.ArgumentParser) -> None:
    """Add the options that decide what is stored."""
    group = command.add_argument_group("how (kept for the library)")
    group.add_argument("--language", metavar="CODE", help="the language spoken, such as en (default: detected)")
    group.add_argument(
        "--interval",
        metavar="SECONDS",
        type=_positive,
        dest="frame_interval",
        help="between sampled frames (default: 1)",
    )
    group.add_argument("--max-segment", metavar="SECONDS", type=_positive, help="longest visual segment (default: 10)")
    group.add_argument("--pooling", choices=["mean", "max", "topk"], help="of the frames of a segment (default: mean)")
    group.add_argument(
        "--sidecar",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="take speech from a .srt or .vtt of the same name (default: yes)",
    )


def search_options(command: argparse.ArgumentParser) -> None:
    """Add what every search takes."""
    command.add_argument("text", nargs="*", metavar="TEXT", help='words, and "phrases in quotes"')
    command.add_argument("--image", metavar="FILE", help="a picture or clip; with TEXT, one composed query")
    command.add_argument("--audio", metavar="FILE", help="a sound; with TEXT, one composed query")
    command.add_argument(
        "--in",
        dest="modalities",
        type=_modalities,
        metavar="WHERE",
        help="visual, speech, screen, sound, caption, or several with a comma (default: all)",
    )
    command.add_argument(
        "-k", "--limit", type=count, default=10, metavar="N", help="how many hits at most (default: 10)"
    )
    command.add_argument(
        "--media", action="append", metavar="GLOB", help="only in media whose name, path or folder fits; again for more"
    )
    command.add_argument(
        "--min-score", type=float, default=0.0, metavar="S", help="leave out hits that score less (0 to 1)"
    )


def _modalities(value: str) -> list[str]:
    from .datatypes import SEARCHED

    names = [name.strip() for name in value.split(",") if name.strip()]
    if not names or (unknown := [name for name in names if name not in SEARCHED]):
        raise argparse.ArgumentTypeError(
            f"unknown modality {(unknown if names else [value])[0]!r}: choose from {', '.join(SEARCHED)}"
        )
    return names


def _positive(value: str) -> float:
    number = float(value)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"must be more than 0, not {value}")
    return number


def count(value: str) -> int:
    """Return a number of hits, at least 1. Raises argparse's error for anything else."""
    number = int(value)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {value}")
    return number
