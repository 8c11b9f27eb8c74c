"""The book in an SQLite file, shared by all kernels and processes of a machine.

Each method is one transaction. ``core.limits.decide`` admits; here the levels it reads are brought together, and what
it decided is booked.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from tokmagic.core.book import NOTHING_HELD, NOTHING_LEARNED, Entry, Lessons, State, Total
from tokmagic.core.errors import LedgerError
from tokmagic.core.limits import Account, Admitted, Amounts, Decision, Level, Wait, decide
from tokmagic.core.usage import NOTHING_USED

from . import entries, notes, standings, tallies, tickets
from .files import BookFile
from .sums import at_ceiling

#: What a reservation asks at first: its own state, whether a lease has ended, and whether anybody queues.
_AT_FIRST = """SELECT (SELECT state FROM entries WHERE id = ?),
    EXISTS (SELECT 1 FROM entries WHERE state = 'held' AND lease_until < ?), EXISTS (SELECT 1 FROM tickets)"""


class SQLiteLedger:
    """A ledger in a file.

    Args:
        path: of the book; its folder is made if missing. ``:memory:`` is a book of this process alone.
        clock: seconds of the epoch.

    Raises:
        LedgerError: from here and from every method, in one line; then nothing has happened.
    """

    def __init__(self, path: str | Path, *, clock: Callable[[], float] = time.time) -> None:
        self._file = BookFile(path)
        self._clock = clock

    def reserve(self, entry: Entry, accounts: Sequence[Account], ticket: str) -> Decision:
        """Hold ``entry.charge`` on all accounts, or on none.

        An entry that had to wait into a later window than it began in is dated at that window's start.
        """
        with self._file.sparing_transaction() as db:
            now = self._clock()
            state, expired, queue = db.execute(_AT_FIRST, (entry.id, now)).fetchone()
            if state == "held":
                return Admitted()
            if expired:
                _sweep(db, now)
            if queue:
                tickets.lapse(db, now)
            at = max(entry.at, *(account.since for account in accounts), 0.0)
            held = entry if (entry.state, entry.at) == ("held", at) else replace(entry, state="held", at=at)
            known = standings.covering(db, held)
            levels = tuple(standings.level_of(db, account, known.get(account.key), now) for account in accounts)
            if queue:
                levels = _behind(db, levels, ticket)
            decision = decide(levels, entry.charge)
            if isinstance(decision, Wait):
                tickets.queue(db, ticket, levels, entry.charge, decision.seconds, now)
                return decision
            if queue:
                tickets.leave(db, ticket)
            if isinstance(decision, Admitted):
                entries.insert(db, held)
                standings.hold(db, held, levels, known, now)
            return decision

    def expect(self, id: str, expected: Amounts) -> None:
        """Let a held entry stand for so much on its waiting limits from now on; budgets keep its ceiling."""
        with self._file.sparing_transaction() as db:
            known = entries.state_of(db, id)
            if known is not None and known[0] == "held":
                standings.expect(db, id, expected, self._clock())

    def settle(self, entry: Entry, lessons: Lessons = NOTHING_LEARNED) -> None:
        """Replace the hold by ``entry.used``, or, when ``entry.state`` is ``unsettled``, charge it at its ceiling."""
        with self._file.transaction() as db:
            now = self._clock()
            found = self._as_reserved(db, entry)
            if found is not None:
                _settle(db, *found, now)
            _learn(db, lessons, now)

    def release(self, entry: Entry, lessons: Lessons = NOTHING_LEARNED) -> None:
        """Give the hold back, or the ceiling of an unsettled entry. Its request stays counted in the request rates."""
        with self._file.transaction() as db:
            now = self._clock()
            found = self._as_reserved(db, entry)
            if found is not None:
                _give_back(db, *found, now)
            _learn(db, lessons, now)

    def learn(self, lessons: Lessons) -> None:
        """Keep what was learned apart from any entry. A bucket's room is only ever lowered by it."""
        with self._file.transaction() as db:
            _learn(db, lessons, self._clock())

    def recall(self, prefix: str) -> dict[str, str]:
        """The notes whose name starts with ``prefix``, by name."""
        with self._file.sparing_transaction() as db:
            return notes.recall(db, prefix)

    def withdraw(self, ticket: str) -> None:
        """Give up a place in the queue. Unknown tickets are ignored."""
        with self._file.sparing_transaction() as db:
            tickets.leave(db, ticket)

    def levels(self, accounts: Sequence[Account]) -> tuple[Level, ...]:
        """How full the accounts are now; takes nothing."""
        with self._file.sparing_transaction() as db:
            now = self._clock()
            tickets.lapse(db, now)
            return _behind(db, [standings.level_of(db, account, None, now) for account in accounts], "")

    def entries(
        self, *, since: float = 0.0, until: float | None = None, session: str | None = None, most: int = 1000
    ) -> tuple[Entry, ...]:
        """The newest entries from ``since`` up to, and not at, ``until``; the newest first."""
        with self._file.sparing_transaction() as db:
            return entries.newest(db, since, until, session, most)

    def totals(
        self,
        *,
        since: float = 0.0,
        until: float | None = None,
        session: str | None = None,
        by: Literal["model", "cell", "notebook", "session"] | None = None,
    ) -> tuple[Total, ...]:
        """Sums of what ended from ``since`` up to ``until``, by group; real and play money apart."""
        with self._file.sparing_transaction() as db:
            return tallies.totals(db, since, until, session, by)

    def open_entries(self, prefix: str = "") -> tuple[Entry, ...]:
        """The entries that are held or unsettled and whose id starts with ``prefix``, the oldest first."""
        with self._file.sparing_transaction() as db:
            return entries.still_open(db, prefix)

    def sweep(self) -> int:
        """Charge the holds whose lease ended at their ceiling, marked ``unsettled``; how many there were."""
        with self._file.transaction() as db:
            return _sweep(db, self._clock())

    def close(self) -> None:
        """Let go of files and connections. Closing twice is a no-op."""
        self._file.close()

    def _as_reserved(self, db: sqlite3.Connection, entry: Entry) -> tuple[Entry, State] | None:
        """The entry with the time it is booked at, and its state; None once it has come to its final end."""
        known = entries.state_of(db, entry.id)
        if known is None:
            raise LedgerError(f"the book {self._file.path} has no entry {entry.id}: reserve a call before it ends.")
        state, at = known
        if state not in ("held", "unsettled"):
            return None
        return entry if entry.at == at else replace(entry, at=at), state


def _behind(db: sqlite3.Connection, levels: Iterable[Level], ticket: str) -> tuple[Level, ...]:
    """The levels with what is asked for by those ahead of the ticket."""
    return tuple(
        replace(level, ahead=tickets.ahead(db, level.account.key, ticket))
        if level.account.limit.full == "wait"
        else level
        for level in levels
    )


def _settle(db: sqlite3.Connection, entry: Entry, was: State, now: float) -> None:
    if entry.state == "unsettled":
        _charge_at_ceiling(db, entry, was, now)
    else:
        _charge(db, entry, "settled", was, now)


def _give_back(db: sqlite3.Connection, entry: Entry, was: State, now: float) -> None:
    free = replace(entry, used=NOTHING_HELD, usage=NOTHING_USED, nanousd=0, quality="exact")
    _charge(db, free, "released", was, now)


def _learn(db: sqlite3.Connection, lessons: Lessons, now: float) -> None:
    for name, change in lessons.notes.items():
        notes.revise(db, name, change)
    for key, room in lessons.rooms.items():
        standings.lower(db, key, room, now)


def _charge(db: sqlite3.Connection, entry: Entry, state: State, was: State, now: float) -> None:
    _end(db, entry, state, was, entry.settled_at or now)
    charge = standings.charge_holds if was == "held" else standings.correct_charges
    charge(db, entry.id, entry.used, now)
    standings.forget_holds(db, entry.id)


def _charge_at_ceiling(db: sqlite3.Connection, entry: Entry, was: State, now: float) -> None:
    _end(db, at_ceiling(entry, now), "unsettled", was, now)
    if was == "held":
        standings.charge_at_ceiling(db, entry.id, now)


def _end(db: sqlite3.Connection, entry: Entry, state: State, was: State, at: float) -> None:
    if was == "unsettled":
        tallies.take_out(db, entries.entry_of(db, entry.id))
    entries.end(db, entry, state, at)
    if state != "released":
        tallies.add(db, entry)


def _sweep(db: sqlite3.Connection, now: float) -> int:
    gone = entries.expired(db, now)
    for id in gone:
        _charge_at_ceiling(db, entries.entry_of(db, id), "held", now)
    return len(gone)
