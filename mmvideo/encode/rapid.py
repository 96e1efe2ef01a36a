"""Text on screen, read by RapidOCR: PP-OCR's detection and recognition, whose weights are in the wheel `rapidocr`.

Nothing is fetched: both models are named by their files. Detection works at 480 pixels of the shorter side, not at 736
as it does by default: every word of 1.5 % of the picture's height was still read, and a frame without text took half
the time. At 360 pixels one word in four of that size was lost, at 288 all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from ..datatypes import Images, ModelId
from ..errors import ModelError
from ..written import Box, ScreenLine, ShownWord
from .exported import session
from .packaged import file_hash, package_file

INSTALL = 'pip install "mmvideo[screen]"'
WEIGHTS = ("rapidocr/models/PP-OCRv6_det_small.onnx", "rapidocr/models/PP-OCRv6_rec_small.onnx")
SMALLEST = 480
"""Pixels: smaller pictures are enlarged to it before text is looked for."""

CONFIDENCE = 0.8
"""Lines below it are left out. On the samples' photographs, what was no text had 0.54 to 0.94, text 0.98 and more."""


def installed() -> bool:
    """Tell whether the package is here, with the weights that this module names. Imports nothing."""
    return all(package_file(path) for path in WEIGHTS) and find_spec("onnxruntime") is not None


def place() -> Path | None:
    """Return the folder of the weights, or None."""
    file = package_file(WEIGHTS[0])
    return file.parent if file else None


class RapidOcr:
    """Reads what is written in pictures. The models are loaded at the first picture."""

    def __init__(self) -> None:
        files = [package_file(path) for path in WEIGHTS]
        if not installed() or None in files:
            raise ModelError(f"rapidocr: the package that reads text on screen is not installed; {INSTALL}")
        self._files = [file for file in files if file is not None]
        self._engine: Any = None
        self._lock = Lock()

    @property
    def model(self) -> ModelId:
        """The weights that do it."""
        return ModelId("rapidocr", "+".join(file_hash(file)[:8] for file in self._files))

    def read(self, images: Images | Sequence[Images]) -> list[tuple[ScreenLine, ...]]:
        """Return the lines of text in each picture (height, width, 3) uint8 RGB, from top to bottom."""
        return [self._read(np.asarray(image)) for image in images]

    def _read(self, image: Images) -> tuple[ScreenLine, ...]:
        with self._lock:
            if self._engine is None:
                self._engine = self._load()
            from rapidocr.ch_ppocr_det.utils import ResizeImgError as TooThinToDetect
            from rapidocr.utils.process_img import ResizeImgError as TooThinToRead

            try:
                found = self._engine(np.ascontiguousarray(image[:, :, ::-1]), use_cls=False, return_word_box=True)
            except (TooThinToDetect, TooThinToRead):  # a picture in which no line of text has room
                return ()
        if getattr(found, "txts", None) is None:
            return ()
        height, width = image.shape[:2]
        lines = []
        for text, confidence, box, words in zip(found.txts, found.scores, found.boxes, found.word_results, strict=True):
            if confidence >= CONFIDENCE and sum(character.isalnum() for character in text) >= 2:
                parts = tuple(ShownWord(word, _box(corners, width, height)) for word, _, corners in words if corners)
                lines.append(ScreenLine(text.strip(), _box(box, width, height), float(confidence), parts))
        return tuple(sorted(lines, key=lambda line: (round(line.box[1], 2), line.box[0])))

    def _load(self) -> Any:
        try:
            from omegaconf import flag_override
            from rapidocr import RapidOCR
        except ImportError as error:
            raise ModelError(f"rapidocr: cannot be loaded ({error}); {INSTALL}") from error
        detect, recognise = self._files
        engine = RapidOCR(
            params={
                "Global.log_level": "critical",  # it announces every model that it loads
                "Det.model_path": str(detect),
                "Rec.model_path": str(recognise),
                "Det.limit_side_len": SMALLEST,
            }
        )
        with flag_override(engine.cfg, "allow_objects", True):
            engine.cfg.Det.session = session(detect, arena=False)
            engine.cfg.Rec.session = session(recognise, arena=False)
        return engine


def _box(corners: Any, width: int, height: int) -> Box:
    """Return the upright rectangle (left, top, right, bottom) around four corners, as parts of the picture."""
    points = np.asarray(corners, dtype=np.float64).reshape(-1, 2) / (width, height)
    left, top = np.clip(points.min(axis=0), 0.0, 1.0)
    right, bottom = np.clip(points.max(axis=0), 0.0, 1.0)
    return round(float(left), 4), round(float(top), 4), round(float(right), 4), round(float(bottom), 4)
