"""Pieces of a media as files: clips by ffmpeg, frames as JPEG, and the shape of its sound.

A clip is copied without encoding by default, so it begins at the keyframe at or before its start; `exact` encodes it
again, so that it begins and ends on the frame. ffmpeg gets names as `file:…`, so that none is read as an address or an
option.
"""

from __future__ import annotations

import io
import subprocess
from pathlib import Path

import numpy as np

from .datatypes import SAMPLE_RATE, Media
from .decode import frame_at, read_audio
from .decode.sound import ffmpeg_program
from .errors import MediaError, QueryError

LONGEST_RUN = 900.0
"""Seconds after which ffmpeg is ended."""


def clip(media: Media, start: float, end: float, out: Path, *, exact: bool = False) -> Path:
    """Write [start, end) of a media to `out` and return it; its suffix decides the container.

    Raises `QueryError` for an interval outside the media, `MediaError` if ffmpeg cannot make it.
    """
    import ffmpeg

    start, end = max(start, media.start), min(end, media.end)
    if not end > start:
        raise QueryError(
            f"{media.path.name}: nothing between these times; it lasts from {media.start:g} to {media.end:g} s"
        )
    # -ss counts from the beginning of the file, wherever its own clock starts
    source = ffmpeg.input(f"file:{media.path}", ss=f"{start - media.start:.6f}", protocol_whitelist="file")
    how = {"t": f"{end - start:.6f}", "map_metadata": "-1", "sn": None, "dn": None}
    if not exact:
        how |= {"c": "copy", "avoid_negative_ts": "make_zero"}
    elif media.video:
        how |= {"c:v": "libx264", "crf": "20", "preset": "veryfast", "pix_fmt": "yuv420p"}
        how |= {"vf": "scale=trunc(iw/2)*2:trunc(ih/2)*2"}
    if out.suffix.lower() in (".mp4", ".m4a", ".mov"):
        how["movflags"] = "+faststart"
        if exact:
            how["c:a"] = "aac"
    output = ffmpeg.output(source, f"file:{out}", **how)
    command = output.global_args("-nostdin", "-hide_banner", "-loglevel", "error", "-y").compile(cmd=ffmpeg_program())
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=LONGEST_RUN)  # noqa: S603 - a list, no shell
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines()
        hint = "" if exact else "; try --exact, or another suffix"
        raise MediaError(
            f"{media.path}: no clip could be cut ({said[-1] if said else 'ffmpeg failed'}){hint}"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise MediaError(f"{media.path}: cutting took longer than {LONGEST_RUN:g} s") from error
    return out


def frame_jpeg(media: Media, time: float, *, width: int | None = None) -> bytes:
    """Return the frame shown at `time` as JPEG, at most `width` wide. Raises `MediaError` without a picture."""
    from PIL import Image

    if media.video is None:
        raise MediaError(f"{media.path}: no picture in it")
    time = min(max(time, media.start), max(media.start, media.end - 0.05))
    image = Image.fromarray(frame_at(media, time).images[0])
    if width is not None and width < image.width:
        image = image.resize((width, max(1, round(image.height * width / image.width))), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=82 if width else 92)
    return buffer.getvalue()


def waveform(media: Media, points: int = 800) -> list[float]:
    """Return the loudest sample of each of `points` equal parts of a media, in [0, 1]; empty without sound."""
    if not media.audio:
        return []
    peaks = np.zeros(points)
    total = max(1, round(media.duration * SAMPLE_RATE))
    first = 0
    for block in read_audio(media, block_seconds=60.0):
        part = np.minimum((np.arange(first, first + len(block.samples)) * points) // total, points - 1)
        np.maximum.at(peaks, part, np.abs(block.samples))
        first += len(block.samples)
    return [round(float(peak), 4) for peak in peaks]
