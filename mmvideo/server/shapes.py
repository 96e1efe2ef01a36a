"""What travels over HTTP, with an example each: the OpenAPI schema is made of these."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


def _example(**values: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"example": values})


class Problem(BaseModel):
    """Why a request was refused: `kind` for programs, `message` for people."""

    kind: str
    message: str


class Failure(BaseModel):
    """The one shape of every error."""

    model_config = _example(error={"kind": "query", "message": "nothing to search for: give some words"})
    error: Problem


class MatchOut(BaseModel):
    """A modality's reason for a hit; times in seconds."""

    modality: str
    score: float
    time: float
    text: str | None
    start: float
    end: float
    similarity: float | None
    marks: list[tuple[int, int]] = []


class HitOut(BaseModel):
    """A hit as `mmvideo search --json` prints it, with the media's id and name, the best moment, and whether the hit is
    likelier right than not (`sure`)."""

    path: str
    start: float
    end: float
    score: float
    matches: list[MatchOut]
    media_id: int | None
    name: str
    time: float
    text: str | None
    sure: bool


class Found(BaseModel):
    """The answer to a search; `seconds` is how long it took."""

    model_config = _example(
        hits=[
            {
                "path": "/films/harbour.mp4",
                "name": "harbour.mp4",
                "media_id": 1,
                "start": 12.0,
                "end": 16.0,
                "time": 13.0,
                "score": 0.87,
                "text": None,
                "sure": True,
                "matches": [
                    {
                        "modality": "visual",
                        "score": 0.87,
                        "time": 13.0,
                        "text": None,
                        "start": 12.0,
                        "end": 16.0,
                        "similarity": 0.31,
                    }
                ],
            }
        ],
        seconds=0.031,
    )
    hits: list[HitOut]
    seconds: float


class MediaOut(BaseModel):
    """A recording of the library."""

    model_config = _example(
        id=1, name="harbour.mp4", path="/films/harbour.mp4", start=0.0, duration=61.0, video=True, audio=True
    )
    id: int
    name: str
    path: str
    start: float
    duration: float
    video: bool
    audio: bool
    width: int | None = None
    height: int | None = None


class MediaDetail(MediaOut):
    """A recording with its shot cuts (seconds), the number of its segments, and notes."""

    model_config = _example(
        id=1,
        name="harbour.mp4",
        path="/films/harbour.mp4",
        start=0.0,
        duration=61.0,
        video=True,
        audio=True,
        width=1280,
        height=720,
        cuts=[4.2, 13.0],
        segments={"visual": 14, "speech": 9},
        notes=[],
    )
    cuts: list[float]
    segments: dict[str, int]
    notes: list[str]


class LibraryOut(BaseModel):
    """The library that is served; `modalities` are the ways to perceive that it has something of."""

    model_config = _example(
        folder="/home/ada/library.mmv",
        media=3,
        seconds=310.5,
        models={"visual": "clip"},
        modalities=["visual"],
        writable=True,
    )
    folder: str
    media: int
    seconds: float
    models: dict[str, str]
    modalities: list[str]
    writable: bool


class CurveOut(BaseModel):
    """How well each moment answers: `seen[i]` in [0, 1] at `times[i]` seconds, and passages with their scores."""

    model_config = _example(times=[0.0, 1.0, 2.0], seen=[0.02, 0.91, 0.4], said=[])
    times: list[float]
    seen: list[float]
    said: list[MatchOut]


class AddIn(BaseModel):
    """What to add: files and folders of the machine that the server runs on."""

    model_config = _example(paths=["/films"])
    paths: list[str] = Field(min_length=1, max_length=100)


class JobOut(BaseModel):
    """How far an adding is. `report` is there when it is done, `error` when it could not be."""

    model_config = _example(id="3f", state="running", stage="frames", name="a.mp4", done=12.0, total=60.0)
    id: str
    state: Literal["running", "done", "failed"]
    stage: str = ""
    name: str = ""
    done: float = 0.0
    total: float | None = None
    file: int = 0
    files: int = 0
    report: dict[str, Any] | None = None
    error: str | None = None


class Removed(BaseModel):
    """The path of what was removed from the library; the file itself stays."""

    model_config = _example(removed="/films/harbour.mp4")
    removed: str
