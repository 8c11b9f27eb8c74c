"""Entries and rows: a column is named after its attribute's path, ``usage.input_tokens`` is ``usage_input_tokens``.

An entry is inserted once and ended once. Its ``at``, its charge and who made it never change, because the accounts it
stands on follow from them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any

from tokmagic.core.book import Entry, State
from tokmagic.core.limits import Amounts, Charge
from tokmagic.core.usage import Usage

CHARGES = ("charge.ceiling", "charge.expected", "used.ceiling", "used.expected")
AMOUNTS = fields(Amounts)
SCOPES = ("session", "notebook", "key", "user", "team")


def _paths() -> Iterable[str]:
    for field in fields(Entry):
        if field.name in ("charge", "used"):
            yield from (
                f"{name}.{amount.name}" for name in CHARGES if name.startswith(field.name) for amount in AMOUNTS
            )
        elif field.name == "usage":
            yield from (f"usage.{part.name}" for part in fields(Usage))
        else:
            yield field.name


PATHS = tuple(_paths())
COLUMNS = tuple(path.replace(".", "_") for path in PATHS)
#: What the end of an entry leaves as it was.
LASTING = {"id", "call", "at", "model", "kind", "attempt", "owner", "lease_until", "cell", "thread", "play", *SCOPES}
ENDING = tuple(path for path in PATHS if path not in LASTING and not path.startswith("charge."))

_values = attrgetter(*PATHS)
_how = attrgetter(*ENDING[2:], "id")
_INSERT = f"INSERT INTO entries ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608
_END = f"UPDATE entries SET {', '.join(path.replace('.', '_') + ' = ?' for path in ENDING)} WHERE id = ?"  # noqa: S608
#: The entries of the index over what is open; SQLite uses it where these words stand.
OPEN = "state IN ('held', 'unsettled')"
_SELECT = f"SELECT {', '.join(COLUMNS)} FROM entries"  # noqa: S608


def insert(db: sqlite3.Connection, entry: Entry) -> None:
    """Write a new entry."""
    keep(db, _INSERT, _values(entry))


def end(db: sqlite3.Connection, entry: Entry, state: State, settled_at: float) -> None:
    """Write how an entry ended, and when, whatever it says of these two itself."""
    keep(db, _END, (state, settled_at, *_how(entry)))


def keep(db: sqlite3.Connection, statement: str, values: Sequence[object]) -> sqlite3.Cursor:
    """Run a statement on values, made storable where they are not."""
    try:
        return db.execute(statement, values)
    except UnicodeEncodeError:
        return db.execute(statement, storable(values))


def storable(values: Iterable[object]) -> list[object]:
    """The values as a book can keep them: half a surrogate pair becomes a question mark."""
    return [
        value.encode("utf-8", "replace").decode() if isinstance(value, str) and not value.isascii() else value
        for value in values
    ]


def state_of(db: sqlite3.Connection, id: str) -> tuple[State, float] | None:
    """The state of an entry and when it was reserved, or None where the book has no such entry."""
    row: tuple[State, float] | None = db.execute("SELECT state, at FROM entries WHERE id = ?", (id,)).fetchone()
    return row


def expired(db: sqlite3.Connection, now: float) -> list[str]:
    """The entries that are still held although their lease has ended."""
    rows = db.execute("SELECT id FROM entries WHERE state = 'held' AND lease_until < ?", (now,))
    return [id for (id,) in rows]


def entry_of(db: sqlite3.Connection, id: str) -> Entry:
    """The entry of that id, which the book has."""
    return _entry(db.execute(f"{_SELECT} WHERE id = ?", (id,)).fetchone())


def still_open(db: sqlite3.Connection, prefix: str) -> tuple[Entry, ...]:
    """The entries that are held or unsettled and whose id starts with ``prefix``, the oldest first."""
    rows = db.execute(f"{_SELECT} WHERE {OPEN} AND substr(id, 1, ?) = ? ORDER BY at, rowid", (len(prefix), prefix))
    return tuple(_entry(row) for row in rows)


def ended(db: sqlite3.Connection, since: float, until: float | None, session: str | None) -> Iterator[Entry]:
    """The entries that ended and may have run, one by one."""
    where, values = _where(since, until, session)
    rows = db.execute(f"{_SELECT} WHERE {where} AND state IN ('settled', 'unsettled')", values)
    return (_entry(row) for row in rows)


def newest(
    db: sqlite3.Connection, since: float, until: float | None, session: str | None, most: int
) -> tuple[Entry, ...]:
    """The newest entries, the newest first."""
    where, values = _where(since, until, session)
    rows = db.execute(f"{_SELECT} WHERE {where} ORDER BY at DESC, rowid DESC LIMIT ?", (*values, most))
    return tuple(_entry(row) for row in rows)


def _where(since: float, until: float | None, session: str | None) -> tuple[str, tuple[object, ...]]:
    asked = (("at >= ?", since), ("at < ?", until), ("session = ?", session))
    said = [(words, value) for words, value in asked if value is not None]
    return " AND ".join(words for words, _ in said), tuple(value for _, value in said)


def _entry(row: tuple[Any, ...]) -> Entry:
    return entry_from(dict(zip(PATHS, row, strict=True)))


def entry_from(values: Mapping[str, Any]) -> Entry:
    """The entry whose values by path these are."""
    plain = {path: value for path, value in values.items() if "." not in path}
    plain["play"] = bool(plain["play"])
    ceiling, expected, used_ceiling, used_expected = (_part(values, name, Amounts) for name in CHARGES)
    return Entry(
        charge=Charge(ceiling, expected),
        used=Charge(used_ceiling, used_expected),
        usage=_part(values, "usage", Usage),
        **plain,
    )


def _part(values: Mapping[str, Any], name: str, kind: type[Any]) -> Any:
    return kind(**{field.name: values[f"{name}.{field.name}"] for field in fields(kind)})
