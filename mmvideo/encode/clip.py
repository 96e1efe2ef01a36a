"""Pictures, or clips of several frames, and words in one space: CLIP and its kin, through transformers.

Every checkpoint will do whose network can put pictures (or clips) and texts into one space; `spaces` tells which. That
is CLIP (Radford et al. 2021, arXiv 2103.00020) and OpenCLIP in transformers' form, SigLIP (Zhai et al. 2023, arXiv
2303.15343) and SigLIP 2 (arXiv 2502.14786), ALIGN, AltCLIP, Chinese-CLIP, MetaCLIP 2, BLIP and BLIP-2's retrieval
models; of clips X-CLIP. The table with what was run is in `docs/MODELS.md`.

A model of clips is a segment encoder: it sees `frames` consecutive samples around a moment (`mmvideo.moving`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..datatypes import Images, ModelId, Vectors
from ..errors import ModelError
from . import checkpoint, towers
from .checkpoint import CPU_BATCH, Batches
from .exported import Exported, Precision
from .spaces import Space, space
from .weights import Weights

_UNKNOWN: Any = object()


class Clip:
    """An `ImageTextEncoder` from a folder that transformers can load.

    `device` is torch's name of one; left out, the GPU where there is one, and there in `half` precision. `prompt`
    stands around every text, "{}" for none: queries are sentences, and none of these families wants a template around
    one. `ModelError` if the folder holds a model without pictures or without words. What a careful user wants to know
    is in `notes`.
    """

    def __init__(
        self,
        weights: Weights,
        *,
        name: str,
        device: str | None = None,
        batch_size: int | None = None,
        half: bool | None = None,
        prompt: str = "{}",
        precision: Precision = "float32",
    ) -> None:
        self.notes: list[str] = []
        self._weights = weights
        self._name = name
        self._device = device
        self._half = half
        self._batches = Batches(batch_size)
        self._prompt = prompt
        self._precision: Precision = precision
        self._key = f"{Path(name).name}-{weights.revision}-{precision}"
        self._exports = device is None and half is None and towers.worthwhile(weights.folder)
        self._pictures: Any = _UNKNOWN
        self._config = _config(weights.folder)

    @cached_property
    def model(self) -> ModelId:
        """Return name, revision and dimension; only the configuration is read."""
        return ModelId(self._name, self._weights.revision, _dim(self._config, self._weights.folder))

    @property
    def frames(self) -> int:
        """How many consecutive frames the network looks at together, 1 for a model of pictures; the weights are loaded
        for it unless its tower of pictures was exported."""
        return 1 if self._exported_pictures is not None else self._space.frames

    @property
    def longest_text(self) -> int:
        """How many tokens of a text the network reads; the weights are loaded for it."""
        return self._longest_text

    def encode_images(self, images: Images | Sequence[Images]) -> Vectors:
        """Return one unit vector per picture, shape (n, dim) float32; n may be 0.

        A model of clips sees each as a clip that stands still.
        """
        if not len(images):
            return self._joined([])
        if self._exported_pictures is not None:
            cut = range(0, len(images), CPU_BATCH)
            return self._joined([self._encode_pictures(list(images[first : first + CPU_BATCH])) for first in cut])
        if self.frames > 1:
            return self.encode_clips([np.stack([image] * self.frames) for image in images])
        return self._joined(self._batches.over(list(images), self._encode_pictures, self._network))

    def encode_clips(self, clips: Sequence[Images]) -> Vectors:
        """Return one unit vector per clip of (`frames`, height, width, 3) uint8 pictures, shape (n, dim) float32."""
        if not len(clips):
            return self._joined([])
        return self._joined(self._batches.over(clips, self._encode_clips, self._network))

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Return one unit vector per text, shape (n, dim) float32; n may be 0.

        Longer texts are cut to what the model reads (77 tokens in CLIP, 64 in SigLIP), and a note says so.
        """
        if not len(texts):
            return self._joined([])
        if (portable := self._portable_texts) is not None:
            vectors, cut = portable.encode([self._prompt.format(text) for text in texts])
            if cut:
                self._note_cut(portable.limit)
            return self._joined([vectors])
        return self._joined(self._batches.over([self._prompt.format(t) for t in texts], self._encode, self._network))

    def _encode_pictures(self, images: list[Images]) -> Vectors:
        inputs = self._processor(images=images, input_data_format="channels_last", return_tensors="pt")
        if set(inputs) == {"pixel_values"} and (portable := self._portable_pictures(inputs)) is not None:
            return portable({"pixel_values": inputs["pixel_values"].numpy()})
        assert self._space.pictures is not None, "checked when it was loaded"  # noqa: S101
        return checkpoint.unit_rows(self._space.pictures(checkpoint.moved(self._network, inputs)))

    def _encode_clips(self, clips: list[Images]) -> Vectors:
        flat = [image for clip in clips for image in clip]
        inputs = self._processor(images=flat, input_data_format="channels_last", return_tensors="pt")
        pixels = inputs["pixel_values"].reshape(len(clips), self.frames, *inputs["pixel_values"].shape[-3:])
        assert self._space.clips is not None, "checked when it was loaded"  # noqa: S101
        return checkpoint.unit_rows(self._space.clips(checkpoint.moved(self._network, {"pixel_values": pixels})))

    def _encode(self, texts: list[str]) -> Vectors:
        if _leaves_case_to_us(self._tokenizer):
            texts = [text.lower() for text in texts]
        inputs, cut = checkpoint.tokenize(self._network, self._tokenizer, texts, self._longest_text)
        if cut:
            self._note_cut(self._longest_text)
        assert self._space.texts is not None, "checked when it was loaded"  # noqa: S101
        return checkpoint.unit_rows(self._space.texts(checkpoint.moved(self._network, inputs)))

    def _note_cut(self, limit: int) -> None:
        note = f"{self._name} reads {limit} tokens of a text; what came after was left out"
        if note not in self.notes:
            self.notes.append(note)

    def _joined(self, batches: list[Vectors]) -> Vectors:
        vectors = np.concatenate(batches) if batches else np.empty((0, self.model.dim), np.float32)
        if vectors.shape[1] != self.model.dim:
            found, expected = vectors.shape[1], self.model.dim
            raise ModelError(f"{self._weights.folder}: makes {found} dimensions, and its config.json says {expected}")
        return vectors

    @cached_property
    def _exported_pictures(self) -> Exported | None:
        """The tower of pictures that an earlier process exported."""
        return towers.known_pictures(self._key, self._precision) if self._exports else None

    def _portable_pictures(self, inputs: Any) -> Exported | None:
        """Return the exported tower of pictures. While the network is at hand, that of texts is made too, so that no
        search has to wait for it."""
        if not self._exports or self._exported_pictures is not None:
            return self._exported_pictures
        if self._pictures is _UNKNOWN:
            features = self._space.pictures
            assert features is not None, "checked when it was loaded"  # noqa: S101
            height, width = (int(side) for side in inputs["pixel_values"].shape[-2:])
            make = self._key, lambda: self._network, features, (height, width)
            self._pictures = towers.pictures(*make, self._precision)
            _ = self._portable_texts
        found: Exported | None = self._pictures
        return found

    @cached_property
    def _portable_texts(self) -> towers.Texts | None:
        """The exported tower of texts, which needs neither torch nor transformers; None where they have to encode."""
        if not self._exports:
            return None

        def load() -> tuple[Any, Any, Any, towers.Reading]:
            tokenizer, limit = self._tokenizer, self._longest_text

            def tokenize(texts: Sequence[str]) -> Any:
                if lower:
                    texts = [text.lower() for text in texts]
                return tokenizer(
                    list(texts), padding="max_length", truncation=True, max_length=limit, return_tensors="pt"
                )

            lower = _leaves_case_to_us(tokenizer)
            names = tuple(name for name in tokenizer.model_input_names if name != "pixel_values")
            reading = towers.Reading(limit, int(tokenizer.pad_token_id), names, lower)
            return self._network, self._space.texts, tokenize, reading

        return towers.texts(self._key, self._weights.folder, self._precision, load)

    @cached_property
    def _longest_text(self) -> int:
        return checkpoint.longest_text(self._network, self._tokenizer)

    @cached_property
    def _space(self) -> Space:
        return space(self._network)

    @cached_property
    def _network(self) -> Any:
        network = checkpoint.load_network(self._weights.folder, device=self._device, half=self._half)
        found = space(network)
        if found.texts is None or (found.pictures is None and found.clips is None):
            raise ModelError(f"{self._weights.folder}: {type(network).__name__} has no vectors of pictures and texts")
        return network

    @cached_property
    def _tokenizer(self) -> Any:
        return checkpoint.load_tokenizer(self._weights.folder)

    @cached_property
    def _processor(self) -> Any:
        return checkpoint.load_image_processor(self._weights.folder)


def _config(folder: Path) -> dict[str, Any]:
    config = checkpoint.read_config(folder)
    if "vision_config" not in config or not ("text_config" in config or "qformer_config" in config):
        kind = config.get("model_type", "unknown")
        raise ModelError(f"{folder}: a model of type {kind}, which has no common space for pictures and texts")
    return config


def _dim(config: dict[str, Any], folder: Path) -> int:
    """Return the length of a vector, from the configuration alone.

    Published checkpoints say it; asking transformers for a default costs its import. Retrieval classes of BLIP project
    to `image_text_hidden_size`; where nothing projects (SigLIP), a vector is as wide as the tower.
    """
    retrieval = any("ImageTextRetrieval" in str(name) for name in config.get("architectures") or ())
    key = "image_text_hidden_size" if retrieval else "projection_dim"
    if key in config:
        return int(config[key])
    whole = checkpoint.whole_config(folder)
    return int(getattr(whole, key, None) or whole.vision_config.hidden_size)


def _leaves_case_to_us(tokenizer: Any) -> bool:
    """Tell whether the network was trained on lower case and its tokenizer keeps capitals: SigLIP 2's, which before
    transformers 5 is Gemma's without an attention mask."""
    return "attention_mask" not in tokenizer.model_input_names and type(tokenizer).__name__.startswith("Gemma")
