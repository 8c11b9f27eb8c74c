"""How full each account is, kept in the book: what an entry holds, and what its end makes of it.

A level always equals what the entries in the account's window and scope add up to: an account that is new to the book
begins with them, and from then on each entry is booked on every account that covers it, whether its caller knows the
limit or not. Buckets are refilled whenever they are read, and written with the time up to which they are.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from tokmagic.core.book import Entry
from tokmagic.core.limits import Account, Amounts, Charge, Level, Limit, refill, take

from . import entries, tallies
from .entries import SCOPES

_COLUMNS = """key, scope, scope_id, since, until, play, amount, unit, "window", "full", models, spent, held, room,
    updated_at"""
_COVERING = f"""WITH who (in_scope, id) AS (VALUES {", ".join("(?, ?)" for _ in SCOPES)})
    SELECT {_COLUMNS} FROM who CROSS JOIN accounts AS a ON a.scope = in_scope AND a.scope_id = id
    WHERE a.until > ? AND a.since <= ? AND a.play = ?"""  # noqa: S608
_STANDING_ON = f"""SELECT {_COLUMNS}, ceiling, expected FROM holds JOIN accounts ON key = account
    WHERE entry = ?"""  # noqa: S608


def standing(db: sqlite3.Connection, account: Account, now: float) -> Level:
    """How full the account is, refilled up to ``now``; one that is new to the book is opened."""
    if account.limit.window == "call":
        return Level(account)
    row = db.execute("SELECT spent, held, room, updated_at FROM accounts WHERE key = ?", (account.key,)).fetchone()
    if row is None:
        return _open(db, account, now)
    level = _refilled(account, now, *row)
    if now < row[3]:
        write(db, level, now)
    return level


def write(db: sqlite3.Connection, level: Level, now: float) -> None:
    """Keep a level that was refilled up to ``now``."""
    db.execute(
        "UPDATE accounts SET amount = ?, spent = ?, held = ?, room = ?, updated_at = ? WHERE key = ?",
        (level.account.limit.amount, level.spent, level.held, level.room, now, level.account.key),
    )


def lower(db: sqlite3.Connection, key: str, room: float, now: float) -> None:
    """Leave a bucket at most ``room``; one that is not in the book stays out of it."""
    row = db.execute(f"SELECT {_COLUMNS} FROM accounts WHERE key = ?", (key,)).fetchone()  # noqa: S608
    if row is not None:
        level = _level(row, now)
        write(db, replace(level, room=min(level.room, room)), now)


def hold(db: sqlite3.Connection, entry: Entry, levels: Iterable[Level], now: float) -> None:
    """Book the charge of a new entry on the levels it was admitted to and on all others that cover it."""
    asked = {level.account.key: level for level in levels if level.account.limit.window != "call"}
    for level in (*asked.values(), *_others(db, entry, asked, now)):
        unit = level.account.limit.unit
        ceiling, expected = entry.charge.ceiling.of(unit) or 0, entry.charge.expected.of(unit) or 0
        _stand(db, entry.id, level.account, ceiling, expected)
        if level.account.limit.full == "wait":
            write(db, replace(level, room=take(level.account.limit, level.room, expected)), now)
        else:
            write(db, replace(level, held=level.held + ceiling), now)


def expect(db: sqlite3.Connection, id: str, use: Amounts, now: float) -> None:
    """Let a held entry stand for another expected use on its buckets."""
    for level, _, expected in _standing_on(db, id, now):
        amount = use.of(level.account.limit.unit) or 0
        if level.account.limit.full == "wait" and amount != expected:
            write(db, replace(level, room=level.room + expected - amount), now)
            db.execute("UPDATE holds SET expected = ? WHERE entry = ? AND account = ?", (amount, id, level.account.key))


def charge_holds(db: sqlite3.Connection, id: str, used: Charge, now: float) -> None:
    """Replace what a held entry stands for by what it used."""
    for level, ceiling, expected in _standing_on(db, id, now):
        truth = _truth(level, used, ceiling)
        freed = _freed(level, used, expected)
        held = level.held - (ceiling if level.account.limit.full == "refuse" else 0)
        write(db, replace(level, held=held, spent=level.spent + truth, room=level.room + freed), now)


def correct_charges(db: sqlite3.Connection, id: str, used: Charge, now: float) -> None:
    """Replace the ceiling an unsettled entry was charged at by what it used."""
    for level, ceiling, expected in _standing_on(db, id, now):
        spent = level.spent + _truth(level, used, ceiling) - (ceiling if level.account.limit.full == "refuse" else 0)
        write(db, replace(level, spent=spent, room=level.room + _freed(level, used, expected)), now)


def charge_at_ceiling(db: sqlite3.Connection, id: str, now: float) -> None:
    """Count what a held entry stands for as spent; a bucket keeps what was taken from it."""
    for level, ceiling, _ in _standing_on(db, id, now):
        if level.account.limit.full == "refuse":
            write(db, replace(level, held=level.held - ceiling, spent=level.spent + ceiling), now)


def forget_holds(db: sqlite3.Connection, id: str) -> None:
    """The entry has come to its final end."""
    db.execute("DELETE FROM holds WHERE entry = ?", (id,))


def _truth(level: Level, used: Charge, ceiling: int) -> int:
    if level.account.limit.full == "wait":
        return 0
    amount = used.ceiling.of(level.account.limit.unit)
    return ceiling if amount is None else amount


def _freed(level: Level, used: Charge, expected: int) -> int:
    limit = level.account.limit
    if limit.full == "refuse" or limit.unit == "requests":
        return 0
    amount = used.expected.of(limit.unit)
    return 0 if amount is None else expected - amount


def _others(db: sqlite3.Connection, entry: Entry, asked: Iterable[str], now: float) -> list[Level]:
    who = [text for scope in SCOPES for text in (scope, getattr(entry, scope))]
    rows = db.execute(_COVERING, (*who, entry.at, entry.at, entry.play)).fetchall()
    levels = [_level(row, now) for row in rows if row[0] not in asked]
    return [level for level in levels if level.account.limit.covers(entry.model)]


def _standing_on(db: sqlite3.Connection, id: str, now: float) -> list[tuple[Level, int, int]]:
    return [(_level(row, now), *row[-2:]) for row in db.execute(_STANDING_ON, (id,)).fetchall()]


def _level(row: tuple[Any, ...], now: float) -> Level:
    key, scope, scope_id, since, until, play, amount, unit, window, full, models, *standing = row[:15]
    limit = Limit(amount, unit, window, scope, full, models)
    account = Account(limit, key, scope_id, since, None if until == math.inf else until, bool(play))
    return _refilled(account, now, *standing)


def _refilled(account: Account, now: float, spent: int, held: int, room: float, updated_at: float) -> Level:
    if account.limit.full == "wait":
        return Level(account, room=refill(account.limit, room, now - updated_at))
    return Level(account, spent, held)


def _open(db: sqlite3.Connection, account: Account, now: float) -> Level:
    limit = account.limit
    until = math.inf if account.until is None else account.until
    window = (account.since, until, account.play, limit.amount, limit.unit, limit.window, limit.full, limit.models)
    values = (account.key, limit.scope, account.scope_id, *window, 0, 0, float(limit.amount), now)
    db.execute(f"INSERT INTO accounts ({_COLUMNS}) VALUES ({', '.join('?' * len(values))})", values)  # noqa: S608
    if limit.full == "wait":
        return Level(account, room=float(limit.amount))
    level = Level(account, *_earlier(db, account, until))
    write(db, level, now)
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
            _stand(db, id, account, ceiling or 0, expected or 0)
            held += (ceiling or 0) if state == "held" else 0
    return tallies.spent(db, account), held


def _stand(db: sqlite3.Connection, id: str, account: Account, ceiling: int, expected: int) -> None:
    db.execute("INSERT INTO holds VALUES (?, ?, ?, ?)", (id, account.key, ceiling, expected))
