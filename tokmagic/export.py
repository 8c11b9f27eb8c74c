"""Usage out of the house: the whole book as a file, and what the cells of an executed notebook used.

The book is streamed, however long it is, and its file appears whole or not at all. In a CSV no cell is a formula: text
that a spreadsheet would run is quoted. A notebook's use is read from the receipts in its output.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from tokmagic.core.book import Entry
from tokmagic.core.errors import ConfigurationError
from tokmagic.core.money import Cost
from tokmagic.core.replies import RECEIPT_MIME
from tokmagic.core.tables import text_table


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
    lines = [
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
    return text_table(head, [*lines, *sums], numbers=(0, 2, 3, 4, 5, 6))


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


#: Fields of an entry as a file has them; ``at`` and ``settled_at`` are times, tokens stand by kind, ``usd`` is dollars.
COLUMNS: Mapping[str, type] = {
    **dict.fromkeys(("id", "call", "at", "settled_at", "model", "kind", "state"), str),
    "attempt": int,
    **dict.fromkeys(("session", "notebook", "cell", "thread", "user", "team", "key"), str),
    **dict.fromkeys(("input_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens"), int),
    **dict.fromkeys(("output_tokens", "reasoning_tokens", "dropped_tokens", "nanousd"), int),
    "usd": float,
    "quality": str,
    "play": bool,
    **dict.fromkeys(("stop_reason", "request_id", "error"), str),
    **dict.fromkeys(("waited", "first_token", "duration"), float),
}
#: Rows written to a Parquet file at once.
BATCH = 10_000


def write_entries(entries: Iterable[Entry], file: Path) -> int:
    """Write entries to a file whose suffix says how: ``.csv``, ``.json`` or ``.parquet``; how many there were.

    Raises:
        ConfigurationError: another suffix, a file that cannot be written, or pyarrow is not installed.
    """
    write = WRITERS.get(file.suffix.lower())
    if write is None:
        raise ConfigurationError(f"{file.name!r}: the suffix says the format; use one of {', '.join(WRITERS)}.")
    part = file.with_name(f"{file.name}.part")
    try:
        written = write(map(_row, entries), part)
        part.replace(file)
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be written: {error.strerror or error}.") from None
    finally:
        part.unlink(missing_ok=True)
    return written


def _row(entry: Entry) -> dict[str, Any]:
    settled = _time(entry.settled_at) if entry.settled_at is not None else None
    usd = float(entry.cost) if entry.nanousd is not None else None
    found = {
        **{name: getattr(entry, name, None) for name in COLUMNS},
        **asdict(entry.usage),
        "at": _time(entry.at),
        "settled_at": settled,
        "usd": usd,
    }
    return {name: found[name] for name in COLUMNS}


def _time(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().isoformat(timespec="milliseconds")


def _write_csv(rows: Iterator[dict[str, Any]], file: Path) -> int:
    written = 0
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(COLUMNS)
        for row in rows:
            writer.writerow([_inert(value) for value in row.values()])
            written += 1
    return written


def _inert(value: Any) -> Any:
    """Text that a spreadsheet would take for a formula, with a quote in front."""
    runs = isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    return f"'{value}" if runs else value


def _write_json(rows: Iterator[dict[str, Any]], file: Path) -> int:
    written = 0
    with file.open("w", encoding="utf-8") as out:
        for row in rows:
            out.write(",\n" if written else "[\n")
            out.write(json.dumps(row, ensure_ascii=False))
            written += 1
        out.write("\n]\n" if written else "[]\n")
    return written


def _write_parquet(rows: Iterator[dict[str, Any]], file: Path) -> int:
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError:
        raise ConfigurationError("A Parquet file needs pyarrow: pip install 'tokmagic[parquet]'.") from None
    kinds = {str: arrow.string(), int: arrow.int64(), float: arrow.float64(), bool: arrow.bool_()}
    schema = arrow.schema([(name, kinds[kind]) for name, kind in COLUMNS.items()])
    written = 0
    with parquet.ParquetWriter(file, schema) as out:
        while batch := list(islice(rows, BATCH)):
            out.write_table(arrow.Table.from_pylist(batch, schema=schema))
            written += len(batch)
    return written


#: Suffix -> what writes such a file.
WRITERS: Mapping[str, Callable[[Iterator[dict[str, Any]], Path], int]] = {
    ".csv": _write_csv,
    ".json": _write_json,
    ".parquet": _write_parquet,
}
