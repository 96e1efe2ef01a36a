"""The whole path on real files with real weights: the samples, their queries, and the commands of the README."""

import json
from pathlib import Path

import numpy as np
import pytest

from mmvideo import Library

SAMPLES = Path(__file__).parent.parent / "samples"
QUERIES = json.loads((SAMPLES / "queries.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    with Library.open(tmp_path_factory.mktemp("real") / "samples.mmv", visual="conse", offline=True) as opened:
        report = opened.add(SAMPLES)
        assert report.count("added") == 2, report
        yield opened


def asked(modality, kind):
    return [one for one in QUERIES if one["modality"] == modality and one["file"] and kind in one]


def is_right(hit, query):
    shared = min(hit.end, query["end"]) - max(hit.start, query["start"])
    return hit.path.name == query["file"] and shared >= 0.5 * min(hit.end - hit.start, query["end"] - query["start"])


@pytest.mark.parametrize(
    ("modality", "kind", "wanted"), [("speech", "query", 0.9), ("visual", "query", 0.8), ("visual", "image", 1.0)]
)
def test_the_first_hit_is_the_true_interval(library, modality, kind, wanted):
    missed = []
    queries = asked(modality, kind)
    for query in queries:
        image = SAMPLES / query["image"] if kind == "image" else None
        hits = library.search(query.get("query"), image=image, modalities=[modality], limit=1, min_score=0.0)
        if not hits or not is_right(hits[0], query):
            missed.append(query[kind])
    assert len(queries) >= 3
    assert len(queries) - len(missed) >= wanted * len(queries), missed


def test_the_ends_of_visual_hits_are_near_the_true_cuts(library):
    errors = []
    for query in asked("visual", "query"):
        hit = library.search(query["query"], modalities=["visual"], limit=1, min_score=0.0)[0]
        if is_right(hit, query):
            errors += [abs(hit.start - query["start"]), abs(hit.end - query["end"])]
    assert np.median(errors) <= 0.5  # half a sampling step


def test_fused_search_finds_both_kinds(library):
    queries = asked("visual", "query") + asked("speech", "query")
    right = sum(is_right(library.search(query["query"], limit=1, min_score=0.0)[0], query) for query in queries)
    assert right >= 0.75 * len(queries)


def test_the_time_of_a_word_is_when_it_is_said(library):
    transcript = library.transcript("harbour.mp4")
    spoken = [word for utterance in transcript.utterances for word in utterance.words]
    donkey = next(word for word in spoken if word.text.lower().startswith("donkey"))
    truth = next(one for one in QUERIES if "donkey" in one.get("query", ""))
    assert truth["start"] < donkey.start < donkey.end <= truth["end"] + 0.3
    hit = library.search('"nervous donkey"', modalities=["speech"])[0]
    assert hit.matches[0].time <= donkey.start
    assert donkey.start - hit.matches[0].time < 1.0
