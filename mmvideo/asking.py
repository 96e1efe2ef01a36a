"""`mmvideo ask`: retrieve, let a model answer, check what it cites."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from .answering import NOT_FOUND, Answer, Answerer, answer, excerpts
from .examples import Example
from .times import clock

if TYPE_CHECKING:
    from .datatypes import Hit, Images
    from .library import Library

LIMIT = 8
"""Excerpts that an answer is made of."""

LEAST = 0.2
"""Score under which a hit is no excerpt: what is found with less is chance."""

FRAMES = 4
"""Frames that a model on this machine is shown; an address is shown none unless asked for, because many read only
text."""

SIDE = 384
"""Shorter side of those frames."""


def ask(
    library: Library,
    question: str,
    model: Answerer | None = None,
    *,
    frames: int = 0,
    examples: Sequence[Example] = (),
    limit: int = LIMIT,
    min_score: float = LEAST,
    **where: Any,
) -> Answer:
    """Return an answer to a question from what the library holds, citing the excerpts that it comes from.

    `model` is an `Endpoint`, a `LocalModel`, or an `Answerer` of your own; None makes no answer but the cited context.
    Of the best `frames` hits with a picture the model sees the frame. `examples` are questions with their answers, with
    a picture each if wanted, that it is shown before. `where` goes to `Library.search`. Raises
    `QueryError` for a question that is empty, `ModelError` if the model cannot answer.
    """
    hits = library.search(question, limit=limit, min_score=min_score, **where)
    shown = [hit for hit in hits if library.find(hit.path).media.video is not None][:frames]

    def picture(hit: Hit) -> Images | None:
        if hit not in shown:
            return None
        image: Images = library.decoding.frame_at(library.find(hit.path).media, hit.time, short_side=SIDE).images[0]
        return image

    def transcript(hit: Hit) -> Any:
        from .errors import LibraryError

        try:
            return library.transcript(hit.path)
        except LibraryError:
            return None

    return answer(question, excerpts(hits, transcript, picture), model, examples)


def example(picture: str, question: str, wanted: str) -> Example:
    """Return an example from a file with a picture ("-" for none), a question and its answer. Raises `QueryError`."""
    from .picture import as_picture

    if picture == "-":
        return Example(question, wanted)
    from PIL import Image

    image = Image.fromarray(as_picture(picture))
    scale = min(1.0, SIDE / min(image.size))
    small = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
    return Example(question, wanted, np.asarray(small, np.uint8))


def load_answerer(name: str, *, model_name: str | None = None, offline: bool = False) -> Answerer:
    """Return the model of an address (http…), a folder or a hub id. Raises `ModelError` if it cannot be had."""
    from .endpoint import Endpoint, is_address

    if is_address(name):
        return Endpoint(name, model=model_name, offline=offline)
    from .encode.answers import LocalModel
    from .encode.weights import obtain

    return LocalModel(obtain(name, offline=offline), name=name)


def register(
    make: Callable[..., argparse.ArgumentParser], opener: Callable[..., Library], shared: argparse.ArgumentParser
) -> None:
    """Add the command."""
    command = make("ask", partial(run, opener), "answer a question from what is said and seen", [shared])
    command.add_argument("question", nargs="+", metavar="QUESTION")
    command.add_argument(
        "--model",
        metavar="MODEL",
        help="a folder or hub id (image-text-to-text), or the address of an OpenAI-compatible server, such as "
        "http://127.0.0.1:8080/v1; left out, the cited context is printed",
    )
    command.add_argument("--model-name", metavar="NAME", help="which model of that server (default: its first)")
    command.add_argument("--frames", type=int, metavar="N", help=f"frames to show it (default: {FRAMES}, a server 0)")
    command.add_argument(
        "--example",
        action="append",
        nargs=3,
        default=[],
        metavar=("PICTURE", "QUESTION", "ANSWER"),
        help="show the model how to answer: a picture (- for none), a question and its answer; may be repeated",
    )
    command.add_argument("-k", "--limit", type=int, default=LIMIT, metavar="N", help="excerpts (default: %(default)s)")
    command.add_argument(
        "--min-score", type=float, default=LEAST, metavar="S", help="least score of an excerpt (default: %(default)s)"
    )
    command.add_argument("--media", action="append", metavar="GLOB", help="only in media whose name or path fits")
    command.add_argument("--json", action="store_true", help="print JSON and nothing else")


def run(opener: Callable[..., Library], options: argparse.Namespace) -> int:
    """Answer a question from what is said and seen, citing [file HH:MM:SS]; citations of anything that was not found
    are taken out. With --model an address, the question and the excerpts are sent there."""
    from .endpoint import is_address

    model = None
    frames = options.frames
    examples = [example(*given) for given in options.example]
    if options.model:
        model = load_answerer(options.model, model_name=options.model_name, offline=options.offline)
        if frames is None:
            frames = 0 if is_address(options.model) else FRAMES
    with opener(options) as library:
        told = ask(
            library,
            " ".join(options.question),
            model,
            frames=frames or 0,
            examples=examples,
            limit=max(1, options.limit),
            min_score=options.min_score,
            media=options.media,
        )
    if options.json:
        print(json.dumps(to_dict(told), ensure_ascii=False, indent=2))
        return 0
    print(_printable(told.text))
    if told.removed:
        print(f"note: cited without being found, and taken out: {'; '.join(told.removed)}", file=sys.stderr)
    if not told.supported:
        print("note: the answer cites nothing that was found: do not rely on it", file=sys.stderr)
    return 0


def to_dict(told: Answer) -> dict[str, Any]:
    """Return an answer as JSON values."""

    def entry(excerpt: Any) -> dict[str, Any]:
        return {
            "citation": excerpt.label,
            "path": str(excerpt.path),
            "start": excerpt.start,
            "end": excerpt.end,
            "clock": clock(excerpt.start),
            "score": excerpt.score,
            "lines": [{"known_by": how, "text": text} for how, text in excerpt.lines],
        }

    return {
        "question": told.question,
        "answer": told.text if told.model is not None else (NOT_FOUND if not told.found else None),
        "found": told.found,
        "supported": told.supported,
        "model": told.model,
        "cited": [entry(excerpt) for excerpt in told.cited],
        "removed": list(told.removed),
        "context": [entry(excerpt) for excerpt in told.context],
    }


def _printable(text: str) -> str:
    """Return text without control characters: a transcript or a model must not steer the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else " " for c in text)
