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
from operator import attrgetter, itemgetter
from struct import error, iter_unpack, pack, unpack_from

from tokmagic.core.book import Entry, State, Total
from tokmagic.core.limits import REACH, SECONDS, Account, Amounts, Level, rate

from .entries import ENDING, PATHS, SCOPES, entry_from, storable
from .sums import DIMENSIONS, MEASURES, UNITS, total

#: The largest number a script counts exactly: some nine million dollars.
LARGEST = 2**53 - 1

#: What an end leaves as it was; then comes what it changes, where a reservation says more of it than an entry does that
#: nothing is known of.
RESERVED = tuple(path for path in PATHS if path not in ENDING)
_UNKNOWN = Entry("", "", 0.0, "")

_dump = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True).encode
_reserved = attrgetter(*RESERVED)
_ending = attrgetter(*ENDING)
#: How it ended, and when; the rest of its ending.
_outcome = attrgetter(*ENDING[2:])
_changing = attrgetter(*dict.fromkeys(path.partition(".")[0] for path in ENDING))
_amounts = attrgetter(*UNITS)
_places = attrgetter(*DIMENSIONS)
_scopes = attrgetter(*SCOPES)
_NOTHING_CHANGED = _changing(_UNKNOWN)
_NO_ENDING = dict(zip(ENDING, _ending(_UNKNOWN), strict=True))

#: Where a script finds a value in an entry and in a row of the sums, counted from 1.
PLACES = _dump(
    {
        "entry": {path: place for place, path in enumerate(RESERVED, 1)},
        "row": {name: place for place, name in enumerate(DIMENSIONS, 1)},
        "units": UNITS,
    }
).encode()


def text(value: str) -> bytes:
    """A text as a book can keep it: half a surrogate pair becomes a question mark."""
    return value.encode("utf-8", "replace")


def packed(values: Sequence[float | None]) -> bytes:
    """Numbers as doubles; None is not a number."""
    try:
        return pack(f"<{len(values)}d", *values)
    except error:
        return pack(f"<{len(values)}d", *(math.nan if value is None else value for value in values))


def reservation_of(entry: Entry) -> bytes:
    """The values of an entry that last, and those an end changes where there are any yet."""
    values = _reserved(entry)
    return _packed_text(values if _changing(entry) == _NOTHING_CHANGED else values + _ending(entry))


def ending_of(entry: Entry, state: State, at: float | None) -> bytes:
    """The values an end changes, with how and when it ended."""
    return _packed_text((state, at, *_outcome(entry)))


def entry_of(reserved: bytes, ended: bytes | None) -> Entry:
    """An entry from its reservation and, once it has one, its end."""
    values = _NO_ENDING | dict(zip((*RESERVED, *ENDING), json.loads(reserved), strict=False))
    if ended is not None:
        values.update(zip(ENDING, json.loads(ended), strict=True))
    return entry_from(values)


def scopes_of(entry: Entry) -> tuple[bytes, ...]:
    """Whom an entry's accounts may belong to, scope by scope; the session comes first."""
    return _scopes_of(_scopes(entry))


@lru_cache(maxsize=256)
def _scopes_of(ids: tuple[str, ...]) -> tuple[bytes, ...]:
    return tuple(text(f"{scope}:{id}") for scope, id in zip(SCOPES, ids, strict=True))


def row_of(entry: Entry) -> bytes:
    """The row of the sums an entry is added to."""
    return _row_of(_places(entry))


@lru_cache(maxsize=256)
def _row_of(places: tuple[object, ...]) -> bytes:
    *names, play = places
    return _packed_text((*names, int(bool(play))))


def _packed_text(values: tuple[object, ...]) -> bytes:
    """Values as JSON; half a surrogate pair, which only an escape can be, becomes a question mark."""
    said = _dump(values)
    return (said if "\\ud" not in said else _dump(storable(values))).encode()


def charge_of(ceiling: Amounts, expected: Amounts) -> bytes:
    """Ceiling and expected use, in the order of the units."""
    return packed((*_amounts(ceiling), *_amounts(expected)))


def held_of(entry: Entry, lease: float) -> bytes:
    """What a script counts with of an entry that is to be held until ``lease``."""
    charge = entry.charge
    return packed((entry.at, lease, entry.play, *_amounts(charge.ceiling), *_amounts(charge.expected)))


def expected_of(expected: Amounts) -> bytes:
    """An expected use, in the order of the units."""
    return packed(_amounts(expected))


def amounts_of(entry: Entry) -> list[int]:
    """The amounts an entry is charged with."""
    charged = (*_amounts(entry.charge.ceiling), *_amounts(entry.charge.expected))
    return [amount for amount in charged if amount is not None]


@lru_cache(maxsize=256)
def asked_of(accounts: tuple[Account, ...]) -> tuple[bytes, tuple[bytes, ...], int]:
    """What is asked of accounts, in the numbers the scripts expect, their keys, and the largest amount."""
    numbers = [number for account in accounts for number in _asked(account)]
    most = max((account.limit.amount for account in accounts), default=0)
    return packed(numbers), tuple(text(account.key) for account in accounts), most


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
    seconds = SECONDS[limit.window] if limit.full == "wait" else 0.0
    until = math.inf if account.until is None else account.until
    facts = packed((1 + UNITS.index(limit.unit), account.since, until, account.play)) + text(limit.models.lower())
    return text(account.key), packed((limit.amount, seconds)), facts, text(limit.scope), text(account.scope_id)


def levels_of(accounts: Sequence[Account], standings: bytes) -> tuple[Level, ...]:
    """The levels a script read, account by account."""
    return tuple(
        Level(account, int(spent), int(held), room, int(ahead))
        for account, (spent, held, room, ahead) in zip(accounts, iter_unpack("<4d", standings), strict=True)
    )


def places_of(places: Iterable[bytes]) -> list[tuple[float, bytes]]:
    """When entries were reserved, and their ids: the newest first."""
    found = sorted(((unpack_from("<d", place)[0], place[8:]) for place in places), key=itemgetter(0))
    return found[::-1]


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
