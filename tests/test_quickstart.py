"""The quickstart is kept executed: its outputs meet its promises, and nothing of a machine is in it."""

import importlib.util
import json
import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
QUICKSTART = ROOT / "notebooks" / "quickstart.ipynb"

spec = importlib.util.spec_from_file_location("demo", ROOT / "notebooks" / "demo.py")
demo = importlib.util.module_from_spec(spec)
spec.loader.exec_module(demo)


@pytest.fixture(scope="module")
def notebook():
    return nbformat.read(QUICKSTART, as_version=4)


def test_every_cell_did_what_it_promises(notebook):
    promising = [cell for cell in notebook.cells if "tokmagic" in cell.metadata]
    assert len(promising) >= 6
    assert [demo.check(place, cell) for place, cell in enumerate(notebook.cells)] == [[] for _ in notebook.cells]
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")


def test_the_refusal_is_tagged_and_its_type_asserted(notebook):
    (refused,) = [cell for cell in notebook.cells if "raises-exception" in cell.metadata.get("tags", ())]
    assert refused.metadata.tokmagic.error == "BudgetExceeded"
    (error,) = [output for output in refused.outputs if output.output_type == "error"]
    assert len(error.traceback) == 1


@pytest.mark.parametrize("broken", ["error", "receipts", "dropped_tokens", "waited"])
def test_a_broken_promise_is_noticed(notebook, broken):
    promise = {"error": "ValueError"} if broken == "error" else {broken: 10**9}
    cell = nbformat.from_dict({**notebook.cells[3], "metadata": {"tokmagic": promise}})
    assert demo.check(4, cell) != []


def test_nothing_of_a_machine_is_in_it():
    text = QUICKSTART.read_text("utf-8")
    assert not re.search(r"(?:/home/|/root/|/Users/|/tmp/|[A-Z]:\\\\)\w", text)
    assert json.loads(text)["metadata"]["language_info"] == {"name": "python"}
