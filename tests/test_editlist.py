"""Hits for other programs, clips, and the commands that write them."""

import csv
import io
import json
from fractions import Fraction
from pathlib import Path

import pytest
from PIL import Image

from mmvideo import Library, QueryError
from mmvideo.cli import main
from mmvideo.commands import interval
from mmvideo.cutting import clip, waveform
from mmvideo.datatypes import AudioStream, Hit, Match, Media, VideoStream
from mmvideo.editlist import rate_of, timecode, to_csv, to_edl, to_otio, to_srt
from mmvideo.graph import WAVE
from mmvideo.media import probe
from mmvideo.subtitles import parse

from .films import make_film
from .stubs import ColourEncoder, ScriptedTranscriber, WordEncoder

FILM, TALK = Path("/films/a film.mp4"), Path("/films/talk.mp3")


def recording(path, rate=25.0, start=0.0):
    video = VideoStream("h264", 640, 360, 0, rate) if rate else None
    return Media(path, 1, 1, "f", "mp4", start, 100.0, video, (AudioStream("aac", 48000, 2),))


def hit(path=FILM, start=1.0, end=3.0, text=None):
    return Hit(path, start, end, 0.8, (Match("speech" if text else "visual", 0.8, start, end, start, text),), 1)


DROP, DOUBLE = Fraction(30000, 1001), Fraction(60000, 1001)


@pytest.mark.parametrize(
    ("frame", "rate", "shown"),
    [
        (0, Fraction(25), "00:00:00:00"),
        (90_000, Fraction(25), "01:00:00:00"),
        (1799, DROP, "00:00:59;29"),
        (1800, DROP, "00:01:00;02"),
        (17_981, DROP, "00:09:59;29"),
        (17_982, DROP, "00:10:00;00"),
        (107_892, DROP, "01:00:00;00"),
        (3600, DOUBLE, "00:01:00;04"),
        (24, Fraction(24000, 1001), "00:00:01:00"),
    ],
)
def test_timecode(frame, rate, shown):
    assert timecode(frame, rate) == shown


@pytest.mark.parametrize("rate", [DROP, DOUBLE])
def test_drop_frame_numbers_are_all_different_and_stay_with_the_clock(rate):
    shown = [timecode(frame, rate) for frame in range(40_000)]
    assert len(set(shown)) == 40_000
    assert shown == sorted(shown)
    hours, minutes, seconds = (int(part) for part in shown[-1].split(";")[0].split(":"))
    assert hours * 3600 + minutes * 60 + seconds == pytest.approx(39_999 / rate, abs=1.1)


def test_rates_are_those_of_editors():
    assert rate_of(recording(FILM, 29.97002997)) == DROP
    assert rate_of(recording(FILM, 23.976)) == Fraction(24000, 1001)
    assert rate_of(recording(FILM, 25.0)) == 25
    assert rate_of(recording(FILM, 10.0)) == 10
    assert rate_of(recording(TALK, None)) == 25


def test_edl():
    hits = [hit(), hit(start=10.0, end=11.0), hit(TALK, 4.0, 5.0, "Words")]
    edl = to_edl(hits, {FILM: recording(FILM), TALK: recording(TALK, None)}).splitlines()
    assert edl[:2] == ["TITLE: mmvideo", "FCM: NON-DROP FRAME"]
    assert edl[3] == "001  AX       B     C        00:00:01:00 00:00:03:00 01:00:00:00 01:00:02:00"
    assert edl[6] == "002  AX       B     C        00:00:10:00 00:00:11:00 01:00:02:00 01:00:03:00"
    assert edl[9].split()[2] == "A"
    assert "* FROM CLIP NAME: a film.mp4" in edl
    late = to_edl([hit(start=6.0, end=8.0)], {FILM: recording(FILM, start=5.0)})
    assert "00:00:01:00 00:00:03:00" in late  # editors count from the file's first frame
    assert "FCM: DROP FRAME" in to_edl([hit()], {FILM: recording(FILM, 29.97)})
    assert "01:00:00;00" in to_edl([hit()], {FILM: recording(FILM, 29.97)})


@pytest.mark.parametrize(
    ("rate", "first", "second"),
    [
        # 61.5 s to 63 s, and 600 s to 602 s. Frames: at 24, 61.5 × 24 = 1476 = 1 min 1 s 12 f; 63 × 24 = 1512.
        (24.0, "00:01:01:12 00:01:03:00 01:00:00:00 01:00:01:12", "00:10:00:00 00:10:02:00 01:00:01:12 01:00:03:12"),
        # At 25, 61.5 × 25 = 1537.5, to even 1538 = 61 s 13 f; 63 × 25 = 1575: 37 frames long.
        (25.0, "00:01:01:13 00:01:03:00 01:00:00:00 01:00:01:12", "00:10:00:00 00:10:02:00 01:00:01:12 01:00:03:12"),
        # At 29.97 drop-frame, 61.5 × 30000/1001 = 1843.16 → 1843; numbers 0 and 1 of minute 1 are left out, so it is
        # called 1845 = 61 s 15 f. 63 s → 1888 → 1890 = 63 s 0 f: 45 frames. 600 s → 17982: eighteen numbers were left
        # out in ten minutes, 18000 = 10 min 0 s 0 f. 602 s → 18042 → 18060 = 602 s: 60 frames. Record: 45 = 1 s 15 f.
        (29.97, "00:01:01;15 00:01:03;00 01:00:00;00 01:00:01;15", "00:10:00;00 00:10:02;00 01:00:01;15 01:00:03;15"),
    ],
)
def test_edl_and_otio_at_the_rates_of_editors(rate, first, second):
    otio = pytest.importorskip("opentimelineio")
    from dataclasses import replace

    media = {FILM: replace(recording(FILM, rate), duration=900.0)}
    hits = [hit(start=61.5, end=63.0), hit(start=600.0, end=602.0)]
    edl = to_edl(hits, media).splitlines()
    assert [line.split("C        ")[1] for line in edl if line[:3] in ("001", "002")] == [first, second]
    clips = list(otio.adapters.read_from_string(to_otio(hits, media), "otio_json").find_clips())
    for one, line in zip(clips, (first, second), strict=True):
        span = one.source_range
        ends = span.start_time, span.end_time_exclusive()
        assert [end.to_timecode(end.rate, rate == 29.97) for end in ends] == line.split()[:2]
        assert span.start_time.rate == pytest.approx(rate, abs=1e-3)


def test_otio_is_read_back():
    otio = pytest.importorskip("opentimelineio")
    text = to_otio([hit(), hit(start=10.0, end=11.0)], {FILM: recording(FILM)})
    timeline = otio.adapters.read_from_string(text, "otio_json")
    clips = list(timeline.find_clips())
    assert [one.source_range.start_time.to_seconds() for one in clips] == [1.0, 10.0]
    assert [one.source_range.duration.to_seconds() for one in clips] == [2.0, 1.0]
    assert clips[0].media_reference.target_url == "file:///films/a%20film.mp4"


def test_csv_and_srt(tmp_path):
    hits = [hit(TALK, 4.0, 5.0, '=cmd("x"),\n"quoted"'), hit(TALK, 1.0, 2.0, "first --> one")]
    rows = list(csv.reader(io.StringIO(to_csv(hits, {}))))
    assert rows[1] == ["/films/talk.mp3", "4.0", "5.0", "0.8", "speech", '\'=cmd("x"), "quoted"']
    (tmp_path / "h.srt").write_text(to_srt(hits, {}), "utf-8")
    assert [said.start for said in parse(tmp_path / "h.srt").utterances] == [1.0, 4.0]
    with pytest.raises(QueryError, match="one media"):
        to_srt([hit(), hit(TALK)], {})


def test_intervals():
    assert interval("1:02-1:15.5") == (62.0, 75.5)
    assert interval("1:00:00-3601") == (3600.0, 3601.0)
    for wrong in ("5", "5-4", "a-b", "1-2-3", "0-inf"):
        with pytest.raises(Exception, match=r"START-END|after"):
            interval(wrong)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """A library on disk of which the command line can search only what is said by its words: its models are stubs."""
    folder = tmp_path_factory.mktemp("cut")
    film = make_film(folder / "film.mp4", [("red", 5), ("green", 6), ("blue", 4)])
    with Library.open(
        folder / "l.mmv", visual=ColourEncoder(), speech=ScriptedTranscriber(), passages=WordEncoder()
    ) as opened:
        opened.add(film)
        yield opened


def test_clips(library, tmp_path):
    media = library.media()[0]
    exact = probe(clip(media, 5.4, 8.0, tmp_path / "exact.mp4", exact=True))
    assert exact.duration == pytest.approx(2.6, abs=0.15)
    copied = probe(clip(media, 5.4, 8.0, tmp_path / "copied.mp4"))
    assert 2.6 <= copied.duration <= 2.6 + 2.1  # a keyframe every two seconds
    with pytest.raises(QueryError, match="nothing between"):
        clip(media, 50, 60, tmp_path / "none.mp4")


def test_waveform_of_a_tone_is_even(library):
    wave = waveform(library.media()[0], 20)
    assert len(wave) == 20
    assert min(wave[1:-1]) > 0.5 * max(wave[1:-1]) > 0.05


def test_curve_is_high_where_the_colour_is(library):
    curve = library.curve("film.mp4", "green")
    inside = (curve.times >= 5) & (curve.times < 10.5)
    assert curve.seen[inside].min() > curve.seen[~inside].max()
    said = library.curve("film.mp4", "flour", modalities=["speech"])
    assert said.seen is None
    assert "flour" in said.said[0].text


def test_hits_in_a_notebook(library):
    html = library.search("green")._repr_html_()
    assert "data:image/jpeg;base64," in html
    assert "film.mp4" in html
    assert "nothing found" in library.search("green", media="other*")._repr_html_()


def test_the_commands(library, tmp_path, monkeypatch, capsys):
    class Opened:
        def __enter__(self):
            return library

        def __exit__(self, *_):
            return None

    monkeypatch.setattr("mmvideo.cli._library", lambda options, **_: Opened())
    assert main(["clip", "film.mp4", "0:05-7", "-o", str(tmp_path / "c.mp4"), "--exact"]) == 0
    assert probe(tmp_path / "c.mp4").duration == pytest.approx(2, abs=0.15)
    capsys.readouterr()
    assert main(["search", "green", "--in", "visual", "--json"]) == 0
    found = capsys.readouterr().out
    monkeypatch.setattr("sys.stdin", io.StringIO(found))
    assert main(["clip", "-", "-o", str(tmp_path / "h.mp4"), "--exact"]) == 0
    best = json.loads(found)[0]
    assert probe(tmp_path / "h.mp4").duration == pytest.approx(best["end"] - best["start"], abs=0.15)
    monkeypatch.setattr("sys.stdin", io.StringIO("nothing found"))
    assert main(["clip", "-", "-o", str(tmp_path / "h.mp4")]) != 0
    assert main(["clip", "film.mp4", "-o", str(tmp_path / "h.mp4")]) != 0
    assert main(["storyboard", "green", "-o", str(tmp_path / "s.jpg")]) == 0
    with Image.open(tmp_path / "s.jpg") as sheet:
        assert sheet.width > 300
    assert main(["timeline", "film.mp4", "green", "-o", str(tmp_path / "t.png")]) == 0
    with Image.open(tmp_path / "t.png") as graph:
        assert graph.size == (1200, 300)
        assert WAVE in {graph.getpixel((x, 137)) for x in range(700, 1100)}  # the tone, where nothing green is
    capsys.readouterr()
    assert main(["export", "green", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["path"].endswith("film.mp4")
    assert main(["export", "green", "--format", "edl", "-o", str(tmp_path / "h.edl")]) == 0
    assert "FCM" in (tmp_path / "h.edl").read_text()
    film = str(library.media()[0].path)
    assert main(["clip", "film.mp4", "1-2", "-o", film]) == 1
