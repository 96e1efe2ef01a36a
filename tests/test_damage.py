"""Whatever the bytes of a library's files are: every call answers or raises one of our errors, and none crashes."""

import os
import random
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from mmvideo import Library, LibraryError, MMVideoError
from mmvideo.index import IndexState, VectorIndex

from .films import make_film, make_sound
from .stubs import ColourEncoder, ScriptedTranscriber, WordEncoder

ROOT = Path(__file__).parents[1]


def opened(folder, **options):
    encoders = {"visual": ColourEncoder(), "speech": ScriptedTranscriber(), "passages": WordEncoder()}
    return Library.open(folder, isolated=False, screen="none", **encoders, **options)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    make_film(folder / "first.mp4", (("red", 5), ("green", 6)))
    make_sound(folder / "talk.mp3")
    return folder


@pytest.fixture(scope="module")
def made(films, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "l.mmv"
    with opened(folder) as library:
        library.add(films)
    with closing(sqlite3.connect(folder / "library.db")) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return folder


def harmed(data, rng):
    """Return bytes cut short, flipped, overwritten, or with pages of nothing."""
    data = bytearray(data)
    kind = rng.randrange(5)
    if kind == 0:
        return bytes(data[: rng.randrange(len(data))])
    for _ in range(rng.choice((1, 5, 50))):
        if kind == 1:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        elif kind == 2:
            data[rng.randrange(len(data) // 4096) * 4096 + rng.randrange(60)] = rng.randrange(256)
    page = rng.randrange(len(data) // 4096) * 4096
    if kind == 3:
        data[page : page + 4096] = bytes(4096)
    if kind == 4:
        data[page : page + 20_000] = rng.randbytes(len(data[page : page + 20_000]))
    return bytes(data)


def outcome(call):
    """Return "" where a call answers, else the one line of our error; any other error is the test's failure."""
    try:
        call()
    except MMVideoError as error:
        assert "\n" not in str(error)  # noqa: PT017
        return str(error)
    return ""


@pytest.mark.parametrize("first", range(0, 100, 20))
def test_a_damaged_database_is_answered_or_refused(made, films, tmp_path, first):
    folder = tmp_path / "harmed.mmv"
    refused = 0
    for seed in range(first, first + 20):
        rng = random.Random(seed)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(made, folder)
        database = folder / "library.db"
        database.write_bytes(harmed(database.read_bytes(), rng))
        if seed % 3 == 0:
            (folder / "library.db-wal").write_bytes(rng.randbytes(5000))
        if seed % 7 == 6:
            (folder / "visual.usearch").unlink()
        try:
            library = opened(folder)
        except LibraryError as error:
            assert str(folder) in str(error)  # noqa: PT017
            refused += 1
            continue
        with library:
            failed = [outcome(lambda: library.search("red bread", limit=50)), outcome(library.media)]  # noqa: B023
            whole = library.verify().clean
            assert not (whole and any(failed)), (seed, failed)
            for call in (
                lambda: library.add(films),  # noqa: B023
                lambda: library.verify(repair=True),  # noqa: B023
                lambda: library.similar("first.mp4", 2.0),  # noqa: B023
                lambda: library.transcript("talk.mp3"),  # noqa: B023
                lambda: library.relocate(films, films / "elsewhere"),  # noqa: B023
                lambda: library.remove("talk.mp3"),  # noqa: B023
            ):
                refused += bool(outcome(call))
    assert refused


def command(*arguments):
    run = [sys.executable, "-m", "mmvideo", *map(os.fspath, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(run, capture_output=True, text=True, check=False, env=environment)


def test_the_command_line_says_what_to_do(made, films, tmp_path):
    folder = tmp_path / "l.mmv"
    shutil.copytree(made, folder)
    data = bytearray((folder / "library.db").read_bytes())
    data[4096:] = bytes(len(data) - 4096)
    (folder / "library.db").write_bytes(data)
    for run in (
        command("search", "-l", folder, "red"),
        command("add", "-l", folder, films),
        command("ls", "-l", folder),
    ):
        assert run.returncode == 1
        assert run.stderr.count("\n") == 1, run.stderr
        assert "damaged" in run.stderr
        assert "put back a copy" in run.stderr
    run = command("verify", "-l", folder)
    assert run.returncode == 1
    assert "Traceback" not in run.stderr
    for text, said in (("no database at all", "not an mmvideo library"), ("\0" * 9000, "damaged")):
        (folder / "library.db").write_text(text)
        run = command("search", "-l", folder, "red")
        assert (run.returncode, run.stderr.count("\n")) == (1, 1)
        assert said in run.stderr


def test_a_damaged_index_crashes_nobody(tmp_path):
    """usearch follows the numbers in its file wherever they lead; a checksum keeps it from damaged ones."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(2000, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index = VectorIndex(16)
    index.add(np.arange(2000, dtype=np.uint64), vectors)
    index.save(tmp_path / "visual", library="l", generation=1)
    found = VectorIndex.open(tmp_path / "visual")
    assert found is not None
    assert found[0].search(vectors[7], 1)[0][0] == 7
    data = (tmp_path / "visual.usearch").read_bytes()
    for seed in range(30):
        flips = random.Random(seed)
        wrong = bytearray(data)
        for _ in range(flips.choice((1, 20, 300))):
            wrong[flips.randrange(len(wrong))] ^= 1 << flips.randrange(8)
        (tmp_path / "visual.usearch").write_bytes(wrong)
        assert VectorIndex.open(tmp_path / "visual") is None
    state = IndexState.read(tmp_path / "visual")
    assert state is not None
    assert state.checksum is not None


def test_an_absent_index_closes_no_file_of_ours(tmp_path):
    """usearch, given a path that it cannot open, closes descriptor 0, which may be anything by then."""
    index = VectorIndex(4)
    index.add(np.arange(3, dtype=np.uint64), np.eye(4, dtype=np.float32)[:3])
    index.save(tmp_path / "visual", library="l", generation=1)
    (tmp_path / "visual.usearch").unlink()
    code = (
        "import os, sys; from pathlib import Path; from mmvideo.index import VectorIndex\n"
        "assert VectorIndex.open(Path(sys.argv[1])) is None; os.fstat(0)"
    )
    run = [sys.executable, "-c", code, tmp_path / "visual"]
    done = subprocess.run(run, stdin=subprocess.PIPE, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
