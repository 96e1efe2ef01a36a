"""Hits for other programs: CSV, JSON, SRT, EDL (CMX 3600) and OpenTimelineIO.

Editors count frames, so each hit is rounded to the frames of its own media; an EDL has one rate, that of the first
media with a picture. 29.97 and 59.94 are counted drop-frame, as editors do.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from .datatypes import Hit, Media
from .errors import QueryError
from .export import hit_to_dict
from .subtitles import timestamp

RATES = tuple(Fraction(r) for r in ("24000/1001", "24", "25", "30000/1001", "30", "48", "50", "60000/1001", "60"))
USUAL = Fraction(25)
"""The rate of recordings without picture."""

MediaOf = Mapping[Path, Media]


def to_csv(hits: Sequence[Hit], media: MediaOf) -> str:
    """Return a row per hit: path, start, end, score, modalities, text. A cell that would run is quoted."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(["path", "start", "end", "score", "modalities", "text"])
    for hit in hits:
        row = hit_to_dict(hit)
        text = (hit.text or "").replace("\n", " ")
        modalities = "+".join(match.modality for match in hit.matches)
        writer.writerow([row["path"], row["start"], row["end"], row["score"], modalities, _inert(text)])
    return out.getvalue()


def _inert(text: str) -> str:
    return f"'{text}" if text[:1] in "=+-@\t" and text else text


def to_json(hits: Sequence[Hit], media: MediaOf) -> str:
    """Return a JSON list of the hits."""
    return json.dumps([hit_to_dict(hit) for hit in hits], ensure_ascii=False, indent=2) + "\n"


def to_srt(hits: Sequence[Hit], media: MediaOf) -> str:
    """Return subtitles, one per hit, in order of time; of one media, because a subtitle file has one clock.

    Raises `QueryError` if the hits are of several media.
    """
    if len({hit.path for hit in hits}) > 1:
        raise QueryError("subtitles belong to one media: name it (`--media`)")
    blocks = []
    for number, hit in enumerate(sorted(hits, key=lambda hit: hit.start), 1):
        text = " ".join((hit.text or f"{hit.score:.2f}").split()).replace("-->", "→")
        blocks.append(f"{number}\n{timestamp(hit.start, ',')} --> {timestamp(hit.end, ',')}\n{text}\n")
    return "\n".join(blocks)


def rate_of(media: Media) -> Fraction:
    """Return the frame rate to count in: the editors' rate nearest to the media's own, 25 without picture."""
    rate = media.video.frame_rate if media.video else None
    if not rate:
        return USUAL
    near = min(RATES, key=lambda known: abs(float(known) - rate))
    return near if abs(float(near) - rate) < 0.02 * rate else Fraction(rate).limit_denominator(1001)


def timecode(frame: int, rate: Fraction) -> str:
    """Return a frame number as HH:MM:SS:FF, or HH:MM:SS;FF drop-frame at 29.97 and 59.94 (SMPTE ST 12-1): the first
    two (four) numbers of each minute are left out, but not in every tenth."""
    nominal = round(rate)
    drop = nominal // 15 if rate.denominator == 1001 and nominal in (30, 60) else 0
    if drop:
        per_minute, per_ten = nominal * 60 - drop, nominal * 600 - drop * 9
        tens, rest = divmod(frame, per_ten)
        frame += drop * 9 * tens + (drop * ((rest - drop) // per_minute) if rest >= drop else 0)
    seconds, frames = divmod(frame, nominal)
    mark = ";" if drop else ":"
    return f"{seconds // 3600 % 24:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{mark}{frames:02d}"


def _frames(hit: Hit, media: Media, rate: Fraction) -> tuple[int, int]:
    """Return first frame and number of frames, counted from the file's first one as editors do."""
    first = round((hit.start - media.start) * rate)
    return first, max(1, round((hit.end - media.start) * rate) - first)


def to_edl(hits: Sequence[Hit], media: MediaOf) -> str:
    """Return an edit decision list (CMX 3600): the hits one after the other, record time from 01:00:00:00."""
    rate = next((rate_of(media[hit.path]) for hit in hits if media[hit.path].video), USUAL)
    dropped = ";" in timecode(0, rate)
    lines = ["TITLE: mmvideo", f"FCM: {'DROP FRAME' if dropped else 'NON-DROP FRAME'}", ""]
    record = _hour(rate)
    for number, hit in enumerate(hits, 1):
        one = media[hit.path]
        first, count = _frames(hit, one, rate)
        times = [timecode(f, rate) for f in (first, first + count, record, record + count)]
        channel = "B" if one.video and one.audio else "V" if one.video else "A"
        lines.append(f"{number:03d}  AX       {channel:5} C        {' '.join(times)}")
        lines.append(f"* FROM CLIP NAME: {_line(hit.path.name)}")
        lines.append(f"* SOURCE FILE: {_line(str(hit.path))}")
        record += count
    return "\n".join(lines) + "\n"


def _hour(rate: Fraction) -> int:
    """Return the frame whose timecode is 01:00:00:00."""
    nominal = round(rate)
    drop = nominal // 15 if ";" in timecode(0, rate) else 0
    return nominal * 3600 - drop * 54


def _line(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)


def to_otio(hits: Sequence[Hit], media: MediaOf) -> str:
    """Return an OpenTimelineIO timeline (JSON) with the hits one after the other. Needs the extra `edit`."""
    try:
        import opentimelineio as otio
    except ImportError as error:
        raise QueryError("OpenTimelineIO is not installed: pip install 'mmvideo[edit]'") from error
    timeline = otio.schema.Timeline("mmvideo")
    track = otio.schema.Track("hits", kind=otio.schema.TrackKind.Video)
    timeline.tracks.append(track)
    for hit in hits:
        one = media[hit.path]
        rate = rate_of(one)
        first, count = _frames(hit, one, rate)

        def span(start: int, length: int, rate: float = float(rate)) -> Any:
            return otio.opentime.TimeRange(
                otio.opentime.RationalTime(start, rate), otio.opentime.RationalTime(length, rate)
            )

        whole = span(0, round(one.duration * rate))
        reference = otio.schema.ExternalReference(hit.path.as_uri(), whole)
        clip = otio.schema.Clip(hit.path.name, reference, span(first, count))
        clip.metadata["mmvideo"] = {"score": round(hit.score, 4), "text": hit.text or ""}
        track.append(clip)
    return str(otio.adapters.write_to_string(timeline, "otio_json")) + "\n"


FORMATS: dict[str, Callable[[Sequence[Hit], MediaOf], str]] = {
    "csv": to_csv,
    "json": to_json,
    "srt": to_srt,
    "edl": to_edl,
    "otio": to_otio,
}
"""Format name → writer of a whole file's text."""
