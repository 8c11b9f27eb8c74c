"""What goes to the scripts of a Redis book and comes back: texts and packed numbers for values, and values for them.

Numbers that a script counts with go as doubles, which hold every amount the book accepts exactly; an unknown price is
not a number. All else is text that only this side reads.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from operator import attrgetter
from struct import iter_unpack, pack

from tokmagic.core.book import Entry, Total
from tokmagic.core.limits import REACH, SECONDS, Account, Amounts, Level, rate

from .entries import ENDING, PATHS, SCOPES, entry_from, storable
from .sums import DIMENSIONS, MEASURES, UNITS, total

#: The largest number a script counts exactly: some nine million dollars.
LARGEST = 2**53 - 1

_dump = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True).encode
_reserved = attrgetter(*PATHS)
_ending = attrgetter(*ENDING)
_amounts = attrgetter(*UNITS)
_places = attrgetter(*DIMENSIONS)
_scopes = attrgetter(*SCOPES)

#: Where a script finds a value in an entry and in a row of the sums, counted from 1.
PLACES = _dump(
    {
        "entry": {path: place for place, path in enumerate(PATHS, 1)},
        "row": {name: place for place, name in enumerate(DIMENSIONS, 1)},
        "units": UNITS,
    }
).encode()


def text(value: str) -> bytes:
    """A text as a book can keep it: half a surrogate pair becomes a question mark."""
    return value.encode("utf-8", "replace")


def packed(values: Sequence[float | None]) -> bytes:
    """Numbers as doubles; None is not a number."""
    return pack(f"<{len(values)}d", *(math.nan if value is None else value for value in values))


def reservation_of(entry: Entry) -> bytes:
    """All values of an entry."""
    return _dump(storable(_reserved(entry))).encode()


def ending_of(entry: Entry) -> bytes:
    """The values an end changes."""
    return _dump(storable(_ending(entry))).encode()


def entry_of(reserved: bytes, ended: bytes | None) -> Entry:
    """An entry from its reservation and, once it has one, its end."""
    values = dict(zip(PATHS, json.loads(reserved), strict=True))
    if ended is not None:
        values.update(zip(ENDING, json.loads(ended), strict=True))
    return entry_from(values)


def scopes_of(entry: Entry) -> list[bytes]:
    """Whom an entry's accounts may belong to, scope by scope."""
    return [text(f"{scope}:{id}") for scope, id in zip(SCOPES, _scopes(entry), strict=True)]


def row_of(entry: Entry) -> bytes:
    """The row of the sums an entry is added to."""
    *names, play = storable(_places(entry))
    return _dump([*names, int(bool(play))]).encode()


def charge_of(ceiling: Amounts, expected: Amounts) -> bytes:
    """Ceiling and expected use, in the order of the units."""
    return packed((*_amounts(ceiling), *_amounts(expected)))


def expected_of(expected: Amounts) -> bytes:
    """An expected use, in the order of the units."""
    return packed(_amounts(expected))


def amounts_of(entry: Entry) -> list[int]:
    """The amounts an entry is charged with."""
    charged = (*_amounts(entry.charge.ceiling), *_amounts(entry.charge.expected))
    return [amount for amount in charged if amount is not None]


@lru_cache(maxsize=256)
def asked_of(accounts: tuple[Account, ...]) -> tuple[bytes, tuple[bytes, ...]]:
    """What is asked of accounts, in the numbers the scripts expect, and their keys."""
    numbers = [number for account in accounts for number in _asked(account)]
    return packed(numbers), tuple(text(account.key) for account in accounts)


def _asked(account: Account) -> tuple[float, ...]:
    limit = account.limit
    capped = limit.full == "wait" and limit.source == "provider"
    cap = limit.amount - REACH * rate(limit) if capped else math.inf
    return 1 + UNITS.index(limit.unit), limit.amount, cap, limit.window == "call"


def beginnings(accounts: Iterable[Account]) -> list[bytes]:
    """What a book needs to know of accounts that are new to it."""
    return [part for account in accounts if account.limit.window != "call" for part in _beginning(account)]


def _beginning(account: Account) -> tuple[bytes, ...]:
    limit = account.limit
    until = math.inf if account.until is None else account.until
    bounds = (SECONDS.get(limit.window, 0.0), account.since, until, account.play)
    numbers = packed((limit.full == "wait", 1 + UNITS.index(limit.unit), limit.amount, *bounds))
    return text(account.key), numbers, text(limit.scope), text(account.scope_id), text(limit.models.lower())


def levels_of(accounts: Sequence[Account], standings: bytes) -> tuple[Level, ...]:
    """The levels a script read, account by account."""
    return tuple(
        Level(account, int(spent), int(held), room, int(ahead))
        for account, (spent, held, room, ahead) in zip(accounts, iter_unpack("<4d", standings), strict=True)
    )


def report(
    rows: Iterable[tuple[bytes, bytes, bytes]],
    spanning: Iterable[Iterable[bytes]],
    session: str | None,
    by: str | None,
) -> tuple[Total, ...]:
    """Sums by group, from rows of (slot, place, calls and measures); calls that lie in several rows count once."""
    sums: dict[tuple[str, bool], list[int]] = {}
    groups: dict[bytes, tuple[str, bool]] = {}
    for slot, row, numbers in rows:
        place = dict(zip(DIMENSIONS, json.loads(row), strict=True))
        if session is None or place["session"] == session:
            group = groups[slot + b" " + row] = (place[by] if by is not None else "", bool(place["play"]))
            known = sums.setdefault(group, [0] * (1 + len(MEASURES)))
            known[:] = (have + int(more) for have, (more,) in zip(known, iter_unpack("<d", numbers), strict=True))
    for call in spanning:
        for group, times in Counter(groups[row] for row in call if row in groups).items():
            sums[group][0] -= times - 1
    return tuple(total(*group, sums[group][0], sums[group][1:]) for group in sorted(sums) if sums[group][0])
