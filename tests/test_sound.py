"""What is heard: windows, silence, speech, intervals, queries by words, by sound and by picture; CLAP against
transformers itself."""

import json
import re
import wave

import numpy as np
import pytest

from mmvideo import Library
from mmvideo.cli import main
from mmvideo.datatypes import SAMPLE_RATE, Audio, ModelId, Recipe, Segment, SoundTextEncoder
from mmvideo.encode import music
from mmvideo.encode.clap import Clap
from mmvideo.encode.weights import find
from mmvideo.errors import ModelError, QueryError
from mmvideo.export import hits_to_text
from mmvideo.heard import moments_heard
from mmvideo.hearing import sound_segments
from mmvideo.pool import unit
from mmvideo.sounds import at_rate, is_silent, loudness, windows

from .families import save, save_clap, save_pe_audio
from .speech import SPOKEN, load
from .toyworld import write_wav

BANDS = {"low": 300.0, "middle": 1200.0, "high": 5000.0}


def tone(name, seconds, rate=SAMPLE_RATE, loud=0.3):
    return (loud * np.sin(2 * np.pi * BANDS[name] * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def silence(seconds, rate=SAMPLE_RATE):
    return np.zeros(round(seconds * rate), np.float32)


class BandEncoder:
    """A sound's vector is its power in three bands, a text's the bands that it names, a picture's its colours."""

    rate = SAMPLE_RATE
    longest = 2.0

    def __init__(self, name="bands"):
        self.model = ModelId(name, "1", 3)
        self.heard = 0

    def encode_sounds(self, sounds):
        self.heard += len(sounds)
        found = np.zeros((len(sounds), 3), np.float32)
        for row, samples in enumerate(sounds):
            assert len(samples) <= self.longest * self.rate
            power = np.abs(np.fft.rfft(samples)) ** 2
            pitch = np.fft.rfftfreq(len(samples), 1 / self.rate)
            for column, middle in enumerate(BANDS.values()):
                found[row, column] = power[(pitch > middle / 2) & (pitch < middle * 2)].sum()
        return unit(found + 1e-3)

    def encode_texts(self, texts):
        return unit(np.array([[float(band in text) + 1e-3 for band in BANDS] for text in texts], np.float32))


class Hears(BandEncoder):
    """Hears at another rate, and nothing in particular."""

    def __init__(self, rate):
        super().__init__()
        self.rate = rate

    def encode_sounds(self, sounds):
        return np.ones((len(sounds), 3), np.float32) / np.sqrt(3)


class SeeingBandEncoder(BandEncoder):
    def encode_images(self, images):
        return unit(np.array([image.reshape(-1, 3).mean(axis=0) + 1e-3 for image in images], np.float32))


# Windows


def blocks(samples, size, rate=SAMPLE_RATE, start=0.0):
    return [Audio(samples[i : i + size], start + i / rate, rate) for i in range(0, len(samples), size)]


@pytest.mark.parametrize("size", [100, 333, 5000])
@pytest.mark.parametrize("length", [999, 1000, 1001, 1240, 1260, 3500])
def test_windows_overlap_and_cover_everything_however_the_sound_comes(size, length):
    samples = np.arange(length, dtype=np.float32)
    found = list(windows(blocks(samples, size, rate=1000, start=5.0), 0.5, 0.25))
    assert all(len(one.samples) <= 500 for one in found)
    for one in found:
        first = round((one.start - 5.0) * 1000)
        assert one.samples.tolist() == samples[first : first + len(one.samples)].tolist()
    starts = [round((one.start - 5.0) * 1000) for one in found]
    assert starts == [250 * i for i in range(len(starts))]
    covered = max(round((one.end - 5.0) * 1000) for one in found)
    assert length - 250 < covered <= length  # what is left is shorter than is worth a window


def test_no_sound_has_no_windows():
    assert list(windows([], 1, 0.5)) == []
    assert list(windows([Audio(silence(0.1))], 1, 0.5)) == []
    assert len(list(windows([Audio(silence(0.3))], 1, 0.5))) == 1


def test_silence_is_quiet_even_where_it_hisses():
    hiss = np.random.default_rng(0).normal(0, 1e-4, SAMPLE_RATE).astype(np.float32)
    assert is_silent(hiss, SAMPLE_RATE)
    assert is_silent(silence(0), SAMPLE_RATE)
    click = silence(5)
    click[40_000:41_600] = 0.02
    assert not is_silent(click, SAMPLE_RATE)  # a tenth of a second is enough
    assert loudness(np.ones(SAMPLE_RATE, np.float32), SAMPLE_RATE) == pytest.approx(0)


def test_another_rate_keeps_the_pitch():
    changed = at_rate(tone("low", 1, 48_000), 48_000, SAMPLE_RATE)
    assert len(changed) == SAMPLE_RATE
    assert np.argmax(np.abs(np.fft.rfft(changed))) == pytest.approx(300, abs=2)


def test_silent_stretches_are_left_out():
    encoder = BandEncoder()
    samples = np.concatenate([tone("low", 4), silence(6), tone("high", 4)])
    segments, vectors = sound_segments(blocks(samples, 30_000), encoder, window=5.0)
    assert len(segments) == len(vectors) == encoder.heard
    assert not [one for one in segments if one.start >= 4 and one.end <= 10]
    assert {round(one.end - one.start, 3) for one in segments} == {2.0}
    nothing, none = sound_segments([Audio(silence(10))], encoder, window=5.0)
    assert nothing == []
    assert none.shape == (0, 3)


def test_speech_is_told_from_other_sounds():
    spoken = max(SPOKEN.rglob("*.wav"), key=lambda file: file.stat().st_size)
    segments, _ = sound_segments([Audio(load(spoken))], BandEncoder(), window=2.0)
    assert "speech" in {one.text for one in segments}
    others, _ = sound_segments([Audio(tone("middle", 6))], BandEncoder(), window=2.0)
    assert not [one for one in others if one.text and "speech" in one.text]


def tune(seconds):
    """Chords that change every second, plucked twice each, and a drum."""
    time = np.arange(SAMPLE_RATE // 2) / SAMPLE_RATE
    drum = np.sin(2 * np.pi * (60 + 80 * np.exp(-40 * time)) * time) * np.exp(-20 * time)
    played = []
    for beat in range(2 * seconds):
        chord = [(0, 4, 7), (-3, 0, 4), (5, 9, 12), (7, 11, 14)][beat // 2 % 4]
        strings = [(261.6 * 2 ** (step / 12) * part, part) for step in chord for part in range(1, 7)]
        plucked = sum(np.sin(2 * np.pi * hertz * time) * np.exp(-(2 + n) * time) / n for hertz, n in strings)
        played.append(0.1 * plucked + 0.3 * drum)
    return np.concatenate(played).astype(np.float32)


@pytest.mark.parametrize("rate", [SAMPLE_RATE, 48_000])
def test_music_is_told_from_speech_and_noise(rate):
    spoken = max(SPOKEN.rglob("*.wav"), key=lambda file: file.stat().st_size)
    noise = np.random.default_rng(0).normal(0, 0.05, 6 * SAMPLE_RATE).astype(np.float32)
    marks = {}
    for name, samples in {"speech": load(spoken), "music": tune(6), "noise": noise}.items():
        heard = at_rate(samples, SAMPLE_RATE, rate)
        segments, _ = sound_segments([Audio(heard, 0.0, rate)], Hears(rate), window=2.0)
        marks[name] = {one.text for one in segments}
    assert "speech" in marks["speech"]
    assert "music" not in marks["speech"]
    assert marks["music"] == {"music"}
    assert marks["noise"] == {None}


def test_what_a_sound_is_heard_in_is_printed_as_a_mark(tmp_path):
    path = write_wav(tmp_path / "tune.wav", tune(6))
    recipe = Recipe(visual="none", speech="none", screen="none", passages="none")
    with Library.open(tmp_path / "l.mmv", sound=BandEncoder(), recipe=recipe) as library:
        library.add(path)
        hits = library.search("low", modalities=["sound"], limit=1)
    assert hits[0].matches[0].text == "music"
    assert re.search(r"heard at 00:00:0\d\.\d: music  \(", hits_to_text(hits))


def test_without_the_detector_speech_is_told_alone(monkeypatch):
    monkeypatch.setattr("mmvideo.encode.music.find_spec", lambda _: None)
    music.installed.cache_clear()
    segments, _ = sound_segments([Audio(tune(4))], BandEncoder(), window=2.0)
    music.installed.cache_clear()
    assert {one.text for one in segments} == {None}


def test_too_short_a_sound_is_no_music():
    assert music.music_and_singing(tune(1)[:800]) == (0.0, 0.0)
    assert music.music_and_singing(np.zeros(0, np.float32)) == (0.0, 0.0)


def test_a_match_ends_where_silence_was_left_out():
    stretches = [Segment("sound", start, start + 2.0) for start in (0, 1, 2, 10, 11)]
    vectors = np.array([[1, 0], [1, 0], [0, 1], [1, 0], [1, 0]], np.float32)
    found = moments_heard(stretches, vectors, np.array([1, 0], np.float32), 0.0, 0.5, 0.1, 5)
    good = sorted((m.start, m.end) for m in found if m.score > 0.5)
    assert good == [(0.0, 2.5), (10.0, 13.0)]


# Through a library


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    parts = [tone("low", 8), silence(4), tone("high", 6), tone("middle", 8), silence(6), tone("low", 2, loud=0.001)]
    return write_wav(tmp_path_factory.mktemp("sounds") / "tones.wav", np.concatenate(parts))


def open_library(folder, encoder=None, **options):
    recipe = Recipe(visual="none", speech="none", screen="none", passages="none")
    return Library.open(folder, sound=encoder or BandEncoder(), recipe=recipe, **options)


@pytest.fixture(scope="module")
def folder(recording, tmp_path_factory):
    place = tmp_path_factory.mktemp("library") / "sounds.mmv"
    with open_library(place) as library:
        assert library.add(recording).count("added") == 1
    return place


@pytest.mark.parametrize(("name", "start", "end"), [("low", 0, 8), ("high", 12, 18), ("middle", 18, 26)])
def test_sounds_are_found_by_words_as_intervals(folder, recording, name, start, end):
    with open_library(folder) as library:
        hit = library.search(f"a {name} tone", modalities=["sound"], limit=1)[0]
        assert library.verify().clean
    assert hit.path == recording
    assert hit.matches[0].modality == "sound"
    assert (hit.start, hit.end) == pytest.approx((start, end), abs=1.01)
    assert start <= hit.time <= end


def test_and_by_a_recording_or_a_stretch_of_sound(folder, tmp_path, capsys):
    query = write_wav(tmp_path / "query.wav", np.concatenate([silence(1), tone("high", 3), silence(2)]))
    with open_library(folder) as library:
        by_file = library.search(audio=query, limit=1)[0]
        by_samples = library.search(audio=Audio(tone("high", 1)), limit=1)[0]
        assert (by_file.start, by_file.end) == (by_samples.start, by_samples.end)
        assert (by_file.start, by_file.end) == pytest.approx((12, 18), abs=1.01)
        both = library.search("middle", audio=query, text_weight=1.0, limit=1)[0]
        assert both.start == pytest.approx(18, abs=1.01)
        with pytest.raises(QueryError, match="silent"):
            library.search(audio=Audio(silence(3)))
        with pytest.raises(QueryError, match="samples per second"):
            library.search(audio=Audio(tone("high", 1), rate=8000))
        with pytest.raises(QueryError, match="only be searched for among sounds"):
            library.search(audio=query, modalities=["speech"])
        with pytest.raises(QueryError, match="knows sounds and words"):
            library.search(image=np.zeros((8, 8, 3), np.uint8), modalities=["sound"])


def test_by_picture_where_the_space_has_pictures(recording, tmp_path):
    green = np.zeros((8, 8, 3), np.uint8)
    green[..., 1] = 255
    with open_library(tmp_path / "l.mmv", SeeingBandEncoder()) as library:
        library.add(recording)
        assert library.search(image=green, modalities=["sound"], limit=1)[0].start == pytest.approx(18, abs=1.01)


def test_another_encoder_is_refused(folder):
    with pytest.raises(Exception, match=r"reindex .* --sound other"):
        open_library(folder, BandEncoder("other"))


def test_without_sounds_nothing_is_heard(recording, tmp_path):
    recipe = Recipe(visual="none", speech="none", screen="none", sound="none")
    with Library.open(tmp_path / "l.mmv", recipe=recipe) as library:
        library.add(recording)
        assert library.counts(recording) == {}
        with pytest.raises(QueryError, match="reindex --sound yamnet"):
            library.search(audio=recording)


# CLAP


@pytest.fixture(scope="module", params=["clap", "clap-fused", "pe-audio"])
def checkpoint(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    return save_pe_audio(folder) if request.param == "pe-audio" else save_clap(folder, fusion="fused" in request.param)


SOUNDS = [tone("low", 2), tone("high", 1.3), np.concatenate([tone("middle", 0.5), silence(0.4)])]
TEXTS = ["a dog barks", "", "glass breaking " * 20]


def test_vectors_equal_transformers_called_directly(checkpoint, capfd):
    import torch
    from transformers import AutoFeatureExtractor, AutoModel, AutoTokenizer

    encoder = Clap(find(str(checkpoint)), name="x", device="cpu")
    assert isinstance(encoder, SoundTextEncoder)
    heard, read = encoder.encode_sounds(SOUNDS), encoder.encode_texts(TEXTS)
    assert capfd.readouterr() == ("", "")
    assert "tokens of a text" in encoder.notes[0]
    model = AutoModel.from_pretrained(checkpoint).eval()
    extractor, tokenizer = AutoFeatureExtractor.from_pretrained(checkpoint), AutoTokenizer.from_pretrained(checkpoint)
    longest = 64 if "pe-audio" in checkpoint.name else 22
    for sound, text, one, other in zip(SOUNDS, TEXTS, heard, read, strict=True):
        inputs = dict(extractor(sound, sampling_rate=16_000, return_tensors="pt"))
        if "is_longer" in inputs:
            inputs["is_longer"] = torch.tensor([[False]])
        words = tokenizer([text], truncation=True, max_length=longest, return_tensors="pt")
        with torch.inference_mode():
            if "pe-audio" in checkpoint.name:
                made = model(**words, **inputs)
                vectors = made.audio_embeds, made.text_audio_embeds
            else:
                vectors = tuple(
                    f.pooler_output for f in (model.get_audio_features(**inputs), model.get_text_features(**words))
                )
        for vector, expected in zip((one, other), vectors, strict=True):
            np.testing.assert_allclose(vector, torch.nn.functional.normalize(expected)[0].numpy(), atol=1e-4)


def test_one_by_one_equals_all_at_once_and_nothing_is_empty(checkpoint):
    encoder = Clap(find(str(checkpoint)), name="x", device="cpu")
    alone = np.concatenate([encoder.encode_sounds([sound]) for sound in SOUNDS])
    np.testing.assert_allclose(alone, encoder.encode_sounds(SOUNDS), atol=1e-4)
    np.testing.assert_allclose(encoder.encode_sounds(SOUNDS), encoder.encode_sounds(SOUNDS), atol=0)  # no chance in it
    for vectors in (encoder.encode_sounds([]), encoder.encode_texts([])):
        assert vectors.shape == (0, encoder.model.dim)


def test_half_precision_points_the_same_way(checkpoint):
    if "fused" in checkpoint.name:
        return  # its fusing layers take single precision on a CPU
    whole, half = (Clap(find(str(checkpoint)), name="x", device="cpu", half=half) for half in (False, True))
    assert (whole.encode_sounds(SOUNDS) * half.encode_sounds(SOUNDS)).sum(axis=1).min() >= 0.999
    assert (whole.encode_texts(TEXTS) * half.encode_texts(TEXTS)).sum(axis=1).min() >= 0.999


def test_a_model_without_sounds_is_refused(tmp_path):
    with pytest.raises(ModelError, match="of type clip"):
        Clap(find(str(save("clip", tmp_path))), name="x")


def test_the_command_line_takes_a_checkpoint_by_its_folder(recording, tmp_path, capsys):
    """A random CLAP finds nothing worth finding; that it runs from `add` to `search` is what is seen here."""
    place, model = str(tmp_path / "l.mmv"), str(save_clap(tmp_path / "clap"))
    leave_out = ["--visual", "none", "--speech", "none", "--screen", "none", "--passages", "none"]
    assert main(["add", str(recording), "-l", place, "--sound", model, *leave_out]) == 0
    assert main(["search", "-l", place, "--json", "--in", "sound", "--audio", str(recording)]) == 0
    found = json.loads(capsys.readouterr().out.partition("\n[")[2].join(["[", ""]))
    assert found[0]["matches"][0]["modality"] == "sound"


def test_sound_at_the_rate_that_is_asked_for(recording):
    from mmvideo.decode import read_audio
    from mmvideo.media import probe
    from mmvideo.sandbox import Sandbox

    box = Sandbox()
    try:
        here = list(read_audio(probe(recording), rate=48_000))
        there = list(box.read_audio(probe(recording), rate=48_000))
    finally:
        box.close()
    with wave.open(str(recording)) as file:
        seconds = file.getnframes() / file.getframerate()
    assert sum(len(block.samples) for block in here) == pytest.approx(48_000 * seconds, abs=200)
    assert np.array_equal(np.concatenate([b.samples for b in here]), np.concatenate([b.samples for b in there]))
    assert there[-1].end == pytest.approx(seconds, abs=0.01)
