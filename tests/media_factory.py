"""Small recordings whose pictures tell their own time.

A picture is 4 × 3 blocks: the first is always lit, the other 11 are the bits of its time in hundredths of a second. Lit
blocks have the colour of the second (`COLOURS`, by turns), so that a mean colour tells the second as well.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np
from imageio_ffmpeg import get_ffmpeg_exe
from numpy.typing import NDArray

WIDTH, HEIGHT, RATE, SECONDS = 160, 120, 25, 6
COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255), (255, 0, 255), (255, 255, 255))
LOW, HIGH = 440, 1320  # Hz


def picture(time: float) -> NDArray[np.uint8]:
    """Return the picture that tells `time` in [0, 20.47] seconds, (120, 160, 3)."""
    code = round(time * 100)
    blocks = np.zeros((12, 3), np.uint8)
    blocks[[True, *(bool(code >> bit & 1) for bit in range(11))]] = COLOURS[int(time + 1e-6) % len(COLOURS)]
    return blocks.reshape(3, 4, 3).repeat(HEIGHT // 3, 0).repeat(WIDTH // 4, 1)


def told(image: NDArray[np.uint8]) -> float:
    """Return the time that a picture of any size tells, to the hundredth of a second."""
    height, width = image.shape[:2]
    rows = [int((row + 0.5) * height / 3) for row in range(3)]
    columns = [int((column + 0.5) * width / 4) for column in range(4)]
    lit = image[rows][:, columns].max(-1).reshape(12) > 110
    assert lit[0], "not a picture that tells its time, or not upright"
    return sum(1 << bit for bit in range(11) if lit[bit + 1]) / 100


def pitch(samples: NDArray[np.float32]) -> float:
    """Return the strongest frequency, in Hz, of sound at 16 kHz."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * 16_000 / len(samples))


def ffmpeg(*arguments: object, data: bytes | None = None) -> None:
    """Run ffmpeg; the last argument is the file to make."""
    command = [get_ffmpeg_exe(), "-y", "-v", "error", *map(str, arguments)]
    done = subprocess.run(command, input=data, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 0, done.stderr.decode()


PICTURES = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{WIDTH}x{HEIGHT}", "-r", RATE, "-i", "-")
X264 = ("-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-bf", 3, "-g", 50)
X265 = ("-pix_fmt", "yuv420p", "-c:v", "libx265", "-x265-params", "log-level=none:keyint=25:bframes=3:open-gop=1")
MPEG4 = ("-c:v", "mpeg4", "-q:v", 3, "-bf", 2, "-g", 12)
MPEG2 = ("-c:v", "mpeg2video", "-q:v", 3, "-bf", 2, "-g", 12)
AAC = ("-c:a", "aac", "-ar", 44100)

COVER = ("-map", 0, "-map", 1, "-c:a", "libmp3lame", "-c:v", "png", "-disposition:v", "attached_pic")
TRACKS = ("-map", "0:v", "-map", "1:a", "-map", "2:a", "-c:v", "copy", "-c:a", "libmp3lame")
LANGUAGES = ("-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=deu")
TWO_TRACKS = (*TRACKS, *LANGUAGES, "-disposition:a:0", 0, "-disposition:a:1", "default")


def tone(frequency: int = LOW, seconds: float = SECONDS) -> tuple[str, ...]:
    """Return ffmpeg's arguments for an input that sounds."""
    return ("-f", "lavfi", "-i", f"sine={frequency}:duration={seconds}")


def pictures(seconds: float = SECONDS) -> bytes:
    """Return raw pictures, 25 a second."""
    return b"".join(picture(number / RATE).tobytes() for number in range(round(seconds * RATE)))


def encode(path: Path, *options: object, inputs: Iterable[object] = (), seconds: float = SECONDS) -> None:
    """Make a recording of pictures that tell their time, and of the other inputs."""
    ffmpeg(*PICTURES, *inputs, *options, path, data=pictures(seconds))


def irregular(path: Path, times: Iterable[float]) -> None:
    """Make a video whose pictures are shown at these times (in hundredths of a second)."""
    import av

    tick = Fraction(1, 1000)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.time_base = stream.codec_context.time_base = tick
        stream.codec_context.gop_size, stream.codec_context.max_b_frames = 20, 3
        for time in times:
            frame = av.VideoFrame.from_ndarray(picture(time), format="rgb24")
            frame.pts, frame.time_base = round(time * 1000), tick
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def irregular_times() -> list[float]:
    """Return times from 0 to about 10 s with steps of 0.01 to 0.5 s, and one picture that stays for 4 s."""
    steps = np.random.default_rng(1).integers(1, 50, 40)
    steps[20] = 400
    return [float(hundredths) / 100 for hundredths in np.concatenate([[0], np.cumsum(steps)[:-1]])]


class Clips:
    """Recordings by name, each made when it is first asked for. `clips["plain.mp4"]` is its path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __getitem__(self, name: str) -> Path:
        path = self.folder / name
        if not path.exists():
            RECIPES[name](self, path)
        return path

    def copy(self, path: Path, source: str, *options: object, before: Iterable[object] = ()) -> None:
        """Make a recording of the same packets as another."""
        ffmpeg(*before, "-i", self[source], *options, "-c", "copy", path)

    def late(self, path: Path, picture: bool) -> None:
        """Make a recording of which the picture, or else the sound, begins 2 s after the other."""
        wait = ("-itsoffset", 2)
        whole = ("-i", self["plain.mp4"])
        inputs = (*wait, *whole, *whole) if picture else (*whole, *wait, *whole)
        ffmpeg(*inputs, "-map", "0:v", "-map", "1:a", "-c", "copy", path)

    def cut(self, path: Path, source: str, share: float) -> None:
        """Make a file of the first bytes of another."""
        data = self[source].read_bytes()
        path.write_bytes(data[: int(len(data) * share)])

    def damage(self, path: Path, source: str, length: int) -> None:
        """Make a file like another, with noise in its middle."""
        data = bytearray(self[source].read_bytes())
        middle = len(data) // 2
        data[middle : middle + length] = np.random.default_rng(0).bytes(length)
        path.write_bytes(data)


RECIPES: dict[str, Callable[[Clips, Path], object]] = {
    # sound and picture
    "plain.mp4": lambda _, p: encode(p, *X264, *AAC, inputs=tone()),
    "silent.mp4": lambda _, p: encode(p, *X264),
    "plain.mov": lambda c, p: c.copy(p, "plain.mp4"),
    "plain.mkv": lambda c, p: c.copy(p, "plain.mp4"),
    "fragmented.mp4": lambda c, p: c.copy(p, "plain.mp4", "-movflags", "frag_keyframe+empty_moov"),
    "one_frame.mp4": lambda _, p: encode(p, *X264, seconds=1 / RATE),
    "short.mp4": lambda _, p: encode(p, *X264, seconds=0.2),
    "vp9.webm": lambda _, p: encode(p, "-c:v", "libvpx-vp9", "-g", 50, "-deadline", "realtime", "-cpu-used", 8),
    "vp8.webm": lambda _, p: encode(p, "-c:v", "libvpx", "-g", 50, "-deadline", "realtime", "-cpu-used", 8),
    "closed.mp4": lambda _, p: encode(p, *X264, "-x264-params", "scenecut=0:keyint=25"),
    # keyframes that are not the first of their group to be shown
    "hevc.mp4": lambda _, p: encode(p, *X265),
    "mpeg4.mp4": lambda _, p: encode(p, *MPEG4),
    # times of all kinds
    "start.ts": lambda _, p: encode(p, *X264, *AAC, inputs=tone()),
    "mpeg2.ts": lambda _, p: encode(p, *MPEG2, "-c:a", "mp2", inputs=tone()),
    "mpeg2.mpg": lambda _, p: encode(p, *MPEG2, "-c:a", "mp2", inputs=tone()),
    "mpeg4.avi": lambda _, p: encode(p, *MPEG4, "-c:a", "libmp3lame", inputs=tone()),
    "edited.mp4": lambda c, p: c.copy(p, "plain.mp4", before=("-ss", 1.5)),
    "irregular.mp4": lambda _, p: irregular(p, irregular_times()),
    "irregular.mkv": lambda _, p: irregular(p, irregular_times()),
    "no_index.mkv": lambda c, p: ffmpeg("-i", c["plain.mp4"], "-c", "copy", "-f", "matroska", "-live", 1, p),
    "late_sound.mp4": lambda c, p: c.late(p, False),
    "late_sound.ts": lambda c, p: c.late(p, False),
    "late_picture.mp4": lambda c, p: c.late(p, True),
    # shapes
    "rotated_90.mp4": lambda c, p: c.copy(p, "silent.mp4", before=("-display_rotation", 90)),
    "rotated_180.mp4": lambda c, p: c.copy(p, "silent.mp4", before=("-display_rotation", 180)),
    "rotated_270.mp4": lambda c, p: c.copy(p, "silent.mp4", before=("-display_rotation", 270)),
    "wide_pixels.mp4": lambda _, p: encode(p, *X264, "-vf", "setsar=2"),
    # sound
    "sound.wav": lambda _, p: ffmpeg(*tone(), p),
    "sound.flac": lambda _, p: ffmpeg(*tone(), p),
    "sound.mp3": lambda _, p: ffmpeg(*tone(), "-c:a", "libmp3lame", p),
    "sound.m4a": lambda _, p: ffmpeg(*tone(), *AAC, p),
    "sound.ogg": lambda _, p: ffmpeg(*tone(), "-c:a", "libvorbis", p),
    "sound.opus": lambda _, p: ffmpeg(*tone(), "-c:a", "libopus", p),
    "cover.mp3": lambda c, p: ffmpeg(*tone(), "-i", c["picture.png"], *COVER, p),
    "gap.mkv": lambda _, p: ffmpeg(*tone(), "-af", "aselect='not(between(t,2,4))'", "-c:a", "libmp3lame", p),
    "two_tracks.mkv": lambda c, p: ffmpeg("-i", c["silent.mp4"], *tone(LOW), *tone(HIGH), *TWO_TRACKS, p),
    # damage
    "no_index.mp4": lambda c, p: c.cut(p, "plain.mp4", 0.6),
    "index_first.mp4": lambda c, p: c.copy(p, "plain.mp4", "-movflags", "faststart"),
    "cut.mp4": lambda c, p: c.cut(p, "index_first.mp4", 0.6),
    "cut.mkv": lambda c, p: c.cut(p, "plain.mkv", 0.6),
    "cut.ts": lambda c, p: c.cut(p, "start.ts", 0.6),
    "index_first.m4a": lambda c, p: c.copy(p, "sound.m4a", "-movflags", "faststart"),
    "cut.m4a": lambda c, p: c.cut(p, "index_first.m4a", 0.6),
    "damaged.mp4": lambda c, p: c.damage(p, "index_first.mp4", 3000),
    "damaged.ts": lambda c, p: c.damage(p, "start.ts", 20_000),
    "damaged.mp3": lambda c, p: c.damage(p, "sound.mp3", 3000),
    # no recordings
    "picture.png": lambda _, p: ffmpeg(*PICTURES, "-frames:v", 1, p, data=pictures(0.04)),
    "picture.jpg": lambda _, p: ffmpeg(*PICTURES, "-frames:v", 1, p, data=pictures(0.04)),
    "picture.gif": lambda _, p: ffmpeg(*PICTURES, "-frames:v", 1, p, data=pictures(0.04)),
    "picture.mp4": lambda c, p: p.write_bytes(c["picture.png"].read_bytes()),
    "moving.gif": lambda _, p: ffmpeg(*PICTURES, p, data=pictures(1)),
    "text.mp4": lambda _, p: p.write_text("This is no recording.\n" * 20),
    "text.txt": lambda _, p: p.write_text("This is no recording.\n" * 20),
    "list.m3u8": lambda _, p: p.write_text("#EXTM3U\n#EXTINF:10,\nhttp://localhost:9/a.ts\n"),
    "empty.mp4": lambda _, p: p.touch(),
    "noise.mp4": lambda _, p: p.write_bytes(np.random.default_rng(0).bytes(50_000)),
}
