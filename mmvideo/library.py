"""Library: the public face.

A library is a folder. Reading it takes no lock; `add`, `remove` and `reindex` take the writer's lock for as long as
they run. Models are loaded when they are first needed, and stay loaded.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .address import located
from .datatypes import (
    ANYWHERE,
    SEARCHED,
    AddReport,
    Audio,
    Captioner,
    Curve,
    Filter,
    Hit,
    Images,
    ImageTextEncoder,
    Media,
    MediaReport,
    Modality,
    ModelId,
    ProgressCallback,
    Query,
    Recipe,
    SoundTextEncoder,
    TextEncoder,
    Timeline,
    Transcriber,
    Transcript,
)
from .errors import LibraryError, QueryError
from .finding import find
from .ground import Ground, Writing, open_ground
from .models import PARTS, LibraryModels, Part, named
from .queried import as_shown, as_sound
from .sandbox import Direct, Sandbox
from .store import StoredMedia
from .written import ScreenText, TextReader

if TYPE_CHECKING:
    from .lake import LakeFormat
    from .merging import MergeReport
    from .profiling import Clock
    from .search import Searcher
    from .verify import Verification


class Library:
    """A folder of searchable recordings. `Library.open` opens one, and creates it when absent."""

    def __init__(
        self,
        ground: Ground,
        recipe: Recipe,
        *,
        offline: bool = False,
        wait: bool = False,
        isolated: bool = True,
    ) -> None:
        self.wait = wait
        self._ground = ground
        self._store = ground.store
        self._models = LibraryModels(self._store, recipe, offline=offline)
        self._recipe = recipe
        self._searcher: Searcher | None = None
        self.decoding: Sandbox | Direct = Sandbox() if isolated else Direct()

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        visual: str | ImageTextEncoder | None = None,
        speech: str | Transcriber | None = None,
        passages: str | TextEncoder | None = None,
        screen: str | TextReader | None = None,
        sound: str | SoundTextEncoder | None = None,
        caption: str | Captioner | None = None,
        recipe: Recipe | None = None,
        create: bool = True,
        offline: bool = False,
        wait: bool = False,
        isolated: bool = True,
    ) -> Library:
        """Return the library in the folder `path`, made when absent (unless `create` is false). Also an address of
        PostgreSQL, `postgresql://user@host/database`, names a library, which many programs may write to at once.

        `visual`, `speech`, `passages`, `screen`, `sound` and `caption` name a model (short name, hub id or folder) or
        are an encoder of your own; left out, what the library was made with is used, and for a new library the best
        that can be had here. `recipe` holds every other setting. `offline` forbids fetching models; `wait` lets
        writing wait for another writer instead of failing. Media are opened in a process of their own unless
        `isolated` is false (then a file that crashes a decoder ends yours). Raises `RecipeError` if the library was
        made with other models, `LibraryError` if the folder holds something else.
        """
        ground = open_ground(path, recipe or Recipe(), create=create)
        store = ground.store
        given: dict[Part, Any] = {"visual": visual, "speech": speech, "passages": passages, "screen": screen}
        given |= {"sound": sound, "caption": caption}
        try:
            chosen = named(recipe or store.recipe, given)
            library = cls(ground, chosen, offline=offline, wait=wait, isolated=isolated)
            for part, model in given.items():
                library._models.use(part, model)
        except BaseException:
            store.close()
            raise
        return library

    def close(self) -> None:
        """Close the library; a second call does nothing."""
        self.decoding.close()
        self._searcher = None  # it maps the indexes' files
        self._store.close()

    def __enter__(self) -> Library:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def place(self) -> str:
        """Where the library is, as a person names it: its folder, or its address without a password."""
        return self._ground.place

    @property
    def folder(self) -> Path:
        """The library's folder. Raises `LibraryError` for a library that is in none."""
        if self._ground.folder is None:
            raise LibraryError(f"{self.place}: is in no folder")
        return self._ground.folder

    @property
    def recipe(self) -> Recipe:
        """The settings that new media are made with; another recipe of the same models may be set."""
        return self._recipe

    @recipe.setter
    def recipe(self, recipe: Recipe) -> None:
        self._recipe = recipe

    @property
    def models(self) -> dict[str, ModelId]:
        """The models that made what the library holds, by part."""
        return self._store.models

    @property
    def modalities(self) -> list[Modality]:
        """The ways to perceive that the library has something of."""
        return [modality for modality in SEARCHED if self._store.count(modality)]

    # Adding

    def add(
        self,
        paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        *,
        progress: ProgressCallback | None = None,
        ray: str | None = None,
        clock: Clock | None = None,
    ) -> AddReport:
        """Add files, folders and addresses (https://…, s3://…), and return what became of each file.

        Unchanged files are skipped; changed ones are made again; moved ones are recognised. A file that cannot be read
        is reported and skipped. Every finished file is stored at once: interrupted, the next `add` goes on from there.
        `progress` is called with `Progress` values, from more than one thread. `ray` is the address of a cluster, or
        "auto" (see `mmvideo.cluster`); a `clock` (`mmvideo.profiling`) notes where the time goes. Raises `LibraryError`
        when another process is writing.
        """
        from .adding import Adding
        from .media import find_media

        tell: ProgressCallback = progress or (lambda _: None)
        several = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
        files, problems = find_media(several)
        reports = [MediaReport(path, "failed", str(error)) for path, error in problems]
        with self._writing() as writing:
            store = writing.store
            if self._recipe != store.recipe:
                store.set_recipe(self._recipe)
            made = self._recipe, self._models, self.decoding
            adding = Adding(store, writing, self._ground.keep, *made, clock=clock)
            with ExitStack() as stack:
                stack.callback(self._ground.refresh, store)
                if ray is not None:
                    adding = stack.enter_context(adding.on(ray, self.place))
                reports += adding.add_all(files, tell)
        return AddReport(tuple(reports), tuple(self._models.notes))

    def reports(self) -> list[dict[str, Any]]:
        """Return what became of each file of every `add` that was not unchanged, oldest first, as JSON values: time,
        path, outcome, message, notes, segments, seconds, stages (seconds until each ended), versions."""
        return self._ground.reports()

    def reindex(
        self,
        *,
        visual: str | None = None,
        speech: str | None = None,
        passages: str | None = None,
        screen: str | None = None,
        sound: str | None = None,
        caption: str | None = None,
        progress: ProgressCallback | None = None,
    ) -> AddReport:
        """Make everything again with other models (those named; "auto" chooses anew), and return what became of each
        file.

        What the old models made is removed first, in one transaction, so vectors of two models never stand side by
        side; the files themselves must still be there. Interrupted, the next `add` of the same files goes on.
        """
        given: dict[Part, Any] = {"visual": visual, "speech": speech, "passages": passages, "screen": screen}
        given |= {"sound": sound, "caption": caption}
        changed: list[Part] = [part for part, name in given.items() if name is not None]
        recipe = named(self._recipe, given)
        with self._writing(alone=True) as writing:
            writing.store.forget([modality for part in changed for modality in PARTS[part]], changed, recipe)
        self._recipe = recipe
        self._models = LibraryModels(self._store, recipe, offline=self._models.offline)
        self._searcher = None
        return self.add([stored.media.path for stored in self._store.media()], progress=progress)

    def remove(self, media: str | os.PathLike[str]) -> Path:
        """Remove a media with everything that belongs to it (never the file itself) and return its path.

        `media` is a path, or a name or glob that fits exactly one. Raises `LibraryError` if none or several fit.
        """
        with self._writing() as writing:
            stored = self.find(media)
            writing.store.remove(stored.id)
            self._ground.refresh(writing.store)
        return stored.media.path

    def merge(
        self, others: Iterable[str | os.PathLike[str]], *, progress: ProgressCallback | None = None
    ) -> MergeReport:
        """Take over all that other libraries hold (folders or addresses) without encoding, and say which media.
        Interrupted, the same call goes on. Raises `RecipeError` for other models, `LibraryError` for what is none."""
        from .merging import merge

        with ExitStack() as stack:
            sources = []
            for other in others:
                sources.append(open_ground(other, Recipe(), create=False).store)
                stack.callback(sources[-1].close)
            writing = stack.enter_context(self._writing())
            stack.callback(self._ground.refresh, writing.store)
            report = merge(sources, writing.store, progress or (lambda _: None))
        self._recipe = self._store.recipe
        return report

    def import_vectors(
        self,
        vectors: str | os.PathLike[str],
        media: str | os.PathLike[str],
        *,
        interval: float | None = None,
        times: str | os.PathLike[str] | None = None,
    ) -> StoredMedia:
        """Take frame vectors (n, dim) computed elsewhere, an .npy file, as what is seen in a media file.

        Row i was seen at `times[i]` seconds (an .npy file), or every `interval` seconds; given neither, the rows are
        spread evenly. They must be of the library's visual model. Raises `LibraryError` where something does not fit.
        """
        from .imported import import_frames, read_file

        found, matrix, known = read_file(self.decoding, vectors, media, interval=interval, times=times)
        with self._writing() as writing:
            stored = import_frames(writing.store, self._recipe, found, self._models.visual(), matrix, known)
            self._ground.refresh(writing.store)
        return stored

    def export_vectors(self, folder: str | os.PathLike[str], **how: Any) -> list[Path]:
        """Write the vectors with their times into a folder, a file per modality, and return what was written; `how` are
        the `form`, `modalities` and `rows` of `mmvideo.vectors.write`."""
        from .vectors import write

        with self._store.snapshot():
            return write(self._store, Path(folder), **how)

    def export_tables(
        self,
        folder: str | os.PathLike[str],
        *,
        form: LakeFormat = "delta",
        modalities: Iterable[Modality] | None = None,
    ) -> list[Path]:
        """Write segments with vectors as tables for lakes, and return what was written (see `mmvideo.lake`)."""
        from .lake import write_tables

        chosen = None if modalities is None else list(modalities)
        with self._store.snapshot():
            return write_tables(self._store, Path(folder), form=form, modalities=chosen)

    # Keeping it whole

    def verify(self, *, repair: bool = False, drop: bool = False) -> Verification:
        """Look whether everything in the library is as it must be, and return what was found.

        `repair` makes again what can be made again; it removes damaged rows only of recordings that are there unchanged
        and can be added again. `drop` lets it remove the others too, and media whose recordings are gone. Raises
        `LibraryError` if a repair finds another process writing.
        """
        from .verify import verify

        if repair or drop:
            with self._writing(alone=True) as writing:
                return verify(writing.store, self._ground.folder, repair=True, drop=drop)
        with self._store.snapshot():
            return verify(self._store, self._ground.folder)

    def relocate(
        self, old: str | os.PathLike[str], new: str | os.PathLike[str]
    ) -> tuple[list[tuple[Path, Path]], list[tuple[Path, str]]]:
        """Note that the recordings at or below `old` are now at or below `new`; nothing is computed again.

        Returns (before, now) of those that were found with the same content, and (before, why) of those left alone.
        Raises `LibraryError` if the library holds nothing there.
        """
        from .verify import relocate

        before, now = (located(os.path.expanduser(path)) for path in (old, new))  # noqa: PTH111
        with self._writing() as writing:
            moved, left = relocate(writing.store, before, now)
        if not moved and not left:
            raise LibraryError(f"{before}: nothing of it is in the library {self.place}; `mmvideo ls` shows what is")
        return moved, left

    @contextmanager
    def _writing(self, *, alone: bool = False) -> Iterator[Writing]:
        with self._ground.writing(wait=self.wait, alone=alone) as writing:
            self._models.writer = writing.store
            try:
                yield writing
            finally:
                self._models.writer = None

    # Looking

    def search(
        self,
        text: str | None = None,
        *,
        image: str | os.PathLike[str] | Images | Any | None = None,
        audio: str | os.PathLike[str] | Audio | None = None,
        text_weight: float = 0.5,
        without: str | None = None,
        without_image: str | os.PathLike[str] | Images | Any | None = None,
        then: str | Iterable[str] = (),
        within: float = 30.0,
        modalities: Iterable[Modality] | None = None,
        limit: int = 10,
        media: str | Iterable[str] | None = None,
        where: Filter = ANYWHERE,
        min_score: float = 0.0,
        distinct: bool = False,
    ) -> list[Hit]:
        """Return the moments that answer words, a picture, or both together, best first.

        `image` is a path (of a clip, its middle frame counts), a PIL image or an RGB array (height, width, 3) uint8,
        `audio` a path or a stretch of sound, to find what sounds like it; beside them the words count for `text_weight`
        in [0, 1]. Moments that answer `without` (words) or `without_image` are moved down. `then` names what must
        follow, in order, each at most `within` seconds after the one before; such a hit lasts from the first to the
        last, has the matches of all, and scores their product. `modalities` limits where to look, `media` are globs on
        names, paths or folders, `where` bounds length, date and time. `distinct` leaves out hits that repeat a better
        one. The hits of one media do not overlap, lie inside it, and last at least half a second. Raises `QueryError`
        for a query that cannot be asked.
        """
        from .notebook import Hits

        query = Query(
            text=text.strip() if text else None,
            image=None if image is None else self._pictured(image),
            audio=None if audio is None else as_sound(audio, self._models.sound(), self.decoding),
            modalities=None if modalities is None else tuple(modalities),
            limit=limit,
            media=() if media is None else (media,) if isinstance(media, str) else tuple(media),
            text_weight=text_weight,
            min_score=min_score,
            without=without.strip() if without else None,
            without_image=None if without_image is None else self._pictured(without_image),
            then=(then,) if isinstance(then, str) else tuple(then),
            within=within,
            distinct=distinct,
            where=where,
        )
        return Hits(self._asked().search(query), self._models.take_notes())

    def curve(
        self,
        media: str | os.PathLike[str],
        text: str | None = None,
        *,
        image: str | os.PathLike[str] | Images | Any | None = None,
        modalities: Iterable[Modality] | None = None,
    ) -> Curve:
        """Return how well each moment of one media answers words, a picture, or both.

        Raises `LibraryError` for an unknown media, `QueryError` for a query that cannot be asked.
        """
        query = Query(
            text=text.strip() if text else None,
            image=None if image is None else self._pictured(image),
            modalities=None if modalities is None else tuple(modalities),
        )
        return self._asked().curve(query, self.find(media).id)

    def similar(self, media: str | os.PathLike[str], time: float, *, limit: int = 10) -> list[Hit]:
        """Return moments like the one at `time` seconds of a media, best first, without that moment itself.

        What is seen there decides, by the stored vector of the frame on screen; in a recording without picture, what is
        said. Raises `LibraryError` for a media that is not in the library, `QueryError` for a time outside it.
        """
        if limit < 1:
            raise QueryError(f"the number of hits must be at least 1, not {limit}")
        return self._asked().similar(self.find(media), time, limit)

    def _pictured(self, image: Any) -> Images:
        """Return what a query shows; files are opened where media are."""
        return as_shown(image, self.decoding)

    def _asked(self) -> Searcher:
        from .search import Searcher

        if self._searcher is None:
            self._searcher = Searcher(self._store, self._ground.index, self._models)
        return self._searcher

    def media(self) -> list[Media]:
        """Return all media of the library, by path."""
        return [stored.media for stored in self._store.media()]

    def find(self, media: str | os.PathLike[str]) -> StoredMedia:
        """Return the one media with this path, or whose name or path fits this glob or name.

        Raises `LibraryError` if none or several fit.
        """
        return find(self._store, media)

    def by_id(self, media_id: int) -> StoredMedia:
        """Return the media of a hit's `media_id`. Raises `LibraryError` if there is none."""
        stored = self._store.media_by_id(media_id)
        if stored is None:
            raise LibraryError(f"no media {media_id} in the library {self.place}; `mmvideo ls` shows what is")
        return stored

    def stored(self) -> list[StoredMedia]:
        """Return all media with their ids, by path."""
        return self._store.media()

    def timeline(self, media: str | os.PathLike[str]) -> Timeline | None:
        """Return what was seen when in a media, with its shot cuts; None if its pictures are not indexed."""
        return self._store.timeline(self.find(media).id)

    def counts(self, media: str | os.PathLike[str]) -> dict[str, int]:
        """Return how many segments each modality of a media has."""
        return self._store.counts(self.find(media).id)

    def screen(self, media: str | os.PathLike[str]) -> tuple[ScreenText, ...]:
        """Return the text on screen of a media in order of time, with the places of its words; empty if it has none."""
        return self._store.screen(self.find(media).id)

    def transcript(self, media: str | os.PathLike[str]) -> Transcript:
        """Return what is said in a media. Raises `LibraryError` if nothing is known of its speech."""
        stored = self.find(media)
        transcript = self._store.transcript(stored.id)
        if transcript is None:
            raise LibraryError(f"{stored.media.path}: has no transcript (no sound, or added with speech left out)")
        return transcript
