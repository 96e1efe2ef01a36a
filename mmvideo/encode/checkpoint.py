"""A folder that transformers can load, asked what it is: its class, its processors, how long a text it reads.

Nothing here knows a family by name. The class is the one that the checkpoint names in `architectures`, so weights never
land in a class that leaves half of them out; one whose weights leave a part of the network random is refused. Nothing
but safetensors, or pickles through torch's restricted loader, is read, and no code of a repository is run.

On CUDA weights are float16 and batches as large as memory allows: a batch that does not fit is halved, and stays so.
"""

from __future__ import annotations

import inspect
import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ..datatypes import Vectors
from ..errors import ModelError

T = TypeVar("T")

CPU_BATCH = 32
"""Things computed together on a CPU; 80 ms a picture (ViT-B/32, two cores) whatever the batch."""

CUDA_BATCH = 512
"""Things tried together on a GPU."""


_LACKING = {
    "sentencepiece": "sentencepiece",
    "protobuf": "protobuf",
    "video processor": "torchvision",
    "torchvision": "torchvision",
}
"""What to install where transformers' reason has a word: SigLIP's tokenizer, SmolVLM's part for videos."""


def read_config(folder: Path) -> dict[str, Any]:
    """Return config.json, as it is written: defaults are left out there."""
    return dict(json.loads((folder / "config.json").read_text("utf-8")))


def whole_config(folder: Path) -> Any:
    """Return the configuration with its defaults. Raises `ModelError` if transformers does not know the type."""
    from transformers import AutoConfig

    with loading(folder):
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def load_network(folder: Path, auto: str = "AutoModel", *, device: str | None = None, half: bool | None = None) -> Any:
    """Return the network of a folder, ready for use: of the class it names itself, else of transformers' `auto` class.

    `device` is torch's name of one; left out, the GPU where there is one. `half` precision (float16) is the default on
    CUDA alone. Raises `ModelError` if it cannot be loaded or is not whole.
    """
    import torch
    import transformers

    place = device or ("cuda" if torch.cuda.is_available() else "cpu")
    half = place.startswith("cuda") if half is None else half
    named = next(iter(read_config(folder).get("architectures") or ()), "")
    made_by = getattr(transformers, named, None) or getattr(transformers, auto)
    with loading(folder):
        network, told = made_by.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            weights_only=True,
            dtype=torch.float16 if half else torch.float32,
            output_loading_info=True,
        )
    if missing := sorted(told["missing_keys"]):
        raise ModelError(
            f"{folder}: its weights leave a part of {type(network).__name__} out ({missing[0]}"
            f"{f' and {len(missing) - 1} more' if len(missing) > 1 else ''})"
        )
    return network.eval().to(place)


def load_tokenizer(folder: Path) -> Any:
    """Return the tokenizer of a folder. Raises `ModelError`."""
    from transformers import AutoTokenizer

    with loading(folder):
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def load_image_processor(folder: Path) -> Any:
    """Return what prepares pictures, in its Pillow form: torchvision resizes a little differently, and vectors of one
    model must not depend on what else is installed. Raises `ModelError`."""
    from transformers import AutoImageProcessor

    with loading(folder):
        return AutoImageProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False, **_pillow())


def load_feature_extractor(folder: Path) -> Any:
    """Return what prepares sound. Raises `ModelError`."""
    from transformers import AutoFeatureExtractor

    with loading(folder):
        return AutoFeatureExtractor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def load_processor(folder: Path) -> Any:
    """Return what prepares pictures and texts together, in the Pillow form where there is one. Raises `ModelError`."""
    from transformers import AutoProcessor

    load = partial(AutoProcessor.from_pretrained, folder, local_files_only=True, trust_remote_code=False)
    with loading(folder):
        try:
            return load(**_pillow())
        except ImportError:  # a part for videos (SmolVLM, Qwen) has no such form
            return load()


def _pillow() -> dict[str, Any]:
    named_backends = find_spec("transformers.image_processing_backends") is not None
    return {"backend": "pil"} if named_backends else {"use_fast": False}


# Texts


def longest_text(network: Any, tokenizer: Any) -> int:
    """Return how many tokens of a text the network reads: the least of what its positions, its tokenizer and its
    processor say."""
    limits = [int(tokenizer.model_max_length)]
    config = network.config
    for part in ("qformer_config", "text_config"):  # where there is a Q-Former, it reads the text
        if positions := getattr(getattr(config, part, None), "max_position_embeddings", None):
            limits.append(int(positions) - _positions_before(network))
            break
    if told := _processor_text_kwargs(str(config.model_type)).get("max_length"):
        limits.append(int(told))
    return min(limits)


def _positions_before(network: Any) -> int:
    """Return how many positions a text model never uses: RoBERTa counts from behind the padding's number."""
    for name, part in network.named_modules():
        if name.endswith("position_embeddings") and getattr(part, "padding_idx", None) is not None:
            return int(part.padding_idx) + 1
    return 0


def _processor_text_kwargs(model_type: str) -> dict[str, Any]:
    """Return what the type's processor says about texts, as far as this transformers tells."""
    import transformers
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES

    name = PROCESSOR_MAPPING_NAMES.get(model_type)
    told = getattr(getattr(transformers, str(name), None), "text_kwargs", None)
    return dict(told) if isinstance(told, dict) else {}


def tokenize(network: Any, tokenizer: Any, texts: Sequence[str], limit: int) -> tuple[Any, list[str]]:
    """Return the token numbers of `texts` for `network`, and those texts that are longer than it reads.

    A tokenizer that makes no attention mask belongs to a network that was trained on texts padded to one length.
    """
    names = tokenizer.model_input_names
    inputs = tokenizer(
        list(texts),
        padding=True if "attention_mask" in names else "max_length",
        truncation=True,
        max_length=limit,
        return_tensors="pt",
    )
    full = [text for text, ids in zip(texts, inputs["input_ids"], strict=True) if len(ids) >= limit]
    cut = [text for text in full if len(tokenizer(text, verbose=False)["input_ids"]) > limit] if full else []
    return inputs, cut


# Computing


def accepted(call: Callable[..., Any], inputs: Any) -> dict[str, Any]:
    """Return those of the named `inputs` that `call` has parameters for by name."""
    known = inspect.signature(call).parameters
    return {name: value for name, value in inputs.items() if name in known}


def moved(network: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """Return tensors where the network is; numbers with a point in its precision. Copies to a GPU do not wait."""
    place, kind = network.device, network.dtype
    if place.type == "cuda":
        inputs = {name: value.pin_memory() if value.device.type == "cpu" else value for name, value in inputs.items()}
    return {
        name: value.to(place, kind if value.is_floating_point() else None, non_blocking=True)
        for name, value in inputs.items()
    }


def unit_rows(output: Any) -> Vectors:
    """Return a tensor, or the `pooler_output` of an output, as unit vectors (n, dim) float32."""
    import torch

    vectors = output if isinstance(output, torch.Tensor) else output.pooler_output  # the latter since version 5
    unit = torch.nn.functional.normalize(vectors.float(), dim=-1).cpu().numpy()
    return np.asarray(unit, np.float32)


class Batches:
    """Cuts work into batches; one that does not fit into the GPU's memory is halved, and so are those after it."""

    def __init__(self, size: int | None) -> None:
        self.size = size

    def over(self, items: Sequence[T], encode: Callable[[list[T]], Vectors], network: Any) -> list[Vectors]:
        """Return what `encode` makes of the items, a matrix per batch. One alone that is too much raises."""
        import torch

        if self.size is None:
            self.size = CUDA_BATCH if network.device.type == "cuda" else CPU_BATCH
        found: list[Vectors] = []
        first = 0
        while first < len(items):
            try:
                with torch.inference_mode():
                    found.append(encode(list(items[first : first + self.size])))
            except torch.cuda.OutOfMemoryError:
                if self.size == 1:
                    raise
                self.size = max(1, self.size // 2)
                torch.cuda.empty_cache()
                continue
            first += self.size
        return found


@contextmanager
def loading(folder: Path) -> Iterator[None]:
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
        lacking = next((package for word, package in _LACKING.items() if word in reason.lower()), None)
        remedy = f"; pip install {lacking}" if lacking else ""
        raise ModelError(f"{folder}: transformers cannot load it ({reason}){remedy}") from error
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
