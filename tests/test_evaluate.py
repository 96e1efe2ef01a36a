import json
import xml.etree.ElementTree
from pathlib import Path

import pytest

from mmvideo import cli, models
from mmvideo.datatypes import Hit
from mmvideo.errors import QueryError
from mmvideo.evaluate import Question, evaluate, read_truth
from mmvideo.figures import to_dict, to_svg, to_text
from mmvideo.metrics import Span

from .films import make_film
from .stubs import ColourEncoder, ScriptedTranscriber, WordEncoder

FILM = "film.mp4"


def question(text, *windows, modality="visual", kind="seen"):
    return Question(text, None, modality, kind, tuple(Span(FILM, *window) for window in windows))


def hit(start, end, score=0.9, name=FILM):
    return Hit(Path("/media") / name, start, end, score)


QUESTIONS = (
    question("first", (0, 10)),
    question("second", (20, 30)),
    question("third", (40, 50), (70, 80)),
    question("nowhere"),
)
ANSWERS = {
    "first": [hit(0, 10), hit(20, 30, 0.5)],
    "second": [hit(60, 70, 0.8), hit(20, 28, 0.7)],
    "third": [hit(41, 50.5, 0.4), hit(70, 80, 0.3)],
    "nowhere": [hit(0, 10, 0.6)],
}


@pytest.fixture(scope="module")
def evaluation():
    return evaluate(lambda one, modalities: ANSWERS[one.text], QUESTIONS, min_score=0.5, searched=("visual",))


def test_figures_by_hand(evaluation):
    figures = next(one for one in evaluation.figures if (one.way, one.kind) == ("visual", "all"))
    assert figures.count == 3
    values = figures.values
    assert values["R@1"] == pytest.approx(2 / 3)
    assert values["R@5"] == values["R@10"] == 1.0
    assert values["R1@0.5"] == values["R1@0.7"] == pytest.approx(2 / 3)
    assert values["mAP@0.5"] == pytest.approx((1 + 0.5 + 1) / 3)
    # the third's windows have IoU 9/10.5 = 0.857 and 1; the second's 0.8
    assert values["mAP@0.75"] == pytest.approx((1 + 0.5 + 1) / 3)
    second = 0.5 * 7 / 10  # 0.5 to 0.8
    third = (8 * 1.0 + 2 * 0.25) / 10  # 0.5 to 0.85 both; beyond, only the second hit is right: 1/2 · 1/2
    assert values["mAP"] == pytest.approx((1 + second + third) / 3)
    assert values["edge"] == pytest.approx(0.25)  # 0, 0 (first), 1, 0.5 (third)
    assert figures.recall[:2] == pytest.approx((2 / 3, 1.0))
    low, high = figures.intervals["R@1"]
    assert low < 2 / 3 < high


def test_chance_is_what_other_answers_would_get(evaluation):
    figures = next(one for one in evaluation.figures if one.kind == "all")
    # of the six pairs of questions only (first's hits, second's answer) finds anything, at rank 2
    assert figures.chance["R@1"] == 0.0
    assert figures.chance["R@5"] == pytest.approx(1 / 6)


def test_thresholds_by_hand(evaluation):
    of = {one.min_score: one for one in evaluation.thresholds if (one.way, one.kind) == ("visual", "all")}
    assert (of[0.5].absent, of[0.5].false) == (1, 1.0)
    assert of[0.5].answered == pytest.approx(2 / 3)
    assert of[0.5].right == pytest.approx(1 / 3)
    assert of[0.7].false == 0.0


def test_a_modality_that_is_not_there_is_named_and_left_out_of_all():
    asked = [*QUESTIONS, question("text", (1, 2), modality="screen", kind="shown")]
    found = evaluate(
        lambda one, modalities: ANSWERS.get(one.text, []), asked, min_score=0.5, searched=("visual", "speech")
    )
    assert found.left_out == ("screen",)
    counts = {(one.way, one.kind): one.count for one in found.figures}
    assert counts == {("visual", "all"): 3, ("fused", "seen"): 3, ("fused", "shown"): 1, ("fused", "all"): 3}
    assert "not searched here: screen" in to_text(found)


def test_text_json_and_picture(evaluation):
    assert "66.7 (0.0)" in to_text(evaluation)
    assert json.loads(json.dumps(to_dict(evaluation)))["figures"][0]["values"]["R@5"] == 1.0
    picture = xml.etree.ElementTree.fromstring(to_svg(evaluation))
    lines = [one for one in picture.iter() if one.tag.endswith("polyline")]
    assert len(lines) == len(evaluation.figures)
    heights = [float(point.split(",")[1]) for point in lines[0].get("points").split()]
    assert heights[0] == pytest.approx(20 + 280 / 3, abs=0.1)
    assert heights[1:] == [20.0] * 9


def test_truth_of_qvhighlights(tmp_path):
    path = tmp_path / "val.jsonl"
    row = {"qid": 7, "query": "a dog", "vid": "x_1_2", "duration": 150, "relevant_windows": [[0, 2], [6, 14]]}
    path.write_text(json.dumps(row) + "\n\n" + json.dumps({**row, "query": "a cat"}) + "\n")
    first, second = read_truth(path)
    assert first.answers == (Span("x_1_2", 0.0, 2.0), Span("x_1_2", 6.0, 14.0))
    assert (first.within, first.modality, second.text) == ("x_1_2", None, "a cat")


def test_truth_of_the_samples():
    questions = read_truth(Path(__file__).parent.parent / "samples" / "queries.json")
    assert {one.modality for one in questions} == {"visual", "speech"}
    assert any(not one.answers for one in questions)
    picture = next(one for one in questions if one.image)
    assert picture.image.is_file()
    assert picture.kind == "image"


@pytest.mark.parametrize("text", ["[]", "", "{", '[{"query": "a"}]', '{"vid": 1}', "[1]"])
def test_a_truth_that_is_none_is_named(tmp_path, text):
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(QueryError, match=r"bad\.json"):
        read_truth(path)
    with pytest.raises(QueryError, match="cannot be read"):
        read_truth(tmp_path / "absent.json")


def test_the_command(tmp_path, monkeypatch, capsys):
    made = {"visual": ColourEncoder(), "speech": ScriptedTranscriber(), "passages": WordEncoder()}
    monkeypatch.setattr(models.LibraryModels, "_load", lambda self, part, name: made[part])
    monkeypatch.setenv("MMVIDEO_LIBRARY", str(tmp_path / "library.mmv"))
    make_film(tmp_path / "colours.mp4", (("red", 5), ("green", 6), ("blue", 4)))
    assert cli.main(["add", str(tmp_path / "colours.mp4")]) == 0
    truth = tmp_path / "truth.jsonl"
    rows = [("red", 0, 5), ("green", 5, 11), ("blue", 11, 15)]
    truth.write_text(
        "\n".join(
            json.dumps({"qid": i, "query": name, "vid": "colours", "duration": 15, "relevant_windows": [[a, b]]})
            for i, (name, a, b) in enumerate(rows)
        )
    )
    capsys.readouterr()
    picture = tmp_path / "recall.svg"
    assert cli.main(["evaluate", str(truth), "--json", "--picture", str(picture)]) == 0
    found = json.loads(capsys.readouterr().out)
    visual = next(one for one in found["figures"] if one["way"] == "visual")
    assert visual["values"]["R@1"] == 1.0
    assert visual["values"]["edge"] <= 0.5
    assert visual["chance"]["R@1"] < 0.5
    assert picture.read_text().startswith("<svg")
    assert cli.main(["evaluate", str(truth)]) == 0
    assert "fused" in capsys.readouterr().out
