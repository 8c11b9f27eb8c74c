"""A snapshot as a display elsewhere is sent it: plain JSON values, drawn already, for whom budgets mean nothing."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from .snapshot import Cell, Row, Snapshot, headline, refilled, rows

#: The newest cells that are sent.
CELLS_SENT = 20
#: The head of the table of cells.
CELL_COLUMNS = ("cell", "in", "cached", "out", "cost")
#: Seconds for which what is left of a limit that fills by itself is near enough to the truth.
REFILL_SHOWN = 2.0


def as_json(snapshot: Snapshot) -> dict[str, Any]:
    """What a display elsewhere is sent: plain JSON values that stand alone.

    ``stale_at`` is when time alone makes something of it untrue, in seconds of the epoch, or None.
    """
    head = headline(snapshot)
    return {
        "tokmagic": snapshot.version,
        "sequence": snapshot.sequence,
        "epoch": snapshot.epoch,
        "at": snapshot.at,
        "stale_at": _stale_at(snapshot),
        "headline": None if head is None else _row_json(head),
        "rows": [_row_json(row) for row in rows(snapshot)],
        "columns": list(CELL_COLUMNS),
        "cells": [_cell_json(cell) for cell in snapshot.cells[-CELLS_SENT:]],
    }


def _row_json(row: Row) -> dict[str, Any]:
    return asdict(row) | {"series": list(row.series)}


def _cell_json(cell: Cell) -> dict[str, Any]:
    usage = cell.receipt.usage
    tokens = (usage.input_tokens, usage.cache_read_tokens, usage.output_tokens)
    texts = [cell.label.removeprefix("cell ") or "-", *(f"{amount:,}" for amount in tokens), str(cell.receipt.cost)]
    return {"label": cell.label, "texts": texts, "receipt": cell.receipt.as_dict()}


def _stale_at(snapshot: Snapshot) -> float | None:
    ends = [row.countdown.until for row in rows(snapshot) if row.countdown is not None]
    minute = [snapshot.at + 60.0] if any(snapshot.minute_tokens) else []
    waits = (level for level in snapshot.levels if level.account.limit.full == "wait")
    refill = [snapshot.at + REFILL_SHOWN for level in waits if refilled(level, 0.0) is not None]
    return min((end for end in ends + minute + refill if end > snapshot.at), default=None)
