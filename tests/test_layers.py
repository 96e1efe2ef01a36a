"""The rows of `docs/DESIGN.md`: a module imports only from lower rows, and stations do not know each other."""

import ast
from pathlib import Path

import pytest

import mmvideo

PACKAGE = Path(mmvideo.__file__).parent
ROWS = (
    {"address", "datatypes", "errors", "examples", "onecore", "remote", "times", "words", "written"},
    {
        "media",
        "decode",
        "segment",
        "filters",
        "asked",
        "options",
        "screen",
        "sounds",
        "endpoint",
        "spelling",
        "passages",
        "subtitles",
        "encode",
        "pool",
        "store",
        "index",
        "fuse",
        "lock",
        "picture",
        "metrics",
        "kept",
        "ahead",
    },
    {"forms"},
    {
        "caches",
        "models",
        "sandbox",
        "refine",
        "shown",
        "seen",
        "said",
        "opening",
        "finding",
        "vectors",
        "moving",
        "routing",
        "hearing",
        "heard",
        "describing",
    },
    {"spoken", "profiling"},
    {
        "ingest",
        "search",
        "export",
        "verify",
        "reports",
        "cutting",
        "graph",
        "notebook",
        "evaluate",
        "queried",
        "answering",
        "merging",
        "lake",
    },
    {"cluster"},
    {"adding", "ground", "imported"},
    {"library", "progress", "editlist", "figures"},
    {"server"},
    {"commands", "asking", "exchange"},
    {"cli", "__init__", "__main__"},
)
ROW = {module: row for row, modules in enumerate(ROWS) for module in modules}


def station(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path):
    """The stations of the package that a file imports, at the top or inside a function."""
    depth = len(path.relative_to(PACKAGE).parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == depth:
            if node.module:
                yield node.module.split(".")[0]
            else:
                yield from (alias.name for alias in node.names if alias.name in ROW)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mmvideo."):
            yield node.module.split(".")[1]


FILES = sorted(PACKAGE.rglob("*.py"))


def test_every_module_has_a_row():
    assert {station(path) for path in FILES} == set(ROW)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down(path):
    here = station(path)
    if here in ("__init__", "__main__"):
        return
    for other in set(imported(path)) - {here, "__version__"}:
        allowed = ROW[other] < ROW[here] or (ROW[here] == ROW[other] == 0)
        assert allowed, f"{path.name} (row {ROW[here]}) imports {other} (row {ROW[other]})"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_module_outgrows_a_reader(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 480
