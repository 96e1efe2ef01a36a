"""Adding in the background, one at a time, watched by any number of pages through server-sent events."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from threading import Lock, Thread

from ..datatypes import Progress
from ..errors import LibraryError, MMVideoError
from ..export import report_to_dict
from ..library import Library
from .shapes import JobOut

KEPT = 20
"""Finished jobs that can still be asked about."""
EVERY = 0.2
"""Seconds between two looks of a watcher."""


class Jobs:
    """The addings of one library."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._lock = Lock()
        self._jobs: dict[str, JobOut] = {}

    def add(self, paths: Sequence[str]) -> JobOut:
        """Begin to add and return the job. Raises `LibraryError` while another one runs."""
        with self._lock:
            if any(job.state == "running" for job in self._jobs.values()):
                raise LibraryError(f"{self._library.place}: something is being added already; wait until it is done")
            job = JobOut(id=secrets.token_hex(8), state="running")
            self._jobs[job.id] = job
            for old in list(self._jobs)[:-KEPT]:
                del self._jobs[old]
        Thread(target=self._run, args=(job.id, list(paths)), name="mmvideo-add", daemon=True).start()
        return job

    def get(self, job_id: str) -> JobOut | None:
        """Return how far a job is, None if there is none of this id."""
        with self._lock:
            return self._jobs.get(job_id)

    def _run(self, job_id: str, paths: list[str]) -> None:
        def told(progress: Progress) -> None:
            name = progress.path.name if progress.path else ""
            if progress.stage == "files":
                self._update(job_id, file=int(progress.done) + 1, files=int(progress.total or 0), name=name)
            else:
                self._update(job_id, stage=progress.stage, done=progress.done, total=progress.total, name=name)

        try:
            report = self._library.add(paths, progress=told)
        except MMVideoError as error:
            self._update(job_id, state="failed", error=str(error))
        except Exception as error:  # whoever watches must hear of it; the thread has nobody else to tell
            self._update(job_id, state="failed", error=f"{type(error).__name__}: {error}")
            raise
        else:
            self._update(job_id, state="done", report=report_to_dict(report))

    def _update(self, job_id: str, **values: object) -> None:
        with self._lock:
            self._jobs[job_id] = self._jobs[job_id].model_copy(update=values)

    async def events(self, job_id: str) -> AsyncIterator[str]:
        """Yield the job as a server-sent event whenever it changes, until it is finished."""
        last: JobOut | None = None
        quiet = 0.0
        while (job := self.get(job_id)) is not None:
            if job != last:
                last, quiet = job, 0.0
                yield f"event: {job.state}\ndata: {job.model_dump_json()}\n\n"
            elif quiet > 15.0:  # so that nobody between takes the line for dead
                quiet = 0.0
                yield ": still here\n\n"
            if job.state != "running":
                return
            await asyncio.sleep(EVERY)
            quiet += EVERY
