"""How full each account is, kept in the book: what an entry holds, and what its end makes of it.

A level always equals what the entries in the account's window and scope add up to: an account that is new to the book
begins with them, and from then on each entry is booked on every account that covers it, whether its caller knows the
limit or not. Buckets are refilled whenever they are read, and written with the time up to which they are.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from tokmagic.core.book import Entry
from tokmagic.core.limits import Account, Amounts, Charge, Level, Limit, refill, take
from tokmagic.core.units import Full, Scope, Unit, Window

from . import entries, tallies
from .entries import SCOPES

#: What the book keeps of limits is checked as it comes in; the same few are read over and over.
_limit = lru_cache(maxsize=1024)(Limit)
#: What an entry holds on an account, and what it takes from a bucket; and what its end changes: spent, held and room.
_Change: TypeAlias = Callable[[Limit, int, int], tuple[int, int, int]]


class Standing(NamedTuple):
    """An account as the book has it: how full it was at ``updated_at``, and its limit."""

    key: str
    spent: int
    held: int
    room: float
    updated_at: float
    amount: int
    unit: Unit
    window: Window
    scope: Scope
    full: Full
    models: str

    @property
    def limit(self) -> Limit:
        """The limit, with the amount it had when the account was written last."""
        return _limit(self.amount, self.unit, self.window, self.scope, self.full, self.models)

    def refilled(self, now: float) -> float:
        """The room its bucket has now; a refusing limit has none."""
        return refill(self.limit, self.room, now - self.updated_at) if self.full == "wait" else 0.0


_COLUMNS = ", ".join(f'"{name}"' for name in Standing._fields)
_FIND = f"SELECT {_COLUMNS} FROM accounts WHERE key = ?"  # noqa: S608
_COVERING = f"""WITH who (in_scope, id) AS (VALUES {", ".join("(?, ?)" for _ in SCOPES)})
    SELECT {_COLUMNS} FROM who CROSS JOIN accounts AS a ON a.scope = in_scope AND a.scope_id = id
    WHERE a.until > ? AND a.since <= ? AND a.play = ?"""  # noqa: S608
_STANDING_ON = f"""SELECT ceiling, expected, {_COLUMNS} FROM holds JOIN accounts ON key = account
    WHERE entry = ?"""  # noqa: S608
_WAITING_ON = """SELECT key, unit FROM holds JOIN accounts ON key = account WHERE entry = ? AND "full" = 'wait'"""
_OPEN = """INSERT INTO accounts (amount, spent, held, room, updated_at, key, scope, scope_id, since, until, play, unit,
    "window", "full", models) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_WRITE = "UPDATE accounts SET amount = ?, spent = ?, held = ?, room = ?, updated_at = ? WHERE key = ?"
_STAND = "INSERT INTO holds VALUES (?, ?, ?, ?)"


def covering(db: sqlite3.Connection, entry: Entry) -> dict[str, Standing]:
    """The accounts whose window and scope an entry is in, by key, whatever models they are for."""
    who = [text for scope in SCOPES for text in (scope, getattr(entry, scope))]
    rows = db.execute(_COVERING, (*who, entry.at, entry.at, entry.play)).fetchall()
    return {row[0]: Standing(*row) for row in rows}


def level_of(db: sqlite3.Connection, account: Account, known: Standing | None, now: float) -> Level:
    """How full the account is, refilled up to ``now``; one that is new to the book is opened.

    ``known`` is what the book has of it, where that was read already.
    """
    limit = account.limit
    if limit.window == "call":
        return Level(account)
    found = known or _find(db, account.key)
    if found is None:
        return _open(db, account, now)
    if limit.full == "wait":
        level = Level(account, room=refill(limit, found.room, now - found.updated_at))
    else:
        level = Level(account, found.spent, found.held)
    if now < found.updated_at:
        db.execute(_WRITE, (limit.amount, level.spent, level.held, level.room, now, account.key))
    return level


def lower(db: sqlite3.Connection, key: str, room: float, now: float) -> None:
    """Leave a bucket at most ``room``; one that is not in the book stays out of it."""
    found = _find(db, key)
    if found is not None:
        db.execute(_WRITE, (found.amount, found.spent, found.held, min(found.refilled(now), room), now, key))


def hold(
    db: sqlite3.Connection, entry: Entry, levels: Iterable[Level], known: Mapping[str, Standing], now: float
) -> None:
    """Book the charge of a new entry on the levels it was admitted to and on all others of ``known`` that cover it."""
    stands = {
        level.account.key: (level.account.limit, level.spent, level.held, level.room)
        for level in levels
        if level.account.limit.window != "call"
    }
    for key, found in known.items():
        if key not in stands and found.limit.covers(entry.model):
            stands[key] = found.limit, found.spent, found.held, found.refilled(now)
    holds, rows = [], []
    for key, (limit, spent, held, room) in stands.items():
        ceiling, expected = entry.charge.ceiling.of(limit.unit) or 0, entry.charge.expected.of(limit.unit) or 0
        holds.append((entry.id, key, ceiling, expected))
        if limit.full == "wait":
            rows.append((limit.amount, spent, held, take(limit, room, expected), now, key))
        else:
            rows.append((limit.amount, spent, held + ceiling, room, now, key))
    db.executemany(_STAND, holds)
    db.executemany(_WRITE, rows)


def expect(db: sqlite3.Connection, id: str, use: Amounts, now: float) -> None:
    """Let a held entry stand for another expected use on its buckets."""

    def change(limit: Limit, _: int, expected: int) -> tuple[int, int, int]:
        return 0, 0, expected - (use.of(limit.unit) or 0) if limit.full == "wait" else 0

    _change(db, id, change, now)
    stands = [(use.of(unit) or 0, id, key) for key, unit in db.execute(_WAITING_ON, (id,)).fetchall()]
    db.executemany("UPDATE holds SET expected = ? WHERE entry = ? AND account = ?", stands)


def charge_holds(db: sqlite3.Connection, id: str, used: Charge, now: float) -> None:
    """Replace what a held entry stands for by what it used."""

    def change(limit: Limit, ceiling: int, expected: int) -> tuple[int, int, int]:
        if limit.full == "wait":
            return 0, 0, _freed(limit, used, expected)
        return _truth(limit, used, ceiling), -ceiling, 0

    _change(db, id, change, now)


def correct_charges(db: sqlite3.Connection, id: str, used: Charge, now: float) -> None:
    """Replace the ceiling an unsettled entry was charged at by what it used."""

    def change(limit: Limit, ceiling: int, expected: int) -> tuple[int, int, int]:
        if limit.full == "wait":
            return 0, 0, _freed(limit, used, expected)
        return _truth(limit, used, ceiling) - ceiling, 0, 0

    _change(db, id, change, now)


def charge_at_ceiling(db: sqlite3.Connection, id: str, now: float) -> None:
    """Count what a held entry stands for as spent; a bucket keeps what was taken from it."""
    _change(db, id, lambda limit, ceiling, _: (ceiling, -ceiling, 0) if limit.full == "refuse" else (0, 0, 0), now)


def forget_holds(db: sqlite3.Connection, id: str) -> None:
    """The entry has come to its final end."""
    db.execute("DELETE FROM holds WHERE entry = ?", (id,))


def _change(db: sqlite3.Connection, id: str, change: _Change, now: float) -> None:
    """Change all accounts an entry stands on; a bucket that neither gains nor loses goes on as it was written last."""
    rows = []
    for ceiling, expected, *columns in db.execute(_STANDING_ON, (id,)).fetchall():
        found = Standing(*columns)
        spent, held, room = change(found.limit, ceiling, expected)
        if spent or held or room or now < found.updated_at:
            filled = found.refilled(now) + room
            rows.append((found.amount, found.spent + spent, found.held + held, filled, now, found.key))
    db.executemany(_WRITE, rows)


def _truth(limit: Limit, used: Charge, ceiling: int) -> int:
    amount = used.ceiling.of(limit.unit)
    return ceiling if amount is None else amount


def _freed(limit: Limit, used: Charge, expected: int) -> int:
    amount = used.expected.of(limit.unit)
    return 0 if amount is None or limit.unit == "requests" else expected - amount


def _find(db: sqlite3.Connection, key: str) -> Standing | None:
    row = db.execute(_FIND, (key,)).fetchone()
    return row and Standing(*row)


def _open(db: sqlite3.Connection, account: Account, now: float) -> Level:
    limit = account.limit
    until = math.inf if account.until is None else account.until
    if limit.full == "wait":
        level = Level(account, room=float(limit.amount))
    else:
        level = Level(account, *_earlier(db, account, until))
    standing = (limit.amount, level.spent, level.held, level.room, now, account.key)
    covers = (limit.scope, account.scope_id, account.since, until, account.play)
    db.execute(_OPEN, (*standing, *covers, limit.unit, limit.window, limit.full, limit.models))
    return level


def _earlier(db: sqlite3.Connection, account: Account, until: float) -> tuple[int, int]:
    """What the entries in the window and scope come to, spent and held; those that are open get their holds."""
    held, unit = 0, account.limit.unit
    rows = db.execute(
        f"""SELECT id, model, state, charge_ceiling_{unit}, charge_expected_{unit} FROM entries
            WHERE {entries.OPEN} AND at >= ? AND at < ? AND play = ? AND {account.limit.scope} = ?""",  # noqa: S608
        (account.since, until, account.play, account.scope_id),
    )
    for id, model, state, ceiling, expected in rows.fetchall():
        if account.limit.covers(model):
            db.execute(_STAND, (id, account.key, ceiling or 0, expected or 0))
            held += (ceiling or 0) if state == "held" else 0
    return tallies.spent(db, account), held
