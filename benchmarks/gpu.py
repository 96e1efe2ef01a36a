"""Frames and seconds of sound per second, beside what the arithmetic of the device allows.

    python benchmarks/gpu.py                       # the GPU where there is one
    python benchmarks/gpu.py --device cpu --few    # the published sizes, on few items
    python benchmarks/gpu.py --device cpu --tiny   # to see that it runs: networks of no use, in seconds

Random weights of the published sizes (CLIP ViT-B/32, CLAP's default HTSAT): speed does not depend on what they say.
What is printed: preparing and computing alone and together, half precision against single (cosine), and the share of
the limit, which is the device's peak (`--tflops`) over the multiplications of one item, counted by torch.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

PEAKS = {"H100": 990.0, "H200": 990.0, "A100": 312.0, "L4": 121.0, "T4": 65.0, "4090": 165.0}
"""Dense float16 teraflops by part of a device's name, as their makers state them."""


TINY: dict[str, dict[str, Any]] = {
    "clip": {
        "vision_config": {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32},
        "text_config": {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 100},
    },
    "clap": {
        "audio_config": {
            "depths": [1, 1],
            "num_attention_heads": [2, 2],
            "patch_embeds_hidden_size": 16,
            "hidden_size": 32,
        },
        "text_config": {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 100},
    },
}
"""Settings of networks that are computed in milliseconds."""


def saved(kind: str, folder: Path, *, tiny: bool) -> Path:
    """Save a random model with its processor: of the published size, or tiny."""
    import torch
    import transformers

    torch.manual_seed(0)
    settings = TINY[kind] if tiny else {}
    if kind == "clip":
        from transformers.models.clip import CLIPImageProcessorPil

        model: Any = transformers.CLIPModel(transformers.CLIPConfig(**settings))
        processor: Any = CLIPImageProcessorPil()
    else:
        model = transformers.ClapModel(transformers.ClapConfig(**settings))
        processor = transformers.ClapFeatureExtractor(truncation="rand_trunc")
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def rate(work: Callable[[], Any], items: float) -> float:
    """Return items per second of the second run; the first one warms up."""
    work()
    began = time.perf_counter()
    work()
    return items / (time.perf_counter() - began)


def peak(device: str) -> float | None:
    """Return the device's teraflops, None if its name is not known."""
    import torch

    if not device.startswith("cuda"):
        return None
    name = torch.cuda.get_device_name()
    return next((value for part, value in PEAKS.items() if part in name), None)


def operations(network: Any, features: Any, inputs: Any) -> float:
    """Return the floating-point operations of one item."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        features(**inputs)
    del network
    return float(counter.get_total_flops())


def measure(kind: str, device: str, count: int, teraflops: float | None, *, tiny: bool) -> None:
    """Print the figures of one model."""
    import torch

    from mmvideo.encode import checkpoint
    from mmvideo.encode.clap import Clap
    from mmvideo.encode.clip import Clip
    from mmvideo.encode.weights import find

    numbers = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        weights = find(str(saved(kind, Path(folder), tiny=tiny)))
        assert weights is not None
        if kind == "clip":
            made: Any = [Clip(weights, name=kind, device=device, half=half) for half in (None, False)]
            items: list[Any] = [numbers.integers(0, 256, (288, 512, 3), np.uint8) for _ in range(count)]
            encode, unit, worth = made[0].encode_images, "frames", 1.0
            ready = made[0]._processor(images=items[:1], input_data_format="channels_last", return_tensors="pt")
            prepare = lambda: made[0]._processor(images=items, input_data_format="channels_last", return_tensors="pt")  # noqa: E731
        else:
            made = [Clap(weights, name=kind, device=device, half=half) for half in (None, False)]
            items = [numbers.normal(0, 0.1, 5 * 48_000).astype(np.float32) for _ in range(count)]
            encode, unit, worth = made[0].encode_sounds, "s of sound", 2.5  # windows of five seconds overlap by half
            ready = made[0]._extractor(items[:1], sampling_rate=48_000, return_tensors="pt")
            prepare = lambda: made[0]._extractor(items, sampling_rate=48_000, return_tensors="pt")  # noqa: E731
        network = made[0]._network
        inputs = checkpoint.moved(network, dict(ready))
        features = network.get_image_features if kind == "clip" else network.get_audio_features
        each = operations(network, features, inputs)
        whole = rate(lambda: encode(items), count * worth)
        alone = rate(prepare, count * worth)
        whole_precision = made[1].encode_images(items) if kind == "clip" else made[1].encode_sounds(items)
        cosine = float((encode(items) * whole_precision).sum(axis=1).min())
        print(f"{kind} on {device}, {network.dtype}, batches of {made[0]._batches.size}, torch {torch.__version__}")
        print(f"  prepared and encoded  {whole:10.1f} {unit}/s")
        print(f"  prepared alone        {alone:10.1f} {unit}/s on one processor")
        print(f"  operations            {each / 1e9:10.2f} GFLOP each")
        if teraflops:
            limit = teraflops * 1e12 / each * worth
            print(f"  arithmetic limit      {limit:10.1f} {unit}/s at {teraflops:g} TFLOPS: {whole / limit:.1%} of it")
        print(f"  cosine with float32   {cosine:10.6f} at least")


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--tflops", type=float, help="of the device at float16 (default: by its name)")
    parser.add_argument("--few", action="store_true", help="few items")
    parser.add_argument("--tiny", action="store_true", help="few items and tiny networks: to see that it runs")
    options = parser.parse_args()
    if options.device == "cpu":
        print("no GPU: these are figures of a CPU")
    for kind in ("clip", "clap"):
        count = 4 if options.few or options.tiny else 2048
        measure(kind, options.device, count, options.tflops or peak(options.device), tiny=options.tiny)


if __name__ == "__main__":
    main()
