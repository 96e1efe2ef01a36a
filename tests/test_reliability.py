"""Faults injected for real: kills, a full disk, other processes, hostile files and names."""

import json
import os
import random
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from mmvideo import Library, LibraryError, MediaError, QueryError
from mmvideo.media import find_media, probe
from mmvideo.sandbox import Sandbox
from mmvideo.store import SQLiteStore, migrate, outdated
from mmvideo.store.schema import SCHEMA_VERSION

from .films import make_film, make_sound
from .stubs import ColourEncoder, ScriptedTranscriber, WordEncoder

ROOT = Path(__file__).parents[1]
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")


def opened(folder, *, isolated=False, **options):
    encoders = {"visual": ColourEncoder(), "speech": ScriptedTranscriber(), "passages": WordEncoder()}
    return Library.open(folder, isolated=isolated, **encoders, **options)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    make_film(folder / "first.mp4", (("red", 5), ("green", 6)))
    make_film(folder / "second.mkv", (("yellow", 4), ("cyan", 4)), sound=False)
    make_sound(folder / "talk.mp3")
    return folder


@pytest.fixture
def own(films, tmp_path):
    """A library and recordings that the test may change."""
    shutil.copytree(films, tmp_path / "films")
    with opened(tmp_path / "own.mmv") as library:
        library.add(tmp_path / "films")
        yield library, tmp_path / "films"


# Killed anywhere, hostile files: short runs of the campaigns


@LINUX
@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_killed_anywhere_nothing_is_lost():
    run = [sys.executable, ROOT / "scripts/campaign_kill.py", "12"]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "'killed': 12" in done.stdout


@LINUX
@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_a_refused_write_anywhere_does_no_damage():
    run = [sys.executable, ROOT / "scripts/campaign_full.py", "5", "--first", "18"]  # 20: while the library is made
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "'refused'" in done.stdout


@LINUX
def test_hostile_files_are_refused_or_partly_read():
    run = [sys.executable, ROOT / "scripts/campaign_hostile.py", "66"]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    outcomes = next(line for line in done.stdout.splitlines() if line.startswith("outcomes"))
    assert "'failed'" in outcomes
    assert "'with notes'" in outcomes


# In a process of its own


@pytest.fixture
def sandbox():
    one = Sandbox(patience=60)
    yield one
    one.close()


def test_a_sandbox_says_what_direct_decoding_says(sandbox, films):
    from mmvideo.decode import read_audio, sample_frames

    media = probe(films / "first.mp4")
    assert sandbox.probe(films / "first.mp4") == media
    with (
        sandbox.sample_frames(media, interval=0.5, short_side=32) as there,
        sample_frames(media, interval=0.5, short_side=32) as here,
    ):
        for a, b in zip(there, here, strict=True):
            assert np.array_equal(a.images, b.images)
            assert np.array_equal(a.times, b.times)
        assert (there.decoder, there.notes) == (here.decoder, here.notes)
    with sandbox.read_audio(media) as there, read_audio(media) as here:
        for a, b in zip(there, here, strict=True):
            assert np.array_equal(a.samples, b.samples)
            assert a.start == b.start
    with pytest.raises(MediaError, match=r"no such file|cannot be read"):
        sandbox.probe(films / "absent.mp4")
    assert len(sandbox._idle) == 1  # one process served all that


def test_a_task_may_name_very_many_times(sandbox, films):
    media = probe(films / "first.mp4")
    times = np.linspace(0, media.duration - 0.1, 100_000).tolist()
    with sandbox.sample_frames(media, interval=1.0, short_side=16, at=times) as frames:
        assert sum(map(len, frames)) == 110


@LINUX
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (lambda pid: os.kill(pid, signal.SIGSEGV), "the decoder crashed: SIGSEGV"),
        (lambda pid: os.kill(pid, signal.SIGSTOP), "nothing came of it for 1 s"),  # it hangs
    ],
    ids=["crash", "hang"],
)
def test_a_decoder_that_dies_costs_one_file(films, fault, said):
    with opened_sandbox(1.0) as sandbox:
        sandbox.probe(films / "first.mp4")
        before = sandbox._idle[0]._process.pid
        asked = sandbox._idle[0].send

        def struck(task):
            fault(before)
            asked(task)

        sandbox._idle[0].send = struck
        with pytest.raises(MediaError, match=said):
            sandbox.probe(films / "first.mp4")
        with pytest.raises(ProcessLookupError):
            os.kill(before, 0)
        sandbox.patience = 60.0
        assert sandbox.probe(films / "first.mp4").video.width == 96  # by a new process
        assert sandbox._idle[0]._process.pid != before


@pytest.fixture
def crashes(monkeypatch):
    """Every process that decodes gets SIGSEGV when it is given a task of these kinds."""
    from mmvideo.sandbox.process import Worker

    kinds, send = set(), Worker.send

    def struck(worker, task):
        if task["task"] in kinds:
            os.kill(worker._process.pid, signal.SIGSEGV)
        send(worker, task)

    monkeypatch.setattr(Worker, "send", struck)
    return kinds


@LINUX
def test_a_crash_while_pictures_are_looked_at_costs_the_picture(films, tmp_path, crashes):
    from PIL import Image

    from mmvideo.cutting import frame_jpeg, waveform
    from mmvideo.export import storyboard
    from mmvideo.notebook import Hits

    Image.new("RGB", (40, 30), "red").save(tmp_path / "red.png")
    with opened(tmp_path / "l.mmv", isolated=True) as library:
        library.add(films)
        hits = library.search(image=tmp_path / "red.png", limit=3)
        media = {one.path: one for one in library.media()}
        shown = [media[hit.path] for hit in hits]
        assert library.search(image=Image.open(tmp_path / "red.png"), limit=3) == hits
        whole = storyboard(hits, shown, decoding=library.decoding)
        assert "<img" in Hits(hits)._repr_html_()
        crashes |= {"frame", "picture", "sound"}
        with pytest.raises(MediaError, match="the decoder crashed: SIGSEGV"):
            frame_jpeg(shown[0], 1.0, width=32, decoding=library.decoding)
        with pytest.raises(MediaError, match="the decoder crashed: SIGSEGV"):
            waveform(shown[0], 10)
        with pytest.raises(QueryError, match=r"red\.png: cannot be read \(the decoder crashed: SIGSEGV\)"):
            library.search(image=tmp_path / "red.png")
        assert not np.array_equal(storyboard(hits, shown, decoding=library.decoding), whole)
        assert "<img" not in Hits(hits)._repr_html_()
        crashes.clear()
        assert np.array_equal(storyboard(hits, shown, decoding=library.decoding), whole)
        assert library.search(image=tmp_path / "red.png", limit=3) == hits


@LINUX
def test_a_crash_does_not_take_the_server_along(films, tmp_path, crashes):
    from starlette.testclient import TestClient

    from mmvideo.server import create_app

    clip, png = (films / "first.mp4").read_bytes(), b"\x89PNG\r\n\x1a\n"
    with opened(tmp_path / "l.mmv", isolated=True) as library:
        library.add(films / "first.mp4")
        http = TestClient(create_app(library), base_url="http://127.0.0.1")
        assert http.get("/api/media/1/frame?t=1&width=64").headers["content-type"] == "image/jpeg"
        crashes |= {"frame", "picture", "probe", "sound"}
        for answer in (
            http.get("/api/media/1/frame?t=2&width=64"),
            http.get("/api/media/1/waveform"),
            http.get("/api/search?like=1@1"),
            http.post("/api/search", files={"file": ("a.mp4", clip, "video/mp4")}),
            http.post("/api/search", files={"file": ("a.png", png, "image/png")}),
        ):
            assert answer.status_code in (400, 422), answer.text
            assert "\n" not in answer.json()["error"]["message"]
        crashes.clear()
        assert http.get("/api/media/1/frame?t=2&width=64").status_code == 200
        assert len(http.get("/api/media/1/waveform").json()) == 800
        assert http.get("/api/search?like=1@1").json()["hits"]
        assert http.post("/api/search", files={"file": ("a.mp4", clip, "video/mp4")}).json()["hits"]


def test_one_picture_alone_is_the_same_from_either_side(sandbox, films):
    from mmvideo.decode import frame_at

    media = probe(films / "first.mp4")
    for time_, side in ((0.0, None), (6.3, 32)):
        there, here = sandbox.frame_at(media, time_, short_side=side), frame_at(media, time_, short_side=side)
        assert np.array_equal(there.images, here.images)
        assert np.array_equal(there.times, here.times)


def opened_sandbox(patience):
    from contextlib import closing

    return closing(Sandbox(patience=patience))


@LINUX
def test_memory_is_bounded(films):
    from contextlib import closing

    def look(box):
        with box.sample_frames(box.probe(films / "first.mp4"), interval=0.1) as frames:
            list(frames)

    with closing(Sandbox(memory=300 * 1024**2)) as small, pytest.raises(MediaError) as refused:
        look(small)
    assert "\n" not in str(refused.value)


def test_who_keeps_the_times_of_frames_does_not_keep_the_frames(films):
    """Ten hours of film once took gigabytes: each batch's times lay in the memory of its pictures."""
    import tracemalloc

    with opened_sandbox(30.0) as box:
        media = box.probe(films / "first.mp4")
        tracemalloc.start()
        try:
            times, pictures = [], 0
            with box.sample_frames(media, interval=0.1, batch=4) as batches:
                for frames in batches:
                    times.append(frames.times)
                    pictures += frames.images.nbytes
                    del frames
            held = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
    assert len(times) > 4
    assert held < 0.3 * pictures, (held, pictures)


@LINUX
def test_workers_end_with_a_killed_parent(films):
    code = (
        "import sys, time; from pathlib import Path; from mmvideo.sandbox import Sandbox; box = Sandbox();"
        "box.probe(Path(sys.argv[1])); print(box._idle[0]._process.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, films / "first.mp4"], stdout=subprocess.PIPE) as parent:
        worker = int(parent.stdout.readline())
        os.kill(worker, 0)
        parent.kill()
    assert gone(worker)


def gone(pid):
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


# Verify and repair


def change(folder, statement, *values):
    with sqlite3.connect(folder / "library.db") as db:
        db.execute(statement, values)
    db.close()


def test_a_whole_library_is_clean(own):
    library, _ = own
    result = library.verify()
    assert result.clean
    assert not result.findings
    assert (result.media, result.segments) == (3, library._store.count("visual") + library._store.count("speech"))


@pytest.mark.parametrize(
    ("statement", "values", "said"),
    [
        ("UPDATE segment SET vector = zeroblob(16) WHERE id = 1", (), "a vector of length 0"),
        ("UPDATE segment SET vector = x'0102' WHERE id = 1", (), "no vectors of 8 numbers"),
        ("UPDATE segment SET vector = NULL WHERE id = 1", (), "without a vector"),
        ("UPDATE segment SET vector = ? WHERE id = 1", (np.full(8, np.nan, np.float16).tobytes(),), "that are none"),
        ('UPDATE segment SET "end" = start - 1 WHERE id = 1', (), "segment from"),
        ("UPDATE timeline SET rows = zeroblob(4)", (), "refer to no vector"),
        ("UPDATE timeline SET vectors = zeroblob(16), rows = zeroblob(length(rows))", (), "its frames: a vector"),
        ("UPDATE transcript SET utterances = '[[1, 0, 5, []]]'", (), "transcript is damaged"),
        ("UPDATE transcript SET vectors = zeroblob(128)", (), "vectors instead of|a vector of length"),
    ],
)
def test_damaged_rows_are_found_and_made_again(own, statement, values, said):
    library, films = own
    wanted = {(hit.path.name, hit.start) for hit in library.search("red green cyan", limit=50)}
    change(library.folder, statement, *values)
    result = library.verify()
    assert any(finding.kind == "damage" for finding in result.open)
    assert any(re.search(said, finding.text) for finding in result.open), result
    assert all(finding.done for finding in library.verify(repair=True).findings)
    library.add(films)
    assert library.verify().clean
    assert {(hit.path.name, hit.start) for hit in library.search("red green cyan", limit=50)} == wanted


def test_the_words_are_compared_and_made_again(own):
    library, _ = own
    change(library.folder, "DELETE FROM words_data WHERE id > 10")
    change(library.folder, "INSERT INTO words (words) VALUES ('delete-all')")
    assert [finding.text for finding in library.verify().open] == ["the full-text index does not fit what was said"]
    assert library.verify(repair=True).clean
    assert library.search('"flour and water"')


@pytest.mark.parametrize("harm", ["garbage", "other ids", "other vectors", "no json"])
def test_caches_are_checked_against_the_rows(own, harm):
    from mmvideo.index import VectorIndex

    library, _ = own
    path = library.folder / "visual"
    index, state = VectorIndex.open(path)
    ids = index.ids()
    vectors = index.vectors(ids)
    if harm == "garbage":
        path.with_suffix(".usearch").write_bytes(b"garbage")
    elif harm == "no json":
        path.with_suffix(".json").write_text("{")
    else:
        wrong = VectorIndex(index.dim)
        wrong.add(ids + (harm == "other ids"), vectors[::-1] if harm == "other vectors" else vectors)
        wrong.save(path, library=state.library, generation=state.generation)
    found = library.verify().open
    assert [finding.kind for finding in found] == ["cache"]
    assert library.verify(repair=True).clean
    assert not library.verify().findings


def test_what_cannot_be_made_again_is_kept(own):
    library, films = own
    (films / "talk.mp3").unlink()
    (films / "second.mkv").write_bytes(b"changed")
    change(library.folder, "UPDATE transcript SET vectors = zeroblob(2)")
    found = {finding.text.split(": ")[1][:12] for finding in library.verify(repair=True).open}
    assert {"not there any", "changed sinc"} & {text[:13] for text in found} or len(found) >= 2
    assert {media.path.name for media in library.media()} >= {"talk.mp3", "second.mkv"}
    library.verify(drop=True)
    assert "talk.mp3" not in {media.path.name for media in library.media()}


def test_a_media_of_which_nothing_is_known_is_dropped_only_when_told(own):
    library, films = own
    change(library.folder, "UPDATE media SET streams = '{' WHERE id = 1")
    assert library.verify(repair=True).open[0].text.startswith("media 1: cannot be read")
    assert library.verify(drop=True).clean
    assert library.add(films).count("added") == 1
    assert library.verify().clean


def test_a_damaged_database_is_said(own):
    library, _ = own
    library.close()
    change(library.folder, "PRAGMA wal_checkpoint(TRUNCATE)")
    path = library.folder / "library.db"
    data = bytearray(path.read_bytes())
    data[5000:20000] = random.Random(1).randbytes(15000)
    path.write_bytes(data)
    run = command("verify", "-l", library.folder)
    assert run.returncode == 1
    assert "Traceback" not in run.stderr
    assert run.stdout.startswith("damage") or "mmvideo:" in run.stderr


def command(*arguments, **options):
    run = [sys.executable, "-m", "mmvideo", *map(os.fspath, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})}
    return subprocess.run(run, capture_output=True, text=True, check=False, env=environment, **options)


def test_exit_codes_of_verify(own):
    library, films = own
    assert command("verify", "-l", library.folder).returncode == 0
    (films / "talk.mp3").unlink()
    run = command("verify", "-l", library.folder, "--json")
    assert run.returncode == 3
    assert json.loads(run.stdout)["findings"][0]["kind"] == "media"
    change(library.folder, "UPDATE segment SET vector = zeroblob(16) WHERE id = 1")
    assert command("verify", "-l", library.folder).returncode == 1
    assert command("verify", "-l", library.folder, "--drop").returncode == 0


# Schema versions


STEPS = (
    "CREATE TABLE extra (id INTEGER PRIMARY KEY, name TEXT DEFAULT 'a;b');",
    "ALTER TABLE media ADD COLUMN mark TEXT; UPDATE media SET mark = 'seen';",
)


def test_an_old_library_is_brought_forward_with_a_copy(own):
    library, _ = own
    library.close()
    path = library.folder / "library.db"
    copy = migrate(path, STEPS)
    assert copy.name == "library.db.v1.bak"
    with sqlite3.connect(path) as db, sqlite3.connect(copy) as old:
        assert db.execute("PRAGMA user_version").fetchone() == (3,)
        assert db.execute("SELECT DISTINCT mark FROM media").fetchall() == [("seen",)]
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert old.execute("PRAGMA user_version").fetchone() == (1,)
        assert old.execute("SELECT count(*) FROM media").fetchone() == (3,)
    db.close()
    old.close()
    assert migrate(path, STEPS) is None
    with pytest.raises(LibraryError, match="newer mmvideo"):  # three is newer than this program
        SQLiteStore.open(path)


def test_a_step_that_fails_changes_nothing(own):
    library, _ = own
    library.close()
    path = library.folder / "library.db"
    with pytest.raises(LibraryError, match="nothing was changed"):
        migrate(path, ("CREATE TABLE extra (a); INSERT INTO nowhere VALUES (1);",))
    assert not outdated(path)
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'extra'").fetchone() == (0,)
        assert db.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    db.close()


def test_opening_brings_an_old_library_forward(own, monkeypatch):
    library, _ = own
    library.close()
    for module in ("mmvideo.store.schema", "mmvideo.store.migrate"):
        monkeypatch.setattr(sys.modules[module], "SCHEMA_VERSION", 3)
    with pytest.raises(LibraryError, match="older mmvideo"):
        SQLiteStore.open(library.folder / "library.db")
    monkeypatch.setattr("mmvideo.opening.migrate", lambda path: migrate(path, STEPS))
    with opened(library.folder) as again:
        assert again.search("red")
        assert again.verify().clean


# Disk full, read-only, vanished, moved


@LINUX
def test_a_full_disk_is_said_and_does_no_damage(films, tmp_path):
    """RLIMIT_FSIZE makes every write beyond it fail, as a full disk does, wherever it falls."""
    library = tmp_path / "full.mmv"
    with opened(library) as one:
        one.add(films / "talk.mp3")
        size = max(path.stat().st_size for path in library.iterdir())
    code = (
        "import resource, signal, sys; sys.path.insert(0, sys.argv[1]); signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from tests.test_reliability import opened\n"
        "from mmvideo import MMVideoError\n"
        "with opened(sys.argv[2]) as library:\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]), int(sys.argv[4])))\n"
        "    try: print(library.add(sys.argv[3]).count('added'))\n"
        "    except MMVideoError as error: print('refused', error)\n"
    )
    refused = 0
    for limit in (0, 4096, 20_000, size // 2, size, size + 4096, 2 * size):
        run = subprocess.run(
            [sys.executable, "-c", code, ROOT, library, films, str(limit)], capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, (limit, run.stderr[-2000:])
        refused += run.stdout.startswith("refused")
        with opened(library) as one:
            assert "talk.mp3" in {media.path.name for media in one.media()}
            assert all(finding.kind != "damage" for finding in one.verify().findings)
            assert one.search("ferry")
    assert refused
    with opened(library) as one:
        one.add(films)
        assert one.verify(repair=True).clean
        assert len(one.media()) == 3


@LINUX
def test_a_really_full_disk(films, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=500k", "mmvideo", disk], check=False, capture_output=True
    ).returncode:
        pytest.skip("a small disk can only be made as root")
    try:
        with opened(disk / "full.mmv") as library:
            (disk / "ballast").write_bytes(bytes(150_000))
            (tmp_path / "many").mkdir()
            for number in range(40):
                path = tmp_path / "many" / f"{number}.mp4"
                path.write_bytes((films / "first.mp4").read_bytes() + bytes([number]) * 100)
            with pytest.raises(LibraryError, match=r"could not be written|cannot be written"):
                library.add(tmp_path / "many")
            held = len(library.media())
            assert held >= 1
            assert library.search("red")
        (disk / "ballast").unlink()
        with opened(disk / "full.mmv") as library:
            assert len(library.media()) == held
            assert all(finding.kind != "damage" for finding in library.verify().findings)
            assert library.search("green")
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


@LINUX
def test_a_read_only_disk(own, tmp_path):
    library, films = own
    library.close()
    disk = tmp_path / "ro"
    disk.mkdir()
    shutil.copytree(library.folder, tmp_path / "base" / "own.mmv")
    mounted = subprocess.run(["mount", "--bind", tmp_path / "base", disk], check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip("a read-only disk can only be made as root")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", disk], check=True)
        with opened(disk / "own.mmv") as reader:
            assert reader.search("red")
            assert reader.verify().clean
            for write in (
                lambda: reader.add(films),
                lambda: reader.remove("talk.mp3"),
                lambda: reader.verify(repair=True),
            ):
                with pytest.raises(LibraryError, match="cannot be written to"):
                    write()
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_media_that_vanish_or_grow_while_they_are_read(films, tmp_path):
    for name in ("a.mp4", "b.mp4"):
        shutil.copy(films / "first.mp4", tmp_path / name)

    def interfere(progress):
        if progress.stage == "looking" and progress.path.name == "a.mp4":
            progress.path.unlink(missing_ok=True)
        elif progress.stage == "looking":
            with progress.path.open("ab") as file:
                file.write(b"more")

    with opened(tmp_path / "l.mmv") as library:
        report = library.add([tmp_path / "a.mp4", tmp_path / "b.mp4"], progress=interfere)
        assert [one.outcome for one in report.media] == ["failed", "failed"]
        assert "cannot be read" in report.media[0].message
        assert "changed while it was read" in report.media[1].message
        assert library.media() == []


def test_a_library_and_its_media_move(own, tmp_path):
    library, films = own
    wanted = [(hit.path.name, hit.start, hit.score) for hit in library.search("red bread", limit=20)]
    library.close()
    shutil.copytree(library.folder, tmp_path / "elsewhere" / "copy.mmv")
    (tmp_path / "disk").mkdir()
    shutil.move(films, tmp_path / "disk" / "recordings")
    (tmp_path / "disk" / "recordings" / "talk.mp3").write_bytes(b"another")
    run = command("relocate", films, tmp_path / "disk" / "recordings", "-l", tmp_path / "elsewhere" / "copy.mmv")
    assert run.returncode == 1  # one of three is another recording
    assert "another recording" in run.stderr
    with opened(tmp_path / "elsewhere" / "copy.mmv") as copy:
        assert [(hit.path.name, hit.start, hit.score) for hit in copy.search("red bread", limit=20)] == wanted
        assert {media.path.parent for media in copy.media()} == {films, tmp_path / "disk" / "recordings"}
        report = copy.add(tmp_path / "disk" / "recordings" / "first.mp4")
        assert report.count("unchanged") == 1
        with pytest.raises(LibraryError, match="nothing of it"):
            copy.relocate(tmp_path / "nowhere", tmp_path)


# Together


@LINUX
def test_one_adds_while_others_search(films, tmp_path):
    run = [sys.executable, ROOT / "scripts/campaign_together.py", "--seconds", "5", "--readers", "3"]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout[-1000:]


HOLD = """import sys, time
from pathlib import Path
from mmvideo.lock import writing
with writing(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def test_a_second_writer_is_told_who_or_waits(own):
    library, films = own
    with subprocess.Popen([sys.executable, "-c", HOLD, library.folder, "1.5"], stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        with pytest.raises(LibraryError, match=rf"process {holder.pid} on {socket.gethostname()}.*--wait"):
            library.add(films)
        library.wait = True
        assert library.add(films).count("unchanged") == 3
    assert holder.returncode == 0


def test_the_lock_of_a_dead_process_does_not_block(own):
    library, films = own
    with subprocess.Popen([sys.executable, "-c", HOLD, library.folder, "60"], stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        holder.kill()
    assert library.add(films).count("unchanged") == 3


# Names, and the network


NAMES = ["new\nline.mp4", "q'uo\"te.mp4", "-rf.mp4", "a;b$(c)`d`.mp4", "file:x.mp4", "%s%n.mp4", "*.mp4", "ü 🎥.mp4"]


@LINUX
def test_any_name_is_only_a_name(films, tmp_path):
    names = [*NAMES, os.fsdecode(b"\xff\xfe.mp4")]
    for position, name in enumerate(names):
        shutil.copy(films / "first.mp4", tmp_path / name)
        with (tmp_path / name).open("ab") as file:
            file.write(bytes(position))
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "self.mp4").symlink_to("self.mp4")
    os.mkfifo(tmp_path / "pipe.mp4")
    with opened(tmp_path / "l.mmv", isolated=True) as library:
        report = library.add(tmp_path)
        assert {one.path.name for one in report.media if one.outcome == "added"} == set(names)
        assert {media.path.name for media in library.media()} == set(names)
        assert library.verify().clean
        assert {hit.path.name for hit in library.search("red", limit=50)} == set(names)
        for name in names:
            assert library.remove(tmp_path / name).name == name
        for odd in (tmp_path / "pipe.mp4", "/dev/zero", tmp_path / "self.mp4"):
            assert library.add(odd).failed
    assert find_media(["/dev/zero"])[0] == []


@LINUX
def test_names_on_the_command_line(own):
    library, films = own
    (films / "talk.mp3").rename(films / "-v\n.mp3")
    run = command("relocate", "-l", library.folder, "--", films / "talk.mp3", films / "-v\n.mp3")
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("\n") == 1
    assert command("transcript", "-l", library.folder, "--", "-v*").returncode == 0
    (films / "empty\n.mp4").touch()
    (films / "circle.mp4").symlink_to("circle.mp4")
    run = command("add", "-l", library.folder, films / "empty\n.mp4", films / "circle.mp4")
    assert run.stdout.count("\n") == 3, run.stdout  # a line for each, and the sum
    assert "empty\\n.mp4: the file is empty" in run.stdout
    assert "a link that leads nowhere" in run.stdout
    (films / "-x.mp4").touch()
    run = command("add", "-l", library.folder, "-x.mp4", cwd=films)
    assert run.returncode == 2
    assert "write ./-x.mp4" in run.stderr


@LINUX
def test_no_request_leaves_the_machine(own, films, tmp_path):
    """Every connect of the process and of all that it starts is seen by strace: none goes to an address."""
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from tests.test_reliability import opened\n"
        "with opened(sys.argv[2], isolated=True, offline=True) as library:\n"
        "    library.add(sys.argv[3]); library.search('red bread')\n"
    )
    log = tmp_path / "calls"
    (tmp_path / "in").mkdir()
    shutil.copy(films / "first.mp4", tmp_path / "in")
    (tmp_path / "in" / "list.m3u8").write_text("#EXTM3U\n#EXTINF:10,\nhttp://127.0.0.1:9/a.ts\n")
    (tmp_path / "in" / "list.mp4").write_text("#EXTM3U\n#EXTINF:10,\nhttp://127.0.0.1:9/a.ts\n")
    traced = ["strace", "-f", "-qq", "-e", "trace=connect,sendto,sendmsg", "-o", log]
    run = subprocess.run(
        [*traced, sys.executable, "-c", code, ROOT, tmp_path / "l.mmv", tmp_path / "in"],
        check=False,
        capture_output=True,
    )
    if b"ptrace" in run.stderr:
        pytest.skip("strace may not trace here")
    assert run.returncode == 0, run.stderr[-2000:]
    asked = [line for line in log.read_text().splitlines() if "AF_INET" in line or "sin_port" in line]
    assert not asked


def test_the_watch_on_sockets_sees(tmp_path):
    """The test above could not fail if strace saw nothing."""
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    code = "import socket; s = socket.socket(); s.connect_ex(('127.0.0.1', 9))"
    log = tmp_path / "calls"
    run = subprocess.run(
        ["strace", "-f", "-qq", "-e", "trace=connect", "-o", log, sys.executable, "-c", code],
        check=False,
        capture_output=True,
    )
    if run.returncode:
        pytest.skip("strace may not trace here")
    assert "AF_INET" in log.read_text()


def test_weights_are_never_unpickled():
    """Nothing loads a pickle: torch.load only with weights_only, and no remote code of a model is run."""
    for path in (ROOT / "mmvideo").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "import pickle" not in text, path
        assert "trust_remote_code=True" not in text, path
        for place in text.split("torch.load(")[1:]:
            assert "weights_only=True" in place[:200], path


# What is kept of each add


def test_a_report_of_each_add_is_kept(own):
    library, films = own
    (films / "broken.mp4").write_bytes(b"no film")
    library.add(films)
    kept = library.reports()
    assert [(Path(one["path"]).name, one["outcome"]) for one in kept] == [
        ("first.mp4", "added"),
        ("second.mkv", "added"),
        ("talk.mp3", "added"),
        ("broken.mp4", "failed"),
    ]
    assert kept[0]["stages"].keys() == {"looking", "listening"}
    assert kept[0]["versions"]["visual"] == "colours@1"
    assert "broken.mp4" in kept[3]["message"]
    with (library.folder / "reports.jsonl").open("ab") as file:
        file.write(b'{"half a li')
    (films / "broken.mp4").write_bytes(b"still none")
    library.add(films)
    assert [one["outcome"] for one in library.reports()][3:] == ["failed", "failed"]


def test_verbose_tells_on_standard_error(own):
    library, _ = own
    run = command("add", "-v", "-l", library.folder, library.folder.parent / "films")
    assert run.returncode == 0, run.stderr
    quiet = command("ls", "-l", library.folder)
    assert quiet.stderr == ""


def test_threads_are_left_behind_by_nothing(films, tmp_path):
    before = threading.active_count()
    with opened(tmp_path / "l.mmv", isolated=True) as library:
        assert library.add(films).count("added") == 3
    time.sleep(0.2)
    assert threading.active_count() <= before
