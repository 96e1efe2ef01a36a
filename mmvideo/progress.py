"""Progress bars on a terminal: stage, how far, how fast, how much longer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, TextIO

from .datatypes import Progress, ProgressCallback


@contextmanager
def bars(stream: TextIO) -> Iterator[ProgressCallback]:
    """Yield a progress callback that draws on `stream`, or does nothing where `stream` is no terminal."""
    if not stream.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.fields[stage]:>9}"),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]:>7}"),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[name]}", markup=False),
    )
    with Bars(*columns, console=Console(file=stream), transient=True) as drawn:
        yield _Drawing(drawn)


class _Drawing:
    """One bar per stage of the file at hand; the bars of a finished file make room for the next one's."""

    def __init__(self, drawn: Any) -> None:
        self._drawn = drawn
        self._tasks: dict[str, Any] = {}
        self._path: Path | None = None
        self._lock = Lock()

    def __call__(self, progress: Progress) -> None:
        with self._lock:
            if progress.unit == "s" and progress.path != self._path:
                for stage in [stage for stage in self._tasks if stage != "files"]:
                    self._drawn.remove_task(self._tasks.pop(stage))
                self._path = progress.path
            name = progress.path.name if progress.path else ""
            if progress.stage not in self._tasks:
                task = self._drawn.add_task("", total=progress.total, stage=progress.stage, name=name, rate="")
                self._tasks[progress.stage] = task
            task = self._tasks[progress.stage]
            elapsed = self._drawn.tasks[self._drawn.task_ids.index(task)].elapsed
            # Seconds of media per second of clock: "12×" says at once how long an hour will take.
            rate = f"{progress.done / elapsed:.0f}×" if progress.unit == "s" and elapsed and elapsed > 0.5 else ""
            self._drawn.update(task, completed=progress.done, total=progress.total, name=name, rate=rate)
