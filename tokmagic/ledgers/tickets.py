"""First come, first served, across processes: a waiting caller has one place, the same before every bucket it lacks.

One order for all buckets, so no two callers can wait for each other. A caller that does not touch a bucket does not
queue for it. A ticket lives by its lease: a caller that has died, or went away, is skipped.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from tokmagic.core.limits import Charge, Level, Wait, decide

#: Seconds a ticket outlives the wait it was given for.
GRACE = 5.0

_PLACE = """SELECT coalesce((SELECT min(place) FROM tickets WHERE ticket = ?),
    (SELECT coalesce(max(place), 0) + 1 FROM tickets))"""


def lapse(db: sqlite3.Connection, now: float) -> None:
    """Drop the tickets whose lease has ended, and those from after ``now``: the clock was set back since."""
    db.execute("DELETE FROM tickets WHERE lease_until < ? OR asked_at > ?", (now, now))


def ahead(db: sqlite3.Connection, key: str, ticket: str) -> int:
    """What callers with an earlier place need of that bucket; a caller without a place comes last."""
    (needed,) = db.execute(
        """SELECT coalesce(sum(needed), 0) FROM tickets WHERE account = ? AND ticket != ?
        AND place < coalesce((SELECT min(place) FROM tickets WHERE ticket = ?), 9e999)""",
        (key, ticket, ticket),
    ).fetchone()
    return int(needed)


def queue(
    db: sqlite3.Connection, ticket: str, levels: Iterable[Level], charge: Charge, seconds: float, now: float
) -> None:
    """Queue before each bucket that lacks room, and keep the places that are taken already."""
    (place,) = db.execute(_PLACE, (ticket,)).fetchone()
    until = now + seconds + GRACE
    db.execute("UPDATE tickets SET asked_at = ?, lease_until = ? WHERE ticket = ?", (now, until, ticket))
    for level in levels:
        verdict = decide((level,), charge)
        if isinstance(verdict, Wait):
            db.execute(
                "INSERT OR REPLACE INTO tickets VALUES (?, ?, ?, ?, ?, ?)",
                (ticket, level.account.key, place, verdict.needed, now, until),
            )


def leave(db: sqlite3.Connection, ticket: str) -> None:
    """Give up the place."""
    db.execute("DELETE FROM tickets WHERE ticket = ?", (ticket,))
