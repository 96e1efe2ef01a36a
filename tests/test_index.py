import json
import subprocess
import sys

import numpy as np
import pytest

from mmvideo import caches, index
from mmvideo.datatypes import Recipe
from mmvideo.index import VectorIndex, cosines
from mmvideo.pool import unit
from mmvideo.store import SQLiteStore

from .test_store import content


def vectors(n=300, dim=32, seed=0):
    return unit(np.random.default_rng(seed).standard_normal((n, dim)))


@pytest.fixture
def filled():
    made = VectorIndex(32)
    made.add(np.arange(1, 301, dtype=np.uint64), vectors())
    return made


def brute(query, ids, matrix):
    order = np.argsort(-(matrix @ query), kind="stable")
    return ids[order]


def test_search_is_exact_and_complete_while_small(filled):
    query = vectors(1, seed=9)[0]
    ids, scores = filled.search(query, 1000)
    assert len(ids) == 300
    assert (np.diff(scores) <= 0).all()
    np.testing.assert_array_equal(ids[:10], brute(query, np.arange(1, 301), vectors())[:10])
    np.testing.assert_allclose(scores[0], (vectors() @ query).max(), atol=2e-3)


def test_equal_vectors_come_in_order_of_their_ids():
    made = VectorIndex(4)
    made.add(np.array([9, 3, 7], np.uint64), np.tile(unit([1.0, 2, 3, 4]), (3, 1)))
    assert made.search(unit([1.0, 2, 3, 4]), 3)[0].tolist() == [3, 7, 9]


def test_above_the_limit_the_graph_answers(filled, monkeypatch):
    monkeypatch.setattr(index, "EXACT_LIMIT", 10)
    hits = sum(filled.search(vector, 1)[0][0] == i + 1 for i, vector in enumerate(vectors()[:50]))
    assert hits >= 45  # threads build the graph a little differently each time


def test_removed_ids_are_not_found(filled):
    filled.remove(np.array([5, 777], np.uint64))
    assert len(filled) == 299
    assert 5 not in filled.search(vectors()[4], 300)[0]
    assert filled.ids().tolist() == [i for i in range(1, 301) if i != 5]


def test_saved_and_opened(filled, tmp_path):
    filled.save(tmp_path / "visual", library="abc", generation=4)
    opened, state = VectorIndex.open(tmp_path / "visual")
    assert (state.library, state.generation, state.count, state.dim) == ("abc", 4, 300, 32)
    assert opened.search(vectors()[7], 1)[0].tolist() == [8]
    opened.add(np.array([1000], np.uint64), vectors(1, seed=5))  # a mapped index is copied before it changes
    opened.save(tmp_path / "visual", library="abc", generation=5)
    again, state = VectorIndex.open(tmp_path / "visual")
    assert len(again) == 301
    assert again.search(vectors(1, seed=5)[0], 1)[0].tolist() == [1000]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["visual.json", "visual.usearch"]


@pytest.mark.parametrize("damage", ["no index", "no state", "garbage index", "garbage state", "cut", "other count"])
def test_damaged_files_are_no_index(filled, tmp_path, damage):
    filled.save(tmp_path / "visual", library="abc", generation=4)
    data, state = tmp_path / "visual.usearch", tmp_path / "visual.json"
    if damage.startswith("no"):
        (data if damage == "no index" else state).unlink()
    elif damage.startswith("garbage"):
        (data if damage == "garbage index" else state).write_bytes(b"\x93garbage" * 99)
    elif damage == "cut":
        data.write_bytes(data.read_bytes()[:1000])
    else:
        state.write_text(json.dumps({**json.loads(state.read_text()), "count": 7}))
    assert VectorIndex.open(tmp_path / "visual") is None


def test_empty():
    ids, scores = VectorIndex(8).search(unit(np.ones(8)), 5)
    assert len(ids) == len(scores) == 0
    ids, scores = cosines(unit(np.ones(8)), [])
    assert len(ids) == len(scores) == 0


def test_cosines_rank_batches_together():
    batches = [(np.array([1, 2], np.uint64), vectors(2)), (np.array([3], np.uint64), vectors(1, seed=3))]
    ids, scores = cosines(vectors(1, seed=3)[0], batches)
    assert ids[0] == 3
    assert scores[0] == pytest.approx(1.0, abs=1e-5)


# Caches against the database


@pytest.fixture
def library(tmp_path):
    SQLiteStore.create(tmp_path / "library.db", Recipe())
    with SQLiteStore.open(tmp_path / "library.db") as store:
        store.put(content("/a.mp4"))
        store.put(content("/b.mp4", seed=1))
        caches.refresh(store, tmp_path)
        yield store, tmp_path


def held(store, folder, modality="visual"):
    found, fits = caches.open_index(store, folder, modality)
    return (None if found is None else found.ids().tolist()), fits


def test_a_fresh_cache_fits(library):
    store, folder = library
    assert held(store, folder) == (store.segment_ids("visual").tolist(), True)
    assert held(store, folder, "speech") == (store.segment_ids("speech").tolist(), True)


def test_a_cache_that_is_behind_is_topped_up_and_pruned_in_memory(library):
    store, folder = library
    before = (folder / "visual.usearch").read_bytes()
    store.remove(store.media()[0].id)
    store.put(content("/c.mp4", seed=2))
    assert held(store, folder) == (store.segment_ids("visual").tolist(), False)
    assert (folder / "visual.usearch").read_bytes() == before  # readers write nothing
    index_now, _ = caches.open_index(store, folder, "visual")
    ids, matrix = next(store.vectors("visual"))
    for segment_id, vector in zip(ids, matrix, strict=True):
        assert index_now.search(vector, 1)[0].tolist() == [segment_id]
    caches.refresh(store, folder)
    assert held(store, folder)[1]


def test_a_missing_cache_is_rebuilt(library):
    store, folder = library
    for file in (*folder.glob("*.usearch"), *folder.glob("*.json")):
        file.unlink()
    assert held(store, folder) == (store.segment_ids("visual").tolist(), False)
    caches.refresh(store, folder)
    assert held(store, folder)[1]


def test_the_cache_of_another_library_is_not_trusted(library, tmp_path):
    store, folder = library
    state = folder / "visual.json"
    state.write_text(json.dumps({**json.loads(state.read_text()), "library": "other"}))
    assert held(store, folder) == (store.segment_ids("visual").tolist(), False)


def test_an_emptied_modality_has_no_cache(library):
    store, folder = library
    for stored in store.media():
        store.remove(stored.id)
    assert held(store, folder) == (None, False)
    caches.refresh(store, folder)
    assert not list(folder.glob("*.usearch"))


def test_onnxruntime_can_be_imported_after_an_index_was_made():
    code = "from mmvideo.index import VectorIndex; VectorIndex(4); import onnxruntime"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
