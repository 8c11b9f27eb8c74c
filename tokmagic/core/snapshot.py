"""What every display shows, as plain values: the snapshot of one kernel, and the rows drawn from it.

A snapshot is whole: it can be drawn without having seen an earlier one. The footer, ``%tokens``, the panel and the
reports draw the same rows, so there is one number everywhere. A display knows labels, texts, fractions and tones, and
nothing of budgets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from .limits import Level, rate, show_amount
from .money import Cost, Quality, show_nanousd
from .replies import Receipt
from .spans import Countdown
from .usage import Usage

#: Version of the snapshot's schema, for displays that may be older or newer than the kernel.
SNAPSHOT_VERSION = 1
#: From this share of a limit or window on, a row warns.
NEARLY_FULL = 0.8
#: What a call is called that no cell made.
LAST_CALL = "the last call"

Tone: TypeAlias = Literal["ok", "warn", "bad", "idle"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One call of this kernel: ``label`` is the cell's number or name; empty where no cell made it."""

    label: str
    receipt: Receipt


@dataclass(frozen=True, slots=True)
class Note:
    """Something to look at, in one line; ``label`` names the cell of the call that it is about, if it has one."""

    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Pause:
    """Why a call waits, and until when (seconds of the epoch)."""

    reason: str
    until: float


@dataclass(frozen=True, slots=True)
class Running:
    """A call under way: its input, what it wrote so far (an estimate), and the most it can cost."""

    label: str
    model: str
    input_tokens: int
    output_tokens: int
    ceiling: Cost


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
        running: the calls under way.
        pause: why the running call waits, or None.
        minute_tokens: tokens of the last full minutes, the oldest first; the last one is the running minute.
        session, day: sums.
        cells: the newest last.
        notices: the newest last.
    """

    sequence: int
    epoch: str
    at: float
    model: str = ""
    context_window: int | None = None
    context_used: int = 0
    levels: tuple[Level, ...] = ()
    running: tuple[Running, ...] = ()
    pause: Pause | None = None
    minute_tokens: tuple[int, ...] = ()
    session: Sums = Sums()
    day: Sums = Sums()
    cells: tuple[Cell, ...] = ()
    notices: tuple[Note, ...] = ()
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
        countdown: the text in parts, for a display that counts down by itself.
    """

    key: str
    label: str
    text: str
    fraction: float | None = None
    tone: Tone = "ok"
    series: tuple[int, ...] = ()
    countdown: Countdown | None = None


def rows(snapshot: Snapshot) -> tuple[Row, ...]:
    """All rows of a snapshot, in the order in which they are shown."""
    return tuple(row for draw in ROWS for row in draw(snapshot))


def headline(snapshot: Snapshot) -> Row | None:
    """What is left of the limit that has least left of itself, in few words; None while no limit is known."""
    if not (found := list(zip(snapshot.levels, _limits(snapshot), strict=True))):
        return None
    level, row = max(found, key=lambda pair: pair[1].fraction or 0.0)
    return replace(row, text=f"{show_amount(level.left, level.account.limit.unit)} left", countdown=None)


def _pause(snapshot: Snapshot) -> Iterable[Row]:
    if snapshot.pause is not None:
        countdown = Countdown("", snapshot.pause.until, f": {snapshot.pause.reason}")
        yield Row("pause", "Waiting", countdown.text(snapshot.at), tone="warn", countdown=countdown)


def _running(snapshot: Snapshot) -> Iterable[Row]:
    for number, call in enumerate(snapshot.running):
        used = f"{call.input_tokens:,} in, ≈{call.output_tokens:,} out so far"
        most = f", at most {call.ceiling}" if call.ceiling.nanousd is not None else ", at an unknown price"
        yield Row(f"running {number}", f"Running {call.label}".rstrip(), f"{call.model}: {used}{most}")


def _limits(snapshot: Snapshot) -> Iterable[Row]:
    for level in snapshot.levels:
        limit = level.account.limit
        label = f"{limit} (play money)" if level.account.play and limit.unit == "nanousd" else str(limit)
        used = _share(limit.amount - level.left, limit.amount)
        text, countdown = _left(level), refilled(level, snapshot.at)
        if countdown is not None:
            countdown = replace(countdown, before=text + countdown.before)
            text = countdown.text(snapshot.at)
        yield Row(f"limit {level.account.key}", label, text, used, _limit_tone(level, used), countdown=countdown)


def _left(level: Level) -> str:
    unit, over = level.account.limit.unit, level.over
    held = f", {show_amount(level.held, unit)} held for running calls" if level.held else ""
    queue = f", {show_amount(level.ahead, unit)} queued" if level.ahead else ""
    left = f"passed by {show_amount(over, unit)}" if over else f"{show_amount(level.left, unit)} left"
    return f"{left}{held}{queue}"


def refilled(level: Level, at: float) -> Countdown | None:
    """When the limit has room again without anybody's doing, or None; ``at`` is now, in seconds of the epoch."""
    limit, until = level.account.limit, level.account.until
    if limit.full == "refuse":
        return None if until is None else Countdown(", resets in ", until)
    missing = limit.amount - level.room + level.ahead
    return Countdown(", full again in ", at + missing / rate(limit)) if missing >= 1 and limit.amount else None


def _limit_tone(level: Level, used: float) -> Tone:
    if level.left == 0:
        return "bad" if level.account.limit.full == "refuse" else "warn"
    return "warn" if used >= level.account.limit.warn_percent / 100 else "ok"


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
    cell, cuts = snapshot.cells[-1], snapshot.cells[-1].receipt.cuts
    text = "; ".join(f"{cut.what}: {cut.loss}" for cut in cuts) or "nothing"
    yield Row("cut", f"Cut in {cell.label or LAST_CALL}", text, tone="warn" if cuts else "idle")


def _cell_cost(snapshot: Snapshot) -> Iterable[Row]:
    if snapshot.cells:
        cell = snapshot.cells[-1]
        yield Row(
            "cost cell", f"Cost of {cell.label or LAST_CALL}", f"{cell.receipt.cost}, {_tokens(cell.receipt.usage)}"
        )


def _sums(snapshot: Snapshot) -> Iterable[Row]:
    for key, label, sums in (("session", "Session", snapshot.session), ("day", "Today", snapshot.day)):
        if sums.calls == 0:
            yield Row(f"cost {key}", label, "no calls yet", tone="idle")
            continue
        calls = f"{sums.calls:,} call{'' if sums.calls == 1 else 's'}"
        real = show_nanousd(sums.nanousd, quality=sums.quality)
        play = str(Cost(sums.play_nanousd, sums.quality, play=True))
        only_play = sums.nanousd == 0 != sums.play_nanousd
        text = f"{play if only_play else real}, {calls}, {_tokens(sums.usage)}"
        yield Row(f"cost {key}", label, text, tone="warn" if sums.nanousd is None else "ok")
        if sums.play_nanousd != 0 and not only_play:
            yield Row(f"play {key}", f"{label}, play money", play)


def _notices(snapshot: Snapshot) -> Iterable[Row]:
    for number, notice in enumerate(snapshot.notices):
        label = f"Note on {notice.label}" if notice.label else "Note"
        yield Row(f"notice {number}", label, notice.text, tone="warn")


def _tokens(usage: Usage) -> str:
    cached = f" ({usage.cache_read_tokens:,} cached)" if usage.cache_read_tokens else ""
    return f"{usage.input_tokens:,} in{cached}, {usage.output_tokens:,} out"


def _share(part: int, whole: int) -> float:
    return min(1.0, max(0.0, part / whole)) if whole > 0 else 1.0


#: What a display shows, in order. A new row is one function and its place here.
ROWS: tuple[Callable[[Snapshot], Iterable[Row]], ...] = (
    _pause,
    _running,
    _limits,
    _minutes,
    _window,
    _cut,
    _cell_cost,
    _sums,
    _notices,
)
