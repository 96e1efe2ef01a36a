"""Is a library whole? And making again what can be made again.

Three kinds of findings: damage in the database, caches that do not fit it, and recordings that are not where they were.
Repair makes caches and the full-text index again from the database, and removes damaged rows only of a media whose
recording is there unchanged, so that the next `add` makes them again. What cannot be computed again is never removed
unless asked for.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from . import caches
from .address import Address
from .datatypes import SEARCHED, Modality
from .errors import LibraryError, MediaError
from .index import IndexState, VectorIndex
from .media import file_state
from .store import Store, StoredMedia

_LEFT_BEHIND = 3600  # seconds after which an unfinished file is nobody's any more

Kind = Literal["damage", "cache", "media"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: `kind` is "damage" (the database), "cache" (an index or leftover that can always be
    made again) or "media" (a recording that is missing or changed). `done` says what repair did about it; `path` is the
    recording concerned."""

    kind: Kind
    text: str
    path: Path | None = None
    done: str = ""


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found, and how much was looked at."""

    findings: tuple[Finding, ...]
    media: int
    segments: int
    notes: tuple[str, ...] = ()

    @property
    def open(self) -> tuple[Finding, ...]:
        """What was found and not repaired."""
        return tuple(finding for finding in self.findings if not finding.done)

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong, or nothing any more."""
        return not self.open


def verify(store: Store, folder: Path | None, *, repair: bool = False, drop: bool = False) -> Verification:
    """Look at everything in the library and return what was found, after repair if that was asked for.

    Repair needs a store that may write. `drop` lets it remove also what cannot be computed again: media with damaged
    rows, or whose recording is gone.
    """
    findings = [Finding("damage", f"the database: {line}") for line in store.integrity()]
    notes: list[str] = []
    if findings:
        notes.append("restore the library from a copy, or make a new one of the same recordings")
        return Verification(tuple(findings), 0, 0, tuple(notes))
    findings += _words(store, repair)
    known = {media_id: stored for media_id in store.media_ids() if (stored := _readable(store, media_id))}
    damaged = dict(store.damaged_media())
    damaged |= {i: "its description is damaged" for i in store.media_ids() if i not in known and i not in damaged}
    for media_id, wrong in damaged.items():
        findings.append(_mended(store, media_id, known.get(media_id), wrong, repair, drop))
    findings += _recordings(store, known, repair and drop)
    if folder is not None:
        findings += _caches(store, folder, repair)
    if elsewhere := sum(isinstance(stored.media.path, Address) for stored in known.values()):
        notes.append(f"{elsewhere} at addresses: not asked; `mmvideo add` them again to see whether they changed")
    return Verification(tuple(findings), len(known), sum(store.count(modality) for modality in SEARCHED), tuple(notes))


def _words(store: Store, repair: bool) -> list[Finding]:
    if store.words_fit():
        return []
    if repair:
        with contextlib.suppress(LibraryError):  # damaged beyond that: it stays a finding
            store.rebuild_words()
    done = "made again" if repair and store.words_fit() else ""
    return [Finding("damage", "the full-text index does not fit what was said", done=done)]


def _readable(store: Store, media_id: int) -> StoredMedia | None:
    try:
        return store.media_by_id(media_id)
    except LibraryError:
        return None


def _mended(store: Store, media_id: int, stored: StoredMedia | None, wrong: str, repair: bool, drop: bool) -> Finding:
    path, done = None if stored is None else stored.media.path, ""
    if repair and (drop or (stored is not None and not _astray(stored, ask=True))):
        store.remove(media_id)
        done = "removed from the library; add it again"
    return Finding("damage", f"{path or f'media {media_id}'}: {wrong}", path, done)


def _recordings(store: Store, known: dict[int, StoredMedia], drop: bool) -> Iterator[Finding]:
    for stored in known.values():
        wrong = _astray(stored)
        if not wrong or store.media_by_id(stored.id) is None:
            continue
        done = ""
        if drop and not stored.media.path.exists():
            store.remove(stored.id)
            done = "removed from the library"
        yield Finding("media", f"{stored.media.path}: {wrong}", stored.media.path, done)


def _astray(stored: StoredMedia, *, ask: bool = False) -> str:
    """Say what became of a recording, or return an empty string where it is as it was. One at an address is taken to
    be, unless we are to `ask`."""
    if isinstance(stored.media.path, Address) and not ask:
        return ""
    try:
        state = file_state(stored.media.path)
    except MediaError:
        return "not there any more; `mmvideo relocate OLD NEW` if it was moved"
    if state != (stored.media.size, stored.media.mtime_ns):
        return "changed since it was added; add it again"
    return ""


def _caches(store: Store, folder: Path, repair: bool) -> Iterator[Finding]:
    wrong = [text for modality in SEARCHED if (text := _wrong_cache(store, folder, modality))]
    left = [path for path in sorted(folder.iterdir()) if path.name.endswith(".new") and path.is_file()]
    if not repair:  # a writer may be making one just now
        left = [path for path in left if time.time() - path.stat().st_mtime > _LEFT_BEHIND]
    if repair:
        for modality in SEARCHED:
            if _wrong_cache(store, folder, modality):
                for suffix in (".json", ".usearch"):
                    (folder / modality).with_suffix(suffix).unlink(missing_ok=True)
        for path in left:
            path.unlink(missing_ok=True)
        with contextlib.suppress(LibraryError):  # vectors that cannot be read, and were to be kept
            caches.refresh(store, folder)
    found = [Finding("cache", text, done="made again" if repair else "") for text in wrong]
    found += [
        Finding("cache", f"{path.name}: left behind by a process that was stopped", done="deleted" if repair else "")
        for path in left
    ]
    yield from found


def _wrong_cache(store: Store, folder: Path, modality: Modality) -> str:
    """Say what is wrong with an index on disk; one that is missing or states an earlier generation is right: it is
    topped up when it is opened."""
    state = IndexState.read(folder / modality)
    if state is None:
        return f"the {modality} index has no readable description" if (folder / f"{modality}.json").exists() else ""
    if state.library != store.id:
        return f"the {modality} index belongs to another library"
    if state.generation != store.generation(modality):
        return ""
    opened = VectorIndex.open(folder / modality, checked=True)
    if opened is None:
        return f"the {modality} index cannot be opened"
    index = opened[0]
    if not np.array_equal(index.ids(), store.segment_ids(modality)):
        return f"the {modality} index holds other segments than the database"
    try:
        for ids, vectors in store.vectors(modality):
            if vectors.shape[1] != index.dim or float(np.abs(index.vectors(ids) - vectors).max(initial=0.0)) > 0.01:
                return f"the {modality} index holds other vectors than the database"
    except LibraryError:  # rows without a vector's length, which are reported as such
        return ""
    return ""


def relocate(store: Store, old: Path, new: Path) -> tuple[list[tuple[Path, Path]], list[tuple[Path, str]]]:
    """Note that the recordings at or below `old` are now at or below `new`.

    Returns (before, now) of those that were found there with the same content, and (before, why) of those left alone.
    """
    from .media import fingerprint

    moved: list[tuple[Path, Path]] = []
    left: list[tuple[Path, str]] = []
    for stored in store.media():
        before = stored.media.path
        if before != old and old not in before.parents:
            continue
        now = new / before.relative_to(old) if before != old else new
        try:
            size, mtime_ns = file_state(now)
            if size != stored.media.size or fingerprint(now, size) != stored.media.fingerprint:
                left.append((before, f"{now} is another recording"))
            elif now != before and store.find_media(now) is not None:
                left.append((before, f"{now} is in the library already"))
            else:
                store.update_file(stored.id, replace(stored.media, path=now, mtime_ns=mtime_ns))
                moved.append((before, now))
        except MediaError as error:
            left.append((before, str(error)))
    return moved, left
