"""Sound as mono float32, at 16 kHz unless asked otherwise, on the media's timeline, streamed from ffmpeg.

ffmpeg keeps the container's own times (`-copyts`), and its resampler fills with silence whatever lies between the
media's start and the first sound, and every gap: sample n is heard at start + n / rate, also where sound starts late.
"""

from __future__ import annotations

import re
import shutil
from collections import deque
from collections.abc import Generator
from subprocess import Popen
from threading import Thread
from typing import Any

import numpy as np

from ..address import Address
from ..datatypes import SAMPLE_RATE, Audio, Media, Samples
from ..errors import MediaError
from .listened import blocks_of
from .stream import Account, Stream
from .timeline import INDEXED, opened

_ADDRESS = re.compile(r" @ 0x[0-9a-f]+")


def read_audio(
    media: Media, *, stream: int | None = None, block_seconds: float = 600.0, rate: int = SAMPLE_RATE
) -> Stream[Audio]:
    """Return the sound in consecutive blocks of `block_seconds` (the last is shorter), the first at `media.start`.

    `stream` counts in `media.audio`; None takes the one that the container marks as default, else the first. A block of
    600 s at 16 kHz is 38 MB. Raises `MediaError` at once for a media without that stream, and on reading if nothing
    decodes; what is only damaged or cut short is told in the stream's `notes`.
    """
    if not block_seconds > 0:
        raise ValueError(f"block_seconds must be positive, not {block_seconds}")
    if not media.audio:
        raise MediaError(f"{media.path}: no sound in it")
    if stream is None:
        stream = _default_stream(media)
    if not 0 <= stream < len(media.audio):
        raise MediaError(f"{media.path}: no audio stream {stream}; it has {len(media.audio)}, counted from 0")
    length = max(1, round(block_seconds * rate))
    if isinstance(media.path, Address):
        account = Account("pyav")
        return Stream(blocks_of(media, stream, length, rate, _filters(media, rate), account), account)
    account = Account("ffmpeg")
    return Stream(_blocks(media, stream, length, rate, account), account)


def _default_stream(media: Media) -> int:
    if len(media.audio) == 1:
        return 0
    from av.stream import Disposition

    with opened(media.path) as container:
        marked = [bool(stream.disposition & Disposition.default) for stream in container.streams.audio]
    return marked.index(True) if True in marked else 0


def ffmpeg_program() -> str:
    """Return the ffmpeg to run: imageio-ffmpeg's, else the one on the PATH. Raises `MediaError` if there is none."""
    try:
        from imageio_ffmpeg import get_ffmpeg_exe

        return str(get_ffmpeg_exe())
    except (ImportError, RuntimeError) as error:
        found = shutil.which("ffmpeg")
        if found is None:
            raise MediaError("no ffmpeg program found; pip install imageio-ffmpeg, or install ffmpeg") from error
        return found


def _filters(media: Media, rate: int) -> tuple[str, str]:
    """Return the settings of the two resamplers that sound goes through.

    "async" fills gaps, "first_pts" the time before the first sound. The latter counts in samples that come in, so the
    rate is changed before: the rate that a container states may be wrong by two (HE-AAC).
    """
    return f"osr={rate}:ochl=mono:osf=flt", f"async=1:first_pts={round(media.start * rate)}"


def _started(media: Media, stream: int, rate: int) -> Popen[bytes]:
    import ffmpeg

    resample = ",".join(f"aresample={how}" for how in _filters(media, rate))
    # "file:" keeps a name with a colon from being read as an address
    source = ffmpeg.input(f"file:{media.path}", protocol_whitelist="file")[f"a:{stream}"]
    output = ffmpeg.output(source, "pipe:1", f="f32le", acodec="pcm_f32le", af=resample)
    command = output.global_args("-nostdin", "-hide_banner", "-loglevel", "error", "-copyts")
    process: Popen[bytes] = command.run_async(cmd=ffmpeg_program(), pipe_stdout=True, pipe_stderr=True)
    return process


def _blocks(media: Media, stream: int, length: int, rate: int, account: Account) -> Generator[Audio]:
    process = _started(media, stream, rate)
    complaints: deque[str] = deque(maxlen=20)  # a damaged file makes thousands
    listener = Thread(target=_listen, args=(process.stderr, complaints), name="ffmpeg-stderr", daemon=True)
    listener.start()
    heard = 0
    most = round(rate * (600 + 4 * media.duration))
    try:
        while True:
            if heard > most:  # a damaged time far ahead is filled with silence for ever
                account.note(f"sound damaged: it goes on long after the end, read up to {heard / rate:.0f} s")
                return
            samples = _read(process.stdout, length)
            if len(samples):
                yield Audio(samples, media.start + heard / rate, rate)
                heard += len(samples)
            if len(samples) < length:
                break
        status = process.wait()
    finally:
        _end(process, listener)
    _judge(media, heard / rate, status, list(complaints), account)


def _read(pipe: Any, length: int) -> Samples:
    """Read `length` samples, fewer at the end, within [-1, 1] (a mix of channels or a lossy codec may go beyond)."""
    samples = np.empty(length, np.float32)
    room = samples.data.cast("B")
    filled = 0
    while filled < len(room) and (count := pipe.readinto(room[filled:])):
        filled += count
    kept = samples[: filled // 4]
    np.nan_to_num(kept, copy=False)
    np.clip(kept, -1, 1, out=kept)
    return kept


def _listen(pipe: Any, complaints: deque[str]) -> None:
    for line in pipe:
        complaints.append(_ADDRESS.sub("", line.decode(errors="replace")).strip())


def _end(process: Popen[bytes], listener: Thread) -> None:
    """Leave nothing behind: no process, no thread, no pipe."""
    if process.poll() is None:
        process.kill()  # it only reads; asked politely, it waits two seconds for room in the pipe
        process.wait()
    listener.join()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def _judge(media: Media, heard: float, status: int, complaints: list[str], account: Account) -> None:
    said = complaints[0] if complaints else f"ffmpeg ended with status {status}"
    if not heard and (status or complaints):
        raise MediaError(f"{media.path}: its sound cannot be decoded ({said}); see if a player plays it")
    end = media.start + heard
    if status or complaints:
        account.note(f"sound damaged or incomplete, read up to {end:.1f} s ({said})")
    elif not heard:
        account.note("the sound is empty")
    # With video, sound may rightly end early; and only an index says how long it should be.
    elif media.video is None and media.container in INDEXED and end < media.end - max(1.0, 0.01 * media.duration):
        account.note(f"cut short: the sound ends at {end:.1f} s of {media.end:.1f} s")
