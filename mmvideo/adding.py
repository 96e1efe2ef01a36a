"""Adding files: is each new, unchanged, moved or changed; what became of it, and the report of it.

A file is claimed, by its path and by its content, before anything is done with it. What somebody else has claimed is
left to the end; then it is there already, or its claimer has died.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextlib import nullcontext as nothing
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

from . import reports as journal
from .address import Address, has_secrets
from .cluster import Cluster, Order
from .datatypes import Media, MediaReport, Outcome, Progress, ProgressCallback, Recipe
from .errors import LibraryError, MediaError, MMVideoError
from .ingest import ingest, inputs
from .media import file_state
from .models import LibraryModels
from .profiling import Clock
from .sandbox import Direct, Sandbox
from .store import Content, Store, StoredMedia

log = logging.getLogger(__name__)


PAUSE = 0.2
"""Seconds between two looks at files that somebody else has claimed."""


class ClaimedError(Exception):
    """Somebody else is adding this file, or the same recording under another name."""


class Claims(Protocol):
    """Who adds what."""

    def claim(self, name: str) -> bool:
        """Claim a media, and tell whether nobody else has claimed it."""
        ...

    def release(self, name: str) -> None:
        """Give a claim back."""
        ...


@dataclass(frozen=True, slots=True)
class Adding:
    """What adding files to a library takes, while there is leave to write to it."""

    store: Store
    claims: Claims
    keep: Callable[[dict[str, Any]], None]
    recipe: Recipe
    models: LibraryModels
    decoding: Sandbox | Direct
    cluster: Cluster | None = None
    clock: Clock | None = None
    lock: Lock = field(default_factory=Lock)  # a store is used by one thread at a time

    @contextmanager
    def on(self, address: str, place: str) -> Iterator[Adding]:
        """Lend the same on the Ray at `address`, for the library at `place`."""
        order = Order.of(self.recipe, self.models, place, isolated=isinstance(self.decoding, Sandbox))
        with Cluster(address, order) as cluster:
            yield replace(self, cluster=cluster)

    def add_all(self, files: Sequence[Path], tell: ProgressCallback) -> Iterator[MediaReport]:
        """Add files and yield what became of each; those that others have claimed come last. On a cluster, as many are
        worked on at once as it has makers, and one more, so that none waits."""
        waiting = list(files)
        while waiting:
            later: list[Path] = []
            for file, report in self._tried(waiting, tell):
                if report is None:
                    later.append(file)
                    continue
                yield report
            if len(later) == len(waiting):
                time.sleep(PAUSE)
            waiting = later

    def _tried(self, files: Sequence[Path], tell: ProgressCallback) -> Iterator[tuple[Path, MediaReport | None]]:
        """Yield what became of files, None for one that somebody else has claimed."""

        def one(position: int, file: Path) -> MediaReport | None:
            tell(Progress("files", file, position, len(files), "files"))
            try:
                with self.claimed(str(file)):
                    return self.add(file, tell)
            except ClaimedError:
                return None

        if self.cluster is None:
            yield from ((file, one(position, file)) for position, file in enumerate(files))
            return
        with ThreadPoolExecutor(self.cluster.makers + 1, thread_name_prefix="add") as pool:
            try:
                yield from zip(files, pool.map(one, range(len(files)), files), strict=True)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    @contextmanager
    def claimed(self, name: str) -> Iterator[None]:
        """Hold a claim. Raises `ClaimedError` if somebody else does."""
        if not self.claims.claim(name):
            raise ClaimedError(name)
        try:
            yield
        finally:
            self.claims.release(name)

    def add(self, path: Path, tell: ProgressCallback) -> MediaReport:
        """Add a file and return what became of it; what was not unchanged is kept in the library's reports.

        A file that cannot be read is reported as failed. Raises `ClaimedError` if somebody else adds the same
        recording, and other `MMVideoError`s, which end the whole batch.
        """
        stages = journal.Stages()

        def watch(progress: Progress) -> None:
            stages.tell(progress)
            tell(progress)

        report = self._add(path, watch)
        if report.outcome != "unchanged":
            log.info("%s: %s %s in %.1f s", path, report.outcome, report.message, report.seconds)
            with self.lock:
                self.keep(journal.line(report, stages.seconds, journal.versions(self.store.models)))
        return report

    def _add(self, path: Path, progress: ProgressCallback) -> MediaReport:
        started = time.monotonic()
        try:
            outcome, stored = self._add_or_skip(path, progress)
        except MediaError as error:
            return MediaReport(path, "failed", str(error), seconds=time.monotonic() - started)
        except (MMVideoError, ClaimedError):
            raise
        except Exception as error:  # one file that a decoder or model chokes on must not end the batch
            log.exception("%s could not be added", path)
            message = f"{path}: could not be added ({type(error).__name__}: {error}); please report this"
            return MediaReport(path, "failed", message, seconds=time.monotonic() - started)
        with self.lock:
            counts = self.store.counts(stored.id)
        return MediaReport(path, outcome, "", stored.notes, counts, time.monotonic() - started)

    def _add_or_skip(self, path: Path, progress: ProgressCallback) -> tuple[Outcome, StoredMedia]:
        with self.lock:
            known = self.store.find_media(path)
        made_from = inputs(path, self.recipe)
        if known is not None and known.inputs == made_from and _same_file(known.media, path):
            return "unchanged", known
        media = self.decoding.probe(path)
        with self.claimed(f"content {media.fingerprint}"):
            with self.lock:
                if same := _same_content(self.store, known, media, made_from):
                    now = replace(same.media, path=path, size=media.size, mtime_ns=media.mtime_ns)
                    self.store.update_file(same.id, now)
                    return ("unchanged" if known is not None else "moved"), _stored(self.store, same.id)
            content = self._made(media, progress)
            if not _same_file(media, path):
                raise MediaError(f"{path}: changed while it was read; add it again when it is finished")
            with self.lock, nothing() if self.clock is None else self.clock.over("storing"):
                return ("updated" if known is not None else "added"), _stored(self.store, self.store.put(content))

    def _made(self, media: Media, progress: ProgressCallback) -> Content:
        if self.cluster is None:
            if self.clock is None:
                return ingest(media, self.recipe, self.models, progress, self.decoding)
            return ingest(
                media, self.recipe, self.clock.models(self.models), progress, self.clock.decoding(self.decoding)
            )
        if isinstance(media.path, Address) and has_secrets(media.path):
            raise MediaError(
                f"{media.path}: credentials in an address stay here; give the cluster's machines their own"
            )
        made = self.cluster.make(media, progress)
        with self.lock:
            self.models.agree(made.models)
            self.models.notes += [note for note in made.notes if note not in self.models.notes]
        return made.content


def _stored(store: Store, media_id: int) -> StoredMedia:
    stored = store.media_by_id(media_id)
    if stored is None:
        raise LibraryError(f"{store.place}: a media vanished from the library while it was added")
    return stored


def _same_content(store: Store, known: StoredMedia | None, media: Media, made_from: str) -> StoredMedia | None:
    """Return the stored media that already is this file: touched only, or moved here from a path that is gone."""
    for stored in store.media_by_fingerprint(media.fingerprint):
        here = known is not None and stored.id == known.id
        # An address always exists.
        if stored.inputs == made_from and (here or (known is None and not stored.media.path.exists())):
            return stored
    return None


def _same_file(media: Media, path: Path) -> bool:
    return file_state(path) == (media.size, media.mtime_ns)
