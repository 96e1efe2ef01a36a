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
