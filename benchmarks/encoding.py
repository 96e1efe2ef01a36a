"""Encoding: ONNX Runtime beside torch, for pictures, texts and passages.

    python benchmarks/encoding.py [--clip FOLDER] [--count 64] [--runs 3]

CLIP is a random network of ViT-B/32's size where no folder with its weights is given: how fast it computes does not
depend on them. Prints a Markdown table, all in one run on one machine: milliseconds apiece (the median of the runs),
how many times as fast as torch in float32, and the worst cosine of the vectors with torch's.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from machine import machine
from numpy.typing import NDArray

from mmvideo.encode import exported, load_passages, load_visual, towers
from mmvideo.encode.conse import Conse

SENTENCES = ["the harbour was rebuilt after the great storm", "bees are kept on the roof", "the ferry leaves at six"]


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--clip", type=Path)
    options.add_argument("--count", type=int, default=64)
    options.add_argument("--runs", type=int, default=3)
    given = options.parse_args()
    print(machine("torch", "onnxruntime", "transformers"))
    print("\n| what | by | ms apiece | times torch | worst cosine |\n|---|---|---|---|---|")
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (given.count, 288, 512, 3), np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        exported.cache_folder = towers.cache_folder = lambda: Path(folder)  # nothing of an earlier run
        clip = given.clip or random_clip(Path(folder) / "clip")
        ways = {
            "torch": load_visual(str(clip), device="cpu").encode_images,
            "ONNX Runtime": load_visual(str(clip)).encode_images,
            "ONNX Runtime, 8 bits": load_visual(f"{clip}:int8").encode_images,
        }
        compare("CLIP ViT-B/32, a picture with its preparation", ways, pictures, given.runs)
        texts = (SENTENCES * given.count)[: given.count]
        ways = {
            "torch": load_visual(str(clip), device="cpu").encode_texts,
            "ONNX Runtime": load_visual(str(clip)).encode_texts,
            "ONNX Runtime, 8 bits": load_visual(f"{clip}:int8").encode_texts,
        }
        compare("CLIP ViT-B/32, a text", {name: singly(way) for name, way in ways.items()}, texts[:8], given.runs)
        slow, fast = load_visual("conse", offline=True), load_visual("conse", offline=True)
        assert isinstance(slow, Conse)
        vars(slow)["_portable"] = None
        ways = {"torch": slow.encode_images, "ONNX Runtime": fast.encode_images}
        compare("conse, a picture with its preparation", ways, pictures, given.runs)
    passages = [" ".join(SENTENCES[: 1 + i % 3] * 2) for i in range(4 * given.count)]
    with tempfile.TemporaryDirectory() as folder:
        exported.cache_folder = lambda: Path(folder)
        plain, fast = load_passages("minilm", offline=True), load_passages("minilm", offline=True)
        while not any(Path(folder).iterdir()):  # until it is worthwhile
            fast.encode_texts(passages)
        ways = {"torch": by_torch(), "ONNX Runtime": fast.encode_texts}
        compare("MiniLM, a passage", ways, passages, given.runs)
        vars(plain)["_looked"] = True  # and `_encode`, because `encode_texts` remembers single texts
        compare("MiniLM, a query", {"torch": singly(by_torch()), "NumPy": singly(plain._encode)}, passages[:32], 3)


def random_clip(folder: Path) -> Path:
    """Save a random network of ViT-B/32's size with CLIP's processors."""
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizerFast

    CLIPModel(CLIPConfig(architectures=["CLIPModel"])).save_pretrained(folder)
    CLIPImageProcessor().save_pretrained(folder)
    letters = [*"abcdefghijklmnopqrstuvwxyz"]
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(letter + "</w>" for letter in letters)]
    vocabulary = {word: number for number, word in enumerate(words)} | {
        "<|startoftext|>": 49406,
        "<|endoftext|>": 49407,
    }
    CLIPTokenizerFast(vocab=vocabulary, merges=[], model_max_length=77).save_pretrained(folder)
    return folder


def singly(encode: Callable[[Sequence[str]], NDArray[np.float32]]) -> Callable[[Any], NDArray[np.float32]]:
    """Return an encoder that is asked one text at a time, as a search does."""
    return lambda texts: np.concatenate([encode([text]) for text in texts])


def by_torch() -> Callable[[Any], NDArray[np.float32]]:
    """Return MiniLM as transformers and torch compute it, in batches of texts of like length."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    from mmvideo.encode.weights import obtain

    folder = obtain("minilm", offline=True).folder
    tokenizer, network = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()

    def encode(texts: Sequence[str]) -> NDArray[np.float32]:
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        found = np.zeros((len(texts), 384), np.float32)
        for first in range(0, len(order), 32):
            some = order[first : first + 32]
            inputs = tokenizer([texts[i] for i in some], padding=True, truncation=True, return_tensors="pt")
            with torch.inference_mode():
                hidden = network(**inputs).last_hidden_state
            mask = inputs["attention_mask"][..., None]
            found[some] = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1).numpy()
        return found

    return encode


def compare(what: str, ways: dict[str, Callable[[Any], NDArray[np.float32]]], items: Any, runs: int) -> None:
    """Print a row for each way; the first is the reference."""
    vectors = {name: way(items) for name, way in ways.items()}  # also the warm-up
    took: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(runs):
        for name, way in ways.items():
            started = time.perf_counter()
            way(items)
            took[name].append(1000 * (time.perf_counter() - started) / len(items))
    first = next(iter(ways))
    for name in ways:
        cosine = float((vectors[first] * vectors[name]).sum(axis=1).min())
        speed = median(took[first]) / median(took[name])
        print(f"| {what} | {name} | {median(took[name]):.1f} | {speed:.2f} | {cosine:.5f} |", flush=True)


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
