"""Nearest vectors: how long a search takes, what it finds, and what an index weighs, beside other engines.

    python benchmarks/nearest.py [--count 1000000] [--dim 512] [--dtypes f16 i8] [--peers PYTHON]

Vectors are drawn around centres, as embeddings of shots lie: a hundred to a centre, unit length. Queries are vectors of
the collection, moved a little. Recall is the part of the true ten nearest (by comparing all) among the ten found.
`--peers` is the Python of an environment with `faiss-cpu`, `sqlite-vec` and `apsw` (`python -m venv`, `pip install`;
Python's own SQLite often loads no extensions); they get the same vectors in the same run. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from machine import machine
from numpy.typing import NDArray

import mmvideo.index
from mmvideo.index import VectorIndex

ASKED, NEAREST = 200, 10
PEERS = """
import sys, time
from statistics import median
import apsw, faiss, numpy as np, sqlite_vec
vectors, queries = (np.load(sys.argv[1] + name) for name in ("/vectors.npy", "/queries.npy"))
true = np.load(sys.argv[1] + "/true.npy")
def row(name, built, search):
    found, took = [], []
    for query in queries:
        started = time.perf_counter()
        found.append(search(query))
        took.append(1000 * (time.perf_counter() - started))
    recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found, true)])
    print(f"| {name} | {built:.0f} | | | {median(took):.2f} | {recall:.3f} |", flush=True)
started = time.perf_counter()
index = faiss.IndexHNSWFlat(vectors.shape[1], 16, faiss.METRIC_INNER_PRODUCT)
index.hnsw.efConstruction, index.hnsw.efSearch = 128, 400
index.add(vectors)
row("FAISS HNSW, float32, the same settings", time.perf_counter() - started, lambda q: index.search(q[None], 10)[1][0])
started = time.perf_counter()
index = faiss.IndexFlatIP(vectors.shape[1])
index.add(vectors)
row("FAISS flat (all compared)", time.perf_counter() - started, lambda q: index.search(q[None], 10)[1][0])
started = time.perf_counter()
db = apsw.Connection(":memory:")
db.enable_load_extension(True)
db.load_extension(sqlite_vec.loadable_path())
db.execute(f"CREATE VIRTUAL TABLE v USING vec0(e float[{vectors.shape[1]}] distance_metric=cosine)")
db.executemany("INSERT INTO v (rowid, e) VALUES (?, ?)", ((i + 1, x.tobytes()) for i, x in enumerate(vectors)))
queries = queries[:40]
row("sqlite-vec (all compared)", time.perf_counter() - started,
    lambda q: [r[0] - 1 for r in db.execute("SELECT rowid FROM v WHERE e MATCH ? AND k = 10", (q.tobytes(),))])
"""


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--count", type=int, default=1_000_000)
    options.add_argument("--dim", type=int, default=512)
    options.add_argument("--dtypes", nargs="+", default=["f16", "i8"])
    options.add_argument("--peers", type=Path)
    given = options.parse_args()
    vectors, queries = collection(given.count, given.dim)
    true = exact(vectors, queries)
    print(machine("usearch"))
    print(f"{given.count:,} vectors of {given.dim} dimensions, {ASKED} queries\n")
    print("| engine | built s | MB | opened ms | p50 ms | recall@10 |\n|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for dtype in given.dtypes:
            print(ours(vectors, queries, true, dtype, Path(folder) / dtype), flush=True)
        if given.peers:
            for name, array in (("vectors", vectors), ("queries", queries), ("true", true)):
                np.save(Path(folder) / f"{name}.npy", array)
            subprocess.run([given.peers, "-c", PEERS, folder], check=True)


def collection(count: int, dim: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return unit vectors (count, dim) around a hundredth as many centres, and queries near some of them."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((max(1, count // 100), dim), np.float32)
    vectors = np.empty((count, dim), np.float32)
    for first in range(0, count, 50_000):
        some = slice(first, min(first + 50_000, count))
        noise = rng.standard_normal((some.stop - first, dim), np.float32)
        vectors[some] = centres[rng.integers(0, len(centres), len(noise))] + 0.6 * noise
        vectors[some] /= np.linalg.norm(vectors[some], axis=1, keepdims=True)
    queries = vectors[rng.integers(0, count, ASKED)] + rng.standard_normal((ASKED, dim), np.float32) * 0.3 / dim**0.5
    return vectors, np.asarray(queries / np.linalg.norm(queries, axis=1, keepdims=True), np.float32)


def exact(vectors: NDArray[np.float32], queries: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the ten nearest of each query, by comparing all."""
    scores = np.concatenate(
        [queries @ vectors[first : first + 100_000].T for first in range(0, len(vectors), 100_000)], axis=1
    )
    return np.argsort(-scores, axis=1)[:, :NEAREST]


def ours(vectors: Any, queries: Any, true: Any, dtype: str, path: Path) -> str:
    """Return a row for an index as libraries have it, with numbers of `dtype`."""
    made = mmvideo.index._usearch

    def usearch(dim: int) -> Any:
        index = made(dim)
        if dtype == "f16":
            return index
        from usearch.index import Index

        return Index(
            ndim=dim,
            metric="ip",
            dtype=dtype,
            connectivity=mmvideo.index.CONNECTIVITY,
            expansion_add=mmvideo.index.EXPANSION_ADD,
            expansion_search=mmvideo.index.EXPANSION_SEARCH,
        )

    mmvideo.index._usearch = usearch
    started = time.perf_counter()
    index = VectorIndex(vectors.shape[1])
    for first in range(0, len(vectors), 50_000):
        some = vectors[first : first + 50_000]
        index.add(np.arange(first, first + len(some), dtype=np.uint64), some)
    built = time.perf_counter() - started
    index.save(path, library="benchmark", generation=1)
    del index
    started = time.perf_counter()
    opened = VectorIndex.open(path)
    ready = 1000 * (time.perf_counter() - started)
    assert opened is not None
    index, took, found = opened[0], [], []
    for query in queries:
        started = time.perf_counter()
        ids, _ = index.search(query, NEAREST)
        took.append(1000 * (time.perf_counter() - started))
        found.append(ids)
    recall = np.mean([len(set(a.tolist()) & set(b.tolist())) / NEAREST for a, b in zip(found, true, strict=True)])
    size = path.with_suffix(".usearch").stat().st_size / 1e6
    mmvideo.index._usearch = made
    return (
        f"| mmvideo (USearch, {dtype}) | {built:.0f} | {size:.0f} | {ready:.0f} | {median(took):.2f} | {recall:.3f} |"
    )


if __name__ == "__main__":
    main()
