"""Seconds to what people read and back. Inside mmvideo times are float seconds; this is used at the edges only."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

_CLOCK = re.compile(r"(?:(?:(\d+):)?([0-5]?\d):)?(\d+(?:\.\d*)?|\.\d+)", re.ASCII)
_AGO = re.compile(r"(\d{1,5})([dh])", re.ASCII)


def clock(seconds: float) -> str:
    """Return seconds as HH:MM:SS.s, rounded to the tenth; a negative time has a minus sign in front."""
    tenths = round(abs(seconds) * 10)
    sign = "-" if seconds < 0 and tenths else ""
    return f"{sign}{tenths // 36000:02d}:{tenths // 600 % 60:02d}:{tenths // 10 % 60:02d}.{tenths % 10}"


def seconds(text: str) -> float:
    """Return the seconds that "90", "90.5", "1:30" or "00:01:30.5" mean. Raises `ValueError` for anything else."""
    found = _CLOCK.fullmatch(text.strip())
    hours, minutes, rest = found.groups() if found else (None, None, "")
    if found is None or (minutes is not None and float(rest) >= 60):
        raise ValueError(f"{text!r} is no time: give seconds, or HH:MM:SS.s")
    return int(hours or 0) * 3600.0 + int(minutes or 0) * 60.0 + float(rest)


def moment(text: str) -> datetime:
    """Return the moment that a date ("2026-01-31", "2026-01-31 18:30"; local time) or "7d", "12h" (ago) means.

    Raises `ValueError` for anything else.
    """
    if ago := _AGO.fullmatch(text.strip()):
        count = int(ago[1])
        return datetime.now().astimezone() - (timedelta(days=count) if ago[2] == "d" else timedelta(hours=count))
    try:
        return datetime.fromisoformat(text.strip()).astimezone()
    except (ValueError, OverflowError, OSError):
        raise ValueError(f"{text!r} is no date: give one such as 2026-01-31, or 7d or 12h for so long ago") from None
