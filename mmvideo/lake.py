"""Segments with their vectors as tables that data lakes and vector stores read: Delta, or Parquet.

A table per modality, because an index takes vectors of one length. Its columns: `key` (the primary key: the library and
the segment, never used twice), media_id, path, modality, id, start, end (seconds), text, model, revision, and `vector`,
an array of floats. This is the form of self-managed embeddings in Databricks Vector Search, which wants a primary key,
an array<float>, and a change data feed. A table is replaced as a whole: in Delta as a new version, in Parquet by
renaming, so a reader sees the old one or the new one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .datatypes import SEARCHED, Modality
from .errors import LibraryError
from .vectors import batches, to_arrow

if TYPE_CHECKING:
    from .store import Store

LakeFormat = Literal["delta", "parquet"]

INSTALL = "tables for lakes need deltalake and pyarrow: pip install 'mmvideo[lake]'"


def write_tables(
    store: Store, folder: Path, *, form: LakeFormat = "delta", modalities: Sequence[Modality] | None = None
) -> list[Path]:
    """Write a table of each modality that has vectors into `folder` and return their places: `visual` (a Delta table)
    or `visual.parquet`. Raises `LibraryError` where that cannot be written or a package is missing."""
    try:
        import pyarrow as pa
        import pyarrow.parquet
        from deltalake import write_deltalake
        from deltalake.exceptions import DeltaError
    except ImportError as error:
        raise LibraryError(INSTALL) from error
    written: list[Path] = []
    for modality in SEARCHED if modalities is None else modalities:
        rows = _rows(store, modality)
        first = next(rows, None)
        if first is None:
            continue
        place = folder / (modality if form == "delta" else f"{modality}.parquet")
        reader = pa.RecordBatchReader.from_batches(first.schema, _again(first, rows))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if form == "delta":
                write_deltalake(
                    str(place),
                    reader,
                    mode="overwrite",
                    schema_mode="overwrite",
                    name=f"mmvideo_{modality}",
                    configuration={"delta.enableChangeDataFeed": "true"},
                )
            else:
                draft = place.with_name(f".{place.name}.new")
                with pyarrow.parquet.ParquetWriter(draft, first.schema, compression="zstd") as table:
                    for batch in reader:
                        table.write_batch(batch)
                draft.replace(place)
        except (OSError, DeltaError, pa.ArrowException) as error:
            raise LibraryError(f"{place}: cannot be written ({error})") from error
        written.append(place)
    return written


def _rows(store: Store, modality: Modality) -> Iterator[Any]:
    """Yield the segments of a modality as Arrow batches with their key."""
    import pyarrow as pa

    library = store.id[:12]
    for batch in batches(store, modality):
        made = to_arrow(batch)
        flat = pa.array(batch.vectors.reshape(-1), pa.float32())
        count, dim = batch.vectors.shape
        ends = pa.array(range(0, (count + 1) * dim, dim), pa.int32())
        columns = {
            "key": pa.array([f"{library}-{i}" for i in batch.ids], pa.string()),
            **{name: made.column(name) for name in made.schema.names if name != "vector"},
            "vector": pa.ListArray.from_arrays(ends, flat),
        }
        schema = pa.schema([pa.field(name, column.type, nullable=name == "text") for name, column in columns.items()])
        yield pa.record_batch(list(columns.values()), schema=schema)


def _again(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from rest
