"""What the pages under docs show works: their Python runs, on demo models and without a key."""

import re
from pathlib import Path

import pytest

PAGES = sorted((Path(__file__).parents[1] / "docs").glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_its_python_runs(page, private_home, monkeypatch):
    monkeypatch.setenv("TOKMAGIC_DEMO_PACE", "0")
    space = {}
    for program in re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
        exec(program, space)  # noqa: S102
