"""The rows of ``sums`` and ``days`` in a book of SQLite: an ended entry is added to its rows, or taken out of them.

``days`` always equals what its day's rows of ``sums`` add up to; a long time is read from it, but for its two ends.
"""

from __future__ import annotations

import sqlite3
from operator import attrgetter

from tokmagic.core.book import Entry, Total
from tokmagic.core.limits import Account

from . import entries
from .sums import DAILY, DAY, DIMENSIONS, MEASURES, add_up, measures, slot_of, starts_a_slot, total

_ROW = ("slot", *DIMENSIONS)
_FIND = f"SELECT id FROM sums WHERE {' AND '.join(f'{name} = ?' for name in _ROW)}"  # noqa: S608
_MAKE = f"""INSERT INTO sums ({", ".join(_ROW)}, calls, {", ".join(MEASURES)})
    VALUES ({", ".join("?" * len(_ROW))}, {", ".join("0" * (1 + len(MEASURES)))})"""  # noqa: S608
_CHANGE = f"UPDATE sums SET calls = calls + ?, {', '.join(f'{name} = {name} + ?' for name in MEASURES)} WHERE id = ?"  # noqa: S608
_DAILY = f"""INSERT INTO days (day, {", ".join(DAILY)}, calls, {", ".join(MEASURES)})
    VALUES ({", ".join("?" * (2 + len(DAILY) + len(MEASURES)))}) ON CONFLICT DO UPDATE SET
    {", ".join(f"{name} = {name} + excluded.{name}" for name in ("calls", *MEASURES))}"""  # noqa: S608
#: A slot and a day that are not reached.
_NEVER = 2**40
_SUMS = ", ".join(f"sum({name})" for name in MEASURES)
_place = attrgetter(*DIMENSIONS)
_daily_place = attrgetter(*DAILY)


def add(db: sqlite3.Connection, entry: Entry) -> None:
    """Add an entry that ended and may have run."""
    row = _row(db, entry)
    rows = {found for (found,) in db.execute("SELECT sum FROM calls WHERE call = ?", (entry.call,))}
    if row in rows:
        db.execute("UPDATE calls SET entries = entries + 1 WHERE call = ? AND sum = ?", (entry.call, row))
    else:
        db.execute("INSERT INTO calls VALUES (?, ?, 1)", (entry.call, row))
    if rows - {row}:
        db.execute("INSERT OR IGNORE INTO spanning VALUES (?)", (entry.call,))
    _change(db, entry, row, (int(row not in rows), *measures(entry)))


def take_out(db: sqlite3.Connection, entry: Entry) -> None:
    """Take out an entry as it was added."""
    row = _row(db, entry)
    db.execute("UPDATE calls SET entries = entries - 1 WHERE call = ? AND sum = ?", (entry.call, row))
    gone = db.execute("DELETE FROM calls WHERE call = ? AND sum = ? AND entries = 0", (entry.call, row)).rowcount
    _change(db, entry, row, (-gone, *(-amount for amount in measures(entry))))


def totals(
    db: sqlite3.Connection, since: float, until: float | None, session: str | None, by: str | None
) -> tuple[Total, ...]:
    """Sums of what ended and may have run; entries are read only where a bound lies within a row."""
    if not starts_a_slot(since) or not starts_a_slot(until or 0.0):
        return add_up(entries.ended(db, since, until, session), by)
    group = by if by is not None else "''"
    where, values = _where(since, until, session)
    again = db.execute(
        f"""SELECT {group}, play, count(*) - count(DISTINCT call) FROM spanning CROSS JOIN calls USING (call)
            CROSS JOIN sums ON id = sum WHERE {where} GROUP BY 1, 2""",  # noqa: S608
        values,
    )
    twice = {(name, bool(play)): calls for name, play, calls in again}
    if session is None and by not in ("session", "cell"):
        source, values = _daily(since, until)
    else:
        source = f"sums WHERE {where}"
    rows = db.execute(
        f"SELECT {group}, play, sum(calls), {_SUMS} FROM {source} GROUP BY 1, 2 HAVING sum(calls) ORDER BY 1, 2",  # noqa: S608
        values,
    )
    return tuple(
        total(name, bool(play), calls - twice.get((name, bool(play)), 0), sums) for name, play, calls, *sums in rows
    )


def spent(db: sqlite3.Connection, account: Account) -> int:
    """What ended in the window and scope of a refusing limit's account, in its unit."""
    scope = account.limit.scope
    if scope == "session":
        where, values = _where(account.since, account.until, account.scope_id)
        source = f"sums WHERE {where}"
    else:
        source, values = _daily(account.since, account.until)
    rows = db.execute(
        f"SELECT model, sum(spent_{account.limit.unit}) FROM {source} AND play = ? AND {scope} = ? GROUP BY model",  # noqa: S608
        (*values, account.play, account.scope_id),
    )
    return sum(amount for model, amount in rows if account.limit.covers(model))


def _daily(since: float, until: float | None) -> tuple[str, tuple[int, ...]]:
    """What to read from, up to the end of a condition, and its values: whole days, and minutes at their two ends."""
    first, last = slot_of(since), slot_of(until) if until is not None else _NEVER
    days = -(-first // DAY), max(-(-first // DAY), last // DAY)
    columns = ", ".join((*DAILY, "calls", *MEASURES))
    source = f"""(SELECT {columns} FROM days WHERE day >= ? AND day < ?
        UNION ALL SELECT {columns} FROM sums WHERE slot >= ? AND slot < ?
        UNION ALL SELECT {columns} FROM sums WHERE slot >= ? AND slot < ?) WHERE 1"""  # noqa: S608
    return source, (*days, first, min(last, days[0] * DAY), days[1] * DAY, last)


def _where(since: float, until: float | None, session: str | None) -> tuple[str, tuple[object, ...]]:
    asked = (
        ("slot >= ?", slot_of(since) if since else None),
        ("slot < ?", slot_of(until) if until is not None else None),
        ("session = ?", session),
    )
    said = [(words, value) for words, value in asked if value is not None]
    return " AND ".join(("1", *(words for words, _ in said))), tuple(value for _, value in said)


def _change(db: sqlite3.Connection, entry: Entry, row: int, amounts: tuple[int, ...]) -> None:
    db.execute(_CHANGE, (*amounts, row))
    entries.keep(db, _DAILY, (slot_of(entry.at) // DAY, *_daily_place(entry), *amounts))


def _row(db: sqlite3.Connection, entry: Entry) -> int:
    place = (slot_of(entry.at), *_place(entry))
    found = entries.keep(db, _FIND, place).fetchone()
    return int(found[0] if found else entries.keep(db, _MAKE, place).lastrowid or 0)
