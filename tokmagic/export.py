"""Usage out of the house: what the cells of an executed notebook used, read from the receipts in their output."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokmagic.core.errors import ConfigurationError
from tokmagic.core.money import Cost
from tokmagic.core.replies import RECEIPT_MIME


@dataclass(frozen=True, slots=True)
class CellUse:
    """What one receipt of a notebook says; ``cell`` is its place in the notebook, from 1."""

    cell: int
    model: str
    input_tokens: int
    output_tokens: int
    dropped_tokens: int
    waited: float
    cost: Cost
    badges: tuple[str, ...]


def receipts_in(file: Path) -> list[CellUse]:
    """The receipts of an executed notebook, in its order.

    Raises:
        ConfigurationError: the file is no notebook.
    """
    try:
        cells = json.loads(file.read_text("utf-8"))["cells"]
        outputs = ((place, output) for place, cell in enumerate(cells, 1) for output in cell.get("outputs", ()))
        found = ((place, output.get("data", {}).get(RECEIPT_MIME)) for place, output in outputs)
        return [_use(place, receipt) for place, receipt in found if receipt]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        what = f"{type(error).__name__}: {error}"
        raise ConfigurationError(f"{file} is not a notebook that can be read ({what}).") from None


def _use(place: int, receipt: Mapping[str, Any]) -> CellUse:
    return CellUse(
        cell=place,
        model=receipt["model"],
        input_tokens=receipt["input_tokens"],
        output_tokens=receipt["output_tokens"],
        dropped_tokens=receipt["dropped_tokens"],
        waited=receipt["waited"],
        cost=Cost(receipt["nanousd"], receipt["quality"], receipt["play"]),
        badges=tuple(receipt["badges"]),
    )


def table(uses: Sequence[CellUse]) -> str:
    """The receipts as aligned text, with a sum at the foot; real and play money are summed apart."""
    head = ("cell", "model", "in", "out", "cut", "waited", "cost", "quality")
    rows = [
        (
            str(use.cell),
            use.model,
            f"{use.input_tokens:,}",
            f"{use.output_tokens:,}",
            f"{use.dropped_tokens:,}",
            f"{use.waited:.1f} s",
            str(use.cost),
            use.cost.quality,
        )
        for use in uses
    ]
    sums = [_sum(uses, play=play) for play in (False, True) if any(use.cost.play == play for use in uses)]
    return _aligned([head, *rows, *sums])


def _sum(uses: Sequence[CellUse], *, play: bool) -> tuple[str, ...]:
    chosen = [use for use in uses if use.cost.play == play]
    total = sum((use.cost for use in chosen), Cost(0, "exact", play))
    return (
        "sum",
        "",
        f"{sum(use.input_tokens for use in chosen):,}",
        f"{sum(use.output_tokens for use in chosen):,}",
        f"{sum(use.dropped_tokens for use in chosen):,}",
        f"{sum(use.waited for use in chosen):.1f} s",
        str(total),
        total.quality,
    )


def _aligned(rows: list[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    left = {1, len(widths) - 1}

    def line(row: tuple[str, ...]) -> str:
        cells = (
            text.ljust(width) if i in left else text.rjust(width)
            for i, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        return "  ".join(cells).rstrip()

    rule = "  ".join("─" * width for width in widths)
    return "\n".join([line(rows[0]), rule, *map(line, rows[1:])])
