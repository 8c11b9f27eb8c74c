"""What a call that has ended makes its reader look at, each in one line.

A budget that passed the share at which it warns, a call that used more than was held for it, an answer longer than is
usual. Pure: who shows them, and whether it is the first time, is decided upstairs.
"""

from __future__ import annotations

from collections.abc import Iterable

from .book import Entry
from .limits import Level, show_amount
from .money import show_nanousd
from .sizes import EXTENDED, NORMAL


def warnings_of(before: Iterable[Level], after: Iterable[Level]) -> tuple[str, ...]:
    """A line for each budget whose use passed its warning share in between.

    Args:
        before: the levels the call was admitted to.
        after: those of the same accounts when it had been settled; the use of other calls is in them too, so calls
            that end together may each see one and the same crossing.
    """
    known = {level.account.key: level.spent for level in before}
    return tuple(
        _warning(level)
        for level in after
        if level.account.limit.full == "refuse"
        and known.get(level.account.key, level.spent) < _share(level) <= level.spent
    )


def overrun(entry: Entry) -> str:
    """What to say of a settled entry that used more than was held for it; empty where it did not.

    It is booked as it is: a budget that it passed refuses every call until its window ends or it is raised.
    """
    most, used = entry.charge.ceiling, entry.used.ceiling
    if most.nanousd is not None and used.nanousd is not None and used.nanousd > most.nanousd:
        cost, held = (show_nanousd(amount, play=entry.play) for amount in (used.nanousd, most.nanousd))
        return f"{entry.model} cost {cost}, more than the {held} held for it: budgets it passed are closed."
    for unit in ("input_tokens", "output_tokens"):
        if used.of(unit) > most.of(unit):  # type: ignore[operator]
            amounts = f"{show_amount(used.of(unit) or 0, unit)}, more than the {most.of(unit):,} held for it"
            return f"{entry.model} used {amounts}: budgets it passed are closed."
    return ""


def unsettled(entry: Entry) -> str:
    """What to say of an entry whose call failed but may have run; empty for any other."""
    if entry.state != "unsettled":
        return ""
    charged = f"{entry.used.ceiling.tokens or 0:,} tokens" if entry.nanousd is None else str(entry.cost)
    return f"It may have run, so {charged} stays charged: %tokens release {entry.id[:8]} gives it back if it did not."


def long_answer(output_tokens: int) -> str:
    """What to say of an answer above the normal or the extended size; empty for any other."""
    if output_tokens <= NORMAL:
        return ""
    name, size = ("extended", EXTENDED) if output_tokens > EXTENDED else ("normal", NORMAL)
    return f"The answer took {output_tokens:,} tokens, more than the {name} {size:,}."


def _share(level: Level) -> int:
    """The least use at which the level warns; a limit of 0 has nothing to warn of before it refuses."""
    limit = level.account.limit
    return max(1, -(-limit.amount * limit.warn_percent // 100))


def _warning(level: Level) -> str:
    limit = level.account.limit
    money = limit.unit == "nanousd"
    spent = show_nanousd(level.spent, play=level.account.play) if money else f"{level.spent:,}"
    percent = level.spent * 100 // limit.amount if limit.amount else 100
    return f"{spent} of {limit} used ({percent} %)."
