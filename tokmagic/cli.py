"""The command line: ``tokmagic report`` says what the book holds, or what one executed notebook used."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tokmagic import __version__
from tokmagic.api import usage
from tokmagic.core.errors import TokmagicError
from tokmagic.export import receipts_in, table


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 if it did what it should, 2 if it was refused."""
    parser = argparse.ArgumentParser(prog="tokmagic", description="LLM cells for Jupyter with a fuel gauge.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    report = commands.add_parser("report", help="what was used, by model and by day, or by the cells of a notebook")
    report.add_argument("notebook", type=Path, nargs="?", help="an executed notebook; without it the book is read")
    report.add_argument("--since", help="of the book only since then: today, yesterday, 90m, 24h, 7d")
    report.set_defaults(run=_report)
    chosen = parser.parse_args(arguments)
    try:
        print(chosen.run(chosen))
    except TokmagicError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    return 0


def _report(chosen: argparse.Namespace) -> str:
    if chosen.notebook is None:
        return _report_book(chosen.since)
    uses = receipts_in(chosen.notebook)
    return table(uses) if uses else f"{chosen.notebook} holds no receipts: run its %%llm cells and save it."


def _report_book(since: str | None) -> str:
    models, days = usage(since, by="model"), usage(since, by="day")
    return f"{models!r}\n\n{days!r}" if models else "The book holds no calls of that time: run a %%llm cell."


if __name__ == "__main__":
    sys.exit(main())
