import json
import time

import pytest

from mmvideo import subtitles
from mmvideo.datatypes import Transcript, Utterance, Word
from mmvideo.errors import MediaError
from mmvideo.subtitles import find_sidecar, parse, read, timestamp, to_json, to_srt, to_text, to_vtt

SRT = """1
00:00:01,000 --> 00:00:02,500
<i>Hello</i>, {\\an8}world &amp; all

2
00:00:03,000 --> 00:00:04,000
- second
- line
"""


def test_srt():
    assert parse(SRT).utterances == (
        Utterance(1.0, 2.5, "Hello, world & all"),
        Utterance(3.0, 4.0, "- second - line"),
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends(tmp_path, encoding, newline):
    path = tmp_path / "film.srt"
    path.write_bytes(SRT.replace("world", "wörld").replace("\n", newline).encode(encoding))
    transcript = parse(path)
    assert transcript.utterances[0].text == "Hello, wörld & all"
    assert transcript.source == str(path)
    assert len(transcript.utterances) == 2


def test_vtt_with_everything():
    text = """WEBVTT - a title
Kind: captions
Language: de

STYLE
::cue { color: lime }

NOTE
00:00 is not a cue

REGION
id:fred

intro
00:01.000 --> 00:02.000 align:start position:0%
<v Mary Anne><c.loud>Hi</c> there</v>

01:00:00.5 --> 01:00:01.25
3 &lt; 4 and 5 > 2
"""
    transcript = parse(text)
    assert transcript.utterances == (Utterance(1, 2, "Hi there"), Utterance(3600.5, 3601.25, "3 < 4 and 5 > 2"))
    assert transcript.language == "de"


def test_word_times():
    text = "WEBVTT\n\n00:00:01.000 --> 00:00:04.000\none<00:00:02.000><c> two</c> more<00:00:03.500><c> three</c>\n"
    (utterance,) = parse(text).utterances
    assert utterance.text == "one two more three"
    assert utterance.words == (Word(1, 2, "one"), Word(2, 3.5, "two more"), Word(3.5, 4, "three"))


def test_contradicting_word_times_are_not_taken():
    (utterance,) = parse("WEBVTT\n\n00:01.000 --> 00:04.000\na<00:09.000>b<00:02.000>c\n").utterances
    assert utterance.words == ()
    assert utterance.text == "abc"


def test_rolling_captions_say_everything_once():
    text = """WEBVTT

00:00:00.000 --> 00:00:02.000
␣
we<00:00:00.500><c> went</c><00:00:01.000><c> home</c>

00:00:02.000 --> 00:00:02.010
we went home
␣

00:00:02.010 --> 00:00:04.000
we went home
and<00:00:02.500><c> slept</c>

00:00:04.000 --> 00:00:04.010
and slept
␣
"""
    found = read(text.replace("␣", " "))
    assert [said.text for said in found.transcript.utterances] == ["we went home", "and slept"]
    assert found.broken == 0
    assert found.transcript.utterances[1].words == (Word(2.01, 2.5, "and"), Word(2.5, 4.0, "slept"))


def test_a_repeated_line_in_plain_subtitles_is_said_twice():
    text = "1\n00:00:01,000 --> 00:00:02,000\nNo.\n\n2\n00:00:02,000 --> 00:00:03,000\nNo.\n"
    assert len(parse(text).utterances) == 2


def test_missing_numbers_and_empty_lines():
    text = "00:00:01,0 --> 00:00:02,0\none\n00:00:02,0-->00:00:03,0\ntwo\n3\n00:00:03,0 -> 00:00:04,0\nthree\n7\n"
    assert [said.text for said in parse(text.replace("0-->", "0 -->")).utterances] == ["one", "two", "three 7"]


def test_broken_cues_are_skipped_and_counted():
    text = (
        SRT
        + "\n3\n00:00:xx,000 --> 00:00:09,000\nlost\n\n4\n00:00:09,000 --> 00:00:08,000\nback\n\n5\n"
        + ("00:61:00,000 --> 00:00:09,000\nx\n\n6\n00:00:10,000 --> 00:00:11,000\n<i></i>\n")
    )
    found = read(text)
    assert found.broken == 4
    assert len(found.transcript.utterances) == 2


def test_cues_are_ordered():
    text = "00:00:05,000 --> 00:00:06,000\nlater\n\n00:00:01,000 --> 00:00:09,000\nearlier\n"
    assert [said.text for said in parse(text).utterances] == ["earlier", "later"]


@pytest.mark.parametrize("content", [b"", b"WEBVTT\n\n", b"\x00\xff\x13binary" * 50, "no cues — at all".encode()])
def test_without_a_cue(tmp_path, content):
    path = tmp_path / "film.srt"
    path.write_bytes(content)
    with pytest.raises(MediaError, match="no subtitles in it") as caught:
        parse(path)
    assert "\n" not in str(caught.value)


def test_unreadable_files(tmp_path, monkeypatch):
    with pytest.raises(MediaError, match="cannot be read"):
        parse(tmp_path / "none.srt")
    path = tmp_path / "film.srt"
    path.write_text(SRT)
    monkeypatch.setattr(subtitles, "LARGEST", 10)
    with pytest.raises(MediaError, match="too much for subtitles"):
        parse(path)


@pytest.mark.parametrize(
    "line",
    ["<" * 300_000, "<a" * 150_000, "{\\" * 150_000, "&" * 300_000, "1:" * 150_000, " " * 300_000, "--> " * 90_000],
)
def test_no_line_makes_it_slow(line):
    began = time.process_time()
    parse(f"{SRT}\n3\n00:00:08,000 --> 00:00:09,000\nx{line}\n\n{line}\n")
    assert time.process_time() - began < 2.0


@pytest.mark.parametrize("seconds", [0.0, 0.001, 0.0005, 59.9996, 3599.999, 3600.0, 86399.123, 359999.999, -1.0])
def test_times_survive_a_round_trip(seconds):
    transcript = Transcript((Utterance(seconds, seconds + 1, "x"),))
    for write in (to_srt, to_vtt):
        (utterance,) = parse(write(transcript)).utterances
        assert utterance.start == max(0.0, round(seconds, 3))
        assert parse(write(Transcript((utterance,)))).utterances == (utterance,)
    assert timestamp(3661.5) == "01:01:01.500"
    assert timestamp(59.9996, ",") == "00:01:00,000"


def test_written_vtt_is_read_again_with_its_words():
    words = (Word(1.0, 1.5, "Tom"), Word(1.5, 1.75, "&"), Word(2.0, 3.0, "<Jerry>"))
    transcript = Transcript((Utterance(1.0, 3.0, "Tom & <Jerry>", words), Utterance(4, 5, "a --> b")), "en")
    again = parse(to_vtt(transcript))
    assert again.language == "en"
    assert [said.text for said in again.utterances] == ["Tom & <Jerry>", "a → b"]
    assert [(word.start, word.text) for word in again.utterances[0].words] == [(w.start, w.text) for w in words]


def test_text_and_json():
    transcript = Transcript(
        (Utterance(1, 2, "Hi  there", (Word(1, 1.5, "Hi", 0.98765),)), Utterance(2, 3, " ")), "en", "m"
    )
    assert to_text(transcript) == "Hi there\n"
    content = json.loads(to_json(transcript))
    assert content["language"] == "en"
    assert content["utterances"][0]["words"] == [{"start": 1, "end": 1.5, "text": "Hi", "probability": 0.988}]
    assert to_srt(Transcript(())) == ""


def test_sidecars(tmp_path):
    media = tmp_path / "film.mp4"
    assert find_sidecar(media) is None
    for name in ("film.mp4", "film2.srt", "film.director talks about it.srt", "film.txt"):
        (tmp_path / name).touch()
    assert find_sidecar(media) is None
    for name in ("film.fr.srt", "film.en.forced.VTT", "film.srt", "film.vtt"):
        (tmp_path / name).touch()
        assert find_sidecar(media) == tmp_path / name
    assert find_sidecar(tmp_path / "nowhere" / "film.mp4") is None


@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("film.en.srt", "en"),
        ("film.pt-BR.vtt", "pt"),
        ("film.srt", None),
        ("film.de.sdh.srt", "de"),
        ("a.2024.srt", None),
    ],
)
def test_the_language_in_a_name(tmp_path, name, language):
    path = tmp_path / name
    path.write_text(SRT)
    assert parse(path).language == language
