"""Hits and media as text, as JSON values, and as pictures."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .datatypes import AddReport, Hit, Images, Match, Media, ModelId
from .errors import MediaError
from .sandbox import Decoding, shared
from .store import StoredMedia
from .times import clock

VERBS = {"visual": "seen", "speech": "said", "sound": "heard", "screen": "shown", "caption": "described"}


# JSON values


def hit_to_dict(hit: Hit, *, explain: bool = False) -> dict[str, Any]:
    """Return a hit as JSON values: path, start, end, score, matches; times in seconds, `marks` in characters of `text`.

    `explain` adds to each match the numbers that its score was made of.
    """
    return {
        "path": _path(hit.path),
        "start": round(hit.start, 3),
        "end": round(hit.end, 3),
        "score": round(hit.score, 4),
        "matches": [_match_to_dict(match, explain) for match in hit.matches],
    }


def _match_to_dict(match: Match, explain: bool) -> dict[str, Any]:
    values: dict[str, Any] = {
        "modality": match.modality,
        "score": round(match.score, 4),
        "time": round(match.time, 3),
        "text": match.text,
        "start": round(match.start, 3),
        "end": round(match.end, 3),
        "similarity": None if match.similarity is None else round(match.similarity, 4),
        "marks": [list(mark) for mark in match.marks],
    }
    if explain:
        values["explain"] = {name: round(value, 4) for name, value in match.reasons}
    return values


def media_to_dict(media: Media) -> dict[str, Any]:
    """Return what is known of a file as JSON values."""
    video = media.video
    return {
        "path": _path(media.path),
        "start": media.start,
        "duration": media.duration,
        "size": media.size,
        "container": media.container,
        "fingerprint": media.fingerprint,
        "video": None if video is None else {name: getattr(video, name) for name in video.__slots__},
        "audio": [{name: getattr(stream, name) for name in stream.__slots__} for stream in media.audio],
    }


def report_to_dict(report: AddReport) -> dict[str, Any]:
    """Return what became of each file as JSON values."""
    media = [
        {
            "path": _path(one.path),
            "outcome": one.outcome,
            "message": one.message,
            "notes": list(one.notes),
            "segments": one.segments,
            "seconds": round(one.seconds, 3),
        }
        for one in report.media
    ]
    return {"media": media, "notes": list(report.notes)}


def _path(path: Path) -> str:
    # A name that is not UTF-8 has no JSON form; the replacement at least shows where it is.
    return os.fsencode(path).decode("utf-8", "replace")


# Text


def hits_to_text(hits: Sequence[Hit], *, explain: bool = False, marks: tuple[str, str] = ("", "")) -> str:
    """Return hits to be read: where, how sure, and for each modality why; `explain` adds how its score came about.

    The words of the query stand between the two `marks`, which are single characters that no text is left to hold.
    Where hits follow that are less sure than not, a line says so.
    """
    names = [_one_line(hit.path.name) for hit in hits]
    width = max(map(len, names))
    lines = []
    for rank, (hit, name) in enumerate(zip(hits, names, strict=True), 1):
        if not hit.sure and rank > 1 and hits[rank - 2].sure:
            lines.append("    less sure:")
        lines.append(f"{rank:2}. {name:{width}}  {clock(hit.start)} – {clock(hit.end)}  score {hit.score:.2f}")
        for match in hit.matches:
            lines.append(f"      {_why(match, marks)}")
            if explain:
                numbers = ", ".join(f"{name} {value:.3f}" for name, value in match.reasons)
                lines.append(f"         {numbers} → {match.score:.3f}")
        if explain and len(hit.matches) > 1:
            lines.append(f"      together {' and '.join(f'{m.score:.3f}' for m in hit.matches)} → {hit.score:.3f}")
    return "\n".join(lines)


def _one_line(text: str) -> str:
    """Return text whose line breaks are escaped: a file's name must not look like a line of ours."""
    return "".join(c if c not in "\n\r\v\f\x85\u2028\u2029" else c.encode("unicode_escape").decode() for c in text)


def _why(match: Match, marks: tuple[str, str]) -> str:
    verb = VERBS[match.modality]
    at = f"at {clock(match.time)}"
    if match.text is None:
        return f"{verb} {at}  ({match.score:.2f})"
    if match.modality == "sound":  # what fills the window, not what was looked for
        return f"{verb} {at}: {match.text}  ({match.score:.2f})"
    how = "its words" if match.words_matched else "its meaning"
    return f"{verb} {at}  “{_marked(match, marks)}”  ({how}, {match.score:.2f})"


def _marked(match: Match, marks: tuple[str, str], length: int = 160) -> str:
    """Return the text of a match, shortened to its words that fit, those of the query between marks."""
    text = match.text or ""
    for mark in filter(None, marks):
        text = text.replace(mark, " ")  # as long as before: the places stay right
    shown = _shortened(text, length)
    whole = len(shown) if shown == text else len(shown) - 2
    for start, end in reversed([place for place in match.marks if place[1] <= whole]):
        shown = f"{shown[:start]}{marks[0]}{shown[start:end]}{marks[1]}{shown[end:]}"
    return shown


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1].rsplit(" ", 1)[0] + " …"


def report_to_text(report: AddReport) -> str:
    """Return what became of the files: one line for each that is not unchanged, then the sum."""
    lines = []
    for one in report.media:
        if one.outcome == "failed":
            lines.append(f"failed   {_one_line(one.message)}")
        elif one.outcome != "unchanged":
            made = ", ".join(f"{count} {modality}" for modality, count in one.segments.items()) or "nothing to index"
            lines.append(f"{one.outcome:8} {_one_line(one.path.name)}  {made}  in {one.seconds:.1f} s")
            lines += [f"         note: {note}" for note in one.notes]
    lines += [f"note: {note}" for note in report.notes]
    outcomes = ("added", "updated", "moved", "unchanged", "failed")
    counted = [f"{n} {outcome}" for outcome in outcomes if (n := sum(one.outcome == outcome for one in report.media))]
    return "\n".join([*lines, ", ".join(counted) or "nothing to add"])


def stored_to_text(stored: StoredMedia, counts: dict[str, int], models: dict[str, ModelId]) -> str:
    """Return what is known of a media, a line each."""
    media = stored.media
    begins = f", from {clock(media.start)}" if media.start else ""
    lines = [_one_line(str(media.path)), f"  length    {clock(media.duration)}{begins}"]
    if media.video:
        video = media.video
        turned = f", rotated by {video.rotation}°" if video.rotation else ""
        rate = f", {video.frame_rate:.5g} frames/s" if video.frame_rate else ""
        lines.append(f"  picture   {video.codec}, {video.width} × {video.height}{rate}{turned}")
    for stream in media.audio:
        language = f", {stream.language}" if stream.language else ""
        lines.append(f"  sound     {stream.codec}, {stream.sample_rate} Hz, {stream.channels} channels{language}")
    lines.append(f"  segments  {', '.join(f'{count} {modality}' for modality, count in counts.items()) or 'none'}")
    lines += [f"  {part:9} {model.name}" for part, model in models.items()]
    lines += [f"  note      {note}" for note in stored.notes]
    return "\n".join(lines)


# Pictures


def storyboard(
    hits: Sequence[Hit],
    media: Sequence[Media],
    *,
    columns: int = 3,
    width: int = 320,
    decoding: Decoding | None = None,
) -> Images:
    """Return one picture (height, width, 3) uint8 with a frame per hit, its rank, file and time below it.

    `media` are those of the hits, in the same order. A hit in a recording without picture shows its words instead.
    `decoding` opens the files; without it, a process of its own that is kept for the next ones does. Raises
    `ValueError` without hits.
    """
    from PIL import Image, ImageDraw, ImageFont

    if not hits:
        raise ValueError("a storyboard needs at least one hit")
    picture, caption, gap = width * 9 // 16, 22, 8
    rows = -(-len(hits) // columns)
    columns = min(columns, len(hits))
    size = (columns * (width + gap) + gap, rows * (picture + caption + gap) + gap)
    sheet = Image.new("RGB", size, (24, 24, 27))
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(13)
    for position, (hit, one) in enumerate(zip(hits, media, strict=True)):
        x = gap + position % columns * (width + gap)
        y = gap + position // columns * (picture + caption + gap)
        draw.rectangle((x, y, x + width - 1, y + picture - 1), fill=(39, 39, 42))
        shown = _thumbnail(one, hit.time, (width, picture), decoding or shared())
        if shown is not None:
            sheet.paste(shown, (x + (width - shown.width) // 2, y + (picture - shown.height) // 2))
        else:
            draw.multiline_text((x + 12, y + 12), _wrapped(hit.text or "", 44, 9), fill=(228, 228, 231), font=font)
        label = f"{position + 1}.  {clock(hit.time)}  {hit.path.name}"
        draw.text((x, y + picture + 3), _shortened(label, 46), fill=(212, 212, 216), font=font)
    return np.asarray(sheet)


def _thumbnail(media: Media, time: float, size: tuple[int, int], decoding: Decoding) -> Any | None:
    from PIL import Image

    if media.video is None:
        return None
    try:
        image = Image.fromarray(decoding.frame_at(media, time, short_side=max(size)).images[0])
    except MediaError:
        return None
    image.thumbnail(size)
    return image


def _wrapped(text: str, width: int, lines: int) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(text, width, max_lines=lines, placeholder=" …"))
