"""Fit the coefficients of `mmvideo.routing` on a library of the benchmark's tuning build, and print them.

    python scripts/make_benchmark.py --out tune --seed 1
    mmvideo add -l tune.mmv --visual conse --offline tune
    python scripts/fit_routing.py tune.mmv tune/TRUTH.json

Ridge-penalised logistic regression (penalty 1/2 |w|², the intercept free) by Newton's method: is a question about what
is seen, or about what is said? Those without an answer count too: what they mean does not depend on what there is.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from mmvideo import Library, routing
from mmvideo.datatypes import Query
from mmvideo.evaluate import read_truth


def fit(rows: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return intercept and coefficients (m + 1,) for features (n, m) and truths (n,)."""
    table = np.hstack([np.ones((len(rows), 1)), rows])
    penalty = np.diag([0.0, *np.ones(rows.shape[1])])
    weights = np.zeros(table.shape[1])
    for _ in range(100):
        chance = 1.0 / (1.0 + np.exp(-table @ weights))
        slope = table.T @ (seen - chance) - penalty @ weights
        bend = (table * (chance * (1.0 - chance))[:, None]).T @ table + penalty
        step = np.linalg.solve(bend, slope)
        weights += step
        if np.abs(step).max() < 1e-9:
            break
    return weights


def main() -> int:
    parser = argparse.ArgumentParser(description="Fit which modality a query means.")
    parser.add_argument("library", type=Path)
    parser.add_argument("truth", type=Path)
    options = parser.parse_args()
    rows, seen = [], []
    with Library.open(options.library, offline=True) as library:
        searcher = library._asked()
        for question in read_truth(options.truth):
            if question.text and question.modality in ("visual", "speech"):
                rankings = searcher.rankings(Query(text=question.text), ("visual", "speech"))
                rows.append(routing.features(question.text, searcher.names(), rankings))
                seen.append(question.modality == "visual")
    weights = fit(np.array(rows), np.array(seen, dtype=float))
    print(f"INTERCEPT = {weights[0]:.2f}")
    print(f"COEFFICIENTS = ({', '.join(f'{weight:.2f}' for weight in weights[1:])})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
