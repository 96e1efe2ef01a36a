"""Pictures and words in one space by CLIP and its kin, through transformers.

Every checkpoint that transformers loads as a model with `get_image_features` and `get_text_features` will do: CLIP
(Radford et al. 2021, arXiv 2103.00020), SigLIP (Zhai et al. 2023, arXiv 2303.15343), SigLIP 2 (Tschannen et al. 2025,
arXiv 2502.14786) and others of the shape. Weights are loaded from a folder that is already on this machine, never with
code of their own, and pickled ones only through torch's restricted loader.

Pictures go through the checkpoint's own processor in its Pillow form: torchvision resizes a little differently, and
vectors of one model must not depend on what else is installed. It costs 4.7 ms a frame; lines of our own cost 4.0 ms.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ..datatypes import Images, ModelId, Vectors
from ..errors import ModelError
from .weights import Weights

BATCH = 32
"""Pictures or texts computed together; 80 ms a picture (ViT-B/32, two cores) whatever the batch."""

SIGLIP_WIDTH = 768
"""Width of SigLIP's towers where its configuration, which leaves out defaults, does not say."""


class Clip:
    """An `ImageTextEncoder` from a folder that transformers can load.

    `device` is torch's name of one; left out, the GPU where there is one. `ModelError` if the folder holds a model
    without pictures or without words.
    """

    def __init__(self, weights: Weights, *, name: str, device: str | None = None, batch_size: int = BATCH) -> None:
        self._weights = weights
        self._name = name
        self._device = device
        self._batch_size = batch_size
        self._config = _config(weights.folder)

    @cached_property
    def model(self) -> ModelId:
        """Return name, revision and dimension; only the configuration is read."""
        return ModelId(self._name, self._weights.revision, _dim(self._config))

    def encode_images(self, images: Images | Sequence[Images]) -> Vectors:
        """Return one unit vector per picture, shape (n, dim) float32; n may be 0."""
        batches = (list(images[first : first + self._batch_size]) for first in range(0, len(images), self._batch_size))
        return self._joined([self._encode_pictures(batch) for batch in batches])

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Return one unit vector per text, shape (n, dim) float32; n may be 0.

        Longer texts are cut to what the model reads (77 tokens in CLIP, 64 in SigLIP). No prompt is put around them.
        """
        batches = (list(texts[first : first + self._batch_size]) for first in range(0, len(texts), self._batch_size))
        return self._joined([self._encode_words(batch) for batch in batches])

    def _encode_pictures(self, images: list[Images]) -> Vectors:
        inputs = self._processor(images=images, input_data_format="channels_last", return_tensors="pt")
        return self._unit(self._network.get_image_features, inputs)

    def _encode_words(self, texts: list[str]) -> Vectors:
        tokenizer = self._tokenizer
        siglip = str(self._config["model_type"]).startswith("siglip")
        if siglip and type(tokenizer).__name__.startswith(("Gemma", "Siglip2")):
            # SigLIP 2 was trained on lower case; before transformers 5 its tokenizer leaves that to the caller.
            texts = [text.lower() for text in texts]
        inputs = tokenizer(
            texts,
            padding="max_length" if siglip else True,  # SigLIP reads its vector off the last place, padded or not
            truncation=True,
            max_length=self._longest_text,
            return_tensors="pt",
        )
        return self._unit(self._network.get_text_features, inputs)

    def _unit(self, features: Any, inputs: Any) -> Vectors:
        import torch

        with torch.inference_mode():
            output = features(**{key: value.to(self._network.device) for key, value in inputs.items()})
            vectors = output if isinstance(output, torch.Tensor) else output.pooler_output  # the latter since version 5
            unit = torch.nn.functional.normalize(vectors.float(), dim=-1).cpu().numpy()
        return np.asarray(unit, np.float32)

    def _joined(self, batches: list[Vectors]) -> Vectors:
        vectors = np.concatenate(batches) if batches else np.empty((0, self.model.dim), np.float32)
        if vectors.shape[1] != self.model.dim:
            found, expected = vectors.shape[1], self.model.dim
            raise ModelError(f"{self._weights.folder}: makes {found} dimensions, and its config.json says {expected}")
        return vectors

    @cached_property
    def _longest_text(self) -> int:
        text = self._network.config.text_config
        return min(int(text.max_position_embeddings), int(self._tokenizer.model_max_length))

    @cached_property
    def _network(self) -> Any:
        import torch
        from transformers import AutoModel

        with _loading(self._weights.folder):
            network = AutoModel.from_pretrained(
                self._weights.folder,
                local_files_only=True,
                trust_remote_code=False,
                weights_only=True,
                dtype=torch.float32,
            )
        if not (hasattr(network, "get_image_features") and hasattr(network, "get_text_features")):
            raise ModelError(f"{self._weights.folder}: {type(network).__name__} has no vectors of pictures and texts")
        return network.eval().to(self._device or ("cuda" if torch.cuda.is_available() else "cpu"))

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        with _loading(self._weights.folder):
            return AutoTokenizer.from_pretrained(self._weights.folder, local_files_only=True, trust_remote_code=False)

    @cached_property
    def _processor(self) -> Any:
        from transformers import AutoImageProcessor

        named_backends = find_spec("transformers.image_processing_backends") is not None
        pillow: dict[str, Any] = {"backend": "pil"} if named_backends else {"use_fast": False}
        with _loading(self._weights.folder):
            return AutoImageProcessor.from_pretrained(
                self._weights.folder, local_files_only=True, trust_remote_code=False, **pillow
            )


def _config(folder: Path) -> dict[str, Any]:
    config = dict(json.loads((folder / "config.json").read_text("utf-8")))
    if "vision_config" not in config or "text_config" not in config:
        kind = config.get("model_type", "unknown")
        raise ModelError(f"{folder}: a model of type {kind}, which has no common space for pictures and texts")
    return config


def _dim(config: dict[str, Any]) -> int:
    """Return the length of a vector, from the configuration alone."""
    if str(config["model_type"]).startswith("siglip"):
        return int(config["vision_config"].get("hidden_size", SIGLIP_WIDTH))
    return int(config.get("projection_dim", 512))


@contextmanager
def _loading(folder: Path) -> Iterator[None]:
    """Keep transformers' bars and notes off the terminal, and tell its many errors as one."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except Exception as error:  # its own, torch's, pickle's, safetensors' and those of the libraries it misses
        reason = str(error).strip().partition("\n")[0].partition(". ")[0] or type(error).__name__
        remedy = "; pip install sentencepiece" if "SentencePiece" in reason else ""  # SigLIP 1 has no other tokenizer
        raise ModelError(f"{folder}: transformers cannot load it ({reason}){remedy}") from error
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
