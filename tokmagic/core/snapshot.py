"""What every display shows, as plain values: the snapshot of one kernel, and the rows drawn from it.

A snapshot is whole: it can be drawn without having seen an earlier one. The footer, ``%tokens``, the panel and the
reports draw the same rows, so there is one number everywhere. A display knows labels, texts, fractions and tones, and
nothing of budgets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

from .limits import Level, rate, show_amount
from .money import Cost, Quality, show_nanousd
from .replies import Receipt
from .usage import Usage

#: Version of the snapshot's schema, for displays that may be older or newer than the kernel.
SNAPSHOT_VERSION = 1
#: From this share of a limit or window on, a row warns.
NEARLY_FULL = 0.8

Tone: TypeAlias = Literal["ok", "warn", "bad", "idle"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One call of this kernel: ``label`` is the cell's number or name."""

    label: str
    receipt: Receipt


@dataclass(frozen=True, slots=True)
class Pause:
    """Why a call waits, and until when (seconds of the epoch)."""

    reason: str
    until: float


@dataclass(frozen=True, slots=True)
class Sums:
    """What was spent over a time, real and play money apart (nano-dollars; None where a price is unknown)."""

    calls: int = 0
    usage: Usage = Usage()  # noqa: RUF009 - a frozen value
    nanousd: int | None = 0
    play_nanousd: int | None = 0
    quality: Quality = "exact"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of one kernel at one moment.

    Attributes:
        sequence: rises by one with every snapshot of a kernel.
        epoch: the kernel's process; a snapshot of another epoch is of a kernel that is gone.
        at: seconds of the epoch.
        model: of the running or last call.
        context_window, context_used: tokens; None and 0 while unknown.
        levels: how full each limit is.
        pause: why the running call waits, or None.
        minute_tokens: tokens of the last full minutes, the oldest first; the last one is the running minute.
        session, day: sums.
        cells: the newest last.
        notices: one line each.
    """

    sequence: int
    epoch: str
    at: float
    model: str = ""
    context_window: int | None = None
    context_used: int = 0
    levels: tuple[Level, ...] = ()
    pause: Pause | None = None
    minute_tokens: tuple[int, ...] = ()
    session: Sums = Sums()
    day: Sums = Sums()
    cells: tuple[Cell, ...] = ()
    notices: tuple[str, ...] = ()
    version: int = SNAPSHOT_VERSION


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a display.

    Attributes:
        key: the same for the same thing in every snapshot, so that a display can update in place.
        label, text: for people.
        fraction: how full it is, from 0 to 1; None where there is no bar to draw.
        tone: how it stands; ``idle`` where there is nothing to say yet.
        series: whole numbers over time, the oldest first, for a small chart.
    """

    key: str
    label: str
    text: str
    fraction: float | None = None
    tone: Tone = "ok"
    series: tuple[int, ...] = ()


def rows(snapshot: Snapshot) -> tuple[Row, ...]:
    """All rows of a snapshot, in the order in which they are shown."""
    return tuple(row for draw in ROWS for row in draw(snapshot))


def as_json(snapshot: Snapshot) -> dict[str, Any]:
    """What a display elsewhere is sent: plain JSON values that stand alone."""
    return {
        "tokmagic": snapshot.version,
        "sequence": snapshot.sequence,
        "epoch": snapshot.epoch,
        "rows": [asdict(row) | {"series": list(row.series)} for row in rows(snapshot)],
        "cells": [{"label": cell.label, "receipt": cell.receipt.as_dict()} for cell in snapshot.cells],
    }


def show_seconds(seconds: float) -> str:
    """A time span for people, in its two largest units: ``12 s``, ``5 min 10 s``, ``3 h 12 min``, ``2 d 4 h``."""
    whole = max(0, int(seconds + 0.5))
    for size, unit, part, part_unit in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {unit} {rest} {part_unit}" if rest else f"{whole // size} {unit}"
    return f"{whole} s"


def _pause(snapshot: Snapshot) -> Iterable[Row]:
    if snapshot.pause is not None:
        left = show_seconds(snapshot.pause.until - snapshot.at)
        yield Row("pause", "Waiting", f"{left}: {snapshot.pause.reason}", tone="warn")


def _limits(snapshot: Snapshot) -> Iterable[Row]:
    for level in snapshot.levels:
        play = " (play money)" if level.account.play and level.account.limit.unit == "nanousd" else ""
        label = f"{level.account.limit}{play}"
        used = _share(level.account.limit.amount - level.left, level.account.limit.amount)
        yield Row(f"limit {level.account.key}", label, _left(level, snapshot.at), used, _limit_tone(level, used))


def _left(level: Level, at: float) -> str:
    limit, until = level.account.limit, level.account.until
    text = f"{show_amount(level.left, limit.unit)} left"
    if limit.full == "refuse":
        held = f", {show_amount(level.held, limit.unit)} held for running calls" if level.held else ""
        resets = f", resets in {show_seconds(until - at)}" if until is not None else ""
        return text + held + resets
    missing = limit.amount - level.room + level.ahead
    queue = f", {show_amount(level.ahead, limit.unit)} queued" if level.ahead else ""
    return (
        f"{text}{queue}, full again in {show_seconds(missing / rate(limit))}" if missing >= 1 and limit.amount else text
    )


def _limit_tone(level: Level, used: float) -> Tone:
    if level.left == 0:
        return "bad" if level.account.limit.full == "refuse" else "warn"
    return "warn" if used >= NEARLY_FULL else "ok"


def _minutes(snapshot: Snapshot) -> Iterable[Row]:
    series = snapshot.minute_tokens
    if any(series):
        yield Row("minute", "Tokens per minute", f"{series[-1]:,} now, {max(series):,} at most", series=series)
    else:
        yield Row("minute", "Tokens per minute", "none yet", tone="idle", series=series)


def _window(snapshot: Snapshot) -> Iterable[Row]:
    size, used = snapshot.context_window, snapshot.context_used
    if size is None:
        yield Row("window", "Context window", "unknown", tone="idle")
        return
    share = _share(used, size)
    tone: Tone = "idle" if used == 0 else "warn" if share >= NEARLY_FULL else "ok"
    yield Row("window", "Context window", f"{used:,} of {size:,} tokens ({share:.0%})", share, tone)


def _cut(snapshot: Snapshot) -> Iterable[Row]:
    if not snapshot.cells:
        return
    cell = snapshot.cells[-1]
    cuts = cell.receipt.cuts
    text = "; ".join(f"{cut.what}: −{cut.tokens:,} tokens" for cut in cuts) or "nothing"
    yield Row("cut", f"Cut in {cell.label}", text, tone="warn" if cuts else "idle")


def _cell_cost(snapshot: Snapshot) -> Iterable[Row]:
    if snapshot.cells:
        cell = snapshot.cells[-1]
        yield Row("cost cell", f"Cost of {cell.label}", f"{cell.receipt.cost}, {_tokens(cell.receipt.usage)}")


def _sums(snapshot: Snapshot) -> Iterable[Row]:
    for key, label, sums in (("session", "Session", snapshot.session), ("day", "Today", snapshot.day)):
        if sums.calls == 0:
            yield Row(f"cost {key}", label, "no calls yet", tone="idle")
            continue
        calls = f"{sums.calls:,} call{'' if sums.calls == 1 else 's'}"
        real = show_nanousd(sums.nanousd, quality=sums.quality)
        play = str(Cost(sums.play_nanousd, sums.quality, play=True))
        only_play = sums.nanousd == 0 != sums.play_nanousd
        tone: Tone = "warn" if sums.nanousd is None else "ok"
        text = f"{play if only_play else real}, {calls}, {_tokens(sums.usage)}"
        yield Row(f"cost {key}", label, text, tone=tone)
        if sums.play_nanousd != 0 and not only_play:
            yield Row(f"play {key}", f"{label}, play money", play)


def _notices(snapshot: Snapshot) -> Iterable[Row]:
    for number, notice in enumerate(snapshot.notices):
        yield Row(f"notice {number}", "Note", notice, tone="warn")


def _tokens(usage: Usage) -> str:
    cached = f" ({usage.cache_read_tokens:,} cached)" if usage.cache_read_tokens else ""
    return f"{usage.input_tokens:,} in{cached}, {usage.output_tokens:,} out"


def _share(part: int, whole: int) -> float:
    return min(1.0, max(0.0, part / whole)) if whole > 0 else 1.0


#: What a display shows, in order. A new row is one function and its place here.
ROWS: tuple[Callable[[Snapshot], Iterable[Row]], ...] = (
    _pause,
    _limits,
    _minutes,
    _window,
    _cut,
    _cell_cost,
    _sums,
    _notices,
)
