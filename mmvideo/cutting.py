"""Pieces of a media as files: clips by ffmpeg, frames as JPEG, and the shape of its sound.

A clip is copied without encoding by default, so it begins at the keyframe at or before its start; `exact` encodes it
again, so that it begins and ends on the frame. ffmpeg gets names as `file:…`, so that none is read as an address or an
option.
"""

from __future__ import annotations

import contextlib
import io
import math
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from .address import Address
from .datatypes import SAMPLE_RATE, Media, VideoStream
from .decode.frames import scaled_size
from .decode.sound import ffmpeg_program
from .errors import MediaError, QueryError
from .sandbox import MEMORY, Decoding, shared

LONGEST_RUN = 900.0
"""Seconds after which ffmpeg is ended."""


def clip(media: Media, start: float, end: float, out: Path, *, exact: bool = False) -> Path:
    """Write [start, end) of a media to `out` and return it; its suffix decides the container.

    Raises `QueryError` for an interval outside the media, `MediaError` if ffmpeg cannot make it.
    """
    start, end = max(start, media.start), min(end, media.end)
    if not end > start:
        raise QueryError(
            f"{media.path.name}: nothing between these times; it lasts from {media.start:g} to {media.end:g} s"
        )
    if not isinstance(media.path, Address):
        return _cut(media, media.path, start - media.start, end - start, out, exact)
    with tempfile.TemporaryDirectory(prefix="mmvideo-") as folder:  # ffmpeg opens no address: the stretch is fetched
        piece = Path(folder) / "piece.mkv"
        begins = shared().excerpt(media, start, end, piece)
        return _cut(media, piece, max(0.0, start - begins), end - start, out, exact)


def _cut(media: Media, file: Path, skipped: float, length: float, out: Path, exact: bool) -> Path:
    import ffmpeg

    # -ss counts from the beginning of the file, wherever its own clock starts
    source = ffmpeg.input(f"file:{file}", ss=f"{skipped:.6f}", protocol_whitelist="file")
    how = {"t": f"{length:.6f}", "map_metadata": "-1", "sn": None, "dn": None}
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
    status, complaints = _run(command, media)
    if status:
        said = complaints.decode(errors="replace").strip().splitlines()
        hint = "" if exact else "; try --exact, or another suffix"
        raise MediaError(f"{media.path}: no clip could be cut ({said[-1] if said else 'ffmpeg failed'}){hint}")
    return out


def _run(command: list[str], media: Media) -> tuple[int, bytes]:
    """Run ffmpeg, bounded in time and (Linux) in memory, and return its status and what it complained about."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:  # noqa: S603 - a list
        try:
            with contextlib.suppress(ImportError, AttributeError, OSError, ValueError):
                import resource

                resource.prlimit(process.pid, resource.RLIMIT_AS, (MEMORY, MEMORY))
            _, complaints = process.communicate(timeout=LONGEST_RUN)
        except subprocess.TimeoutExpired as error:
            raise MediaError(f"{media.path}: cutting took longer than {LONGEST_RUN:g} s") from error
        finally:
            process.kill()  # also when Ctrl-C comes; one that has ended does not mind
    return process.returncode, complaints


def frame_jpeg(media: Media, time: float, *, width: int | None = None, decoding: Decoding | None = None) -> bytes:
    """Return the frame shown at `time` as JPEG, at most `width` wide. Raises `MediaError` without a picture.

    `decoding` opens the file; without it, a process of its own that is kept for the next one does.
    """
    from PIL import Image

    if media.video is None:
        raise MediaError(f"{media.path}: no picture in it")
    time = min(max(time, media.start), max(media.start, media.end - 0.05))
    short_side = None if width is None else _short_side(media.video, width)
    image = Image.fromarray((decoding or shared()).frame_at(media, time, short_side=short_side).images[0])
    if width is not None and width < image.width:
        image = image.resize((width, max(1, round(image.height * width / image.width))), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=82 if width else 92)
    return buffer.getvalue()


def _short_side(video: VideoStream, width: int) -> int:
    """Return the shorter side of a picture that is at least `width` wide, as near to it as may be."""
    full = scaled_size(video, None)
    return max(1, math.ceil(min(full) * min(1.0, width / full[0])))


def waveform(media: Media, points: int = 800, *, decoding: Decoding | None = None) -> list[float]:
    """Return the loudest sample of each of `points` equal parts of a media, in [0, 1]; empty without sound.

    `decoding` as for `frame_jpeg`.
    """
    if not media.audio:
        return []
    peaks = np.zeros(points)
    total = max(1, round(media.duration * SAMPLE_RATE))
    first = 0
    for block in (decoding or shared()).read_audio(media, block_seconds=60.0):
        part = np.minimum((np.arange(first, first + len(block.samples)) * points) // total, points - 1)
        np.maximum.at(peaks, part, np.abs(block.samples))
        first += len(block.samples)
    return [round(float(peak), 4) for peak in peaks]
