"""Sounds by YAMNet: TensorFlow's own numbers, the file in the package, and real searches with real weights.

`weights/yamnet-scores.npz` holds what TensorFlow 2.21 computed from the SavedModel for `synthesised`, in 65535ths.
"""

import hashlib
import importlib.util
import json
import re
import shutil
import struct
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mmvideo import Library, encode
from mmvideo.cli import main
from mmvideo.datatypes import SAMPLE_RATE, Audio, Recipe, SoundTextEncoder
from mmvideo.encode import audioset
from mmvideo.encode.yamnet import synonyms
from mmvideo.export import hits_to_text
from mmvideo.hearing import sound_segments

from . import synthesised
from .speech import SPOKEN, load
from .toyworld import write_wav

ROOT = Path(__file__).parent.parent
REFERENCE = Path(__file__).parent / "weights" / "yamnet-scores.npz"
ALONE = Recipe(visual="none", speech="none", screen="none", passages="none", sound="yamnet")


@pytest.fixture(scope="module")
def encoder():
    return encode.load_sound("yamnet", offline=True)


# The network


@pytest.mark.parametrize(
    ("name", "seconds"), [("busy_line", 3), ("siren", 3), ("hiss", 2), ("organ", 3), ("barks", 2), ("silence", 1)]
)
def test_scores_are_those_of_tensorflow(name, seconds):
    with np.load(REFERENCE) as known:
        expected = known[name] / 65535
    found = audioset.class_scores(getattr(synthesised, name)(seconds))
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_real_speech_is_speech():
    spoken = load(max(SPOKEN.rglob("*.wav"), key=lambda file: file.stat().st_size))
    best = audioset.class_scores(spoken).max(axis=0).argmax()
    assert audioset.classes()[best] == "Speech"


def test_the_weights_are_the_ones_that_the_notice_names():
    content = audioset.WEIGHTS.read_bytes()
    assert len(content) <= 8_000_000
    assert hashlib.sha256(content).hexdigest() in (ROOT / "NOTICE").read_text("utf-8")
    assert len(audioset.classes()) == len(set(audioset.classes())) == 521


def test_a_checkpoint_is_read_without_tensorflow():
    """Two tensors in a table as TensorFlow writes it: the second key shares the beginning of the first."""
    spec = importlib.util.spec_from_file_location("extract_yamnet", ROOT / "scripts" / "extract_yamnet.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)

    def entry(shape, offset, size):
        dims = b"".join(bytes([0x12, 2, 0x08, n]) for n in shape)
        return bytes([0x08, 1, 0x12, len(dims)]) + dims + bytes([0x20, offset, 0x28, size])

    def block(*items):
        rows = b"".join(bytes([shared, len(own), len(value)]) + own + value for shared, own, value in items)
        return rows + struct.pack("<II", 0, 1)

    content = block((0, b"", b"\x08\x01"), (0, b"layer/bias", entry([2], 0, 8)), (6, b"kernel", entry([1, 3], 8, 12)))
    listing = block((0, b"m", bytes([0, len(content)])))
    head = content + b"\0" + b"\0" * 4
    footer = bytes([0, 0, len(head), len(listing)]).ljust(40, b"\0") + struct.pack("<Q", script.MAGIC)
    values = np.arange(5, dtype="<f4")
    found = script.tensors(head + listing + b"\0" + b"\0" * 4 + footer, values.tobytes())
    assert {name: array.tolist() for name, array in found.items()} == {
        "layer/bias": [0, 1],
        "layer/kernel": [[2, 3, 4]],
    }


# The encoder


def test_vectors_of_sounds_long_short_empty_and_silent(encoder):
    assert isinstance(encoder, SoundTextEncoder)
    sounds = [synthesised.siren(2.9), synthesised.hiss(0.3), np.zeros(10, np.float32), np.zeros(0, np.float32)]
    vectors, told = encoder.name_sounds(sounds)
    assert vectors.shape == (4, encoder.model.dim)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(vectors, np.concatenate([encoder.encode_sounds([sound]) for sound in sounds]), atol=1e-5)
    assert set(told[0].split("; ")) >= {"Alarm", "Siren"}
    assert told[2:] == [None, None]
    for nothing in (encoder.encode_sounds([]), encoder.encode_texts([])):
        assert nothing.shape == (0, encoder.model.dim)


def test_words_are_mixtures_of_classes_and_what_is_no_sound_is_told(encoder):
    texts = ["a dog barking", "an ambulance siren", "quarterly earnings of the company"]
    dog, siren, earnings = vectors = encoder.encode_texts(texts)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(vectors, np.concatenate([encoder.encode_texts([text]) for text in texts]), atol=1e-5)
    assert {encoder.labels[i] for i in np.argsort(-dog[:-1])[:4]} >= {"Dog", "Bark"}
    assert "siren" in encoder.labels[siren.argmax()].lower()
    assert earnings[-1] > 0.9
    assert max(dog[-1], siren[-1]) < 0.3
    assert not encoder.encode_sounds([synthesised.organ(2)])[:, -1].any()


def test_a_label_holds_several_names():
    assert synonyms("Domestic animals, pets") == ("domestic animals", "pets")
    assert synonyms("Bee, wasp, etc.") == ("bee", "wasp")
    assert synonyms("Roaring cats (lions, tigers)") == ("roaring cats", "lions", "tigers")
    assert synonyms("Fire engine, fire truck (siren)") == ("fire engine", "fire truck siren")


def test_windows_overlap_by_half_and_say_what_they_hold(encoder):
    segments, vectors = sound_segments([Audio(synthesised.fireworks(6), 10.0)], encoder, window=5.0)
    assert len(segments) == len(vectors)
    assert segments[0].end - segments[0].start == pytest.approx(2.895)
    assert segments[1].start - segments[0].start == pytest.approx(2.895 / 2)
    assert all(segment.text.startswith(("Fireworks", "Explosion")) for segment in segments)


# A film


QUERIES = {
    "somebody speaking": "speech",
    "the number is engaged": "busy_line",
    "a wailing siren": "siren",
    "rain, or a waterfall": "hiss",
    "a smoke detector goes off": "smoke_alarm",
    "the motor of a machine": "engine",
    "fireworks on new year's eve": "fireworks",
    "someone plays the organ": "organ",
    "a beating heart": "heart",
}


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """A recording at 48 kHz of nine sounds with pauses between them, and where each is."""
    spoken = load(max(SPOKEN.rglob("*.wav"), key=lambda file: file.stat().st_size))[: 8 * SAMPLE_RATE]
    sounds = {"speech": spoken}
    sounds |= {name: getattr(synthesised, name)() for name in QUERIES.values() if name != "speech"}
    parts, where, at = [], {}, 0.0
    for name, samples in sounds.items():
        parts += [samples, synthesised.silence(3)]
        where[name] = (at, at + len(samples) / SAMPLE_RATE)
        at = where[name][1] + 3
    whole = np.concatenate(parts)
    count = 3 * len(whole)
    finer = np.interp(np.arange(count) / 3, np.arange(len(whole)), whole).astype(np.float32)
    return write_wav(tmp_path_factory.mktemp("film") / "sounds.wav", finer, 48_000), where


@pytest.fixture(scope="module")
def folder(film, tmp_path_factory):
    place = tmp_path_factory.mktemp("library") / "l.mmv"
    with Library.open(place, recipe=ALONE, offline=True) as library:
        assert library.add(film[0]).count("added") == 1
    return place


def lies_in(hit, span):
    shared = min(hit.end, span[1]) - max(hit.start, span[0])
    return shared >= 0.5 * min(hit.end - hit.start, span[1] - span[0])


def test_sounds_are_found_in_words(folder, film):
    with Library.open(folder, offline=True) as library:
        hits = {text: library.search(text, modalities=["sound"], limit=1)[0] for text in QUERIES}
        assert not library.search("quarterly earnings of the company", min_score=0.1)
    missed = [text for text, hit in hits.items() if not lies_in(hit, film[1][QUERIES[text]])]
    assert len(missed) <= 1, missed
    assert hits["a wailing siren"].sure
    assert "Siren" in hits["a wailing siren"].text
    assert "Siren" in hits_to_text([hits["a wailing siren"]])


def test_and_by_another_recording_of_the_kind(folder, film, tmp_path):
    query = write_wav(tmp_path / "engaged.wav", np.concatenate([synthesised.busy_line(4)] * 2)[8000:])
    with Library.open(folder, offline=True) as library:
        hit = library.search(audio=query, limit=1)[0]
    assert lies_in(hit, film[1]["busy_line"])
    assert hit.sure


def test_what_is_faint_under_a_voice_is_found(tmp_path):
    spoken = load(max(SPOKEN.rglob("*.wav"), key=lambda file: file.stat().st_size))
    voice = np.resize(spoken, 60 * SAMPLE_RATE)
    voice = 0.1 * voice / np.sqrt(np.mean(np.square(voice)))
    ringing = synthesised.busy_line(4)
    ringing = 0.1 * ringing / np.sqrt(np.mean(np.square(ringing))) / 3.16  # ten decibels under the voice
    voice[30 * SAMPLE_RATE : 34 * SAMPLE_RATE] += ringing
    with Library.open(tmp_path / "l.mmv", recipe=ALONE, offline=True) as library:
        library.add(write_wav(tmp_path / "call.wav", voice.astype("f4")))
        hit = library.search("a busy telephone line", limit=1)[0]
    assert lies_in(hit, (30, 34))


def test_the_command_line(film, tmp_path, capsys):
    place = str(tmp_path / "l.mmv")
    leave_out = ["--visual", "none", "--speech", "none", "--screen", "none", "--passages", "none"]
    assert main(["add", str(film[0]), "-l", place, "--sound", "none", *leave_out]) == 0
    assert main(["reindex", "-l", place, "--sound", "yamnet"]) == 0
    capsys.readouterr()
    assert main(["search", "-l", place, "--in", "sound", "-k", "1", "--json", "a wailing siren"]) == 0
    assert lies_in_json(json.loads(capsys.readouterr().out)[0], film[1]["siren"])
    assert main(["search", "-l", place, "--in", "sound", "-k", "1", "--explain", "a wailing siren"]) == 0
    told = capsys.readouterr().out
    assert ": Siren; Alarm" in told or ": Alarm; Siren" in told
    assert "cosine 0." in told
    assert main(["models"]) == 0
    assert re.search(r"✓ yamnet .*\s.*mmvideo/encode \(package\)", capsys.readouterr().out)


def lies_in_json(hit, span):
    return span[0] - 3 <= hit["start"] < hit["end"] <= span[1] + 3  # a window reaches that far beyond


# The package


def test_wheel_and_sdist_hold_the_weights(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "mmvideo", source / "mmvideo", ignore=shutil.ignore_patterns("__pycache__"))
    build = "from setuptools import build_meta as b; b.build_wheel('out'); b.build_sdist('out')"
    done = subprocess.run([sys.executable, "-c", build], cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next((source / "out").glob("*.whl"))) as wheel:
        held = wheel.read("mmvideo/encode/yamnet.safetensors")
        assert any(name.endswith("licenses/NOTICE") for name in wheel.namelist())
    assert held == audioset.WEIGHTS.read_bytes()
    with tarfile.open(next((source / "out").glob("*.tar.gz"))) as sdist:
        names = sdist.getnames()
    assert any(name.endswith("mmvideo/encode/yamnet.safetensors") for name in names)
    assert any(name.endswith("/NOTICE") for name in names)
