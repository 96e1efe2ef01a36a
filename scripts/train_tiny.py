r"""Train a tiny CLIP and a tiny CLAP from nothing on the toy world of the tests, and keep their weights there.

    python scripts/train_tiny.py clip tests/weights/tiny-clip
    python scripts/train_tiny.py clap /tmp/once
    python scripts/train_tiny.py clap tests/weights/tiny-clap --from /tmp/once \
        --seed 11 --steps 300 --examples 40 --rate 7e-4

Both are of transformers' real classes with real processors, so that the whole way from a file to a hit can be tested
with weights that mean something where no hub is reached. Contrastive learning (InfoNCE), each batch with every
combination once, so that nothing that is pushed apart has the same caption; and not of whole captions alone: also of
what is left of them when words are left out ("a low buzz", "a rising"). Sounds that lack one of the three words (a
pitch without a name, wandering about, a timbre by chance) show that a motion is the same at every pitch, and so on:
without them, sounds of new combinations were taken for the known ones next to them. Minutes on one core.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy: sums as small as these are slower on two threads

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests import toyworld as world

SIDE = 48
"""Height and width of what the tiny CLIP looks at: six patches of eight."""

SECONDS = 2
"""Length of what the tiny CLAP hears."""


def tokenizer(captions: list[str]) -> Any:
    """Return a tokenizer that knows the words of the captions, in RoBERTa's form."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    special = ["<s>", "<pad>", "<unk>", "</s>"]  # with the end as number 2, CLIP reads its vector off another word
    words = sorted({word for text in captions for word in text.split()})
    made = Tokenizer(models.WordLevel({word: n for n, word in enumerate([*special, *words])}, "<unk>"))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 3)])
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        bos_token="<s>",
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=16,
        model_input_names=["input_ids", "attention_mask"],
    )


def clip(words: Any) -> tuple[Any, Any]:
    """Return an untrained CLIP and what prepares its pictures."""
    from transformers import CLIPConfig, CLIPModel
    from transformers.models.clip import CLIPImageProcessorPil

    tower = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4}
    text = {"vocab_size": len(words), "max_position_embeddings": 16, "bos_token_id": 0, "eos_token_id": 3}
    config = CLIPConfig(
        text_config={**tower, **text, "pad_token_id": 1},
        vision_config={**tower, "image_size": SIDE, "patch_size": 8},
        projection_dim=64,
    )
    processor = CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    return CLIPModel(config), processor


def clap(words: Any) -> tuple[Any, Any]:
    """Return an untrained CLAP and what prepares its sounds: 64 steps of 64 mels."""
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

    audio: dict[str, Any] = {
        "spec_size": 64,
        "num_mel_bins": 64,
        "patch_size": 4,
        "patch_stride": [4, 4],
        "window_size": 4,
    }
    audio |= {"depths": [2, 2], "num_attention_heads": [2, 4], "patch_embeds_hidden_size": 32, "hidden_size": 64}
    audio |= {"drop_path_rate": 0.0, "hidden_dropout_prob": 0.0, "num_classes": 2, "projection_dim": 64}
    text: dict[str, Any] = {
        "vocab_size": len(words),
        "max_position_embeddings": 18,
        "pad_token_id": 1,
        "hidden_size": 64,
    }
    text |= {"intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "projection_dim": 64}
    text |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "type_vocab_size": 1}
    config = ClapConfig(text_config=text, audio_config=audio, projection_dim=64)
    extractor = ClapFeatureExtractor(
        feature_size=64,
        sampling_rate=world.RATE,
        hop_length=504,  # 63 steps and a half: no more than 64 fit
        max_length_s=SECONDS,
        fft_window_size=1024,
        frequency_min=50,
        frequency_max=7500,
        truncation="rand_trunc",
        padding="repeatpad",
    )
    return ClapModel(config), extractor


def examples(kind: str, combinations: list[Any], prepare: Any, count: int, seed: int) -> Any:
    """Return `count` prepared examples of each combination, (count, combinations, …)."""
    import torch

    numbers = np.random.default_rng(seed)
    rounds = []
    for _ in range(count):
        if kind == "clip":
            made = [world.draw(what, numbers) for what in combinations]
            rounds.append(prepare(images=made, input_data_format="channels_last", return_tensors="pt")["pixel_values"])
        else:
            heard = [world.play(what, numbers, float(SECONDS)) for what in combinations]
            told = prepare(heard, sampling_rate=world.RATE, return_tensors="pt")
            rounds.append(told["input_features"])
    return torch.stack(rounds)


PARTS = ((0, 1, 2), (0, 1), (0, 2), (1, 2), (0,), (1,), (2,))
"""Which words of a combination a caption keeps: all, or some."""


@dataclass(frozen=True)
class Choice:
    """Captions of one of `PARTS`, numbered [first, end), and who is told by which of them, counted from `first`."""

    first: int
    end: int
    who: list[int]
    right: list[int]


def choices(things: list[Any]) -> tuple[list[str], list[Choice]]:
    """Return the captions, whole and in part, of combinations, and what is to be chosen among them."""
    texts: list[str] = []
    found = []
    for part in PARTS:
        who = [n for n, what in enumerate(things) if all(what[number] for number in part)]
        told = [world.caption(things[n], part) for n in who]
        distinct = sorted(set(told))
        found.append(Choice(len(texts), len(texts) + len(distinct), who, [distinct.index(text) for text in told]))
        texts += distinct
    return texts, found


def losses(logits: Any, choices: list[Choice]) -> Any:
    """Return the mean loss of choosing the right caption of each part, and the right example for a whole caption."""
    import torch

    chosen = torch.nn.functional.cross_entropy
    found = [chosen(logits[some.who, some.first : some.end], torch.tensor(some.right)) for some in choices]
    whole = choices[0]
    found.append(chosen(logits[whole.who, whole.first : whole.end].T[whole.right], torch.arange(len(whole.who))))
    return torch.stack(found).mean()


def train(kind: str, steps: int, count: int, rate: float, start: Path | None, seed: int) -> tuple[Any, Any, Any]:
    """Return a trained network, its tokenizer and its processor; training goes on from the network in `start`."""
    import torch

    torch.set_num_threads(1)  # such small steps: a second thread mostly waits, and beside other work for ever
    torch.manual_seed(0)
    combinations = list(world.ALL_PICTURES if kind == "clip" else world.ALL_SOUNDS)
    known = [what for what in combinations if not world.held_out(what)]
    words = tokenizer([world.caption(what) for what in combinations])
    network, prepare = (clip if kind == "clip" else clap)(words)
    things = known + (list(world.UNNAMED_SOUNDS) if kind == "clap" else [])
    if start is not None:
        network = type(network).from_pretrained(start).float()
    seen = examples(kind, things, prepare, count, seed)
    captions, asked = choices(things)
    texts = words(captions, padding=True, return_tensors="pt")
    texts = {name: texts[name] for name in ("input_ids", "attention_mask")}
    features = network.get_image_features if kind == "clip" else network.get_audio_features
    scale = torch.nn.Parameter(torch.tensor(2.5))
    tuned = torch.optim.AdamW([*network.parameters(), scale], lr=rate, weight_decay=0.05)
    slower = torch.optim.lr_scheduler.OneCycleLR(tuned, rate, total_steps=steps, pct_start=0.1)
    numbers, started, each = np.random.default_rng(seed + 1), time.monotonic(), torch.arange(len(things))
    network.train()
    for step in range(steps):
        picked = seen[torch.from_numpy(numbers.integers(0, count, len(things))), each]
        one = torch.nn.functional.normalize(features(picked).pooler_output, dim=-1)
        other = torch.nn.functional.normalize(network.get_text_features(**texts).pooler_output, dim=-1)
        logits = scale.exp() * one @ other.T
        loss = losses(logits, asked)
        tuned.zero_grad()
        loss.backward()
        tuned.step()
        slower.step()
        if step % 50 == 0 or step == steps - 1:
            whole = asked[0]
            found = logits[whole.who, whole.first : whole.end].argmax(dim=1)
            share = (found == torch.tensor(whole.right)).float().mean()
            print(f"{step:5d}  loss {loss:.3f}  right {share:.2f}  {time.monotonic() - started:.0f} s", flush=True)
    network.eval()
    judge(kind, network, words, prepare, combinations)
    return network, words, prepare


def judge(kind: str, network: Any, words: Any, prepare: Any, combinations: list[Any]) -> None:
    """Print how often the right caption of all, and of those kept from training, is the nearest."""
    import torch

    features = network.get_image_features if kind == "clip" else network.get_audio_features
    texts = words([world.caption(what) for what in combinations], padding=True, return_tensors="pt")
    with torch.inference_mode():
        made = examples(kind, combinations, prepare, 10, seed=1000).flatten(0, 1)
        one = torch.nn.functional.normalize(features(made).pooler_output, dim=-1)
        other = network.get_text_features(input_ids=texts["input_ids"], attention_mask=texts["attention_mask"])
        near = one @ torch.nn.functional.normalize(other.pooler_output, dim=-1).T
    right = (near.argmax(dim=1).reshape(10, -1) == torch.arange(len(combinations))).float()
    new = torch.tensor([world.held_out(what) for what in combinations])
    print(f"caption of a new example: known {right[:, ~new].mean():.3f}, held out {right[:, new].mean():.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["clip", "clap"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--examples", type=int, default=0, help="of each combination")
    parser.add_argument("--from", type=Path, dest="start", metavar="FOLDER", help="go on from this network")
    parser.add_argument("--seed", type=int, default=1, help="of the examples; another one when going on")
    parser.add_argument("--rate", type=float, default=0, help="of learning, at its highest")
    options = parser.parse_args()
    default = {"clip": (700, 60, 1e-3), "clap": (900, 80, 1e-3)}[options.kind]
    steps, count, rate = options.steps or default[0], options.examples or default[1], options.rate or default[2]
    network, words, prepare = train(options.kind, steps, count, rate, options.start, options.seed)
    for part in (network.half(), words, prepare):
        part.save_pretrained(options.folder)
    size = sum(file.stat().st_size for file in options.folder.iterdir())
    print(f"{options.folder}: {sum(p.numel() for p in network.parameters()):,} parameters, {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
