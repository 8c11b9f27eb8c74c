"""What the pages under docs show works: their Python runs, on demo models and without a key."""

import re
from pathlib import Path

import pytest

PAGES = sorted((Path(__file__).parents[1] / "docs").glob("*.md"))


@pytest.mark.parametrize("text", PAGES, ids=lambda text: text.name)
def test_its_python_runs(text, private_home, monkeypatch):
    monkeypatch.setenv("TOKMAGIC_DEMO_PACE", "0")
    space = {}
    for program in re.findall(r"```python\n(.*?)```", text.read_text("utf-8"), re.DOTALL):
        exec(program, space)  # noqa: S102
