"""Kill `add` at random moments, cut the power, and see that nothing is lost: `python scripts/campaign_kill.py 200`.

Half of the kills strike at a random time, half at a random operation on the library's files (write, sync, rename,
unlink), which a small library for LD_PRELOAD counts. The same library keeps a copy of every file and folder at each
fsync; a power cut is the state in which every file has only what was synced, and, in every second one, only the names
that were synced. Stub encoders, or with `--real` the packaged weights; every fourth `add` decodes in a process of its
own. Linux, with a C compiler.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from importlib import import_module
from itertools import zip_longest
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

SHIM = r"""
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
static char watch[4096], keep[4096];
static long armed = 0, count = 0;
static int mode = 0; /* at the armed operation: 0 kill, 1 no space from then on, 2 an error of the disk, once */
void mmv_mode(int wanted) { mode = wanted; }
void mmv_arm(const char *folder, const char *durable, long at) {
    strncpy(watch, folder, 4095); strncpy(keep, durable, 4095); armed = at; count = 0;
}
long mmv_count(void) { return count; }
static int mine(const char *path) { return watch[0] && !strncmp(path, watch, strlen(watch)); }
static int mine_fd(int fd, char *path) {
    char link[64]; snprintf(link, 64, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, 4095); if (n < 0) return 0; path[n] = 0; return mine(path);
}
static int step(void) {
    if (++count < armed || !armed || (count > armed && mode != 1)) return 0;
    if (!mode) raise(SIGKILL);
    errno = mode == 1 ? ENOSPC : EIO; return 1;
}
static void copy(int fd) {
    char path[4096], to[8300], draft[8300], buffer[65536]; struct stat st;
    if (!mine_fd(fd, path) || fstat(fd, &st)) return;
    if (S_ISDIR(st.st_mode)) {
        snprintf(to, 8300, "%s/names", keep); snprintf(draft, 8300, "%s/names.new", keep);
        FILE *out = fopen(draft, "w"); DIR *dir = opendir(path); struct dirent *e;
        while (dir && (e = readdir(dir))) if (e->d_type == DT_REG) fprintf(out, "%lu %s\n", e->d_ino, e->d_name);
        if (dir) closedir(dir); fclose(out); rename(draft, to); return;
    }
    snprintf(to, 8300, "%s/%lu", keep, st.st_ino); snprintf(draft, 8300, "%s.new", to);
    int in = open(path, O_RDONLY), out = open(draft, O_WRONLY | O_CREAT | O_TRUNC, 0600); ssize_t n;
    while ((n = read(in, buffer, sizeof buffer)) > 0)
        if (((ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write"))(out, buffer, n) != n) abort();
    close(in); close(out); rename(draft, to);
    snprintf(draft, 8300, "%s.name", to); FILE *name = fopen(draft, "w");
    fputs(strrchr(path, '/') + 1, name); fclose(name);
}
#define REAL(type, name, ...) ((type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name))
#define TOUCH(fd) do { char p[4096]; if (watch[0] && mine_fd(fd, p) && step()) return -1; } while (0)
int fsync(int fd) { TOUCH(fd); int r = REAL(int, "fsync", int)(fd); if (!r && watch[0]) copy(fd); return r; }
int fdatasync(int fd) { TOUCH(fd); int r = REAL(int, "fdatasync", int)(fd); if (!r && watch[0]) copy(fd); return r; }
ssize_t write(int fd, const void *b, size_t n) {
    TOUCH(fd); return REAL(ssize_t, "write", int, const void *, size_t)(fd, b, n);
}
ssize_t pwrite64(int fd, const void *b, size_t n, off64_t o) {
    TOUCH(fd); return REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t)(fd, b, n, o); }
ssize_t pwrite(int fd, const void *b, size_t n, off_t o) {
    TOUCH(fd); return REAL(ssize_t, "pwrite", int, const void *, size_t, off_t)(fd, b, n, o); }
int ftruncate64(int fd, off64_t n) { TOUCH(fd); return REAL(int, "ftruncate64", int, off64_t)(fd, n); }
int rename(const char *a, const char *b) {
    if (mine(b) && step() && mode == 2) return -1; return REAL(int, "rename", const char *, const char *)(a, b);
}
int unlink(const char *a) {
    if (mine(a) && step() && mode == 2) return -1; return REAL(int, "unlink", const char *)(a);
}
"""

QUERIES = ("red", "green", "cyan ferry", "bread flour water", '"flour and water"', "violins", "black", "harbour")
COLOURS = ("red", "green", "blue", "white", "yellow", "cyan", "magenta", "black")
REAL = os.environ.get("MMVIDEO_CAMPAIGN_REAL") == "1"
TOKEN = "MMVIDEO_CAMPAIGN_KILL"  # marks the processes of this campaign


def build_shim(folder: Path) -> Path:
    source, target = folder / "shim.c", folder / "shim.so"
    source.write_text(SHIM)
    subprocess.run(["cc", "-O1", "-w", "-shared", "-fPIC", "-o", target, source, "-ldl"], check=True)
    return target


# The recordings


def make_media(folder: Path, other: Path) -> None:
    """Make the recordings, and in `other` earlier versions of three of them."""
    from tests.films import make_film, make_sound

    folder.mkdir()
    other.mkdir()
    for number in range(5):
        shots = [(COLOURS[(number + step) % 8], 3 + (number + step) % 3) for step in range(3)]
        suffix = (".mp4", ".mkv", ".mov", ".avi", ".mp4")[number]
        make_film(folder / f"film{number}{suffix}", shots, sound=number != 3)
        if number < 2:
            make_film(other / f"film{number}{suffix}", shots[::-1], sound=True)
    make_sound(folder / "talk.mp3", 25)
    make_sound(folder / "voice.wav", 12)
    make_sound(other / "voice.wav", 21)
    (folder / "film4.srt").write_text("1\n00:00:01,000 --> 00:00:03,000\nViolins in the harbour.\n")
    (folder / "broken.mp4").write_bytes((folder / "film0.mp4").read_bytes()[:3000])
    (folder / "empty.mkv").touch()
    if REAL:  # each file takes seconds to encode: fewer of them, and one with speech
        from tests.films import ffmpeg

        spoken = import_module("tests.speech").SPOKEN
        for name in ("film3.avi", "film4.mp4", "film4.srt"):
            (folder / name).unlink()
        ffmpeg("-i", spoken / "en" / "hello_world.wav", folder / "talk.mp3")


def put(source: Path, target: Path) -> None:
    for path in source.iterdir():
        shutil.copy2(path, target / path.name)


# What a child does


def opened(library: Path, isolated: bool) -> Any:
    from mmvideo import Library
    from tests.stubs import ColourEncoder, ScriptedTranscriber, WordEncoder

    if REAL:
        names: dict[str, Any] = {"visual": "conse", "speech": "whisper-tiny.en", "passages": "minilm", "screen": "none"}
        return Library.open(library, isolated=isolated, offline=True, **names)
    encoders = {"visual": ColourEncoder(), "speech": ScriptedTranscriber(), "passages": WordEncoder()}
    return Library.open(library, isolated=isolated, screen="none", **encoders)  # type: ignore[arg-type]


def add(library: Path, media: Path, isolated: bool, tell: Callable[[str], None]) -> None:
    """Add everything; tell each file whose turn has come: those before it are committed."""

    def progress(step: Any) -> None:
        if step.stage == "files":
            tell(str(step.path))

    with opened(library, isolated) as one:
        one.add(media, progress=progress)
    tell("end")


def state(library: Path) -> dict[str, Any]:
    """Return all that a library holds, without row ids and times of adding."""
    from mmvideo.store import SQLiteStore

    found: dict[str, Any] = {}
    with SQLiteStore.open(library / "library.db", readonly=True) as store:
        for stored in store.media():
            timeline, spoken = store.timeline(stored.id), store.utterance_vectors(stored.id)
            rows = []
            for modality in ("visual", "speech"):
                vectors = [v.tobytes().hex() for _, some in store.vectors(modality, media=[stored.id]) for v in some]
                segments = store.segments_of(stored.id, modality)
                rows += [repr(segment.segment) for segment in segments] + vectors
            seen = None if timeline is None else [getattr(timeline, name).tobytes().hex() for name in ("times", "rows")]
            found[str(stored.media.path)] = [
                repr(stored.media),
                stored.inputs,
                list(stored.notes),
                rows,
                seen,
                repr(store.transcript(stored.id)),
                None if spoken is None else spoken.tobytes().hex(),
            ]
    return found


def different(held: list[Any] | None, wanted: list[Any]) -> str:
    """Say where two states of a media differ."""
    if held is None:
        return "nothing"
    return "; ".join(f"{str(a)[:300]} instead of {str(b)[:300]}" for a, b in zip(held, wanted, strict=True) if a != b)


def answers(library: Path) -> list[Any]:
    """Ask every query; raise if an answer does not belong to a media of the library, and lies not inside it."""
    found = []
    with opened(library, False) as one:
        media = {known.path: known for known in one.media()}
        for query in QUERIES:
            hits = one.search(query, limit=500)
            for hit in hits:
                known = media[hit.path]
                assert known.start <= hit.start < hit.end <= known.end + 1e-6, hit
            # Sorted: between equals the row id decides, and a media that was made again has another.
            found.append(sorted((str(hit.path), hit.start, hit.end, hit.score) for hit in hits))
    return found


def unlike(got: list[Any], wanted: list[Any]) -> list[Any]:
    """Return the answers that differ. Rows in another order change the last digits of a cosine, and so of a score."""
    pairs = [pair for one, other in zip(got, wanted, strict=True) for pair in zip_longest(one, other)]
    return [(a, b) for a, b in pairs if a is None or b is None or a[:3] != b[:3] or abs(a[3] - b[3]) > 1e-4]


def check(
    library: Path, committed: list[str], media: Path, wanted: dict[str, Any], tell: Callable[[str], None]
) -> None:
    """Check a library that was interrupted, go on with it, and check again."""
    if not (library / "library.db").exists():
        assert not committed, f"the library is gone, with {committed}"
    else:
        held = state(library)
        lost = [path for path in committed if path in wanted["state"] and held.get(path) != wanted["state"][path]]
        assert not lost, f"lost: {lost}; held {[different(held.get(p), wanted['state'][p]) for p in lost]}"
        answers(library)
        with opened(library, False) as one:
            result = one.verify()
        bad = [finding for finding in result.findings if finding.kind == "damage" or "left behind" not in finding.text]
        bad = [finding for finding in bad if finding.kind != "media"]  # a changed one that was not yet made again
        assert not bad, bad
    with opened(library, False) as one:
        report = one.add(media)
        assert {str(r.path.name) for r in report.failed} == {"broken.mp4", "empty.mkv"}, report
        result = one.verify(repair=True)
        assert result.clean, result
        again = one.verify()
        assert not again.findings, again
    got: dict[str, Any] = {"state": state(library), "answers": answers(library)}
    ends = [different(got["state"].get(path), known) for path, known in wanted["state"].items()]
    assert got["state"] == wanted["state"], f"another end state: {[end for end in ends if end]}"
    others = unlike(got["answers"], wanted["answers"])
    assert not others, f"other answers: {others[:3]}"
    tell("ok")


# Running it


def child(work: Callable[[Callable[[str], None]], None]) -> tuple[int, int]:
    """Fork; the child works and tells through a pipe. Return its process id and the pipe to read."""
    out, into = os.pipe()
    pid = os.fork()
    if pid:
        os.close(into)
        return pid, out
    try:
        os.close(out)
        work(lambda text: print(text, file=os.fdopen(os.dup(into), "w"), flush=True))
        os._exit(0)
    except BaseException as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        text = f"failed: {type(error).__name__}: {error} ({Path(last.filename).name}, line {last.lineno})"
        os.write(into, text[:3000].encode())
        os._exit(1)


def told(pipe: int) -> list[str]:
    with os.fdopen(pipe, "rb") as file:
        return file.read().decode(errors="replace").splitlines()


def finish(pid: int, pipe: int) -> list[str]:
    lines = told(pipe)
    os.waitpid(pid, 0)
    return lines


def is_still(name: str, told: Path) -> bool:
    """Tell whether a file was last synced under this name, or as the draft of it."""
    known = told.read_text() if told.exists() else name
    return known == name or (known.endswith(".new") and known.removeprefix(".").startswith(name))


def power_cut(library: Path, durable: Path, target: Path, names_too: bool) -> None:
    """Make in `target` what a disk would have of `library`: only what was synced."""
    target.mkdir()
    if not library.exists():  # killed before it was made
        return
    listed = durable / "names"
    names: dict[str, int] = {path.name: path.stat().st_ino for path in library.iterdir() if path.is_file()}
    if names_too:
        lines = listed.read_text().splitlines() if listed.exists() else []
        synced = {name: int(inode) for inode, name in (line.split(" ", 1) for line in lines)}
        # An inode that was synced under another name was free in between. A file system that gives one away has
        # committed that it is free, and so the names as they are now.
        if all(is_still(name, durable / f"{inode}.name") for name, inode in synced.items()):
            names = synced
    for name, inode in names.items():
        if name.endswith("-shm"):  # memory, not disk
            continue
        kept = durable / str(inode)
        (target / name).write_bytes(kept.read_bytes() if kept.exists() else b"")


def campaign(kills: int, folder: Path, *, first: int = 0, echo: Callable[[str], None] = print) -> dict[str, int]:
    """Run it, and return how often what happened. Raises AssertionError where a promise is broken."""
    os.environ[TOKEN] = str(os.getpid())
    media, other, library = folder / "media", folder / "other", folder / "library.mmv"
    make_media(media, other)
    final = folder / "final"
    shutil.copytree(media, final)
    wanted = finished(folder, media, library)
    operations, seconds = wanted.pop("operations"), wanted.pop("seconds")
    prepared = before(folder, media, other, final, library)
    counts = dict.fromkeys(("killed", "at an operation", "finished before", "from a filled library", "isolated"), 0)
    for seed in range(first, first + kills):
        rng = random.Random(seed)
        filled, isolated, share = rng.random() < 0.4, seed % 4 == 3, rng.random()
        for _ in range(20):  # an `add` that was done before it was to be killed is no kill: once more, earlier
            start_from(prepared if filled else None, library, folder / "durable")
            at = 1 + int(share * operations) if seed % 2 else 0
            committed = strike(library, media, folder / "durable", isolated, at, share * seconds)
            if committed is not None:
                break
            counts["finished before"] += 1
            share *= 0.6
        assert committed is not None
        counts["killed"] += 1
        counts["at an operation"] += bool(at)
        counts["from a filled library"] += filled
        counts["isolated"] += isolated
        aftermath(seed, folder, library, media, committed, wanted)
        if seed % 20 == 19:
            echo(f"{seed + 1 - first} of {kills}: {counts}")
    assert not survivors(), "processes were left behind"
    return counts


def start_from(prepared: Path | None, library: Path, durable: Path) -> None:
    """Put a prepared library in place, or none, all of it synced."""
    for folder in (library, durable):
        shutil.rmtree(folder, ignore_errors=True)
    durable.mkdir()
    if prepared is not None:
        shutil.copytree(prepared, library)
        keep_all(library, durable)


def strike(library: Path, media: Path, durable: Path, isolated: bool, at: int, seconds: float) -> list[str] | None:
    """Add in a child, and kill it at its `at`-th operation, or (0) after some seconds. Return what it had committed, or
    None if it was done before."""
    shim = ctypes.CDLL(None)

    def work(tell: Callable[[str], None]) -> None:
        shim.mmv_arm(os.fsencode(library), os.fsencode(durable), ctypes.c_long(at))
        add(library, media, isolated, tell)

    pid, pipe = child(work)
    if not at:
        time.sleep(seconds)
        os.kill(pid, signal.SIGKILL)
    lines = told(pipe)
    status = os.waitpid(pid, 0)[1]
    assert not any(line.startswith("failed") for line in lines), lines
    if not os.WIFSIGNALED(status) or lines[-1:] == ["end"]:
        return None
    return lines[:-1]


def finished(folder: Path, media: Path, library: Path) -> dict[str, Any]:
    """Return the state and answers after an uninterrupted run, and its operations and seconds."""
    shim = ctypes.CDLL(None)
    shim.mmv_count.restype = ctypes.c_long
    (folder / "durable").mkdir()

    def work(tell: Callable[[str], None]) -> None:
        started = time.monotonic()
        shim.mmv_arm(os.fsencode(library), os.fsencode(folder / "durable"), ctypes.c_long(0))
        add(library, media, False, lambda _: None)
        seconds = time.monotonic() - started
        operations = shim.mmv_count()
        shim.mmv_arm(b"", b"", ctypes.c_long(0))
        found = {"state": state(library), "answers": answers(library)}
        tell(json.dumps({**found, "seconds": seconds, "operations": operations}))

    lines = finish(*child(work))
    found = json.loads(lines[-1]) if lines[-1].startswith("{") else {}
    assert found, lines
    found["answers"] = [[tuple(hit) for hit in hits] for hits in found["answers"]]
    assert len(found["state"]) == (5 if REAL else 7)
    assert found["operations"] > 50
    return dict(found)


def before(folder: Path, media: Path, other: Path, final: Path, library: Path) -> Path:
    """Return a library of earlier versions of the recordings, two of which were not yet there."""
    shutil.rmtree(library, ignore_errors=True)
    put(other, media)
    for name in ("film2.mov", "talk.mp3"):
        (media / name).unlink()
    lines = finish(*child(lambda tell: add(library, media, False, tell)))
    assert lines[-1] == "end", lines
    put(final, media)
    return Path(shutil.copytree(library, folder / "prepared"))


def keep_all(library: Path, durable: Path) -> None:
    """Count everything as synced."""
    listed = []
    for path in library.iterdir():
        inode = path.stat().st_ino
        shutil.copyfile(path, durable / str(inode))
        listed.append(f"{inode} {path.name}\n")
    (durable / "names").write_text("".join(listed))


def aftermath(
    seed: int, folder: Path, library: Path, media: Path, committed: list[str], wanted: dict[str, Any]
) -> None:
    """Check what the power cut leaves, then what the kill left, both at the library's own path."""
    cut = folder / "cut"
    shutil.rmtree(cut, ignore_errors=True)
    power_cut(library, folder / "durable", cut, names_too=seed % 4 < 2)
    for name, lost in (("killed", None), ("power cut", cut)):
        if lost is not None:
            shutil.rmtree(library, ignore_errors=True)
            lost.rename(library)
        lines = finish(*child(lambda tell: check(library, committed, media, wanted, tell)))
        assert lines[-1:] == ["ok"], f"seed {seed}, {name}: {lines}"


def survivors() -> list[int]:
    """Return the processes of this campaign that still run besides this one, after five seconds of grace."""
    mark = f"{TOKEN}={os.getpid()}".encode()
    for _ in range(50):
        found = []
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit() or int(folder.name) == os.getpid():
                continue
            try:
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
            except OSError:
                continue
        if not found:
            return []
        time.sleep(0.1)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kills", type=int, nargs="?", default=200)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--real", action="store_true", help="with real weights (mmvideo[offline]), over fewer files")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mmvideo-kill-") as name:
        if os.environ.get("LD_PRELOAD", "").endswith("shim.so"):
            started = time.monotonic()
            counts = campaign(options.kills, Path(name), first=options.first, echo=lambda t: print(t, flush=True))
            print(f"done in {time.monotonic() - started:.0f} s: {counts}")
            return 0
        environment = {**os.environ, "LD_PRELOAD": str(build_shim(Path(name)))}
        if options.real:
            environment["MMVIDEO_CAMPAIGN_REAL"] = "1"
        return subprocess.run([sys.executable, *sys.argv], env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
