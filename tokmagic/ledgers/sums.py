"""Sums that are kept, not summed: what ended, added up by the minute and by who, where and which model; and by the day.

An entry is added when it ends, taken out again when its end is corrected, and stands in exactly one row. Every
calendar window in every time zone begins with a row, so totals and the level of a new limit never read single entries.
A call counts once in each row; the few that ended in several rows are known by name, so that they still count once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from operator import attrgetter

from tokmagic.core.book import Entry, Total
from tokmagic.core.limits import Amounts
from tokmagic.core.money import QUALITIES, Cost
from tokmagic.core.usage import Usage

#: Seconds; every window of a limit begins and ends with a slot.
SLOT = 60
#: Slots; a day of the sums by the day, which is one of UTC.
DAY = 24 * 60
UNITS = tuple(field.name for field in fields(Amounts))
PARTS = tuple(field.name for field in fields(Usage))
DIMENSIONS = ("session", "notebook", "key", "user", "team", "cell", "model", "play")
#: By what the sums by the day are apart: what many entries of a day have in common.
DAILY = tuple(name for name in DIMENSIONS if name not in ("session", "cell"))
#: What is added up. ``spent`` is what refusing limits count; waits are in microseconds, so that no sum drifts.
MEASURES = (
    *(f"spent_{unit}" for unit in UNITS),
    *(f"usage_{part}" for part in PARTS),
    *(quality.replace(" ", "_") for quality in QUALITIES),
    *("nanousd", "unpriced", "waited_us", "delays", "dropped_tokens"),
)

_parts = attrgetter(*PARTS)
_amounts = attrgetter(*UNITS)


def slot_of(at: float) -> int:
    """The row's time: how many minutes since the epoch."""
    return int(at // SLOT)


def starts_a_slot(since: float) -> bool:
    """Whether sums from then on can be read without reading single entries."""
    return since % SLOT == 0


def at_ceiling(entry: Entry, now: float) -> Entry:
    """The entry with its outcome unknown: what it may have used counts as used."""
    most = entry.charge.ceiling
    return replace(
        entry,
        state="unsettled",
        settled_at=now,
        used=entry.charge,
        usage=Usage(input_tokens=most.input_tokens, output_tokens=most.output_tokens),
        nanousd=most.nanousd,
        quality="unknown" if most.nanousd is None else "estimated",
    )


def measures(entry: Entry) -> tuple[int, ...]:
    """What an ended entry adds, in the order of ``MEASURES``."""
    if entry.state == "released":
        return (0,) * len(MEASURES)
    spent = zip(_amounts(entry.used.ceiling), _amounts(entry.charge.ceiling), strict=True)
    return (
        *((ceiling or 0) if used is None else used for used, ceiling in spent),
        *_parts(entry.usage),
        *(int(quality == entry.quality) for quality in QUALITIES),
        *(entry.nanousd or 0, int(entry.nanousd is None)),
        *(round(entry.waited * 1e6), int(entry.waited > 0), entry.dropped_tokens),
    )


def total(group: str, play: bool, calls: int, sums: Sequence[int]) -> Total:
    """A row of the report; a sum with an unknown price in it is unknown."""
    found = dict(zip(MEASURES, sums, strict=True))
    quality = next(quality for quality in reversed(QUALITIES) if found[quality.replace(" ", "_")])
    cost = Cost(None, "unknown", play) if found["unpriced"] else Cost(found["nanousd"], quality, play)
    usage = Usage(*(found[f"usage_{part}"] for part in PARTS))
    return Total(group, calls, usage, cost, found["waited_us"] / 1e6, found["dropped_tokens"], found["delays"])


def add_up(entries: Iterable[Entry], by: str | None) -> tuple[Total, ...]:
    """The rows of the report, from single entries that ended and may have run."""
    sums: dict[tuple[str, bool], list[int]] = {}
    calls: dict[tuple[str, bool], set[str]] = {}
    for entry in entries:
        place = (getattr(entry, by) if by is not None else "", entry.play)
        known = sums.setdefault(place, [0] * len(MEASURES))
        known[:] = map(int.__add__, known, measures(entry))
        calls.setdefault(place, set()).add(entry.call)
    return tuple(total(*place, len(calls[place]), sums[place]) for place in sorted(sums))
