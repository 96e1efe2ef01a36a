import io
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from mmvideo import cli, models, times

from .films import make_film, make_sound
from .stubs import COLOURS, ColourEncoder, ScriptedTranscriber, WordEncoder


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    make_film(folder / "first film.mp4", (("red", 5), ("green", 6), ("blue", 4)))
    make_sound(folder / "talk.mp3")
    return folder


@pytest.fixture(autouse=True)
def stub_models(monkeypatch):
    made = {"visual": ColourEncoder(), "speech": ScriptedTranscriber(), "passages": WordEncoder()}
    monkeypatch.setattr(models.LibraryModels, "_load", lambda self, part, name: made[part])
    return made


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MMVIDEO_LIBRARY", str(tmp_path / "library.mmv"))

    def call(*arguments):
        code = cli.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def filled(run, films):
    code, out, _ = run("add", films)
    assert code == 0, out
    return run


def test_add_says_what_became_of_the_files(run, films):
    code, out, err = run("add", films)
    assert code == 0
    assert "added    first film.mp4  " in out
    assert out.splitlines()[-1] == "2 added"
    assert err == ""  # no terminal: no bars
    assert run("add", films)[1] == "2 unchanged\n"


def test_search_is_made_to_be_read(filled):
    code, out, err = filled("search", "ferry", "harbour", "--in", "speech")
    assert (code, err) == (0, "")
    first, why = out.splitlines()[:2]
    assert first.startswith(" 1. first film.mp4  00:00:00.0 – 00:00:03.0  score 0.")
    assert "said at 00:00:00.6  “The ferry left the harbour.”  (its words, 0." in why
    code, out, _ = filled("search", "green", "--in", "visual", "-k", "1")
    assert out.count("\n") == 2
    assert "seen at 00:00:0" in out


def test_search_as_json_prints_one_array_and_nothing_else(filled):
    code, out, err = filled("search", "green ferry", "--json", "-k", "3")
    assert (code, err) == (0, "")
    hits = json.loads(out)
    assert 1 <= len(hits) <= 3
    for hit in hits:
        assert {"path", "start", "end", "score", "matches"} <= hit.keys()
        assert hit["start"] < hit["end"]
        for match in hit["matches"]:
            assert {"modality", "score", "time", "text"} <= match.keys()
    assert json.loads(filled("search", "green", "--media", "*.wav", "--json")[1]) == []


def test_search_by_picture(filled, tmp_path):
    Image.fromarray(np.full((30, 40, 3), COLOURS["blue"], np.uint8)).save(tmp_path / "key.png")
    code, out, _ = filled("search", "--image", tmp_path / "key.png", "--json")
    assert code == 0
    assert json.loads(out)[0]["start"] == pytest.approx(11, abs=0.51)


def test_nothing_found_is_said_on_standard_error(filled):
    assert filled("search", "green", "--min-score", "1.5") == (0, "", "nothing found\n")


def test_transcripts(filled):
    assert filled("transcript", "talk.mp3")[1].startswith("The ferry left the harbour.")
    assert "00:00:10,025 --> 00:00:13,025" in filled("transcript", "talk.mp3", "--format", "srt")[1]
    assert filled("transcript", "talk.mp3", "--format", "vtt")[1].startswith("WEBVTT")
    timed = json.loads(filled("transcript", "talk*", "--format", "json")[1])
    assert (
        timed["utterances"][0]["words"][1]
        == pytest.approx({"start": 0.6, "end": 1.2, "text": "ferry", "probability": None})
        or timed["utterances"][0]["words"][1]["text"] == "ferry"
    )


def test_ls_info_and_rm(filled):
    assert filled("ls")[1].splitlines()[0].startswith("00:00:15.0  video + audio  ")
    assert [one["path"].rsplit(os.sep)[-1] for one in json.loads(filled("ls", "--json")[1])] == [
        "first film.mp4",
        "talk.mp3",
    ]
    out = filled("info", "first*")[1]
    assert "h264, 96 × 64, 10 frames/s" in out
    assert "visual    colours" in out
    assert json.loads(filled("info", "talk.mp3", "--json")[1])["segments"] == {"speech": 3}
    assert filled("rm", "talk.mp3")[1].startswith("removed ")
    assert filled("rm", "first film.mp4")[0] == 0
    code, out, err = filled("ls")
    assert (code, out) == (0, "")
    assert "empty" in err


def test_models_lists_what_is_here(run):
    code, out, _ = run("models")
    assert code == 0
    assert "✓ minilm" in out
    listed = {model["name"]: model for model in json.loads(run("models", "--json")[1])}
    assert listed["conse"]["available"] is True
    assert listed["clip"]["part"] == "visual"


def test_reindex(filled, stub_models, run):
    assert run("reindex")[0] == 2
    stub_models["visual"].model = models.ModelId("better", "1", 8)
    code, out, _ = run("reindex", "--visual", "better")
    assert code == 0
    assert out.splitlines()[-1] == "2 updated"
    assert "visual    better" in run("info", "first*")[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["add", "absent.mp4"], "no such file"),
        (["search", ""], "nothing to search for"),
        (["search", "--image", "absent.jpg"], "no such picture"),
        (["search", "x", "--image", "absent.jpg", "--in", "speech"], "absent.jpg"),
        (["transcript", "absent"], "not in the library"),
        (["info", "absent"], "not in the library"),
        (["rm", "absent"], "not in the library"),
        (["search", "x", "-l", "/nowhere/at/all"], "no mmvideo library here"),
        (["ls", "-l", "/dev/null"], "a file, not a library"),
    ],
)
def test_errors_are_one_clear_line_and_exit_code_1(filled, arguments, message):
    code, out, err = filled(*arguments)
    assert code == 1
    assert message in out + err
    assert "Traceback" not in out + err
    assert (err.count("\n"), out) == (1, "") or arguments[0] == "add"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["add"],
        ["search", "x", "--in", "smell"],
        ["search", "x", "--in", ""],
        ["search", "x", "-k", "0"],
        ["add", "x", "--interval", "0"],
        ["add", "x", "--interval", "nan"],
        ["transcript", "x", "--format", "pdf"],
    ],
)
def test_wrong_usage_is_exit_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main(arguments)
    assert exit_.value.code == 2
    assert "usage: mmvideo" in capsys.readouterr().err


def test_an_empty_folder_is_said_to_be_empty(run, tmp_path):
    (tmp_path / "void").mkdir()
    code, out, _ = run("add", tmp_path / "void")
    assert code == 1
    assert "no video or audio files" in out


def test_one_bad_file_in_a_batch(run, films, tmp_path):
    (tmp_path / "bad.mp4").write_text("no film")
    code, out, _ = run("add", films, tmp_path / "bad.mp4", "--json")
    assert code == 1
    assert [one["outcome"] for one in json.loads(out)["media"]] == ["added", "added", "failed"]


def test_ctrl_c_ends_cleanly(run, films, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("mmvideo.library.Library.add", interrupted)
    code, out, err = run("add", films)
    assert (code, out) == (130, "")
    assert "stopped" in err
    assert "Traceback" not in err


def test_control_characters_never_reach_the_terminal():
    assert cli.printable("a\x1b[31mb\nc") == "a\\x1b[31mb\\nc"
    assert cli.printable("a\nb", newlines=True) == "a\nb"
    assert cli.printable("caf\udce9") == "caf\\udce9"


def test_the_default_library_is_in_the_users_data_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert cli._default_library().name == "library.mmv"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "00:00:00.0"),
        (59.96, "00:01:00.0"),
        (3661.25, "01:01:01.2"),
        (360000, "100:00:00.0"),
        (-1.5, "-00:00:01.5"),
        (-0.01, "00:00:00.0"),
    ],
)
def test_clock(seconds, text):
    assert times.clock(seconds) == text


def test_bars_are_drawn_on_a_terminal_only():
    from pathlib import Path

    from mmvideo.datatypes import Progress
    from mmvideo.progress import bars

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    quiet, terminal = io.StringIO(), Terminal()
    for stream in (quiet, terminal):
        with bars(stream) as tell:
            for name in ("a.mp4", "b.mp4"):
                tell(Progress("files", Path(name), 0, 2, "files"))
                for done in (1.0, 30.0, 60.0):
                    tell(Progress("looking", Path(name), done, 60.0))
    assert quiet.getvalue() == ""
    assert "looking" in terminal.getvalue()
    assert "b.mp4" in terminal.getvalue()


HEAVY = (
    "torch",
    "transformers",
    "decord",
    "av",
    "usearch",
    "whisper",
    "faster_whisper",
    "ctranslate2",
    "onnxruntime",
    "rich",
    "PIL",
)


@pytest.mark.parametrize(
    "code",
    [
        "import mmvideo, mmvideo.cli; mmvideo.cli.parser().format_help()",
        "import mmvideo; mmvideo.Library; mmvideo.Recipe; mmvideo.LibraryError",
    ],
)
def test_importing_loads_nothing_heavy(code):
    check = f"{code}\nimport sys; print([m for m in {HEAVY!r} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_python_m_mmvideo():
    result = subprocess.run([sys.executable, "-m", "mmvideo", "--version"], capture_output=True, text=True, check=True)
    assert result.stdout.startswith("mmvideo 0.")
