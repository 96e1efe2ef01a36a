"""Adding on Ray: the same as locally, on one machine and on several of which one dies."""

import dataclasses
import threading
import time
import warnings

import numpy as np
import pytest

from mmvideo import Library, Recipe
from mmvideo.cluster import making
from mmvideo.decode import sample_frames
from mmvideo.media import probe
from mmvideo.merging import content_of

from .films import ffmpeg, make_film, make_sound
from .stubs import ColourEncoder, ScriptedTranscriber, WordEncoder

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's own, of open files and forks

COLOURS = ["red", "green", "blue", "yellow", "cyan", "magenta"]


class Slow(ColourEncoder):
    """Takes its time, so that there is a middle to strike in."""

    def encode_images(self, images):
        time.sleep(0.1)
        return super().encode_images(images)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    for i in range(4):
        make_film(folder / f"{i}.mp4", [(COLOURS[(i + j) % 6], 4 + j) for j in range(3)], sound=i % 2 == 0)
    make_film(folder / "long.mp4", [(COLOURS[j % 6], 7 + j % 4) for j in range(60)])  # 510 s
    make_sound(folder / "talk.mp3")
    (folder / "broken.mp4").write_bytes(b"no film" * 100)
    return folder


@pytest.fixture
def machines():
    """A head that does no work, and two machines that do."""
    from ray.cluster_utils import Cluster

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cluster = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 0, "object_store_memory": 100_000_000, "include_dashboard": False},
        )
        nodes = [cluster.add_node(num_cpus=1, object_store_memory=150_000_000) for _ in range(2)]
        cluster.wait_for_nodes()
        yield cluster, nodes
        ray.shutdown()
        cluster.shutdown()


def open_library(place, visual=None):
    return Library.open(
        place,
        isolated=False,
        visual=visual or ColourEncoder(),
        speech=ScriptedTranscriber(),
        passages=WordEncoder(),
        recipe=Recipe(frame_interval=0.5),
    )


def everything(library):
    return {stored.media.path.name: content_of(library._store, stored) for stored in library.stored()}


def same(here, there):
    assert here.keys() == there.keys()
    for name, content in here.items():
        other = there[name]
        plain = [
            dataclasses.replace(one, vectors={}, timeline=None, utterance_vectors=None, added=None)
            for one in (content, other)
        ]
        assert plain[0] == plain[1], name
        for modality, vectors in content.vectors.items():
            np.testing.assert_array_equal(vectors, other.vectors[modality])
        if content.timeline is not None:
            for part in ("times", "rows", "vectors", "cuts"):
                np.testing.assert_array_equal(getattr(content.timeline, part), getattr(other.timeline, part))


@pytest.fixture(scope="module")
def local(films, tmp_path_factory):
    with open_library(tmp_path_factory.mktemp("local") / "l.mmv") as library:
        report = library.add(films)
        assert (report.count("added"), report.count("failed")) == (6, 1)
        return everything(library), report


def test_a_machine_that_dies_costs_a_retry_and_nothing_else(films, local, machines, tmp_path):
    cluster, nodes = machines
    looked = threading.Event()

    def strike():
        looked.wait(60)
        time.sleep(0.5)
        cluster.remove_node(nodes[0], allow_graceful=False)

    with open_library(tmp_path / "l.mmv", Slow()) as library:
        striker = threading.Thread(target=strike)
        striker.start()
        seen = []

        def progress(one):
            seen.append(one)
            if one.stage == "looking" and one.done > 5 and one.path.name == "long.mp4":
                looked.set()

        report = library.add(films, progress=progress, ray=cluster.address)
        striker.join()
        assert looked.is_set()
        assert [(m.path, m.outcome) for m in report.media] == [(m.path, m.outcome) for m in local[1].media]
        assert len(library.media()) == 6
        assert library.verify().clean
        same(everything(library), local[0])
        assert {one.stage for one in seen} >= {"files", "looking", "listening"}
        assert library.add(films, ray=cluster.address).count("unchanged") == 6
        assert len(library.reports()) == 8  # 6 added, one that failed twice


@pytest.mark.parametrize("gap", [0.0, 2.0])
def test_stretches_put_together_are_the_whole(tmp_path, monkeypatch, gap):
    """Run here, without a cluster: what is decoded in parts, and how it is joined."""
    ffmpeg("-f", "lavfi", "-i", "testsrc=s=96x64:r=10:d=500", "-preset", "ultrafast", "-g", 20, tmp_path / "long.mkv")
    media, tasks = probe(tmp_path / "long.mkv"), []

    def here(function, **_):
        return lambda *arguments, **named: tasks.append(function) or function(*arguments, **named)

    monkeypatch.setattr(making, "_remote", here)
    monkeypatch.setattr(making, "STRETCH", 64)
    monkeypatch.setattr("ray.get", lambda one: one)
    options = {"interval": 0.5, "short_side": 64, "keyframe_gap": gap}
    whole = list(sample_frames(media, **options))
    joined = list(making.Remote(isolated=False).sample_frames(media, **options))
    assert tasks.count(making.decode) > 2
    assert len(whole) == len(joined)
    for one, other in zip(whole, joined, strict=True):
        np.testing.assert_array_equal(one.times, other.times)
        np.testing.assert_array_equal(one.images, other.images)
