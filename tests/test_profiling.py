import time

import numpy as np

from mmvideo import Library, Recipe
from mmvideo.cli import main
from mmvideo.datatypes import Audio
from mmvideo.profiling import Clock

from .films import make_film
from .stubs import ColourEncoder, ScriptedTranscriber, WordEncoder


class Slow(ColourEncoder):
    def encode_images(self, images):
        time.sleep(0.2)
        return super().encode_images(images)


def test_each_stage_is_counted_and_nothing_else_changes(tmp_path):
    film = make_film(tmp_path / "film.mp4", [("red", 3), ("green", 3)])
    clock = Clock()
    added = []
    for name, given in (("plain", None), ("timed", clock)):
        with Library.open(
            tmp_path / f"{name}.mmv",
            visual=Slow(),
            speech=ScriptedTranscriber(),
            passages=WordEncoder(),
            recipe=Recipe(screen="none"),
        ) as library:
            [report] = library.add(film, clock=given).media
            added.append((report.outcome, report.segments, [hit.start for hit in library.search("green")]))
    assert added[0] == added[1]
    assert 0.2 <= clock.seconds["encoding pictures"] < 1.0
    assert {"decoding pictures", "decoding sound", "recognising speech", "encoding texts", "storing"} <= {
        *clock.seconds
    }
    table = clock.lines()
    assert table[-1].endswith(("that the slowest stage set", "that the processors set"))
    assert any(line.startswith("encoding pictures") and line.endswith("%") for line in table)


def test_waiting_for_sound_is_not_recognising():
    class Models:
        def speech(self):
            return Recogniser()

    class Recogniser:
        def transcribe(self, blocks):
            return [len(block.samples) for block in blocks if not time.sleep(0.02)]

    def slowly():
        for _ in range(3):
            time.sleep(0.3)
            yield Audio(np.zeros(7, np.float32), 0.0)

    clock = Clock()
    assert clock.models(Models()).speech().transcribe(slowly()) == [7, 7, 7]
    assert 0.06 <= clock.seconds["recognising speech"] < 0.5


def test_the_command_prints_it(tmp_path, capsys):
    film = make_film(tmp_path / "film.mp4", [("red", 2)], sound=False)
    where = ["-l", str(tmp_path / "a.mmv"), "--visual", "conse", "--speech", "none", "--screen", "none", "--offline"]
    assert main(["add", *where, "--profile", str(film)]) == 0
    told = capsys.readouterr().err
    assert "encoding pictures" in told
    assert "times the limit" in told
