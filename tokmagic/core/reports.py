"""What the book says, as rows for people: usage by group, and models with their limits and prices. Pure.

A row of usage is a total with the rates of its last minute beside it. Real and play money stay in rows of their own,
and an unknown cost stays unknown. Cells of two sessions are two, whatever their numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal, Self, TypeAlias

from .book import Entry, Total
from .errors import ConfigurationError
from .models import Model
from .money import Cost, show_nanousd
from .tables import Line, html_table, text_table
from .usage import Usage

#: What usage is told apart by.
By: TypeAlias = Literal["model", "cell", "day", "notebook", "session"]
BY: tuple[By, ...] = ("model", "cell", "day", "notebook", "session")
#: A moment: itself, so long ago, or words such as ``today``, ``yesterday``, ``2026-11-20``, ``90m``, ``24h`` or ``7d``.
Since: TypeAlias = datetime | timedelta | str

#: Moments to choose from, and what can be typed for one.
MOMENT_WORDS = ("today", "yesterday", "24h", "7d")
MOMENTS = "a date such as 2026-11-20, today, yesterday, 90m, 24h or 7d"
_AGO = re.compile(r"(\d{1,6})\s*([smhdw])")
_LETTERS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
USAGE_HEAD = ("calls", "cost", "in", "cached", "out", "reasoning", "calls/min", "in/min", "out/min", "delays", "waited")
MODEL_HEAD = ("model", "window", "most out", "per million in", "cached", "written", "out", "limits", "key")


@dataclass(frozen=True, slots=True)
class LastMinute:
    """What the calls that began in the last 60 seconds came to."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Group:
    """What calls have in common.

    Attributes:
        name: a model, a cell, a day as ``2026-11-21``, ...; empty for all together.
        session: the kernel process, where cells or sessions are told apart.
        notebook: in which that ran, where it is known.
    """

    name: str
    session: str = ""
    notebook: str = ""


@dataclass(frozen=True, slots=True)
class UsageRow:
    """What one group used.

    Attributes:
        group: what its calls have in common: a model, a cell, a day as ``2026-11-21``, ...; empty for all together.
        session, notebook: see ``Group``.
        calls: their number.
        usage: tokens by kind.
        cost: their price; play money has rows of its own.
        delays: attempts that waited for a rate limit; ``waited`` is how long altogether, in seconds.
        dropped_tokens: input tokens that were cut.
        last_minute: of this, what began in the last minute.
    """

    group: str
    calls: int
    usage: Usage
    cost: Cost
    delays: int
    waited: float
    dropped_tokens: int
    last_minute: LastMinute
    session: str = ""
    notebook: str = ""


class UsageTable(tuple[UsageRow, ...]):
    """Rows of usage; shown as a table. ``by`` is what tells them apart, or None."""

    by: By | None

    def __new__(cls, rows: Iterable[UsageRow], by: By | None = None) -> Self:
        """``by`` is what tells the rows apart."""
        table = super().__new__(cls, rows)
        table.by = by
        return table

    @property
    def head(self) -> Line:
        """The names of the columns."""
        return (*_named(self.by), *USAGE_HEAD)

    @property
    def numbers(self) -> range:
        """The columns that hold numbers."""
        return range(len(_named(self.by)), len(self.head))

    def lines(self) -> Iterable[Line]:
        """The rows as text."""
        return (_usage_line(row, self.by) for row in self)

    def __repr__(self) -> str:
        return text_table(self.head, self.lines(), numbers=self.numbers)

    def _repr_html_(self) -> str:
        return html_table(self.head, self.lines(), numbers=self.numbers)


class ModelTable(tuple[Model, ...]):
    """Models; shown as a table with limits, prices and whether their key is set."""

    keys: frozenset[str]

    def __new__(cls, models: Iterable[Model], keys: Iterable[str]) -> Self:
        """``keys`` are the providers that can be used as things stand."""
        table = super().__new__(cls, models)
        table.keys = frozenset(keys)
        return table

    def lines(self) -> Iterable[Line]:
        """The models as text, in the columns of ``MODEL_HEAD``."""
        return (_model_line(model, self.keys) for model in self)

    def __repr__(self) -> str:
        return text_table(MODEL_HEAD, self.lines(), numbers=range(1, 7))

    def _repr_html_(self) -> str:
        return html_table(MODEL_HEAD, self.lines(), numbers=range(1, 7))


def moment(since: Since | None, now: datetime) -> float:
    """The moment ``since`` stands for at ``now``, which has the user's zone; in seconds of the epoch, 0 for None.

    Raises:
        ConfigurationError: words that name no moment.
    """
    if since is None:
        return 0.0
    if isinstance(since, datetime):
        return since.timestamp()
    if isinstance(since, timedelta):
        return now.timestamp() - since.total_seconds()
    found = named_moment(str(since), now)
    if found is None:
        raise ConfigurationError(f"since={since!r} names no moment: use {MOMENTS}.")
    return found


def named_moment(words: str, now: datetime) -> float | None:
    """The moment of such words at ``now``, in seconds of the epoch; None if they name none."""
    words = words.strip().lower()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if words == "today":
        return midnight.timestamp()
    if words == "yesterday":
        return (midnight - timedelta(days=1)).timestamp()
    if match := _AGO.fullmatch(words):
        return now.timestamp() - timedelta(**{_LETTERS[match[2]]: int(match[1])}).total_seconds()
    try:
        day = date.fromisoformat(words)
    except ValueError:
        return None
    return midnight.replace(year=day.year, month=day.month, day=day.day).timestamp()


def usage_rows(totals: Iterable[tuple[Group, Total]], recent: Iterable[tuple[Group, Entry]]) -> list[UsageRow]:
    """A row for each total, under its group; ``recent`` are the entries of the last minute, by group."""
    minutes: dict[tuple[Group, bool], LastMinute] = {}
    calls: set[str] = set()
    for group, entry in recent:
        if entry.state in ("settled", "unsettled"):
            kept = minutes.get((group, entry.play), LastMinute())
            minutes[group, entry.play] = LastMinute(
                kept.calls + (entry.call not in calls),
                kept.input_tokens + entry.usage.input_tokens,
                kept.output_tokens + entry.usage.output_tokens,
            )
            calls.add(entry.call)
    return [_row(group, total, minutes.get((group, total.cost.play), LastMinute())) for group, total in totals]


def natural(text: str) -> tuple[tuple[int, str], ...]:
    """What texts are sorted by, so that ``cell 9`` comes before ``cell 10``."""
    runs = enumerate(re.split("([0-9]+)", text))
    return tuple((len(run.lstrip("0")), run.lstrip("0")) if place % 2 else (0, run) for place, run in runs)


def _named(by: By | None) -> Line:
    """The columns that name a group."""
    return ("session", "cell") if by == "cell" else (by or "",)


def _row(group: Group, total: Total, minute: LastMinute) -> UsageRow:
    return UsageRow(
        group=group.name,
        calls=total.calls,
        usage=total.usage,
        cost=total.cost,
        delays=total.delays,
        waited=total.waited,
        dropped_tokens=total.dropped_tokens,
        last_minute=minute,
        session=group.session,
        notebook=group.notebook,
    )


def _usage_line(row: UsageRow, by: By | None) -> Line:
    usage, minute = row.usage, row.last_minute
    counts = (usage.input_tokens, usage.cache_read_tokens, usage.output_tokens, usage.reasoning_tokens)
    rates = (minute.calls, minute.input_tokens, minute.output_tokens)
    session, group = f"{row.session} {row.notebook}".rstrip(), row.group or ("-" if by else "all")
    return (
        *((session or "-", group) if by == "cell" else (session or group,)),
        f"{row.calls:,}",
        str(row.cost),
        *(f"{count:,}" for count in (*counts, *rates, row.delays)),
        f"{row.waited:.1f} s",
    )


def _model_line(model: Model, keys: frozenset[str]) -> Line:
    window = f"{model.context_window:,}" if model.context_window else "unknown"
    most = f"{model.max_output_tokens:,}" if model.max_output_tokens else "unknown"
    limits = ", ".join(str(limit).partition(" for ")[0] for limit in model.rates) or "-"
    return model.name, window, most, *_prices(model), limits, "yes" if model.provider in keys else "no"


def _prices(model: Model) -> tuple[str, ...]:
    if model.price is None:
        return ("unknown",) * 4
    rates = model.price.rates(0)
    shown = (rates.input, rates.cache_read, rates.cache_write, rates.output)
    return tuple(show_nanousd(rate, play=model.play) for rate in shown)
