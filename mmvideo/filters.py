"""Which media are asked, and which stretch of them: globs, folders, lengths, dates, and times inside a media."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

import numpy as np

from .datatypes import Filter, Match, Media, Timeline


def chooses(media: Media, added: float, globs: Sequence[str], where: Filter) -> bool:
    """Tell whether a media, added at `added` (Unix seconds), fits one of the globs (any, if there are none) and the
    filter."""
    return (
        (not globs or any(fits(media, glob) for glob in globs))
        and (where.longer_than is None or media.duration > where.longer_than)
        and (where.shorter_than is None or media.duration < where.shorter_than)
        and (where.added_after is None or added >= where.added_after.timestamp())
        and (where.added_before is None or added < where.added_before.timestamp())
    )


def names(media: Media, glob: str) -> bool:
    """Tell whether a glob matches a media's name or its whole path: what names one media, never a folder of them."""
    wanted = glob.casefold()
    return any(fnmatchcase(text.casefold(), wanted) for text in (media.path.name, str(media.path)))


def fits(media: Media, glob: str) -> bool:
    """Tell whether a glob matches a media's name, its whole path, or a folder that it lies in (by name or path).

    Case does not matter, nor a slash at the end.
    """
    wanted = glob.casefold().rstrip("/\\") or glob
    places = [media.path, *media.path.parents]
    return any(fnmatchcase(str(place).casefold(), wanted) for place in places) or any(
        fnmatchcase(place.name.casefold(), wanted) for place in places if place.name
    )


def cut(timeline: Timeline, where: Filter) -> Timeline:
    """Return the part of a timeline in [where.start, where.end), with the sample on screen where it begins."""
    start = timeline.start if where.start is None else max(timeline.start, where.start)
    end = timeline.end if where.end is None else min(timeline.end, where.end)
    if (start, end) == (timeline.start, timeline.end):
        return timeline
    edges = timeline.edges
    kept = (edges[1:] > start) & (edges[:-1] < end)
    times = np.maximum(timeline.times[kept], start)
    return replace(timeline, times=times, rows=timeline.rows[kept], start=start, end=max(start, end))


def clip(match: Match, where: Filter) -> Match | None:
    """Return a match trimmed to [where.start, where.end), or None if it lies outside."""
    start = match.start if where.start is None else max(match.start, where.start)
    end = match.end if where.end is None else min(match.end, where.end)
    if (start, end) == (match.start, match.end):
        return match
    if end <= start:
        return None
    return replace(match, start=start, end=end, time=min(max(match.time, start), float(np.nextafter(end, start))))
