import os
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mmvideo.decode import frame_at, frames, read_audio, sample_frames, sound
from mmvideo.decode.timeline import Timeline, read_timeline
from mmvideo.errors import MediaError
from mmvideo.media import probe

from .films import make_film
from .media_factory import HIGH, LOW, SECONDS, irregular_times, picture, pitch, told

BY_NUMBER = [
    "plain.mp4", "silent.mp4", "plain.mov", "plain.mkv", "fragmented.mp4", "closed.mp4", "vp9.webm", "vp8.webm",
    "one_frame.mp4", "short.mp4", "irregular.mp4", "irregular.mkv", "late_picture.mp4",
]  # fmt: skip
"""Where decord's frame numbers are right."""
PLANNED = [*BY_NUMBER, "hevc.mp4", "mpeg4.mp4", "no_index.mkv"]
"""Where the packets tell what a frame needs."""
WHOLE = ["start.ts", "mpeg2.ts", "mpeg2.mpg", "mpeg4.avi", "edited.mp4", "late_sound.ts"]
UNDAMAGED = PLANNED + WHOLE


def sampled(media, **options):
    """Return (times, images, stream) of all frames."""
    options = {"interval": 1.0, "short_side": None} | options
    with sample_frames(media, **options) as stream:
        batches = list(stream)
    if not batches:
        return np.zeros(0), np.zeros((0, 1, 1, 3), np.uint8), stream
    return np.concatenate([b.times for b in batches]), np.concatenate([b.images for b in batches]), stream


def true_times(path):
    """Return when each frame is shown, by decoding everything in order."""
    import av

    with av.open(f"file:{path}") as container:
        return np.array([frame.time for frame in container.decode(video=0)])


def shown_at(times, moments):
    """Return the times of the frames on screen at these moments, each once."""
    return sorted({max((t for t in times if t <= m + 5e-4), default=times[0]) for m in moments})


def decoded_whole(monkeypatch):
    monkeypatch.setattr(frames, "read_timeline", lambda media: replace(read_timeline(media), doubt="a test"))


def decoded_by_decord(monkeypatch):
    monkeypatch.setattr(frames, "frames_of", lambda *_: iter(()))


def seen(images, offset):
    """Return the times that pictures tell, on the media's timeline."""
    return np.round([told(image) + offset for image in images], 6)


def offset_of(media):
    """Return what is to add to the time that a picture tells to get when it is shown."""
    first = true_times(media.path)[0]
    return first - (1.52 if media.path.name == "edited.mp4" else 0)  # its first 38 frames are hidden


def nearness(media):
    """Return by how much a picture may tell another time, in seconds: half a hundredth for rounding."""
    return 0.081 if media.container == "mpeg" else 0.006  # libav guesses some times of MPEG-PS, two frames amiss


# Frames at a pace


@pytest.mark.parametrize("name", UNDAMAGED)
@pytest.mark.parametrize("interval", [1.0, 0.37, 0.04])
def test_frames_are_those_on_screen_with_their_own_times(clips, name, interval):
    media = probe(clips[name])
    times, images, stream = sampled(media, interval=interval)
    true = true_times(media.path)
    moments = np.arange(true[0], media.end - 5e-4, interval)
    assert times.tolist() == shown_at(true, moments)  # equal, not near
    assert (np.diff(times) > 0).all()
    assert seen(images, offset_of(media)) == pytest.approx(times, abs=nearness(media))
    assert stream.notes == []


@pytest.mark.parametrize("name", UNDAMAGED)
def test_only_what_is_needed_is_decoded_where_packets_tell(clips, name, capfd):
    times, _, stream = sampled(probe(clips[name]))
    assert (stream.decoder, bool(stream.why)) == ("pyav", name in WHOLE)
    assert len(times) >= 1
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", PLANNED)
@pytest.mark.parametrize("short_side", [None, 48])
def test_all_ways_of_decoding_give_the_same(clips, name, short_side, monkeypatch):
    media = probe(clips[name])
    times, images, planned = sampled(media, interval=0.5, short_side=short_side)
    with monkeypatch.context() as patch:
        decoded_whole(patch)
        whole_times, whole_images, whole = sampled(media, interval=0.5, short_side=short_side)
    assert (planned.why, whole.why) == ("", "a test")
    assert times.tolist() == whole_times.tolist()
    assert np.array_equal(images, whole_images)
    if name in BY_NUMBER:
        decoded_by_decord(monkeypatch)
        other_times, other_images, other = sampled(media, interval=0.5, short_side=short_side)
        assert (other.decoder, other_times.tolist()) == ("decord", times.tolist())
        assert np.abs(images.astype(int) - other_images).mean() < 1.5


@pytest.mark.parametrize("size", [40, 60])
def test_a_packet_half_as_large_as_its_keyframe_is_a_change(size):
    keys = np.arange(100) % 20 == 0
    sizes = np.where(keys, 100, 10)
    sizes[37] = size
    timeline = Timeline(np.arange(100) / 10, 10.0, "", np.arange(100), keys, sizes)
    assert timeline.changes().tolist() == ([3.7] if size == 60 else [])


def test_a_cut_without_a_keyframe_is_found(tmp_path):
    film = make_film(tmp_path / "film.mp4", [("red", 5), ("green", 6), ("blue", 5)], sound=False)
    assert 5.0 not in keyframes(film)
    times, images, _ = sampled(probe(film), keyframe_gap=4.0)
    assert len(times) <= 10
    inside = [time for time in times if 5.0 <= time < 6.0]  # B-frames before the large one show the new picture too
    assert inside
    assert images[list(times).index(inside[0])][0, 0, 1] > 100


def keyframes(path):
    """Return the times of the keyframes, by decoding everything."""
    import av

    with av.open(f"file:{path}") as container:
        return [frame.time for frame in container.decode(video=0) if frame.key_frame]


@pytest.mark.parametrize("name", PLANNED)
@pytest.mark.parametrize("gap", [0.5, 3.0, 100.0])
def test_keyframes_stand_for_what_follows_them_up_to_a_gap(clips, name, gap):
    media = probe(clips[name])
    true, keys = true_times(media.path), keyframes(media.path)
    times, images, stream = sampled(media, interval=0.5, keyframe_gap=gap)
    chosen = shown_at(np.array(keys), np.arange(keys[0], media.end - 5e-4, 0.5))
    assert set(chosen) <= set(times.tolist())
    between = set(times.tolist()) - set(chosen)
    changes = set(read_timeline(media).changes().tolist())
    for key, following in zip(chosen, [*chosen[1:], read_timeline(media).end], strict=True):
        inside = {time for time in between if key < time < following}
        if following - key > gap + 5e-4 and len(shown_at(true, np.arange(key, following - 0.25, 0.5))) > 1:
            assert inside
        else:
            assert inside <= changes
    assert seen(images, offset_of(media)) == pytest.approx(times, abs=0.006)
    assert stream.notes == []


@pytest.mark.parametrize("name", UNDAMAGED)
@pytest.mark.parametrize("at", [[0.0, 0.9, 3.33, 3.34, 5.5], [4.1], []])
def test_frames_at_named_times(clips, name, at):
    media = probe(clips[name])
    true = true_times(media.path)
    named = [media.start + time for time in at]
    times, images, stream = sampled(media, at=named)
    assert times == pytest.approx(shown_at(true, named), abs=1e-9)
    if at:
        assert seen(images, offset_of(media)) == pytest.approx(times, abs=nearness(media))
    assert stream.notes == []


@pytest.mark.parametrize("name", ["plain.mp4", "irregular.mkv", "hevc.mp4", "start.ts"])
def test_a_batch_of_one_equals_a_batch_of_many(clips, name):
    media = probe(clips[name])
    times, images, _ = sampled(media, batch=32)
    with sample_frames(media, interval=1.0, batch=1) as stream:
        singly = list(stream)
    assert [len(batch) for batch in singly] == [1] * len(times)
    assert np.array_equal(np.concatenate([batch.images for batch in singly]), images)
    with sample_frames(media, interval=1.0, batch=4) as stream:
        assert [len(batch) for batch in stream][:-1] == [4] * ((len(times) - 1) // 4)


def test_a_frame_that_stays_is_found_while_it_stays_and_given_once(clips):
    media = probe(clips["irregular.mp4"])
    true = irregular_times()
    stays = true[20]  # for 4 s
    times, _, _ = sampled(media, interval=1.0)
    assert stays in times
    assert not ((times > stays) & (times < true[21])).any()


@pytest.mark.parametrize("name", ["one_frame.mp4", "short.mp4", "plain.mp4", "start.ts"])
def test_there_is_at_least_one_frame(clips, name):
    media = probe(clips[name])
    assert sampled(media, interval=1000.0)[0].tolist() == [true_times(media.path)[0]]
    assert len(sampled(media, interval=1.0, end=0.0)[0]) == 1


@pytest.mark.parametrize("name", ["plain.mp4", "irregular.mp4", "late_picture.mp4", *PLANNED[-3:], *WHOLE])
@pytest.mark.parametrize(
    ("begin", "stop"), [(2.5, 4.5), (0.0, 1.0), (3.33, 3.34), (5.0, 99.0), (99.0, 100.0), (3.0, 3.0)]
)
def test_a_range_gives_the_frames_on_screen_in_it(clips, name, begin, stop):
    media = probe(clips[name])
    true = true_times(media.path)
    begin, stop = media.start + begin, media.start + stop
    times, images, stream = sampled(media, interval=0.5, start=begin, end=stop)
    assert stream.notes == []  # what is lost by a seek is no damage
    moments = np.arange(max(begin, true[0]), stop - 5e-4, 0.5)
    if begin < media.end:
        assert times == pytest.approx(shown_at(true, moments), abs=1e-9)
    elif len(times):  # past the end the last frame stays
        assert times.tolist() == [true[-1]]
    assert seen(images, offset_of(media)) == pytest.approx(times, abs=nearness(media))


def test_a_media_without_video_and_wrong_settings(clips):
    with pytest.raises(MediaError, match="no video"):
        sample_frames(probe(clips["sound.wav"]), interval=1.0)
    with pytest.raises(MediaError, match="no video"):
        frame_at(probe(clips["sound.wav"]), 1.0)
    with pytest.raises(ValueError, match="positive"):
        sample_frames(probe(clips["plain.mp4"]), interval=0.0)


# Shapes


@pytest.mark.parametrize("name", ["plain.mp4", "hevc.mp4"])
@pytest.mark.parametrize(
    ("short_side", "shape"), [(None, (120, 160)), (120, (120, 160)), (500, (120, 160)), (60, (60, 80)), (75, (75, 100))]
)
def test_the_short_side_is_bounded_and_never_enlarged(clips, name, short_side, shape):
    media = probe(clips[name])
    times, images, _ = sampled(media, short_side=short_side)
    assert images.shape == (len(times), *shape, 3)
    assert images.dtype == np.uint8
    assert seen(images, 0) == pytest.approx(times, abs=0.006)


@pytest.mark.parametrize(("name", "turns"), [("rotated_90.mp4", 1), ("rotated_180.mp4", 2), ("rotated_270.mp4", 3)])
@pytest.mark.parametrize("way", ["planned", "whole", "decord"])
def test_rotated_recordings_are_upright(clips, name, turns, way, monkeypatch):
    if way == "whole":
        decoded_whole(monkeypatch)
    elif way == "decord":
        decoded_by_decord(monkeypatch)
    media = probe(clips[name])
    times, images, stream = sampled(media)
    flat_times, flat, _ = sampled(probe(clips["silent.mp4"]))
    assert stream.decoder == ("decord" if way == "decord" else "pyav")
    assert times.tolist() == flat_times.tolist()
    assert np.abs(images.astype(int) - np.rot90(flat, turns, (1, 2))).mean() < 4
    upright = frame_at(media, 2.0).images[0]
    assert np.abs(upright.astype(int) - np.rot90(flat[2], turns)).mean() < 4
    small = sampled(media, short_side=60)[1]
    assert small.shape[1:3] == ((60, 80) if turns == 2 else (80, 60))


def test_pixels_that_are_not_square_are_made_so(clips):
    images = sampled(probe(clips["wide_pixels.mp4"]), short_side=60)[1]
    assert images.shape[1:3] == (60, 160)


def test_a_width_that_decord_cannot_make(clips, monkeypatch):
    media = probe(clips["silent.mp4"])  # decord2 3.4.0 makes 4 channels where the width is padded by a third
    times, images, _ = sampled(media, short_side=72)
    assert images.shape[1:] == (72, 96, 3)
    assert seen(images, 0) == pytest.approx(times, abs=0.006)
    decoded_by_decord(monkeypatch)
    with pytest.raises(MediaError, match="no frame can be decoded"):
        sampled(media, short_side=72)


# One frame


@pytest.mark.parametrize("name", UNDAMAGED)
def test_the_frame_at_a_time_is_the_last_that_began(clips, name):
    media = probe(clips[name])
    true = true_times(media.path)
    for time in [
        media.start - 1,
        media.start,
        *(media.start + np.array([0.05, 1.0, 2.52, 3.999, 5.5])),
        media.end,
        99.0,
    ]:
        [at], [image] = (found := frame_at(media, time)).times, found.images
        assert at == pytest.approx(shown_at(true, [time])[0], abs=1e-9)
        assert told(image) + offset_of(media) == pytest.approx(at, abs=nearness(media))


def test_the_frame_at_a_time_is_scaled(clips):
    assert frame_at(probe(clips["plain.mp4"]), 1.0, short_side=30).images.shape == (1, 30, 40, 3)


def test_pictures_tell_their_time():
    assert [told(picture(time)) for time in (0.0, 0.04, 5.96, 20.4)] == [0.0, 0.04, 5.96, 20.4]


# Damage


@pytest.mark.parametrize("name", ["cut.mp4", "cut.mkv"])
def test_of_a_file_cut_short_there_is_what_there_is_and_a_note(clips, name):
    media = probe(clips[name])
    times, images, stream = sampled(media)
    assert times[:4].tolist() == [0.0, 1.0, 2.0, 3.0]
    assert times[-1] < SECONDS - 1
    assert seen(images, 0) == pytest.approx(times, abs=0.006)
    assert any("cut short" in note for note in stream.notes)


def test_a_transport_stream_cut_short_is_a_shorter_one(clips):
    media = probe(clips["cut.ts"])
    times, images, _ = sampled(media)
    assert len(times) >= 3
    assert seen(images, times[0]) == pytest.approx(times, abs=0.006)


@pytest.mark.parametrize("name", ["damaged.mp4", "damaged.ts"])
def test_damage_in_the_middle_leaves_both_ends_in_place(clips, name, capfd):
    media = probe(clips[name])
    times, images, _ = sampled(media, interval=0.5)
    told_times = [told(image) for image in (images[0], images[-1])]
    assert np.array(told_times) + times[0] == pytest.approx(times[[0, -1]], abs=0.006)
    assert times[-1] > media.end - 1.5
    assert capfd.readouterr() == ("", "")


def test_damage_is_told(clips):
    assert any("damaged" in note for note in sampled(probe(clips["damaged.mp4"]))[2].notes)


def test_where_pyav_fails_decord_tries(clips, monkeypatch):
    media = probe(clips["plain.mp4"])
    whole = sampled(media, batch=2)

    def failing(*_):
        raise MediaError(f"{media.path}: broken by a test")
        yield

    monkeypatch.setattr(frames, "frames_of", failing)
    times, images, stream = sampled(media, batch=2)
    assert times.tolist() == whole[0].tolist()
    assert seen(images, 0) == pytest.approx(times, abs=0.006)
    assert (stream.decoder, stream.why) == ("decord", "broken by a test")
    with pytest.raises(MediaError, match="broken by a test"):  # its numbers are wrong there
        sampled(probe(clips["hevc.mp4"]))


def test_times_that_decord_does_not_share_are_not_trusted(clips, monkeypatch):
    media = probe(clips["plain.mp4"])
    real = read_timeline(media)
    monkeypatch.setattr(frames, "read_timeline", lambda media: replace(real, times=real.times * 1.1))
    decoded_by_decord(monkeypatch)
    with pytest.raises(MediaError, match="no frame can be decoded"):
        sampled(media)


def test_a_file_that_has_gone(clips, tmp_path):
    path = tmp_path / "gone.mp4"
    shutil.copy(clips["plain.mp4"], path)
    media = probe(path)
    path.unlink()
    with pytest.raises(MediaError, match=r"gone\.mp4"):
        sampled(media)
    with pytest.raises(MediaError, match=r"gone\.mp4"):
        frame_at(media, 1.0)
    with pytest.raises(MediaError, match=r"gone\.mp4"):
        list(read_audio(media))


def test_a_file_that_has_become_another(clips, tmp_path):
    path = tmp_path / "changed.mp4"
    shutil.copy(clips["plain.mp4"], path)
    media = probe(path)
    shutil.copy(clips["sound.m4a"], path)
    with pytest.raises(MediaError, match=r"changed\.mp4: no video in it any more"):
        sampled(media)


# Closing


def open_files(path):
    links = [Path(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")]  # noqa: PTH208
    return [link for link in links if link.exists() and link.resolve() == path]


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("name", ["plain.mp4", "start.ts"])
def test_closing_frees_the_file(clips, name):
    path = clips[name].resolve()
    stream = sample_frames(probe(path), interval=0.1, batch=2)
    next(stream)
    assert open_files(path)
    stream.close()
    stream.close()
    assert not open_files(path)
    assert list(stream) == []


def test_closing_the_sound_ends_ffmpeg(clips, monkeypatch):
    started = []
    real = sound._started
    monkeypatch.setattr(sound, "_started", lambda *arguments: started.append(real(*arguments)) or started[-1])
    stream = read_audio(probe(clips["plain.mp4"]), block_seconds=0.5)
    next(stream)
    stream.close()
    assert started[0].poll() is not None
    assert started[0].stdout.closed
    assert started[0].stderr.closed


def test_a_stream_is_closed_from_another_thread_while_it_is_read(clips):
    stream = sample_frames(probe(clips["plain.mp4"]), interval=0.04, batch=1)
    got = []
    reader = threading.Thread(target=lambda: got.extend(stream))
    reader.start()
    stream.close()
    reader.join(10)
    assert not reader.is_alive()


def test_nothing_heavy_is_imported_before_it_is_used():
    heavy = {"av", "decord", "ffmpeg", "imageio_ffmpeg"}
    code = f"import sys, mmvideo.media, mmvideo.decode; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


# Sound


def heard(media, **options):
    """Return (samples, blocks, stream) of all sound."""
    with read_audio(media, **options) as stream:
        blocks = list(stream)
    return np.concatenate([block.samples for block in blocks]), blocks, stream


def begin_of_tone(samples):
    return np.flatnonzero(np.abs(samples) > 0.03)[0] / 16_000


@pytest.mark.parametrize(
    "name",
    [
        "sound.wav", "sound.flac", "sound.mp3", "cover.mp3", "sound.m4a", "sound.ogg", "sound.opus", "plain.mp4",
        "plain.mkv", "start.ts", "mpeg2.mpg", "mpeg4.avi",
    ],
)  # fmt: skip
def test_sound_of_all_kinds_is_on_the_medias_timeline(clips, name):
    media = probe(clips[name])
    samples, blocks, stream = heard(media)
    assert samples.dtype == np.float32
    assert np.abs(samples).max() <= 1
    assert blocks[0].start == media.start
    assert begin_of_tone(samples) < 0.05
    assert len(samples) / 16_000 == pytest.approx(SECONDS, abs=0.06)
    assert pitch(samples[16_000:64_000]) == pytest.approx(LOW, abs=2)
    assert (stream.decoder, stream.notes) == ("ffmpeg", [])


@pytest.mark.parametrize("name", ["plain.mp4", "start.ts"])
def test_blocks_follow_each_other_and_make_the_whole(clips, name):
    media = probe(clips[name])
    whole, _, _ = heard(media)
    pieces, blocks, _ = heard(media, block_seconds=0.75)
    assert np.array_equal(pieces, whole)
    assert [len(block.samples) for block in blocks[:-1]] == [12_000] * (len(blocks) - 1)
    assert [block.start for block in blocks] == [media.start + 0.75 * number for number in range(len(blocks))]


@pytest.mark.parametrize("name", ["late_sound.mp4", "late_sound.ts"])
def test_sound_that_begins_late_is_preceded_by_silence(clips, name):
    media = probe(clips[name])
    samples, [first], _ = heard(media)
    assert first.start == media.start
    assert begin_of_tone(samples) == pytest.approx(2.0, abs=0.06)
    assert not samples[:16_000].any()


def test_a_gap_is_silent_and_shifts_nothing(clips):
    media = probe(clips["gap.mkv"])
    samples, _, _ = heard(media)
    second = [np.abs(samples[n * 16_000 + 2000 : n * 16_000 + 14_000]).max() for n in range(6)]
    assert [level > 0.05 for level in second] == [True, True, False, False, True, True]


@pytest.mark.parametrize(("stream", "frequency"), [(0, LOW), (1, HIGH), (None, HIGH)])  # the second is marked default
def test_audio_streams_can_be_chosen(clips, stream, frequency):
    samples, _, _ = heard(probe(clips["two_tracks.mkv"]), stream=stream)
    assert pitch(samples[16_000:48_000]) == pytest.approx(frequency, abs=2)


def test_sound_and_streams_that_are_not_there(clips):
    with pytest.raises(MediaError, match="no sound"):
        read_audio(probe(clips["silent.mp4"]))
    with pytest.raises(MediaError, match="no audio stream 1"):
        read_audio(probe(clips["plain.mp4"]), stream=1)
    with pytest.raises(ValueError, match="positive"):
        read_audio(probe(clips["plain.mp4"]), block_seconds=0)


@pytest.mark.parametrize("name", ["cut.mp4", "cut.m4a", "damaged.mp3"])
def test_of_damaged_sound_there_is_what_there_is_and_a_note(clips, name, capfd):
    samples, _, stream = heard(probe(clips[name]))
    assert pitch(samples[8000:24_000]) == pytest.approx(LOW, abs=2)
    assert len(stream.notes) == 1
    assert capfd.readouterr() == ("", "")


def test_sound_that_cannot_be_decoded_is_an_error_with_ffmpegs_reason(clips, tmp_path):
    media = replace(probe(clips["plain.mp4"]), path=clips["text.mp4"])
    with pytest.raises(MediaError, match=r"text\.mp4: its sound cannot be decoded \(.*moov") as caught:
        heard(media)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["-dash.mp4", "http:colon.mp4", "%03d.mp4", "new\nline.mp4", "'quoted' \"one\".mp4"])
def test_odd_names_decode(clips, tmp_path, name):
    shutil.copy(clips["plain.mp4"], tmp_path / name)
    media = probe(tmp_path / name)
    times, _, stream = sampled(media)
    assert (len(times), stream.why) == (SECONDS, "")
    assert len(frame_at(media, 2.0)) == 1
    assert len(heard(media)[0]) / 16_000 == pytest.approx(SECONDS, abs=0.05)
