"""The command line: ``tokmagic report NOTEBOOK`` says what an executed notebook used."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tokmagic import __version__
from tokmagic.core.errors import TokmagicError
from tokmagic.export import receipts_in, table


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 if it did what it should, 2 if it was refused."""
    parser = argparse.ArgumentParser(prog="tokmagic", description="LLM cells for Jupyter with a fuel gauge.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    report = commands.add_parser("report", help="what the cells of an executed notebook used")
    report.add_argument("notebook", type=Path, help="an executed notebook")
    report.set_defaults(run=_report)
    chosen = parser.parse_args(arguments)
    try:
        print(chosen.run(chosen))
    except TokmagicError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    return 0


def _report(chosen: argparse.Namespace) -> str:
    uses = receipts_in(chosen.notebook)
    return table(uses) if uses else f"{chosen.notebook} holds no receipts: run its %%llm cells and save it."


if __name__ == "__main__":
    sys.exit(main())
