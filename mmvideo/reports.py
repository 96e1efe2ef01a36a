"""What became of each file of every `add`, kept in the library: one JSON object a line in `reports.jsonl`.

A file of lines beside the database, because a report must also be possible of what could not be stored, and may be
lost without harm: lines that are not whole are passed over. At 4 MB it is renamed to `reports.old.jsonl`.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from typing import Any

from .datatypes import MediaReport, ModelId, Progress

NAME, OLD = "reports.jsonl", "reports.old.jsonl"
_LARGEST = 4_000_000

log = logging.getLogger(__name__)


class Stages:
    """How long each stage of one file took: from its first sign of progress to its last, in seconds."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._last: dict[str, float] = {}
        self._lock = Lock()

    def tell(self, progress: Progress) -> None:
        """Take note of progress; may be called from several threads."""
        with self._lock:
            self._last[progress.stage] = time.monotonic() - self._begun

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds from the beginning of the file to the end of each stage."""
        with self._lock:
            return {stage: round(seconds, 3) for stage, seconds in self._last.items()}


def line(report: MediaReport, stages: dict[str, float], versions: dict[str, str]) -> dict[str, Any]:
    """Return what is kept of what became of a file."""
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "path": os.fsencode(report.path).decode("utf-8", "backslashreplace"),
        "outcome": report.outcome,
        "message": report.message,
        "notes": list(report.notes),
        "segments": report.segments,
        "seconds": round(report.seconds, 3),
        "stages": stages,
        "versions": versions,
    }


def keep(folder: Path, line: dict[str, Any]) -> None:
    """Append a line. A disk that refuses it is logged, no more: the media itself is stored."""
    path = folder / NAME
    text = json.dumps(line, ensure_ascii=False).encode("utf-8", "backslashreplace")
    try:
        if path.exists() and path.stat().st_size > _LARGEST:
            path.replace(folder / OLD)
        with path.open("ab") as file:
            if file.tell() and not _ends_with_line(path):
                file.write(b"\n")
            file.write(text + b"\n")
    except OSError as error:
        log.warning("%s: the report could not be kept (%s)", path, error.strerror)


def read(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield what was kept, oldest first."""
    for name in (OLD, NAME):
        try:
            lines = (folder / name).read_bytes().splitlines()
        except OSError:
            continue
        for line in lines:
            try:
                known = json.loads(line)
            except ValueError:
                continue
            if isinstance(known, dict):
                yield known


def versions(models: dict[str, ModelId]) -> dict[str, str]:
    """Return what made the rows: mmvideo's version, and each model with its revision."""
    from . import __version__

    made = {part: f"{known['name']}@{known['revision']}" for part, model in models.items() if (known := asdict(model))}
    return {"mmvideo": __version__, **made}


def _ends_with_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
