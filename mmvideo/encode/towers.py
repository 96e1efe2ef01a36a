"""The towers of a network for pictures and texts, exported: a query is then encoded without torch or transformers.

A query's text goes through the `tokenizers` library, with the checkpoint's own tokenizer.json, and ONNX Runtime; both
are kept only if their tokens and vectors agree with those of transformers and torch on texts that try them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..datatypes import Vectors
from .exported import Exported, Precision, exported, possible
from .packaged import cache_folder

WORTHWHILE = 20_000_000
"""Bytes of weights from which exporting pays: what is smaller, torch computes in a millisecond."""

_PROBES = (
    "a dog",
    "TWO Women, laughing; “don't!” – 3 €",
    "eine Brücke über den Fluß, 橋, мост 🙂",
    " spaces   and\ttabs\n",
    "word " * 300,
)


def worthwhile(folder: Path) -> bool:
    """Tell whether the network in `folder` is to be exported on this machine."""
    size = sum(file.stat().st_size for pattern in ("*.safetensors", "*.bin") for file in folder.glob(pattern))
    return size >= WORTHWHILE and possible()


def pictures(
    key: str, network: Callable[[], Any], features: Callable[[Any], Any], side: tuple[int, int], precision: Precision
) -> Exported | None:
    """Return the exported tower of pictures: it takes `pixel_values` (n, 3, height, width) and returns unit vectors.

    `features` makes vectors of a processor's inputs; `side` is the (height, width) that the processor makes.
    """

    def make() -> tuple[Any, dict[str, Any]]:
        import torch

        noise = torch.randn(2, 3, *side, generator=torch.Generator().manual_seed(0))
        return _tower(network(), features, ("pixel_values",)), {"pixel_values": noise}

    return exported(f"{key}-pictures", make, precision=precision)


def known_pictures(key: str, precision: Precision) -> Exported | None:
    """Return the tower of pictures if it was exported before."""
    return exported(f"{key}-pictures", _missing, precision=precision)


@dataclass(frozen=True, slots=True)
class Reading:
    """How texts become tokens: at most `limit`, padded to it with the token `pad`; `names` of the network's inputs."""

    limit: int
    pad: int
    names: tuple[str, ...]
    lower: bool


class Texts:
    """Texts to unit vectors by the checkpoint's tokenizer.json and an exported tower."""

    def __init__(self, folder: Path, reading: Reading, tower: Exported) -> None:
        self.limit = reading.limit
        self._reading = reading
        self._tokenizer = _tokenizer(folder, reading)
        self._tower = tower

    def encode(self, texts: Sequence[str]) -> tuple[Vectors, bool]:
        """Return one unit vector per text, (n, dim) float32, and whether one was longer than the network reads."""
        inputs, cut = _tokens(self._tokenizer, self._reading, texts)
        return np.concatenate(
            [self._tower({name: array[i : i + 1] for name, array in inputs.items()}) for i in range(len(texts))]
        ), cut


def texts(
    key: str,
    folder: Path,
    precision: Precision,
    load: Callable[[], tuple[Any, Callable[[Any], Any], Callable[[Sequence[str]], Any], Reading]],
) -> Texts | None:
    """Return the exported tower of texts with its tokenizer, or None where transformers has to encode them.

    `load` is called once: it returns the network, what makes vectors of inputs, what makes inputs of texts (padded to
    the limit), and how. Where tokenizer.json is not there or reads otherwise, None.
    """
    told = cache_folder() / f"{key}-texts.json"
    with suppress(OSError, ValueError, TypeError, KeyError):
        known = json.loads(told.read_text("utf-8"))
        reading = Reading(int(known["limit"]), int(known["pad"]), tuple(known["names"]), bool(known["lower"]))
        if (tower := exported(f"{key}-texts", _missing, precision=precision)) is not None:
            return Texts(folder, reading, tower)
    if not (folder / "tokenizer.json").is_file():
        return None
    network, features, tokenize, reading = load()
    wanted = tokenize(_PROBES)
    found, _ = _tokens(_tokenizer(folder, reading), reading, _PROBES)
    if not all(np.array_equal(found[name], wanted[name].numpy()) for name in reading.names):
        return None
    example = {name: wanted[name] for name in reading.names}
    tower = exported(f"{key}-texts", lambda: (_tower(network, features, reading.names), example), precision=precision)
    if tower is None:
        return None
    told.write_text(json.dumps(asdict(reading)), encoding="utf-8")
    return Texts(folder, reading, tower)


def _missing() -> tuple[Any, dict[str, Any]]:
    raise FileNotFoundError("not exported yet")


def _tower(network: Any, features: Callable[[Any], Any], names: tuple[str, ...]) -> Any:
    import torch

    class Tower(torch.nn.Module):  # type: ignore[misc]  # torch has no types here
        def __init__(self) -> None:
            super().__init__()
            self.network = network  # its weights are written once, however often they are used

        def forward(self, *arrays: Any) -> Any:
            output = features(dict(zip(names, arrays, strict=True)))
            vectors = output if isinstance(output, torch.Tensor) else output.pooler_output
            return torch.nn.functional.normalize(vectors.float(), dim=-1)

    return Tower().eval()


def _tokenizer(folder: Path, reading: Reading) -> Any:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _tokens(tokenizer: Any, reading: Reading, texts: Sequence[str]) -> tuple[dict[str, NDArray[np.int64]], bool]:
    """Return each of the network's inputs (n, limit), and whether a text was cut."""
    whole = [tokenizer.encode(text.lower() if reading.lower else text).ids for text in texts]
    tokenizer.enable_truncation(reading.limit)
    try:
        ids = [tokenizer.encode(text.lower() if reading.lower else text).ids for text in texts]
    finally:
        tokenizer.no_truncation()
    arrays = {
        "input_ids": np.array([row + [reading.pad] * (reading.limit - len(row)) for row in ids], np.int64),
        "attention_mask": np.array([[1] * len(row) + [0] * (reading.limit - len(row)) for row in ids], np.int64),
        "token_type_ids": np.zeros((len(ids), reading.limit), np.int64),
    }
    return {name: arrays[name] for name in reading.names}, any(len(row) > reading.limit for row in whole)
