"""Execute the quickstart as a user would, check that every cell did what it should, and show what it used.

The notebook runs in a real kernel with a private home, so it neither reads nor touches the user's own book. A cell that
shall fail is tagged ``raises-exception`` and names its error in its metadata; a cell that shall cut or wait says so too.
Exit status 0 means that each of them did.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError

from tokmagic.core.replies import RECEIPT_MIME
from tokmagic.export import receipts_in, table

HERE = Path(__file__).resolve().parent
SOURCE = HERE / "quickstart.ipynb"
EXECUTED = HERE.parent / ".state" / "demo" / "quickstart.ipynb"
#: Outside variables that would change what the quickstart shows.
FOREIGN = ("TOKMAGIC_MODEL", "TOKMAGIC_LIMITS", "TOKMAGIC_LEDGER", "TOKMAGIC_TEAM", "TOKMAGIC_DEMO_PACE")


def main() -> int:
    """Run, check, show; 0 if every cell did what it should."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--save", action="store_true", help="keep the executed notebook as notebooks/quickstart.ipynb")
    save = parser.parse_args().save
    began = time.monotonic()
    notebook = nbformat.read(SOURCE, as_version=4)
    with tempfile.TemporaryDirectory() as home:
        problems = execute(notebook, home)
    clean(notebook)
    EXECUTED.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, EXECUTED)
    problems += [problem for place, cell in enumerate(notebook.cells, 1) for problem in check(place, cell)]
    print(table(receipts_in(EXECUTED)))
    print(f"\n{len(code_cells(notebook))} cells in {time.monotonic() - began:.1f} s, play money only.")
    print(f"The executed notebook: {os.path.relpath(EXECUTED)}")
    for problem in problems:
        print(problem, file=sys.stderr)
    if save and not problems:
        nbformat.write(notebook, SOURCE)
    return 1 if problems else 0


def execute(notebook: Any, home: str) -> list[str]:
    """Run every cell in a kernel of its own; what went wrong with the run itself."""
    env = {name: value for name, value in os.environ.items() if name not in FOREIGN and not name.endswith("_API_KEY")}
    env |= {"TOKMAGIC_HOME": home, "IPYTHONDIR": home}
    client = NotebookClient(
        notebook, timeout=120, startup_timeout=120, kernel_name="python3", allow_errors=True, record_timing=False
    )
    client.extra_arguments = ["--log-level=ERROR"]
    client.on_cell_execute = lambda cell, cell_index: say(cell_index + 1, cell)
    try:
        client.execute(env=env, cwd=home)
    except (CellTimeoutError, DeadKernelError) as error:
        return [f"The run ended early: {error}"]
    return []


def say(place: int, cell: Any) -> None:
    """Tell which cell runs."""
    if cell.cell_type == "code":
        print(f"  cell {place}: {cell.source.splitlines()[0][:90]}", flush=True)


def check(place: int, cell: Any) -> list[str]:
    """What the cell did not do that its metadata promises."""
    if cell.cell_type != "code":
        return []
    promise = cell.metadata.get("tokmagic", {})
    errors = [output.ename for output in cell.outputs if output.output_type == "error"]
    receipts = [output.data[RECEIPT_MIME] for output in cell.outputs if RECEIPT_MIME in output.get("data", {})]
    wrong = []
    if errors != ([promise["error"]] if "error" in promise else []):
        wrong.append(f"errors {errors or 'none'}, expected {promise.get('error', 'none')}")
    if len(receipts) < promise.get("receipts", 0):
        wrong.append(f"{len(receipts)} receipts, expected {promise['receipts']}")
    for name in ("dropped_tokens", "waited"):
        least = promise.get(name, 0)
        if sum(receipt[name] for receipt in receipts) < least:
            wrong.append(f"{name} {sum(receipt[name] for receipt in receipts)}, expected at least {least}")
    return [f"cell {place}: {what}" for what in wrong]


def clean(notebook: Any) -> None:
    """Leave out what depends on the machine that ran it."""
    notebook.metadata.pop("widgets", None)
    notebook.metadata["language_info"] = {"name": "python"}
    for cell in code_cells(notebook):
        cell.metadata.pop("execution", None)


def code_cells(notebook: Any) -> list[Any]:
    """The cells that run."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


if __name__ == "__main__":
    sys.exit(main())
