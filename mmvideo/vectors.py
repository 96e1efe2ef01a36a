"""What a library holds as one table of vectors with their times, for other programs.

A row is a segment of a modality, or one encoded frame. The table is made in batches, so that a large library passes
through bounded memory; who writes it (Parquet, npy, a lake) only takes the batches.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from .datatypes import MEANT, SEARCHED, Modality, ModelId, Vectors
from .errors import LibraryError

if TYPE_CHECKING:
    from .store import Store

Rows = Literal["segments", "frames"]
"""What a row is: a segment of a modality, or one sampled frame (of which repeats share a vector)."""

VectorFormat = Literal["parquet", "npy"]

BATCH = 8192
"""Rows handed on at a time: 16 MB of vectors of 512 numbers."""

INSTALL = "Parquet needs pyarrow: pip install 'mmvideo[parquet]'; or write npy"


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows of one modality, by column. `start` and `end` are seconds (n,), `vectors` (n, dim) unit float32.

    `ids` are the library's own of a segment, or the place of a frame in its media; `model` made the vectors.
    """

    modality: Modality
    media_ids: NDArray[np.int64]
    paths: tuple[str, ...]
    ids: NDArray[np.int64]
    start: NDArray[np.float64]
    end: NDArray[np.float64]
    texts: tuple[str | None, ...]
    vectors: Vectors
    model: ModelId

    def __len__(self) -> int:
        return len(self.ids)


def batches(store: Store, modality: Modality, *, rows: Rows = "segments", size: int = BATCH) -> Iterator[Batch]:
    """Yield the rows of a modality that have vectors, ascending by id; `rows="frames"` those of what is seen."""
    model = store.models.get("passages" if modality in MEANT else modality)
    if model is None:
        return
    paths = {stored.id: str(stored.media.path) for stored in store.media()}
    if rows == "frames":
        if modality == "visual":
            yield from _frames(store, paths, model)
        return
    for ids, vectors in store.vectors(modality, batch=size):
        found = store.segments([int(i) for i in ids])
        media = np.array([one.media_id for one in found], np.int64)
        yield Batch(
            modality,
            media,
            tuple(paths[int(i)] for i in media),
            ids.astype(np.int64),
            np.array([one.segment.start for one in found]),
            np.array([one.segment.end for one in found]),
            tuple(one.segment.text for one in found),
            vectors,
            model,
        )


def _frames(store: Store, paths: dict[int, str], model: ModelId) -> Iterator[Batch]:
    for media_id, path in paths.items():
        timeline = store.timeline(media_id)
        if timeline is None or not len(timeline.times):
            continue
        count, edges = len(timeline.times), timeline.edges
        yield Batch(
            "visual",
            np.full(count, media_id, np.int64),
            (path,) * count,
            np.arange(count, dtype=np.int64),
            timeline.times,
            np.maximum(edges[1:], timeline.times),
            (None,) * count,
            timeline.vectors[timeline.rows],
            model,
        )


def to_arrow(batch: Batch) -> Any:
    """Return a batch as a `pyarrow.RecordBatch`: media_id, path, modality, id, start, end, text, model, revision, and
    vector as a list of fixed size, as LanceDB, Spark, DuckDB and Delta take it. Raises `LibraryError` without
    pyarrow."""
    try:
        import pyarrow as pa
    except ImportError as error:
        raise LibraryError(INSTALL) from error
    count, dim = len(batch), batch.vectors.shape[1]
    return pa.record_batch(
        {
            "media_id": pa.array(batch.media_ids, pa.int64()),
            "path": pa.array(batch.paths, pa.string()),
            "modality": pa.array([batch.modality] * count, pa.string()),
            "id": pa.array(batch.ids, pa.int64()),
            "start": pa.array(batch.start, pa.float64()),
            "end": pa.array(batch.end, pa.float64()),
            "text": pa.array(batch.texts, pa.string()),
            "model": pa.array([batch.model.name] * count, pa.string()),
            "revision": pa.array([batch.model.revision] * count, pa.string()),
            "vector": pa.FixedSizeListArray.from_arrays(
                pa.array(np.ascontiguousarray(batch.vectors, np.float32).reshape(-1)), dim
            ),
        }
    )


def write(
    store: Store,
    folder: Path,
    *,
    form: VectorFormat = "parquet",
    modalities: Sequence[Modality] | None = None,
    rows: Rows = "segments",
) -> list[Path]:
    """Write one file per modality into `folder` and return those that were written.

    `visual.parquet` has the columns of `to_arrow`; `visual.npy` is a matrix (n, dim) float32, and `visual.jsonl` beside
    it has the other columns, one line per row. Frames are called `visual-frames`. Raises `LibraryError` where the
    folder cannot be written or pyarrow is missing.
    """
    written: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for modality in modalities or SEARCHED:
            name = f"{modality}-frames" if rows == "frames" else modality
            made = (_write_parquet if form == "parquet" else _write_npy)(
                batches(store, modality, rows=rows), folder / name
            )
            written += made
    except OSError as error:
        raise LibraryError(f"{folder}: cannot be written ({error.strerror or error})") from error
    return written


def _write_parquet(some: Iterator[Batch], place: Path) -> list[Path]:
    file, writer = place.with_name(f"{place.name}.parquet"), None
    try:
        for batch in some:
            record = to_arrow(batch)
            if writer is None:
                from pyarrow.parquet import ParquetWriter

                writer = ParquetWriter(file, record.schema)
            writer.write_batch(record)
    finally:
        if writer is not None:
            writer.close()
    return [file] if writer is not None else []


def _write_npy(some: Iterator[Batch], place: Path) -> list[Path]:
    matrices: list[Vectors] = []
    table = place.with_name(f"{place.name}.jsonl")
    with table.open("w", encoding="utf-8") as lines:
        for batch in some:
            matrices.append(batch.vectors)
            for row in range(len(batch)):
                line = {
                    "media_id": int(batch.media_ids[row]),
                    "path": batch.paths[row],
                    "id": int(batch.ids[row]),
                    "start": float(batch.start[row]),
                    "end": float(batch.end[row]),
                    "text": batch.texts[row],
                    "model": batch.model.name,
                    "revision": batch.model.revision,
                }
                lines.write(json.dumps(line, ensure_ascii=False) + "\n")
    if not matrices:
        table.unlink()
        return []
    file = place.with_name(f"{place.name}.npy")
    np.save(file, np.concatenate(matrices))
    return [file, table]
