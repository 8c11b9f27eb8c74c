"""Notes: small texts by name, in which the book keeps what replies taught about a model or a key."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable


def recall(db: sqlite3.Connection, prefix: str) -> dict[str, str]:
    """The notes whose name starts with ``prefix``."""
    rows = db.execute("SELECT name, text FROM notes WHERE substr(name, 1, ?) = ?", (len(prefix), prefix))
    return dict(rows.fetchall())


def revise(db: sqlite3.Connection, name: str, change: Callable[[str], str]) -> None:
    """Replace a note by what ``change`` makes of it."""
    row = db.execute("SELECT text FROM notes WHERE name = ?", (name,)).fetchone()
    db.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, change(row[0] if row else "")))
