"""What pictures show, said in words: any image-to-text model of transformers, or the labels of the ImageNet classifier.

`labels` needs no hub: its "captions" are the names of what the classifier of `conse` is surest of. A model of
transformers is a folder or hub id whose class writes text for pictures (BLIP, BLIP-2, GIT, SmolVLM …). Text is made
greedily, so that the same picture is always told the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ..datatypes import Images, ModelId
from ..errors import ModelError
from . import checkpoint
from .conse import Conse
from .weights import REVISION_DIGITS, Weights

LONGEST = 40
"""Tokens of a caption."""

ASKED = "Describe this picture in one sentence."
"""What a model that answers questions is asked."""

SURE = 0.1
"""Probability from which a label is said; at most `NAMED` of them."""

NAMED = 3


class Written:
    """A `Captioner` from a folder that transformers can load for image-text-to-text. `ModelError` if it cannot."""

    def __init__(self, weights: Weights, *, name: str, device: str | None = None, half: bool | None = None) -> None:
        self._weights = weights
        self._name = name
        self._device = device
        self._half = half

    @cached_property
    def model(self) -> ModelId:
        """Return name and revision; it makes text, so its dimension is 0."""
        return ModelId(self._name, self._weights.revision)

    def caption(self, images: Images | Sequence[Images]) -> list[str]:
        """Return what each picture (height, width, 3) uint8 RGB shows, one sentence; n may be 0."""
        return [self._caption(image) for image in images]

    def _caption(self, image: Images) -> str:
        import torch
        from PIL import Image

        picture = Image.fromarray(np.ascontiguousarray(image))
        if getattr(self._processor, "chat_template", None):
            asked = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": ASKED}]}]
            text = self._processor.apply_chat_template(asked, add_generation_prompt=True)
            inputs = self._processor(images=[picture], text=text, return_tensors="pt")
        else:
            inputs = self._processor(images=picture, return_tensors="pt")
        given = inputs["input_ids"].shape[1] if "input_ids" in inputs else 0
        with torch.inference_mode():
            made = self._network.generate(
                **checkpoint.moved(self._network, dict(inputs)), max_new_tokens=self._room(given), do_sample=False
            )
        told: str = self._processor.batch_decode(made, skip_special_tokens=True)[0]
        if given:  # models that only decode repeat what they were given
            told = self._processor.batch_decode(made[:, given:], skip_special_tokens=True)[0] or told
        return " ".join(told.split())

    def _room(self, given: int) -> int:
        """Return how many tokens may be written: where positions are few, no more than those."""
        text = self._network.config.get_text_config()
        positions = getattr(text, "max_position_embeddings", None) or LONGEST + given + 2
        return max(1, min(LONGEST, int(positions) - given - 2))

    @cached_property
    def _network(self) -> Any:
        network = checkpoint.load_network(
            self._weights.folder, "AutoModelForImageTextToText", device=self._device, half=self._half
        )
        if not hasattr(network, "generate"):
            raise ModelError(f"{self._weights.folder}: {type(network).__name__} writes no text")
        return network

    @cached_property
    def _processor(self) -> Any:
        return checkpoint.load_processor(self._weights.folder)


class Labels:
    """A `Captioner` that names what the ImageNet classifier is surest of, such as "tabby, Egyptian cat"."""

    def __init__(self, classifier: Conse) -> None:
        self._classifier = classifier

    @cached_property
    def model(self) -> ModelId:
        """Return name and revision; it makes text, so its dimension is 0."""
        settings = f"{self._classifier.model.revision} {SURE} {NAMED}"
        return ModelId("labels", hashlib.sha256(settings.encode()).hexdigest()[:REVISION_DIGITS])

    def caption(self, images: Images | Sequence[Images]) -> list[str]:
        """Return the names of what is surely in each picture (height, width, 3) uint8 RGB; "" for one of none."""
        if not len(images):
            return []
        told = []
        for chances in self._classifier.classify(list(images)):
            surest = [int(i) for i in np.argsort(-chances)[:NAMED] if chances[i] >= SURE]
            told.append(", ".join(self._classifier.labels[i].split(",")[0] for i in surest))
        return told
