import json
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from mmvideo.datatypes import SAMPLE_RATE, Audio, ModelId, Transcriber, Word
from mmvideo.encode import ct2, whisper
from mmvideo.encode.clips import Clip
from mmvideo.encode.heard import Heard, ends_sentence, in_order, inside_speech, utterances, without_loops
from mmvideo.encode.weights import packaged_folder
from mmvideo.encode.whisper import load_transcriber
from mmvideo.errors import ModelError

from .speech import SPOKEN, blocks, load, silence, tone

TINY = "1a5afae06a4d"


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """torch's threads wait for each other after every layer: on a busy machine two take five times as long as one."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", params=["faster", "openai"])
def tiny(request):
    return load_transcriber("tiny.en", offline=True, engine=request.param)


@pytest.fixture(scope="module", params=["faster", "openai"])
def base(request):
    return load_transcriber("whisper-base", offline=True, engine=request.param)


@pytest.fixture(scope="session")
def robot():
    """35 s of speech with pauses: the beginning of the sample film."""
    return load(Path(__file__).parent.parent / "samples" / "harbour.mp4")[: 35 * SAMPLE_RATE]


def text_of(transcript):
    return " ".join(utterance.text for utterance in transcript.utterances)


def words_of(transcript):
    return [word for utterance in transcript.utterances for word in utterance.words]


def plain(transcript):
    return [word.text.lower().strip(" .,!?-") for word in words_of(transcript)]


# With real weights


def test_a_known_word_is_heard_when_it_is_spoken(tiny):
    sound = np.concatenate([silence(4), load(SPOKEN / "en" / "quick_brown_fox.wav"), silence(3)])
    transcript = tiny.transcribe([Audio(sound, 10.0)])
    assert text_of(transcript) == "The quick brown fox jumps over the lazy dog."
    starts = {word.text: word.start for word in words_of(transcript)}
    assert starts["The"] == pytest.approx(14.0, abs=0.3)
    assert starts["fox"] == pytest.approx(14.97, abs=0.3)
    assert starts["dog."] == pytest.approx(16.4, abs=0.3)
    assert transcript.language == "en"
    assert transcript.source == "whisper-tiny.en"


def test_short_phrases(tiny):
    transcript = tiny.transcribe([Audio(load(SPOKEN / "en" / "hello_world.wav"))])
    assert plain(transcript) == ["hello", "world"]


def test_counting(tiny):
    """Whisper writes numbers in words or in figures."""
    numbers = "one two three four five six seven eight nine ten".split()
    heard = "".join(plain(tiny.transcribe([Audio(load(SPOKEN / "en" / "counting.wav"))])))
    for value, number in enumerate(numbers, 1):
        heard = heard.replace(number, str(value))
    assert heard == "12345678910"


@pytest.fixture(scope="module")
def whole(tiny, robot):
    """The robot's speech, from second 3 on, heard in one block; and what was told of the progress."""
    told = []
    return tiny.transcribe([Audio(robot, 3.0)], progress=told.append), told


def test_longer_speech(whole, robot):
    transcript, told = whole
    said = set(plain(transcript))
    assert {
        "everything",
        "seven",
        "passengers",
        "donkey",
        "captain",
        "astronauts",
        "swimming",
        "winter",
        "postman",
    } <= said
    assert len(transcript.utterances) >= 6
    words = words_of(transcript)
    end = 3.0 + len(robot) / SAMPLE_RATE
    assert all(3.0 <= word.start < word.end <= end + 0.01 for word in words)
    assert all(one.start <= other.start for one, other in pairwise(words))
    assert all(word.text == word.text.strip() != "" for word in words)
    assert told == sorted(told)
    assert told[-1] == pytest.approx(end)


def test_words_do_not_depend_on_the_blocks(tiny, robot, whole):
    whole, _ = whole
    parts = tiny.transcribe(iter(blocks(robot, 7.0, 3.0)))
    assert plain(parts) == plain(whole)
    assert [word.start for word in words_of(parts)] == pytest.approx([word.start for word in words_of(whole)], abs=0.03)


def test_silence_and_tones_are_not_transcribed(monkeypatch):
    transcriber = load_transcriber("tiny.en", offline=True)
    monkeypatch.setattr(transcriber, "_load", pytest.fail)
    for sound in (silence(5), tone(5), silence(0)):
        transcript = transcriber.transcribe([Audio(sound)], language="en")
        assert transcript.utterances == ()
        assert transcript.language == "en"
    assert transcriber.transcribe([]).utterances == ()


@pytest.mark.parametrize(
    ("language", "name", "word"),
    [("fr", "pangrama", "whisky"), ("es", "pangrama", "feliz"), ("en", "hello_world", "hello")],
)
def test_languages_are_told(base, language, name, word):
    transcript = base.transcribe([Audio(load(SPOKEN / language / f"{name}.wav"))])
    assert transcript.language == language
    assert word in plain(transcript)


def test_a_given_language_is_kept(base):
    sound = load(SPOKEN / "fr" / "comptage.wav")
    assert base.transcribe([Audio(sound)], language="fr-CA").language == "fr"
    with pytest.raises(ModelError, match="does not know the language 'xx'"):
        base.transcribe([Audio(sound)], language="xx")


def test_an_english_model_is_asked_for_another_language(tiny):
    with pytest.raises(ModelError, match="knows English only") as caught:
        tiny.transcribe([Audio(silence(1))], language="de")
    assert "\n" not in str(caught.value)
    assert tiny.transcribe([Audio(silence(1))], language="en-US").language == "en"


def test_both_engines_say_they_have_the_same_weights():
    models = {load_transcriber("tiny.en", offline=True, engine=engine).model for engine in ("auto", "faster", "openai")}
    assert models == {ModelId("whisper-tiny.en", TINY, 0)}
    assert isinstance(load_transcriber("tiny.en", offline=True), Transcriber)


def test_nothing_is_printed_or_imported_early(robot):
    code = """
import sys
from mmvideo.encode.whisper import load_transcriber
transcriber = load_transcriber("tiny.en", offline=True)
transcriber.model
heavy = {"torch", "whisper", "faster_whisper", "ctranslate2", "transformers", "onnxruntime"} & set(sys.modules)
sys.exit(str(heavy) if heavy else 0)
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_engines_print_nothing(tiny, capfd):
    tiny.transcribe([Audio(load(SPOKEN / "en" / "hello_world.wav"))])
    assert capfd.readouterr() == ("", "")


# The conversion


def test_converted_weights_are_whole():
    import torch
    from whisper.model import ModelDimensions, Whisper

    folder = packaged_folder("whisper-tiny.en")
    loaded = ct2.checkpoint(folder)
    assert loaded["dims"]["n_vocab"] == 51864
    model = Whisper(ModelDimensions(**loaded["dims"]))
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    assert {name: array.shape for name, array in loaded["model_state_dict"].items()} == expected
    tensors = {name: torch.tensor(array) for name, array in loaded["model_state_dict"].items()}
    model.load_state_dict(tensors, strict=True)
    # The encoder's positions are a known function: what was converted must equal what openai-whisper computes itself.
    positions = Whisper(ModelDimensions(**loaded["dims"])).encoder.positional_embedding
    torch.testing.assert_close(tensors["encoder.positional_embedding"].float(), positions, atol=1e-3, rtol=0)


def test_alignment_heads_of_the_folder_are_openais():
    from whisper import _ALIGNMENT_HEADS
    from whisper.model import ModelDimensions, Whisper

    folder = packaged_folder("whisper-tiny.en")
    model = Whisper(ModelDimensions(**ct2.checkpoint(folder)["dims"]))
    model.set_alignment_heads(_ALIGNMENT_HEADS["tiny.en"])
    assert [tuple(pair) for pair in model.alignment_heads.indices().T.tolist()] == ct2.alignment_heads(folder)


@pytest.fixture
def copy(tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(packaged_folder("whisper-tiny.en"), folder)
    return folder


def test_local_folders(copy):
    for engine in ("faster", "openai"):
        transcriber = load_transcriber(str(copy), offline=True, engine=engine)
        assert transcriber.model == ModelId(str(copy), TINY)
        transcript = transcriber.transcribe([Audio(load(SPOKEN / "en" / "hello_world.wav"))])
        assert text_of(transcript) == "Hello world."
    (copy / "tokenizer.json").unlink()  # faster-whisper would ask the hub for one
    load_transcriber(str(copy), offline=True)._load()
    with pytest.raises(ModelError, match=r"tokenizer\.json"):
        load_transcriber(str(copy), offline=True, engine="faster")._load()


@pytest.mark.parametrize("engine", ["faster", "openai"])
def test_damaged_weights(copy, engine):
    content = (copy / "model.bin").read_bytes()
    (copy / "model.bin").write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError) as caught:
        load_transcriber(str(copy), offline=True, engine=engine)._load()
    assert "\n" not in str(caught.value)


def test_a_pt_file(tmp_path):
    import torch

    loaded = ct2.checkpoint(packaged_folder("whisper-tiny.en"))
    loaded["model_state_dict"] = {name: torch.tensor(a) for name, a in loaded["model_state_dict"].items()}
    path = tmp_path / "tiny.en.pt"
    torch.save(loaded, path)
    transcript = load_transcriber(str(path)).transcribe([Audio(load(SPOKEN / "en" / "hello_world.wav"))])
    assert text_of(transcript) == "Hello world."
    with pytest.raises(ModelError, match="CTranslate2 folders only"):
        load_transcriber(str(path), engine="faster")
    for wrong in ([1, 2], {"dims": {"n_mels": 1}, "model_state_dict": {}}):
        torch.save(wrong, path)
        with pytest.raises(ModelError):
            load_transcriber(str(path))._load()
    path.write_bytes(b"no weights")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_transcriber(str(path))._load()


# Where weights are looked for


def test_auto_takes_the_best_that_is_here(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert load_transcriber("auto", offline=True).model.name == "whisper-base"
    find = whisper.find
    monkeypatch.setattr(whisper, "find", lambda name, hub: None if "base" in name else find(name, hub=hub))
    assert load_transcriber("auto", offline=True).model.name == "whisper-tiny.en"
    monkeypatch.setattr(whisper, "find", lambda name, hub: None)
    monkeypatch.setattr(whisper, "obtain", lambda name, hub, offline: (_ for _ in ()).throw(ModelError("no network")))
    with pytest.raises(ModelError, match=r'pip install "mmvideo\[offline\]"'):
        load_transcriber("auto", offline=True)


def test_openais_own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    file = tmp_path / "whisper" / "large-v3-turbo.pt"
    file.parent.mkdir()
    file.write_bytes(b"weights")
    transcriber = load_transcriber("turbo", offline=True)
    assert transcriber._found.place == file
    assert transcriber.model.name == "whisper-turbo"


@pytest.mark.parametrize("name", ["nonsense", "tiny.de", "no/such/model", ""])
def test_unknown_names(name):
    with pytest.raises(ModelError) as caught:
        load_transcriber(name, offline=True)
    assert "\n" not in str(caught.value)


def test_weights_that_are_not_here(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ModelError, match="not on this machine"):
        load_transcriber("medium", offline=True)
    (tmp_path / "config.json").write_text(json.dumps({}))
    with pytest.raises(ModelError, match="no CTranslate2 Whisper model"):
        load_transcriber(str(tmp_path), offline=True)


def test_faster_is_asked_for_but_not_installed(monkeypatch):
    monkeypatch.setattr(whisper, "_has_faster", lambda: False)
    with pytest.raises(ModelError, match=r"mmvideo\[fast\]"):
        load_transcriber("tiny.en", offline=True, engine="faster")
    transcriber = load_transcriber("tiny.en", offline=True)
    assert type(transcriber._load()).__name__ == "OpenAIEngine"


# What was heard


def heard(text, *, start=0.0, step=0.5, **more):
    words = tuple(Word(start + i * step, start + (i + 1) * step, f" {word}") for i, word in enumerate(text.split()))
    return Heard(text, words, **{"no_speech": 0.0, "likelihood": -0.3, "compression": 1.2} | more)


def clip(start=100.0, seconds=30.0, speech=None):
    return Clip(start, silence(seconds), speech or ((start, start + seconds),))


def test_sentences_and_pauses_part_utterances():
    found = utterances(clip(), [heard("Dr. Who came. He left"), heard("late", start=4.5)])
    assert [said.text for said in found] == ["Dr. Who came.", "He left", "late"]
    assert [said.start for said in found] == [100.0, 101.5, 104.5]
    two = utterances(clip(), [Heard("", (*heard("one").words, *heard("two", start=3.0).words), 0, 0, 1)])
    assert [said.text for said in two] == ["one", "two"]


def test_inventions_are_dropped():
    bad = [heard("Thanks", no_speech=0.9, likelihood=-1.5), heard("la la la", compression=3.0)]
    assert utterances(clip(), bad) == []
    assert utterances(clip(), [heard("Thanks", no_speech=0.9, likelihood=-0.2)])[0].text == "Thanks"


def test_loops_are_cut_to_one_round():
    spoken = [(0, word) for word in heard("so " + "thank you. " * 6 + "bye").words]
    assert [word.text.strip() for _, word in without_loops(spoken)] == ["so", "thank", "you.", "bye"]
    spoken = [(0, word) for word in heard("no no no no, never").words]
    assert without_loops(spoken) == spoken


def test_a_clip_with_a_loop_is_heard_again_in_halves():
    class Looping:
        multilingual, languages = False, frozenset({"en"})

        def hear(self, clips, language):
            return [[heard("la la", compression=9.0 if len(samples) > 6 * SAMPLE_RATE else 1.0)] for samples in clips]

    transcriber = load_transcriber("tiny.en", offline=True)
    transcriber._engine = Looping()
    for seconds, expected in ((8.0, ["la la", "la la"]), (20.0, [])):
        said, halves = transcriber._hear([clip(seconds=seconds)], [], "en", print)
        assert said == []
        said, anew = transcriber._hear([], halves, "en", print)
        assert [one.text for one in said] == expected
        assert anew == []


@pytest.mark.parametrize(
    ("cores", "expected"), [(1, (1, 1)), (2, (2, 1)), (4, (4, 1)), (6, (4, 1)), (8, (4, 1)), (16, (4, 2)), (64, (4, 8))]
)
def test_workers_and_their_threads_do_not_exceed_the_cores(cores, expected):
    from mmvideo.encode.whisper_faster import workers

    assert workers(cores) == expected


def test_what_many_workers_hear_comes_in_the_order_of_the_clips(robot):
    """Four clips of one recording, heard together and each alone."""
    engine = load_transcriber("tiny.en", offline=True, engine="faster")._load()
    clips = [robot[at * 8 * SAMPLE_RATE : (at + 1) * 8 * SAMPLE_RATE] for at in range(4)]
    together = list(engine.hear(clips, "en"))
    alone = [next(engine.hear([one], "en")) for one in clips]
    assert [[one.text for one in some] for some in together] == [[one.text for one in some] for some in alone]
    assert len({some[0].text for some in together}) == 4
    assert list(engine.hear([], "en")) == []


def test_words_lie_inside_speech():
    spoken = clip(0.0, 30.0, ((1.0, 5.0), (8.0, 12.0)))
    assert inside_speech(Word(5.0, 8.4, "after"), spoken) == Word(8.0, 8.4, "after")
    assert inside_speech(Word(4.0, 7.0, "before"), spoken) == Word(4.0, 5.0, "before")
    assert inside_speech(Word(5.3, 5.6, "stray"), spoken) == Word(4.98, 5.0, "stray")


def test_times_are_in_order():
    words = [Word(1, 2, "a"), Word(2, 2, "b"), Word(2, 3, "c"), Word(1.5, 9, "d")]
    ordered = in_order(words, 4.0)
    assert all(word.start < word.end <= 4.0 for word in ordered)
    assert all(one.end <= other.start + 0.02 and one.start <= other.start for one, other in pairwise(ordered))
    assert ordered[1].start == 2
    assert ordered[2] == Word(2.5, 3, "c")


@pytest.mark.parametrize(
    ("word", "ends"), [("end.", True), ("Mr.", False), ("J.", False), ("3.5", False), ("no!”", True)]
)
def test_ends_of_sentences(word, ends):
    assert ends_sentence(word) is ends
