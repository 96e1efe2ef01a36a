"""Nearest vectors in PostgreSQL, by pgvector.

While a modality is small (or so many of its vectors as a filter leaves) every vector is compared, so that a small
library answers exactly as a folder does. Above `EXACT_LIMIT` an HNSW graph over `halfvec` answers, built with the
numbers that the folder's index has; under a filter it goes on (iterative scan) until enough have passed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...datatypes import Modality, Vectors
from ...errors import LibraryError
from .connections import Connections
from .halves import packed

EXACT_LIMIT = 50_000
CONNECTIVITY, EXPANSION_ADD = 16, 128
MEMORY = 4_000_000
"""Kilobytes that making a graph takes at most, where the server's own `maintenance_work_mem` does not allow more."""
LISTED = 200_000
"""Ids that are listed to choose some spread evenly; of more, a place in the order is sought for each."""

Ids = NDArray[np.uint64]


class PostgresIndex:
    """The vectors of one modality as a query of this moment sees them."""

    def __init__(self, connections: Connections, modality: Modality, count: int, dim: int) -> None:
        self._connections = connections
        self._modality = modality
        self._count = count
        self.dim = dim

    def __len__(self) -> int:
        return self._count

    def search(
        self, vector: Vectors, limit: int, media: Sequence[int] | None = None
    ) -> tuple[Ids, NDArray[np.float32]]:
        """Return the `limit` nearest ids, of these `media` only, and their cosines with `vector` (dim,), best first,
        equals by id."""
        asked = {"vector": packed(np.asarray(vector)[None])[0], "limit": limit, "media": media}
        where = partial_index(self._modality) + ("" if media is None else " AND media_id = ANY(%(media)s::bigint[])")
        distance = f"(vector::halfvec({self.dim}) <#> %(vector)b::halfvec({self.dim}))"
        with self._connections.reading() as db:
            left = self._count
            if media is not None and left > EXACT_LIMIT:
                left = db.execute(f"SELECT count(*) FROM segment WHERE {where}", asked).fetchone()[0]
            # A negated distance is none that the graph is ordered by: then everything is compared.
            order = f"-{distance} DESC, id" if left <= EXACT_LIMIT else distance
            query = f"SELECT id, -{distance} FROM segment WHERE {where} ORDER BY {order} LIMIT %(limit)s"
            rows = db.execute(query, asked, binary=True).fetchall()
        ids = np.array([row[0] for row in rows], np.uint64)
        cosines = np.array([row[1] for row in rows], np.float32)
        best = np.lexsort((ids, -cosines))
        return ids[best], cosines[best]

    def spread(self, count: int) -> Ids:
        """Return up to `count` ids spread evenly over all."""
        where = partial_index(self._modality)
        with self._connections.reading() as db:
            if self._count <= LISTED:
                rows = db.execute(f"SELECT id FROM segment WHERE {where} ORDER BY id", binary=True).fetchall()
                ids = np.array([row[0] for row in rows], np.uint64)
                chosen: Ids = ids[np.unique(np.linspace(0, len(ids) - 1, min(count, len(ids))).astype(int))]
                return chosen
            first, last = db.execute(f"SELECT min(id), max(id) FROM segment WHERE {where}").fetchone()
            rows = db.execute(
                f"""SELECT found.id FROM unnest(%s::bigint[]) AS place,
                LATERAL (SELECT id FROM segment WHERE {where} AND id >= place ORDER BY id LIMIT 1) AS found""",
                (np.linspace(first, last, count).astype(np.int64).tolist(),),
                binary=True,
            ).fetchall()
        return np.unique(np.array([row[0] for row in rows], np.uint64))


def partial_index(modality: str) -> str:
    """Return the condition that the graph of a modality is made with; it must be said literally to be recognised."""
    if not re.fullmatch("[a-z_]+", modality):
        raise LibraryError(f"{modality!r} is no modality")
    return f"modality = '{modality}' AND vector IS NOT NULL"


def build(db: Any, modality: Modality, count: int, dim: int) -> None:
    """Make the graph of a modality where it is worth one and has none; `db` must be in no transaction.

    Readers and writers go on meanwhile. One that was left half made is made again.
    """
    if count <= EXACT_LIMIT:
        return
    name = f"nearest_{modality}_{dim}"
    row = db.execute("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", (name,)).fetchone()
    if row is not None and row[0]:
        return
    if row is not None:
        db.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
    # What the graph takes while it is made, vectors and up to 2 × 16 neighbours each; with less it is made on disk.
    needed = max(64_000, count * (2 * dim + 600) // 1000)  # kB
    before = db.execute("SHOW maintenance_work_mem").fetchone()[0]
    allowed = db.execute("SELECT setting::bigint FROM pg_settings WHERE name = 'maintenance_work_mem'").fetchone()[0]
    db.execute(f"SET maintenance_work_mem = {max(min(needed, MEMORY), int(allowed))}")
    try:
        db.execute(
            f"""CREATE INDEX CONCURRENTLY {name} ON segment USING hnsw ((vector::halfvec({dim})) halfvec_ip_ops)
            WITH (m = {CONNECTIVITY}, ef_construction = {EXPANSION_ADD}) WHERE {partial_index(modality)}"""
        )
        db.execute("ANALYZE segment")  # or the graph would not be thought of
    finally:
        db.execute("SELECT set_config('maintenance_work_mem', %s, false)", (before,))
