"""Seconds to what people read. Inside mmvideo times are float seconds; this is used at the edges only."""

from __future__ import annotations


def clock(seconds: float) -> str:
    """Return seconds as HH:MM:SS.s, rounded to the tenth; a negative time has a minus sign in front."""
    tenths = round(abs(seconds) * 10)
    sign = "-" if seconds < 0 and tenths else ""
    return f"{sign}{tenths // 36000:02d}:{tenths // 600 % 60:02d}:{tenths // 10 % 60:02d}.{tenths % 10}"
