"""Which files, what is in them, and a fingerprint to skip what is unchanged.

A folder is searched by suffix, because opening every file of a disk would take hours; a file named by the user is
always taken, and judged by what libav finds in it. `probe` decodes one frame or a moment of sound: a container may
promise streams from which nothing can be read, and how a video is turned is certain only on a frame.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from . import address
from .address import Address, located
from .datatypes import AudioStream, Media, VideoStream
from .errors import MediaError

VIDEO_SUFFIXES = frozenset(
    ".3g2 .3gp .asf .avi .divx .dv .f4v .flv .m2t .m2ts .m2v .m4v .mkv .mov .mp4 .mpe .mpeg .mpg .mts .mxf .ogm .ogv"
    " .qt .rm .rmvb .ts .vob .webm .wmv".split()
)
AUDIO_SUFFIXES = frozenset(
    ".aac .ac3 .aif .aifc .aiff .amr .ape .au .caf .eac3 .flac .m4a .m4b .mka .mp2 .mp3 .mpga .oga .ogg .opus .ra .wav"
    " .weba .wma .wv".split()
)
MEDIA_SUFFIXES = VIDEO_SUFFIXES | AUDIO_SUFFIXES
"""The suffixes (lower case, with dot) by which files are taken from a folder."""

LIBRARY_SUFFIX = ".mmv"

_FINGERPRINT_BLOCK = 256 * 1024
_STILL_BRANDS = ("heic", "heix", "mif1", "avif")  # HEIF pictures come in an MP4-like container
_NOT_RECORDINGS = frozenset({"tty", "image2", "ico", "webp", "lrc"})
_MICROSECONDS = 1_000_000  # libav's container times
_PLAYLISTS = (b"#EXTM3U", b"ffconcat", b"<?xml", b"<MPD")  # libav would follow them, an HLS one for ever
_LONGEST = 31 * 86_400  # seconds; the header of a longer recording is damaged
_PACKETS_TRIED = 500  # about 20 s of video: a stream of which none of these decodes is given up


# Which files


def find_media(paths: Iterable[str | os.PathLike[str]]) -> tuple[list[Path], list[tuple[Path, MediaError]]]:
    """Return the files to take, absolute and each once, and the paths that cannot be taken, each with the reason.

    Folders are walked in sorted order; hidden names and libraries in them are passed over, links are followed once. The
    order is that of `paths`. Addresses (`mmvideo.address`) are asked whether they are folders.
    """
    files: list[Path] = []
    problems: list[tuple[Path, MediaError]] = []
    seen: set[str] = set()
    for given in paths:
        try:
            path = located(given)
        except MediaError as error:
            problems.append((Path(address.cleaned(os.fspath(given))), error))
            continue
        found = 0
        for file in _files_of(path, problems):
            found += 1
            real = str(file) if isinstance(file, Address) else os.path.realpath(file)
            if real not in seen:
                seen.add(real)
                files.append(file)
        if not found and not (problems and path in (at for at, _ in problems)):
            problems.append((path, MediaError(f"{path}: no video or audio files in this folder")))
    return files, problems


def _files_of(path: Path, problems: list[tuple[Path, MediaError]]) -> Iterator[Path]:
    if isinstance(path, Address):
        from .remote import NETWORK

        try:
            yield from NETWORK.files(path, MEDIA_SUFFIXES)
        except MediaError as error:
            problems.append((path, error))
        return
    try:
        there = path.exists()
    except OSError as error:  # in a folder that may not be entered
        problems.append((path, MediaError(f"{path}: cannot be read ({error.strerror}); check its permissions")))
        return
    if not there and path.is_symlink():
        problems.append((path, MediaError(f"{path}: a link that leads nowhere")))
    elif not there:
        problems.append((path, MediaError(f"{path}: no such file or folder")))
    elif path.is_file():
        yield path
    elif not path.is_dir():
        problems.append((path, MediaError(f"{path}: neither a file nor a folder")))
    elif path.suffix.lower() == LIBRARY_SUFFIX:
        problems.append((path, MediaError(f"{path}: this is a library, not a recording; name the recordings' folder")))
    else:
        yield from _walk(path, problems, set())


def _walk(folder: Path, problems: list[tuple[Path, MediaError]], visited: set[str]) -> Iterator[Path]:
    real = os.path.realpath(folder)
    if real in visited:  # a link that leads back
        return
    visited.add(real)
    try:
        shown = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
        entries = [(entry, entry.is_dir(), entry.is_file()) for entry in shown]
    except OSError as error:
        problems.append((folder, MediaError(f"{folder}: cannot be listed ({error.strerror}); check its permissions")))
        return
    for entry, is_folder, is_file in entries:
        if is_folder:
            if entry.suffix.lower() != LIBRARY_SUFFIX:
                yield from _walk(entry, problems, visited)
        elif is_file and entry.suffix.lower() in MEDIA_SUFFIXES and not _is_typescript(entry):
            yield entry


def _is_typescript(path: Path) -> bool:
    """Tell a program in TypeScript from an MPEG transport stream, which starts with a packet's "G"."""
    if path.suffix.lower() not in (".ts", ".mts"):
        return False
    try:
        head = _head(path, 5)
    except MediaError:
        return False  # probe will say what is wrong
    return head[:1] != b"G" and head[4:] != b"G"


def _head(path: Path, length: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(length)
    except OSError as error:
        raise MediaError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error


# Has it changed


def file_state(path: Path) -> tuple[int, int]:
    """Return (size in bytes, time of the last change in ns): both as stored in `Media`, a file needs no probing.

    Raises `MediaError` for what is not a regular file that can be seen.
    """
    if isinstance(path, Address):
        return path.state()
    try:
        state = path.stat()
    except OSError as error:
        raise MediaError(f"{path}: cannot be read ({error.strerror})") from error
    if not stat.S_ISREG(state.st_mode):
        raise MediaError(f"{path}: not a regular file")
    return state.st_size, state.st_mtime_ns


def fingerprint(path: Path, size: int) -> str:
    """Return 32 hexadecimal digits that recognise the content wherever the file is: BLAKE2b of size and three blocks.

    Head, middle and tail of 256 KiB each are read, so it takes a millisecond for a file of any size; two files that
    differ only between those blocks look the same, which edited recordings never do (their index tables change).
    """
    digest = hashlib.blake2b(size.to_bytes(8, "little"), digest_size=16)
    block = _FINGERPRINT_BLOCK
    starts = (0, size // 2 - block // 2, size - block) if size > 3 * block else (0,)
    length = block if size > 3 * block else 3 * block
    try:
        with path.open("rb") as file:
            for start in starts:
                file.seek(start)
                digest.update(file.read(length))
    except OSError as error:
        raise MediaError(f"{path}: cannot be read ({error.strerror})") from error
    return digest.hexdigest()


# What is in it


def probe(path: str | os.PathLike[str]) -> Media:
    """Return what the file is and holds: its streams, timeline and fingerprint.

    Covers are no video. Raises `MediaError` for what is missing, empty, no recording, a picture, or damaged beyond
    reading.
    """
    path = located(path)
    size, mtime_ns = file_state(path)
    if size == 0:
        raise MediaError(f"{path}: the file is empty; copy or record it again")
    if _head(path, 64).lstrip().startswith(_PLAYLISTS):
        raise MediaError(f"{path}: a playlist, not a recording; name the recordings that it lists")
    with _opened(path) as container:  # libav's objects must not outlive it: they crash, they do not raise
        videos = [stream for stream in container.streams.video if not _is_cover(stream)]
        sounds = list(container.streams.audio)
        if not videos and not sounds:
            raise MediaError(f"{path}: no picture and no sound in it; is it a recording?")
        if _is_picture(container):
            raise MediaError(
                f"{path}: a still picture or text, not a recording; to search by picture, use search --image"
            )
        shape = _first_frame(path, videos[0].index) if videos else None
        if shape is None and not any(_decodes(path, stream.index) for stream in sounds):
            raise MediaError(f"{path}: nothing in it can be decoded; it is damaged, encrypted or of an unknown kind")
        video = _video_stream(videos[0], shape) if videos else None
        audio = tuple(_audio_stream(stream) for stream in sounds)
        name = _container_name(container, path)
        start, duration = _extent(container)
    if not _plausible(duration, size):
        raise MediaError(f"{path}: it says to last {duration:.4g} s in {size} bytes; its header is damaged")
    if duration <= 0 and video is not None:  # one picture in a container that states no duration
        duration = 1 / (video.frame_rate or 25)
    return Media(path, size, mtime_ns, fingerprint(path, size), name, start, duration, video, audio)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a file with libav, quietly; whatever it throws while open becomes a `MediaError`."""
    import av

    av.logging.set_level(None)
    try:
        with ExitStack() as stack:
            yield stack.enter_context(av.open(**address.opening(path, stack)))
    except (av.FFmpegError, OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise MediaError(
            f"{path}: not a recording, or cut short or damaged ({why}); see if a player opens it"
        ) from error


def _container_name(container: Any, path: Path) -> str:
    """Return one name, as "mp4" of libav's "mov,mp4,m4a,3gp,3g2,mj2"."""
    names = str(container.format.name).split(",")
    suffix = path.suffix.lower().lstrip(".")
    return suffix if suffix in names else names[0]


def _is_cover(stream: Any) -> bool:
    from av.stream import Disposition

    return bool(stream.disposition & (Disposition.attached_pic | Disposition.timed_thumbnails))


def _is_picture(container: Any) -> bool:
    name = str(container.format.name)
    if name in _NOT_RECORDINGS or name.endswith("_pipe"):
        return True
    if str(container.metadata.get("major_brand", "")).startswith(_STILL_BRANDS):
        return True
    if name in ("gif", "apng"):
        pictures = [packet for packet, _ in zip(container.demux(video=0), range(2), strict=False) if packet.size]
        return len(pictures) < 2
    return False


def _extent(container: Any) -> tuple[float, float]:
    """Return (start, duration) in seconds; from the streams or, at worst, all packets where the container is silent."""
    start = (container.start_time or 0) / _MICROSECONDS
    if container.duration:
        return start, container.duration / _MICROSECONDS
    ends = [
        float((stream.start_time or 0) + stream.duration) * float(stream.time_base)
        for stream in container.streams
        if stream.duration and stream.time_base
    ]
    if not ends:
        ends = [
            float(packet.pts + (packet.duration or 0)) * float(packet.time_base)
            for packet in container.demux(*container.streams.video, *container.streams.audio)
            if packet.pts is not None
        ]
    return start, max(0.0, max(ends, default=start) - start)


def _plausible(duration: float, size: int) -> bool:
    """Tell whether a file can last that long: what its header claims decides how much is computed and stored.

    The least that a second takes is 50 packets of silence in Opus, more than 100 bytes with their container; a still
    picture may last longer, so 8 are enough, after an hour that is free.
    """
    return duration <= min(_LONGEST, 3600 + size / 8)


def _first_frame(path: Path, index: int) -> tuple[int, int, float] | None:
    """Return (width, height, counter-clockwise turn) of the first frame of a stream, None if nothing decodes."""
    with _opened(path) as container:
        for frame in _decoded(container, index):
            return int(frame.width), int(frame.height), float(frame.rotation)
    return None


def _decodes(path: Path, index: int) -> bool:
    with _opened(path) as container:
        return any(True for _ in _decoded(container, index))


def _decoded(container: Any, index: int) -> Iterator[Any]:
    """Yield what the first packets of a stream decode to, passing over damaged ones."""
    import av

    if container.streams[index].codec_context is None:
        return
    packets = container.demux(container.streams[index])
    for _ in range(_PACKETS_TRIED):
        try:
            packet = next(packets, None)
            if packet is None:
                return
            yield from packet.decode()
        except av.EOFError:
            return
        except av.FFmpegError:
            continue


def _video_stream(stream: Any, shape: tuple[int, int, float] | None) -> VideoStream:
    """Describe a stream. Its width is that of square pixels (a DVD's 720 × 576 is shown as 1024 × 576)."""
    width, height, turn = shape or (int(stream.width), int(stream.height), 0.0)
    aspect = float(stream.sample_aspect_ratio or 1)
    if 0.25 <= aspect <= 4:  # beyond that the header is wrong
        width = round(width * aspect)
    rate = stream.average_rate or stream.guessed_rate
    return VideoStream(_codec(stream), width, height, -round(turn / 90) * 90 % 360, float(rate) if rate else None)


def _audio_stream(stream: Any) -> AudioStream:
    language = stream.metadata.get("language")
    context = stream.codec_context
    rate, channels = (int(context.sample_rate), int(context.channels)) if context is not None else (0, 0)
    return AudioStream(_codec(stream), rate, channels, language if language not in ("", "und") else None)


def _codec(stream: Any) -> str:
    context = stream.codec_context
    return str(context.codec.canonical_name) if context is not None else "unknown"
