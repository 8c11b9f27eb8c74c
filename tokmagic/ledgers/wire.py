"""What goes to the scripts of a Redis book and comes back: texts for values, and values for texts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from operator import attrgetter

from tokmagic.core.book import Entry, Total
from tokmagic.core.limits import REACH, SECONDS, Account, Amounts, Level, rate

from .entries import ENDING, PATHS, entry_from, storable
from .sums import DIMENSIONS, MEASURES, UNITS, at_ceiling, slot_of, total

#: The largest number a script counts exactly: some nine million dollars.
LARGEST = 2**53 - 1

_dump = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True).encode
_reserved = attrgetter(*PATHS)
_ending = attrgetter(*ENDING)
_amounts = attrgetter(*UNITS)
_places = attrgetter(*DIMENSIONS)


def dump(value: object) -> str:
    """A value as JSON, in the fewest characters."""
    return _dump(value)


def reservation_of(entry: Entry) -> str:
    """All values of an entry."""
    return _dump(storable(_reserved(entry)))


def ending_of(entry: Entry) -> str:
    """The values an end changes."""
    return _dump(storable(_ending(entry)))


def entry_of(reserved: bytes, ended: bytes | None) -> Entry:
    """An entry from its reservation and, once it has one, its end: a letter and its values, or ``u@`` and a time."""
    values = dict(zip(PATHS, json.loads(reserved), strict=True))
    if ended is None:
        return entry_from(values)
    if ended.startswith(b"u@"):
        return at_ceiling(entry_from(values), float(ended[2:]))
    return entry_from({**values, **dict(zip(ENDING, json.loads(ended[1:]), strict=True))})


def record_of(entry: Entry) -> str:
    """What a script needs to know of an open entry: who, its charge, and where it will be summed."""
    places = dict(zip(DIMENSIONS, storable(_places(entry)), strict=True))
    places["play"] = int(entry.play)
    return _dump(
        {
            **places,
            "row": _dump(places),
            "slot": slot_of(entry.at),
            "at": entry.at,
            "call": entry.call,
            "ceiling": _given(entry.charge.ceiling),
            "expected": _given(entry.charge.expected),
            "waited": round(entry.waited * 1e6),
            "delays": int(entry.waited > 0),
            "dropped": entry.dropped_tokens,
        }
    )


def amounts_text(amounts: Amounts) -> str:
    """Amounts in the order of the units, ``false`` for an unknown price."""
    return _dump(_given(amounts))


def amounts_of(entry: Entry) -> list[int]:
    """The amounts an entry is charged with."""
    return [*_given(entry.charge.ceiling), *_given(entry.charge.expected)]


def _given(amounts: Amounts) -> list[int]:
    return [False if amount is None else amount for amount in _amounts(amounts)]


@lru_cache(maxsize=256)
def accounts_text(accounts: tuple[Account, ...]) -> str:
    """Accounts as lists, in the order the scripts name their parts."""
    return _dump([_account(account) for account in accounts])


def _account(account: Account) -> list[object]:
    limit = account.limit
    capped = limit.full == "wait" and limit.source == "provider"
    return [
        account.key,
        limit.full,
        1 + UNITS.index(limit.unit),
        limit.amount,
        SECONDS.get(limit.window, 0.0),
        account.since,
        account.until if account.until is not None else False,
        limit.scope,
        account.scope_id,
        limit.models.lower(),
        int(account.play),
        limit.amount - REACH * rate(limit) if capped else False,
        limit.window == "call",
    ]


def levels_of(accounts: Sequence[Account], standings: Iterable[Sequence[bytes]]) -> tuple[Level, ...]:
    """The levels a script read, account by account."""
    return tuple(
        Level(account, int(spent), int(held), float(room), int(ahead))
        for account, (spent, held, room, ahead) in zip(accounts, standings, strict=True)
    )


def report(
    rows: Iterable[tuple[bytes, bytes, Sequence[int]]],
    spanning: Iterable[Iterable[bytes]],
    session: str | None,
    by: str | None,
) -> tuple[Total, ...]:
    """Sums by group, from rows of (slot, place, calls and measures); calls that lie in several rows count once."""
    sums: dict[tuple[str, bool], list[int]] = {}
    groups: dict[bytes, tuple[str, bool]] = {}
    for slot, row, amounts in rows:
        place = json.loads(row)
        if session is None or place["session"] == session:
            group = groups[slot + b" " + row] = (place[by] if by is not None else "", bool(place["play"]))
            known = sums.setdefault(group, [0] * (1 + len(MEASURES)))
            known[:] = map(int.__add__, known, [*amounts, *[0] * (1 + len(MEASURES) - len(amounts))])
    for call in spanning:
        for group, times in Counter(groups[row] for row in call if row in groups).items():
            sums[group][0] -= times - 1
    return tuple(total(*group, sums[group][0], sums[group][1:]) for group in sorted(sums) if sums[group][0])
