"""From one file to what the library stores about it: the order of operations.

Frames are decoded in a thread of their own while the encoder works on the ones before, through a queue that holds a few
batches; speech is recognised beside that. Only vectors, times and text are kept, so memory does not grow with length
beyond them. Nothing is stored here: the caller writes a finished `Content` in one transaction.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from .datatypes import (
    Captioner,
    Frames,
    Images,
    ImageTextEncoder,
    Media,
    Modality,
    Progress,
    ProgressCallback,
    Recipe,
    Segment,
    SoundTextEncoder,
    TextEncoder,
    Timeline,
    Transcriber,
    Transcript,
    Vectors,
)
from .describing import described, representatives
from .errors import MediaError
from .hearing import sound_segments
from .moving import Looking
from .passages import passages
from .pool import pool_windows
from .said import encoded
from .sandbox import Decoding, Direct
from .screen import Watch, screen_texts, spread, steady
from .screen import segments as screen_segments
from .segment import differences, is_duplicate, shot_cuts, signatures, windows
from .store import Content
from .subtitles import find_sidecar, parse
from .written import ScreenLine, ScreenText, TextReader

QUEUE = 4
"""Batches of frames that wait for the encoder: 4 × 32 frames of 512 × 288 are 57 MB."""

T = TypeVar("T")


class Models(Protocol):
    """Where the models come from; each is loaded when it is first asked for. None: the recipe leaves that part out."""

    def visual(self) -> ImageTextEncoder | None:
        """Return the encoder of frames."""
        ...

    def speech(self) -> Transcriber | None:
        """Return the recogniser of speech."""
        ...

    def passages(self) -> TextEncoder | None:
        """Return the encoder of passages."""
        ...

    def screen(self) -> TextReader | None:
        """Return the reader of text on screen."""
        ...

    def sound(self) -> SoundTextEncoder | None:
        """Return the encoder of sounds."""
        ...

    def caption(self) -> Captioner | None:
        """Return what says in words what frames show."""
        ...


class Cancelled(BaseException):
    """Raised inside a worker thread when the whole task was given up."""


def inputs(media_path: Path, recipe: Recipe) -> str:
    """Return what a media is made from besides its own bytes: the recipe, and the sidecar's size and time of change.

    Two equal strings mean that making it again would give the same.
    """
    known = dict(_settings(recipe))
    sidecar = find_sidecar(media_path) if recipe.sidecar else None
    if sidecar is not None:
        stat = sidecar.stat()
        known["subtitles"] = [sidecar.name, stat.st_size, stat.st_mtime_ns]
    return json.dumps(known, sort_keys=True)


@lru_cache(maxsize=8)
def _settings(recipe: Recipe) -> Mapping[str, Any]:
    """Return the settings of a recipe that decide what is made of a file."""
    known: dict[str, Any] = asdict(recipe)
    for part in ("visual", "speech", "passages", "screen"):  # which model it is, the library holds: one for all media
        known[part] = known[part] != "none"
    for part in ("sound", "caption"):  # only where named: a library from before they were is not made again for them
        if known.pop(part) not in ("auto", "none"):
            known[part] = True
    if recipe.sound_window == Recipe().sound_window:
        del known["sound_window"]
    return known


def ingest(
    media: Media, recipe: Recipe, models: Models, progress: ProgressCallback, decoding: Decoding | None = None
) -> Content:
    """Return what the library should store about a media. Raises `MediaError` if neither picture nor sound can be read.

    `progress` is called from more than one thread. `decoding` opens the file; without it, this process does.
    """
    source = decoding or Direct()
    made_from = inputs(media.path, recipe)
    notes: list[str] = []
    given_up = Event()

    def report(stage: str, done: float) -> None:
        if given_up.is_set():
            raise Cancelled
        progress(Progress(stage, media.path, done, media.duration))

    watch = Watch(wanted=media.video is not None and models.screen() is not None)
    with ThreadPoolExecutor(1, thread_name_prefix="speech") as beside:
        listening = beside.submit(_listen, media, recipe, models, source, report, notes)
        hearing = beside.submit(_hear, media, recipe, models, source, report, notes)
        try:
            timeline = _look(media, recipe, models, source, report, notes, watch)
            shown = _read_screen(media, recipe, models, source, report, notes, watch, timeline)
            transcript, heard = listening.result(), hearing.result()
        except BaseException:
            given_up.set()
            raise
    if timeline is None and transcript is None and not shown and heard is None and not _left_out(media, recipe):
        raise MediaError(f"{media.path}: nothing in it could be read ({'; '.join(notes) or 'no picture and no sound'})")
    segments: dict[Modality, list[Segment]] = {}
    vectors: dict[Modality, Vectors] = {}
    utterance_vectors = None
    if timeline is not None:
        pieces = windows(timeline.start, timeline.end, timeline.cuts, recipe.max_segment)
        segments["visual"] = [Segment("visual", start, end) for start, end in pieces]
        vectors["visual"] = pool_windows(timeline, pieces, how=recipe.pooling)
        segments["caption"] = _describe(
            media, recipe, models, source, report, notes, timeline, pieces, vectors["visual"]
        )
        if segments["caption"] and (encoder := models.passages()) is not None:
            vectors["caption"] = encoder.encode_texts([segment.text or "" for segment in segments["caption"]])
    if heard is not None:
        segments["sound"], vectors["sound"] = heard
    encoder = models.passages() if transcript is not None and transcript.utterances else None
    if transcript is not None and encoder is not None:
        said = passages(transcript, minimum=recipe.min_passage, maximum=recipe.max_passage)
        segments["speech"] = said
        texts = [segment.text or "" for segment in said]
        vectors["speech"], utterance_vectors = encoded(transcript, encoder.encode_texts, texts)
    if shown:
        segments["screen"] = screen_segments(shown)
        if (encoder := models.passages()) is not None:
            vectors["screen"] = encoder.encode_texts([text.text for text in shown])
    return Content(
        media, made_from, segments, vectors, timeline, transcript, utterance_vectors, tuple(notes), tuple(shown)
    )


def _left_out(media: Media, recipe: Recipe) -> bool:
    """Tell whether the recipe asks for none of what the media has: then an empty result is right."""
    asked_to_hear = recipe.speech != "none" or recipe.sound not in ("auto", "none")
    return not ((media.video and recipe.visual != "none") or (media.audio and asked_to_hear))


# Picture


def _look(
    media: Media,
    recipe: Recipe,
    models: Models,
    source: Decoding,
    report: Callable[[str, float], None],
    notes: list[str],
    watch: Watch,
) -> Timeline | None:
    encoder = models.visual() if media.video is not None else None
    if encoder is None:
        return None
    try:
        with closing(
            source.sample_frames(
                media,
                interval=recipe.frame_interval,
                short_side=recipe.frame_size,
                keyframe_gap=recipe.keyframe_gap,
            )
        ) as frames:
            sampled = _encode(
                prefetch(watch.over(iter(frames)), QUEUE), encoder, recipe, lambda t: report("looking", t - media.start)
            )
            notes += frames.notes
            if frames.why:
                notes.append(f"picture read with {frames.decoder}: {frames.why}")
    except MediaError as error:
        if not media.audio:
            raise
        notes.append(f"picture left out: {error}")
        return None
    times, rows, vectors, sigs = sampled
    cuts = shot_cuts(times, differences(sigs), recipe.cut_threshold, recipe.frame_interval)
    return Timeline(times, rows, vectors, cuts, media.start, media.end)


def _encode(
    batches: Iterator[Frames], encoder: ImageTextEncoder, recipe: Recipe, report: Callable[[float], None]
) -> tuple[NDArray[np.float64], NDArray[np.int32], Vectors, NDArray[np.float32]]:
    """Return times (n,), rows (n,), vectors (m, dim) and signatures (n, 16, 16, 3) of all frames.

    A frame that repeats the last one that was encoded shares its row.
    """
    times: list[NDArray[np.float64]] = []
    sigs: list[NDArray[np.float32]] = []
    vectors: list[Vectors] = []
    rows: list[int] = []
    last: NDArray[np.float32] | None = None
    encoded = 0
    look = Looking(encoder)
    for frames in batches:
        signature = signatures(frames.images)
        fresh = []
        for position in range(len(frames)):
            if last is None or not is_duplicate(signature[position], last, recipe.duplicate_threshold):
                last = signature[position]
                fresh.append(position)
            rows.append(encoded + len(fresh) - 1)
        if fresh:
            vectors.append(look(frames.images, fresh))
            encoded += len(fresh)
        times.append(frames.times)
        sigs.append(signature)
        report(float(frames.times[-1]))
    return np.concatenate(times), np.array(rows, np.int32), np.concatenate(vectors), np.concatenate(sigs)


# Text on screen


def _read_screen(
    media: Media,
    recipe: Recipe,
    models: Models,
    source: Decoding,
    report: Callable[[str, float], None],
    notes: list[str],
    watch: Watch,
    timeline: Timeline | None,
) -> list[ScreenText]:
    """Return the text on screen, read in the frames where strokes changed; those frames are decoded again, larger."""
    reader = models.screen() if media.video is not None else None
    if reader is None:
        return []
    lines: dict[int, tuple[ScreenLine, ...]] = {}
    try:
        if not len(watch.times):  # nobody has looked at the frames
            with closing(
                source.sample_frames(
                    media,
                    interval=recipe.frame_interval,
                    short_side=recipe.frame_size,
                    keyframe_gap=recipe.keyframe_gap,
                )
            ) as frames:
                for _ in watch.over(iter(frames)):
                    pass
        times = watch.times
        for position, frame in _larger(media, recipe, source, times, watch.changed):
            lines[position] = reader.read(frame.images)[0]
            report("reading", float(times[position]) - media.start)
    except MediaError as error:
        notes.append(f"text on screen left out: {error}")
        return []
    cuts = timeline.cuts if timeline is not None else np.zeros(0)
    read = sorted(lines)
    stands = steady(spread(len(times), read, [lines[position] for position in read]))
    return screen_texts(times, stands, cuts, media.start, media.end)


def _larger(
    media: Media, recipe: Recipe, source: Decoding, times: NDArray[np.float64], wanted: list[int]
) -> Iterator[tuple[int, Frames]]:
    """Yield (position, one frame of `screen_size`) for the samples `wanted`."""
    at = times[wanted]
    with closing(
        source.sample_frames(
            media,
            interval=recipe.frame_interval,
            short_side=recipe.screen_size,
            batch=8,
            at=[float(time) for time in at],
        )
    ) as batches:
        for frames in batches:
            for row, time in enumerate(frames.times):
                position = wanted[int(np.argmin(np.abs(at - time)))]
                yield position, Frames(frames.images[row : row + 1], frames.times[row : row + 1])


# Captions


def _describe(
    media: Media,
    recipe: Recipe,
    models: Models,
    source: Decoding,
    report: Callable[[str, float], None],
    notes: list[str],
    timeline: Timeline,
    pieces: Sequence[tuple[float, float]],
    pooled: Vectors,
) -> list[Segment]:
    """Return captions of what is seen, one for each of the `pieces`."""
    captioner = models.caption()
    if captioner is None:
        return []
    samples = representatives(timeline, pieces, pooled)

    def pictures() -> Iterator[tuple[int, Images]]:
        for sample, frame in _larger(media, recipe, source, timeline.times, sorted(set(samples))):
            yield sample, frame.images[0]
            report("describing", float(timeline.times[sample]) - media.start)

    try:
        return described(pieces, samples, pictures(), captioner)
    except MediaError as error:
        notes.append(f"captions left out: {error}")
        return []


# Sound


def _hear(
    media: Media,
    recipe: Recipe,
    models: Models,
    source: Decoding,
    report: Callable[[str, float], None],
    notes: list[str],
) -> tuple[list[Segment], Vectors] | None:
    encoder = models.sound() if media.audio else None
    if encoder is None:
        return None
    try:
        with closing(source.read_audio(media, block_seconds=120.0, rate=encoder.rate)) as sound:
            return sound_segments(
                prefetch(iter(sound), 1),
                encoder,
                window=recipe.sound_window,
                progress=lambda time: report("hearing", time - media.start),
            )
    except MediaError as error:
        if media.video is None:
            raise
        notes.append(f"sounds left out: {error}")
        return None


def _listen(
    media: Media,
    recipe: Recipe,
    models: Models,
    source: Decoding,
    report: Callable[[str, float], None],
    notes: list[str],
) -> Transcript | None:
    if recipe.speech == "none":
        return None
    sidecar = find_sidecar(media.path) if recipe.sidecar else None
    if sidecar is not None:
        try:
            transcript = parse(sidecar)
            notes.append(f"speech taken from {sidecar.name}")
            return transcript
        except MediaError as error:
            notes.append(f"subtitles left out: {error}")
    recogniser = models.speech() if media.audio else None
    if recogniser is None:
        return None
    try:
        with closing(source.read_audio(media)) as sound:
            blocks = prefetch(iter(sound), 1)
            transcript = recogniser.transcribe(
                blocks, language=recipe.language, progress=lambda time: report("listening", time - media.start)
            )
            notes += sound.notes
    except MediaError as error:
        if media.video is None:
            raise
        notes.append(f"sound left out: {error}")
        return None
    return transcript


# Threads


def prefetch(items: Iterator[T], size: int) -> Iterator[T]:
    """Yield the same items, made in a thread of their own, at most `size` of them ahead.

    An error in the thread is raised here; when the consumer stops early, so does the thread.
    """
    queue: Queue[tuple[str, Any]] = Queue(size)
    stopped = Event()

    def put(kind: str, item: Any) -> bool:
        while not stopped.is_set():
            try:
                queue.put((kind, item), timeout=0.1)
            except Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            for item in items:
                if not put("item", item):
                    return
            put("end", None)
        except BaseException as error:  # handed to the consumer
            put("error", error)

    thread = Thread(target=work, name="decode", daemon=True)
    thread.start()
    try:
        while True:
            try:
                kind, item = queue.get(timeout=0.5)
            except Empty:  # wakes up so that Ctrl-C is seen
                continue
            if kind == "end":
                return
            if kind == "error":
                raise item
            yield item
    finally:
        stopped.set()
        thread.join()
