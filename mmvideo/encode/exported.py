"""Networks that ONNX Runtime computes on the processor, exported once from torch, which stays the reference.

On two cores ONNX Runtime classified pictures 8 times as fast as torch (EfficientNet-Lite2) and encoded them twice as
fast (ViT-B/32; with weights of 8 bits 5 times): `benchmarks/encoding.py`. And once exported, a network is computed
without torch, whose import alone takes seconds. A file in the cache folder holds it, named after the weights' revision;
it is kept only if its answers agree with torch's. On a machine with an NVIDIA GPU torch computes there instead.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..onecore import cores
from .packaged import cache_folder

Precision = Literal["float32", "int8"]
"""How weights of matrices are kept: 8 bits are computed faster, and change a vector by about 1e-4 of cosine."""

NEARNESS = {"float32": 1e-3, "int8": 1e-2}
"""By how much the cosine of ONNX Runtime's and torch's answers may fall short of 1."""

_FORMAT = "1"  # raise it when what is exported changes
_OPSET = 17

log = logging.getLogger(__name__)

Arrays = Mapping[str, NDArray[Any]]


class Exported:
    """A network in a file; call it with its inputs by name, each (n, …), for its output (n, dim) float32."""

    def __init__(self, file: Path) -> None:
        self._session = session(file)

    def __call__(self, inputs: Arrays) -> NDArray[np.float32]:
        """Return the output."""
        return np.asarray(self._session.run(None, dict(inputs))[0], np.float32)


def session(file: Path, *, arena: bool = True) -> Any:
    """Return an `onnxruntime.InferenceSession` over a file, on the CPU and all cores that this process may use.

    Its threads sleep when they have nothing to do. By default they spin for a while, which takes the time from what
    else is computed: speech is recognised while frames are encoded. Without an `arena`, memory is given back after each
    picture, which matters where pictures differ in size.
    """
    import onnxruntime

    onnxruntime.disable_telemetry_events()  # on Windows the switch in `mmvideo/__init__.py` does not exist
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what fails is told by an exception, and torch computes it
    options.intra_op_num_threads = cores()
    options.enable_cpu_mem_arena = arena
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def possible() -> bool:
    """Tell whether ONNX Runtime is to compute here: it and `onnx` are installed, and there is no GPU for torch."""
    return all(find_spec(name) is not None for name in ("onnxruntime", "onnx")) and not _gpu()


def exported(
    key: str, make: Callable[[], tuple[Any, dict[str, Any]]], *, precision: Precision = "float32", free: int = 1
) -> Exported | None:
    """Return the network named `key` (with its revision), or None where torch has to compute it.

    `make` is called once in the life of the cache folder: it returns a torch module in evaluation mode whose arguments
    are tensors, and an example of each by name, (2 or more, …), whose `free` first axes may have other lengths later.
    """
    if not possible():
        return None
    file = cache_folder() / f"{key}-{precision}-{_FORMAT}.onnx"
    if file.exists():
        with suppress(Exception):  # of another version, or damaged: made again
            return Exported(file)
    try:
        return _export(file, *make(), precision, free)
    except Exception as error:  # whatever torch and onnx cannot do with a network, torch can compute it
        log.info("%s is computed by torch (%s: %s)", key, type(error).__name__, str(error).partition("\n")[0][:200])
        return None


def _export(file: Path, network: Any, example: dict[str, Any], precision: Precision, free: int) -> Exported:
    import torch

    axes = {axis: f"n{axis}" for axis in range(free)}
    with tempfile.TemporaryDirectory(dir=file.parent) as folder, warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        draft = Path(folder) / "network.onnx"
        # The older of torch's exporters: five times quicker, and it needs one package less.
        torch.onnx.export(
            network,
            tuple(example.values()),
            str(draft),
            dynamo=False,
            input_names=list(example),
            output_names=["vectors"],
            dynamic_axes=dict.fromkeys(example, axes) | {"vectors": {0: "n0"}},
            opset_version=_OPSET,
        )
        if precision == "int8":
            draft = _quantized(draft)
        portable = Exported(draft)
        # In another order and number than was traced, so that what tracing froze is seen.
        others = {name: torch.cat([tensor.flip(0), tensor[:1]]) for name, tensor in example.items()}
        if free > 1:
            others = {name: tensor[:, : tensor.shape[1] // 2] for name, tensor in others.items()}
        wanted = network(*others.values()).float().cpu().numpy()
        found = portable({name: tensor.cpu().numpy() for name, tensor in others.items()})
        if (short := _shortfall(wanted, found)) > NEARNESS[precision]:
            raise ValueError(f"ONNX Runtime's answers are off by {short:.1e}")
        draft.replace(file)
    return portable


def _quantized(file: Path) -> Path:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    small = file.with_name("small.onnx")
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)  # it recommends a step that changes nothing here
    try:
        quantize_dynamic(
            str(file),
            str(small),
            op_types_to_quantize=["MatMul", "Gemm"],
            per_channel=True,
            weight_type=QuantType.QInt8,
        )
    finally:
        logging.root.setLevel(level)
    return small


def _shortfall(wanted: NDArray[np.float32], found: NDArray[np.float32]) -> float:
    """Return by how much the worst cosine of two sets of rows falls short of 1."""
    if wanted.shape != found.shape:
        return 2.0
    lengths = np.linalg.norm(wanted, axis=1) * np.linalg.norm(found, axis=1)
    return float(1 - ((wanted * found).sum(axis=1) / lengths).min())


@cache
def _gpu() -> bool:
    """Tell whether torch may find a GPU, without the seconds that asking torch takes."""
    if not (Path("/dev/nvidia0").exists() or shutil.which("nvidia-smi")):
        return False
    import torch

    return bool(torch.cuda.is_available())
