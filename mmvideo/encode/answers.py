"""Answers by a model on this machine: any image-text-to-text model of transformers with a chat template (Idefics,
SmolVLM …), or one that only reads text."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ..datatypes import Images
from ..errors import ModelError
from ..examples import Example
from . import checkpoint
from .weights import Weights

_Turn = tuple[list[Images], str, "str | None"]
"""Pictures, a question, and what was answered; None for the one that is to be answered."""

LONGEST = 400
"""Tokens of an answer."""


class LocalModel:
    """An `Answerer` from a folder that transformers can load. `ModelError` if it writes no text or knows no chat."""

    def __init__(self, weights: Weights, *, name: str, device: str | None = None, longest: int = LONGEST) -> None:
        self.name = name
        self._weights = weights
        self._device = device
        self._longest = longest

    def answer(
        self, instructions: str, question: str, pictures: Sequence[Images], examples: Sequence[Example] = ()
    ) -> str:
        """Return what the model says; text is made greedily, so the same question has the same answer. `examples` are
        turns before it; the instructions stand at the beginning of the first turn, since not every template has a
        place for them."""
        import torch

        turns = [
            ([example.picture] if example.picture is not None else [], example.question, example.answer)
            for example in examples
        ]
        inputs = self._inputs(instructions, [*turns, (list(pictures), question, None)])
        with torch.inference_mode():
            made = self._network.generate(
                **checkpoint.moved(self._network, inputs), max_new_tokens=self._longest, do_sample=False
            )
        given = 0 if self._network.config.is_encoder_decoder else inputs["input_ids"].shape[1]
        told: str = self._processor.batch_decode(made[:, given:], skip_special_tokens=True)[0]
        return told.strip()

    def _inputs(self, instructions: str, turns: Sequence[_Turn]) -> dict[str, Any]:
        from PIL import Image

        said: list[dict[str, Any]] = []
        for number, (pictures, question, told) in enumerate(turns):
            text = f"{instructions}\n\n{question}" if number == 0 else question
            shown: list[dict[str, Any]] = [{"type": "image"} for _ in pictures]
            said.append({"role": "user", "content": [*shown, {"type": "text", "text": text}]})
            if told is not None:
                said.append({"role": "assistant", "content": [{"type": "text", "text": told}]})
        try:
            prompt = self._processor.apply_chat_template(said, add_generation_prompt=True)
        except (ValueError, AttributeError) as error:
            raise ModelError(f"{self._weights.folder}: has no chat template, so it cannot be asked") from error
        images = [Image.fromarray(np.ascontiguousarray(picture)) for pictures, _, _ in turns for picture in pictures]
        given = {"images": images} if images else {}
        return dict(self._processor(text=prompt, return_tensors="pt", **given))

    @cached_property
    def _network(self) -> Any:
        network = checkpoint.load_network(self._weights.folder, "AutoModelForImageTextToText", device=self._device)
        if not hasattr(network, "generate"):
            raise ModelError(f"{self._weights.folder}: {type(network).__name__} writes no text")
        return network

    @cached_property
    def _processor(self) -> Any:
        return checkpoint.load_processor(self._weights.folder)
