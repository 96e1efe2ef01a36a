import os
import shutil

import pytest

from mmvideo.errors import MediaError
from mmvideo.media import file_state, find_media, fingerprint, probe

from .media_factory import SECONDS

# Which files


@pytest.fixture
def folder(tmp_path):
    for name in ("b.mp4", "a.MKV", "notes.txt", ".hidden.mp4", "sub/c.wav", ".git/d.mp4", "own.mmv/e.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def names(files, folder):
    return [str(file.relative_to(folder)) for file in files]


def test_a_folder_gives_its_media_sorted_without_hidden_ones_and_libraries(folder):
    files, problems = find_media([folder])
    assert names(files, folder) == ["a.MKV", "b.mp4", "sub/c.wav"]
    assert problems == []


def test_a_named_file_is_taken_whatever_its_suffix_and_hidden_or_not(folder):
    files, problems = find_media([str(folder / "notes.txt"), folder / ".hidden.mp4"])
    assert names(files, folder) == ["notes.txt", ".hidden.mp4"]
    assert problems == []


def test_files_are_taken_once_in_the_order_given(folder):
    files, _ = find_media([folder / "b.mp4", folder, folder / "sub" / ".." / "b.mp4"])
    assert names(files, folder) == ["b.mp4", "a.MKV", "sub/c.wav"]


def test_relative_paths_become_absolute(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert find_media(["b.mp4"])[0] == [folder / "b.mp4"]


def test_links_that_lead_back_end(folder):
    (folder / "sub" / "up").symlink_to(folder)
    (folder / "same.mp4").symlink_to(folder / "b.mp4")
    files, problems = find_media([folder])
    assert names(files, folder) == ["a.MKV", "b.mp4", "sub/c.wav"]
    assert problems == []


def test_programs_in_typescript_are_no_transport_streams(folder, clips):
    (folder / "index.ts").write_text("export const answer = 42\n")
    shutil.copy(clips["start.ts"], folder / "film.ts")
    assert "film.ts" in names(find_media([folder])[0], folder)
    assert "index.ts" not in names(find_media([folder])[0], folder)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing.mp4", "no such file"),
        ("empty", "no video or audio files"),
        ("own.mmv", "library"),
        ("pipe", "neither"),
    ],
)
def test_what_cannot_be_taken_is_told_and_the_rest_taken(folder, name, words):
    (folder / "empty").mkdir()
    os.mkfifo(folder / "pipe")
    files, [(path, error)] = find_media([folder / name, folder / "b.mp4"])
    assert names(files, folder) == ["b.mp4"]
    assert path == folder / name
    assert isinstance(error, MediaError)
    assert words in str(error)
    assert str(path) in str(error)


@pytest.mark.parametrize("name", ["sub", "sub/c.wav"])
def test_a_folder_that_may_not_be_entered_is_told(folder, name, monkeypatch):
    def refuse(self, **_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(folder), "iterdir" if name == "sub" else "exists", refuse)
    _, [(path, error)] = find_media([folder / name])
    assert path == folder / name
    assert "Permission denied" in str(error)


def test_a_library_inside_does_not_make_a_folder_one_with_media(tmp_path):
    (tmp_path / "own.mmv").mkdir()
    (tmp_path / "own.mmv" / "e.mp4").write_bytes(b"x")
    assert find_media([tmp_path])[0] == []


# Has it changed


def test_the_fingerprint_is_of_content_not_of_name(tmp_path, clips):
    copy = tmp_path / "other.name"
    shutil.copy(clips["plain.mp4"], copy)
    size = copy.stat().st_size
    assert fingerprint(copy, size) == fingerprint(clips["plain.mp4"], size)
    assert len(fingerprint(copy, size)) == 32


@pytest.mark.parametrize("place", [0, 1_000_000, 1_999_999])
def test_the_fingerprint_sees_head_middle_and_tail_of_a_large_file(tmp_path, place):
    path = tmp_path / "large"
    data = bytearray(2_000_000)
    path.write_bytes(data)
    before = fingerprint(path, len(data))
    data[place] = 1
    path.write_bytes(data)
    assert fingerprint(path, len(data)) != before


def test_the_fingerprint_sees_every_byte_of_a_small_file(tmp_path):
    path = tmp_path / "small"
    path.write_bytes(bytes(500_000))
    before = fingerprint(path, 500_000)
    data = bytearray(500_000)
    data[400_000] = 1
    path.write_bytes(data)
    assert fingerprint(path, 500_000) != before


def test_the_state_of_a_file_is_what_media_stores(clips):
    media = probe(clips["plain.mp4"])
    assert file_state(clips["plain.mp4"]) == (media.size, media.mtime_ns)


def test_the_state_of_no_file_is_an_error(tmp_path):
    with pytest.raises(MediaError, match="cannot be read"):
        file_state(tmp_path / "missing")
    with pytest.raises(MediaError, match="not a regular file"):
        file_state(tmp_path)


# What is in it


def test_a_plain_recording(clips):
    media = probe(clips["plain.mp4"])
    assert media.path == clips["plain.mp4"]
    assert (media.container, media.start) == ("mp4", 0)
    assert media.duration == pytest.approx(SECONDS, abs=0.05)
    assert (media.video.codec, media.video.width, media.video.height) == ("h264", 160, 120)
    assert (media.video.rotation, media.video.frame_rate) == (0, 25)
    [audio] = media.audio
    assert (audio.codec, audio.sample_rate, audio.channels, audio.language) == ("aac", 44100, 1, None)


@pytest.mark.parametrize(
    ("name", "container", "codec"),
    [
        ("sound.wav", "wav", "pcm_s16le"), ("sound.flac", "flac", "flac"), ("sound.mp3", "mp3", "mp3"),
        ("sound.m4a", "m4a", "aac"), ("sound.ogg", "ogg", "vorbis"), ("sound.opus", "ogg", "opus"),
        ("cover.mp3", "mp3", "mp3"),
    ],
)  # fmt: skip
def test_sound_alone_and_covers_are_no_video(clips, name, container, codec):
    media = probe(clips[name])
    assert media.video is None
    assert (media.container, [stream.codec for stream in media.audio]) == (container, [codec])
    assert media.duration == pytest.approx(SECONDS, abs=0.1)


@pytest.mark.parametrize(
    ("name", "container", "codec"),
    [
        ("silent.mp4", "mp4", "h264"), ("plain.mov", "mov", "h264"), ("plain.mkv", "matroska", "h264"),
        ("vp9.webm", "webm", "vp9"), ("vp8.webm", "webm", "vp8"), ("mpeg4.avi", "avi", "mpeg4"),
        ("mpeg2.mpg", "mpeg", "mpeg2video"), ("start.ts", "mpegts", "h264"), ("hevc.mp4", "mp4", "hevc"),
        ("no_index.mkv", "matroska", "h264"),
    ],
)  # fmt: skip
def test_containers_and_codecs(clips, name, container, codec):
    media = probe(clips[name])
    assert (media.container, media.video.codec) == (container, codec)
    assert media.duration == pytest.approx(SECONDS, abs=0.1)


def test_audio_streams_with_their_languages(clips):
    assert [stream.language for stream in probe(clips["two_tracks.mkv"]).audio] == ["eng", "deu"]


def test_the_timeline_is_the_containers(clips):
    assert probe(clips["start.ts"]).start == pytest.approx(1.46, abs=0.05)
    late = probe(clips["late_picture.mp4"])
    assert (late.start, late.end) == (0, pytest.approx(SECONDS + 2, abs=0.05))


def test_one_frame_has_a_length(clips):
    assert probe(clips["one_frame.mp4"]).duration == pytest.approx(0.04)


@pytest.mark.parametrize(("name", "turn"), [("rotated_90.mp4", 270), ("rotated_180.mp4", 180), ("rotated_270.mp4", 90)])
def test_rotation_is_clockwise(clips, name, turn):  # ffmpeg's -display_rotation is counter-clockwise
    video = probe(clips[name]).video
    assert (video.rotation, video.width, video.height) == (turn, 160, 120)


def test_the_width_is_of_square_pixels(clips):
    video = probe(clips["wide_pixels.mp4"]).video
    assert (video.width, video.height) == (320, 120)


def test_a_moving_gif_is_a_recording(clips):
    assert probe(clips["moving.gif"]).video is not None


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("text.mp4", "not a recording"), ("text.txt", "recording"), ("noise.mp4", "not a recording"),
        ("empty.mp4", "empty"), ("no_index.mp4", "cut short"), ("list.m3u8", "playlist"), ("picture.png", "--image"),
        ("picture.jpg", "--image"), ("picture.gif", "--image"), ("picture.mp4", "--image"),
    ],
)  # fmt: skip
def test_what_is_no_recording_says_so_in_one_line(clips, name, words, capfd):
    with pytest.raises(MediaError) as caught:
        probe(clips[name])
    message = str(caught.value)
    assert words in message
    assert str(clips[name]) in message
    assert "\n" not in message
    assert capfd.readouterr() == ("", "")


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(MediaError, match="cannot be read"):
        probe(tmp_path / "missing.mp4")
    with pytest.raises(MediaError, match="not a regular file"):
        probe(tmp_path)


@pytest.mark.parametrize(
    "name", ["-dash.mp4", "http:colon.mp4", "%03d.mp4", "new\nline.mp4", "'quoted' \"one\".mp4", "ü*?[.mp4"]
)
def test_odd_names(clips, tmp_path, name, monkeypatch):
    shutil.copy(clips["short.mp4"], tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert probe(name).path == tmp_path / name
