"""The example of an encoder of one's own in `docs/MODELS.md` runs as it stands."""

import re
from pathlib import Path

from .films import make_film

DOCS = Path(__file__).parent.parent / "docs" / "MODELS.md"


def test_the_example_runs(tmp_path, monkeypatch, capsys):
    code = re.search(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)[1]
    assert len([line for line in code.splitlines() if line.strip()]) <= 15
    make_film(tmp_path / "film.mp4", [("white", 6), ("black", 6)])
    monkeypatch.chdir(tmp_path)
    exec(compile(code, str(DOCS), "exec"), {"__name__": "example"})
    assert abs(float(capsys.readouterr().out) - 6) <= 0.6
