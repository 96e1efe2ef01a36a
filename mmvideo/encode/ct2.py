"""CTranslate2's Whisper weights as openai-whisper loads them: exactly the same numbers, under other names.

A `model.bin` holds a header (version, the specification's name, its revision, the number of variables) and then each
variable: name, rank, sizes, type, bytes, data, all little-endian; aliases follow. CTranslate2 stacks query, key and
value of self-attention into one matrix, and key and value of cross-attention; openai-whisper keeps them apart and has
no bias for keys, where CTranslate2 stores zeros.
"""

from __future__ import annotations

import json
import mmap
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError

Arrays = dict[str, NDArray[Any]]

_TYPES: dict[int, np.dtype[Any]] = {
    0: np.dtype("<f4"),
    1: np.dtype("i1"),
    2: np.dtype("<i2"),
    3: np.dtype("<i4"),
    4: np.dtype("<f2"),
}

_BLOCK_PARTS = (
    ("self_attention/layer_norm", "attn_ln"),
    ("attention/layer_norm", "cross_attn_ln"),
    ("ffn/layer_norm", "mlp_ln"),
    ("ffn/linear_0", "mlp.0"),
    ("ffn/linear_1", "mlp.2"),
    ("self_attention/linear_1", "attn.out"),
    ("attention/linear_0", "cross_attn.query"),
    ("attention/linear_2", "cross_attn.out"),
)
_STACKED = (
    ("self_attention/linear_0", "attn", ("query", "key", "value")),
    ("attention/linear_1", "cross_attn", ("key", "value")),
)
_PLAIN = {
    "encoder/position_encodings/encodings": "encoder.positional_embedding",
    "encoder/layer_norm": "encoder.ln_post",
    "encoder/conv1": "encoder.conv1",
    "encoder/conv2": "encoder.conv2",
    "decoder/embeddings/weight": "decoder.token_embedding.weight",
    "decoder/position_encodings/encodings": "decoder.positional_embedding",
    "decoder/layer_norm": "decoder.ln",
}
_LAST = {"gamma": "weight", "beta": "bias", "weight": "weight", "bias": "bias"}


def is_whisper(folder: Path) -> bool:
    """Tell whether a folder holds CTranslate2 Whisper weights, from the first bytes of its `model.bin`."""
    try:
        with (folder / "model.bin").open("rb") as source:
            return source.read(18)[4:] == struct.pack("<H", 12) + b"WhisperSpec\0"
    except OSError:
        return False


def checkpoint(folder: Path) -> dict[str, Any]:
    """Return openai-whisper's `{"dims", "model_state_dict"}` of a CTranslate2 folder, as float16 or float32 arrays.

    `ModelError` if the file is damaged, quantised to integers, or not Whisper.
    """
    file = folder / "model.bin"
    try:
        variables = read_variables(file)
        heads = int(variables["encoder/num_heads"]), int(variables["decoder/num_heads"])
        state = dict(_renamed(variables))
        if any(array.dtype.kind != "f" for array in state.values()):
            raise ModelError(
                f'{file}: weights quantised to integers are read by faster-whisper only; pip install "mmvideo[fast]"'
            )
        return {"dims": _dims(state, *heads), "model_state_dict": state}
    except OSError as error:
        raise ModelError(f"{file}: the weights cannot be read ({error.strerror})") from error
    except (KeyError, ValueError, IndexError, struct.error) as error:
        raise ModelError(f"{file}: these are no Whisper weights, or they are damaged ({error})") from error


def alignment_heads(folder: Path) -> list[tuple[int, int]] | None:
    """Return the (layer, head) pairs whose attention times words, from the folder's config.json, or None."""
    try:
        pairs = json.loads((folder / "config.json").read_text("utf-8"))["alignment_heads"]
        return [(int(layer), int(head)) for layer, head in pairs] or None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_variables(file: Path) -> Arrays:
    """Return the variables of a CTranslate2 `model.bin` by name. `ValueError` or `struct.error` where it is damaged."""
    variables: Arrays = {}
    with file.open("rb") as source, mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as content:
        version, at = struct.unpack_from("<I", content)[0], 4
        name, at = _string(content, at)
        if version < 5 or name != "WhisperSpec":
            raise ValueError(f"format {version} of {name[:40]!r}")
        count, at = struct.unpack_from("<I", content, at + 4)[0], at + 8
        for _ in range(count):
            name, at = _string(content, at)
            rank = content[at]
            sizes = struct.unpack_from(f"<{rank}I", content, at + 1)
            kind, size = struct.unpack_from("<BI", content, at + 1 + 4 * rank)
            at += 6 + 4 * rank
            dtype = _TYPES[kind]
            data = np.frombuffer(content[at : at + size], dtype)
            variables[name] = data.reshape(sizes)
            at += size
    return variables


def _string(content: Any, at: int) -> tuple[str, int]:
    length = struct.unpack_from("<H", content, at)[0]
    raw: bytes = content[at + 2 : at + 2 + length]
    return raw.rstrip(b"\0").decode(), at + 2 + length


def _renamed(variables: Arrays) -> Iterator[tuple[str, NDArray[Any]]]:
    for name, array in variables.items():
        if name in _PLAIN:
            yield _PLAIN[name], array
            continue
        stem, _, last = name.rpartition("/")
        if last not in _LAST:
            continue  # settings of the network, such as its activation
        if stem in _PLAIN:
            yield f"{_PLAIN[stem]}.{_LAST[last]}", array
        elif "/layer_" in stem:
            part, layer, inside = stem.split("/", 2)
            yield from _block(f"{part}.blocks.{int(layer.removeprefix('layer_'))}", inside, _LAST[last], array)
        else:
            raise KeyError(name)


def _block(block: str, inside: str, last: str, array: NDArray[Any]) -> Iterator[tuple[str, NDArray[Any]]]:
    for theirs, ours in _BLOCK_PARTS:
        if inside == theirs:
            yield f"{block}.{ours}.{last}", array
            return
    for theirs, attention, names in _STACKED:
        if inside == theirs:
            for name, part in zip(names, np.split(array, len(names)), strict=True):
                if (name, last) != ("key", "bias"):
                    yield f"{block}.{attention}.{name}.{last}", part
                elif np.any(part):
                    raise ValueError("its keys have a bias")
            return
    raise KeyError(inside)


def _dims(state: Arrays, encoder_heads: int, decoder_heads: int) -> dict[str, int]:
    """Return openai-whisper's ModelDimensions, read off the shapes."""
    layers = {
        part: 1 + max(int(name.split(".")[2]) for name in state if name.startswith(f"{part}.blocks."))
        for part in ("encoder", "decoder")
    }
    (n_audio_state, n_mels, _), (n_audio_ctx, _) = (
        state["encoder.conv1.weight"].shape,
        state["encoder.positional_embedding"].shape,
    )
    (n_vocab, n_text_state), (n_text_ctx, _) = (
        state["decoder.token_embedding.weight"].shape,
        state["decoder.positional_embedding"].shape,
    )
    return {
        "n_mels": n_mels,
        "n_audio_ctx": n_audio_ctx,
        "n_audio_state": n_audio_state,
        "n_audio_head": encoder_heads,
        "n_audio_layer": layers["encoder"],
        "n_vocab": n_vocab,
        "n_text_ctx": n_text_ctx,
        "n_text_state": n_text_state,
        "n_text_head": decoder_heads,
        "n_text_layer": layers["decoder"],
    }
