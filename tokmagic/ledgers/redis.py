"""The book on a Redis server, shared by the kernels of many machines.

Each method is one script that runs alone on the server; an entry's id makes it safe to send again when an answer was
lost on the way. The clock is the server's, which all machines share, unless one is given. ``decide`` admits here as it
does in every ledger: the script reads the levels and decides by the same arithmetic, and what it read is decided once
more in Python, for the reason.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, Literal, TypeAlias

from tokmagic.core.book import NOTHING_HELD, NOTHING_LEARNED, Entry, Lessons, Total
from tokmagic.core.errors import LedgerError
from tokmagic.core.limits import Account, Admitted, Amounts, Decision, Level, decide
from tokmagic.core.usage import NOTHING_USED

from .addresses import Address
from .servers import Server
from .sums import add_up, at_ceiling, measures, slot_of, starts_a_slot
from .wire import (
    LARGEST,
    PLACES,
    amounts_of,
    asked_of,
    beginnings,
    charge_of,
    ending_of,
    entry_of,
    expected_of,
    held_of,
    levels_of,
    packed,
    places_of,
    report,
    reservation_of,
    row_of,
    scopes_of,
    text,
)

#: How an entry ends; it has lapsed where its lease has ended.
Ending: TypeAlias = Literal["settled", "released", "unsettled", "lapsed"]

#: Rows of sums are read by so many minutes at once, so that nobody waits long.
PAGE = 500


class RedisLedger:
    """A ledger on a server.

    Args:
        url: ``redis://[user:password@]host[:port][/db][?prefix=name]``, or ``rediss://`` over TLS.
        clock: seconds of the epoch; the server's where it is None.

    Raises:
        ConfigurationError: the URL cannot be used, or it names a file that is missing.
        LedgerError: from here and from every method, in one line; then nothing has happened.
    """

    def __init__(self, url: str, *, clock: Callable[[], float] | None = None) -> None:
        self._address = Address.parse(url)
        self._clock = clock
        self._server = Server(self._address)
        self._notes: dict[str, str] = {}

    def reserve(self, entry: Entry, accounts: Sequence[Account], ticket: str) -> Decision:
        """Hold ``entry.charge`` on all accounts, or on none."""
        at = max(entry.at, *(account.since for account in accounts), 0.0)
        held = entry if entry.at == at and entry.state == "held" else replace(entry, state="held", at=at)
        asked, keys = self._asked(accounts, *amounts_of(entry))
        facts = (text(entry.id), reservation_of(held), text(ticket), text(entry.model))
        answer = b"x"
        while answer in (b"x", b"n"):
            lease = entry.lease_until if self._clock is not None else entry.lease_until - time.time()
            answer = self._run("reserve", self._now(), *facts, held_of(held, lease), asked, *scopes_of(entry), *keys)
            self._make_way(answer, accounts)
        if answer == b"k":
            return Admitted()
        if answer == b"e":
            raise LedgerError(f"the book {self._address} has had the entry {entry.id}: reserve a call once.")
        decision = decide(levels_of(accounts, answer[1:]), entry.charge)
        if isinstance(decision, Admitted) != (answer[:1] == b"a"):
            raise LedgerError(f"the book {self._address} is of another version: use one tokmagic on all machines.")
        return decision

    def expect(self, id: str, expected: Amounts) -> None:
        """Let a held entry stand for so much on its waiting limits from now on; budgets keep its ceiling."""
        self._run("expect", self._now(), text(id), expected_of(expected))

    def settle(self, entry: Entry, lessons: Lessons = NOTHING_LEARNED) -> None:
        """Replace the hold by ``entry.used``, or, when ``entry.state`` is ``unsettled``, charge it at its ceiling."""
        if entry.state == "unsettled":
            self._finish("unsettled", at_ceiling(entry, self._time()), lessons)
        else:
            self._finish("settled", entry if entry.state == "held" else replace(entry, state="settled"), lessons)

    def release(self, entry: Entry, lessons: Lessons = NOTHING_LEARNED) -> None:
        """Give the hold back, or the ceiling of an unsettled entry. Its request stays counted in the request rates."""
        free = replace(entry, used=NOTHING_HELD, usage=NOTHING_USED, nanousd=0, quality="exact", state="released")
        self._finish("released", free, lessons)

    def learn(self, lessons: Lessons) -> None:
        """Keep what was learned apart from any entry. A bucket's room is only ever lowered by it."""
        self._revise("learn", lessons)

    def recall(self, prefix: str) -> dict[str, str]:
        """The notes whose name starts with ``prefix``, by name."""
        found = self._call("HGETALL", "n")
        notes = zip(found[::2], found[1::2], strict=True)
        return {name.decode(): text.decode() for name, text in sorted(notes) if name.decode().startswith(prefix)}

    def withdraw(self, ticket: str) -> None:
        """Give up a place in the queue. Unknown tickets are ignored."""
        self._call("HDEL", "q", ticket)

    def levels(self, accounts: Sequence[Account]) -> tuple[Level, ...]:
        """How full the accounts are now; takes nothing."""
        asked, keys = self._asked(accounts)
        answer = b"n"
        while answer == b"n":
            answer = self._run("levels", self._now(), asked, *keys)
            self._make_way(answer, accounts)
        return levels_of(accounts, answer[1:])

    def entries(
        self, *, since: float = 0.0, until: float | None = None, session: str | None = None, most: int = 1000
    ) -> tuple[Entry, ...]:
        """The newest entries from ``since`` up to, and not at, ``until``; the newest first."""
        return self._read(islice(self._listed(since, until, session, most), most if most >= 0 else None))

    def totals(
        self,
        *,
        since: float = 0.0,
        until: float | None = None,
        session: str | None = None,
        by: Literal["model", "cell", "notebook", "session"] | None = None,
    ) -> tuple[Total, ...]:
        """Sums of what ended from ``since`` up to ``until``, by group; real and play money apart."""
        if not starts_a_slot(since) or not starts_a_slot(until or 0.0):
            single = self.entries(since=since, until=until, session=session, most=-1)
            return add_up((entry for entry in single if entry.state in ("settled", "unsettled")), by)
        end = "+inf" if until is None else f"({slot_of(until)}"
        slots = self._call("ZRANGEBYSCORE", f"slots{_whose(session)}", slot_of(since), end)
        rows = [
            row for start in range(0, len(slots), PAGE) for row in self._run("sums_of", *slots[start : start + PAGE])
        ]
        return report(rows, self._run("spanning"), session, by)

    def open_entries(self, prefix: str = "") -> tuple[Entry, ...]:
        """The entries that are held or unsettled and whose id starts with ``prefix``, the oldest first."""
        found = sorted((float(at), number, id) for id, at, number in self._run("still", text(prefix)))
        return self._read(id for _, _, id in found)

    def sweep(self) -> int:
        """Charge the holds whose lease ended at their ceiling, marked ``unsettled``; how many there were."""
        gone = self._read(self._run("lapsed", self._now()))
        ends = (self._end("lapsed", at_ceiling(entry, self._time()), NOTHING_LEARNED) for entry in gone)
        return sum(answer == b"d" for answer in ends)

    def close(self) -> None:
        """Let go of the connections. Closing twice is a no-op."""
        self._server.close()

    def _finish(self, ending: Ending, entry: Entry, lessons: Lessons) -> None:
        if self._end(ending, entry, lessons) == b"u":
            raise LedgerError(f"the book {self._address} has no entry {entry.id}: reserve a call before it ends.")

    def _end(self, ending: Ending, entry: Entry, lessons: Lessons) -> bytes:
        sums = measures(entry)
        self._check(*sums)
        state = "unsettled" if ending == "lapsed" else ending
        values = ending_of(entry, state, entry.settled_at or self._time())
        used = charge_of(entry.used.ceiling, entry.used.expected)
        place = (text(entry.call), row_of(entry), packed((0, *sums)))
        return self._revise("finish", lessons, text(entry.id), text(ending), values, *place, used)

    def _revise(self, script: str, lessons: Lessons, *parts: bytes) -> bytes:
        """Run a script that keeps lessons, again with the notes as they are now whenever one has changed meanwhile."""
        rooms = [part for key, room in lessons.rooms.items() for part in (text(key), _number(room))]
        while True:
            notes = [(name, self._notes.get(name, "")) for name in lessons.notes]
            revised = [(name, old, lessons.notes[name](old)) for name, old in notes]
            texts = [text(part) for note in revised for part in note]
            answer: bytes = self._run(script, self._now(), *parts, _number(len(lessons.rooms)), *rooms, *texts)
            if not answer.startswith(b"s"):
                self._notes.update((name, new) for name, _, new in revised)
                return answer
            name = answer[1:].decode()
            self._notes[name] = (self._call("HGET", "n", name) or b"").decode()

    def _make_way(self, answer: bytes, accounts: Sequence[Account]) -> None:
        """Do what a script asked for before it can answer: end what has lapsed, or open accounts new to the book."""
        if answer == b"x":
            self.sweep()
        elif answer == b"n":
            self._run("begin", self._now(), PLACES, *beginnings(accounts))

    def _asked(self, accounts: Sequence[Account], *amounts: int) -> tuple[bytes, tuple[bytes, ...]]:
        asked, keys, most = asked_of(tuple(accounts))
        self._check(most, *amounts)
        return asked, keys

    def _run(self, script: str, *parts: bytes) -> Any:
        return self._server.run(script, *parts)

    def _call(self, command: str, key: str, *values: str | bytes | int) -> Any:
        return self._server.call(command, key, *values)

    def _listed(self, since: float, until: float | None, session: str | None, most: int) -> Iterator[bytes]:
        """The ids of the entries from ``since`` up to ``until``, the newest first; read until there are ``most``."""
        whose = _whose(session)
        enough = _number(most if most >= 0 else math.inf)
        end = "+inf" if until is None else str(slot_of(until))
        while slots := self._call("ZREVRANGEBYSCORE", f"slots{whose}", end, slot_of(since), "LIMIT", 0, PAGE):
            listed = self._run("listed", enough, text(whose), *slots)
            for places in listed:
                yield from (id for at, id in places_of(places) if at >= since and (until is None or at < until))
            end = f"({slots[len(listed) - 1].decode()}"

    def _read(self, ids: Iterable[bytes]) -> tuple[Entry, ...]:
        found: list[Entry] = []
        ids = iter(ids)
        while page := tuple(islice(ids, PAGE)):
            found += map(entry_of, self._call("HMGET", "e", *page), self._call("HMGET", "x", *page))
        return tuple(found)

    def _now(self) -> bytes:
        return b"" if self._clock is None else _number(self._clock())

    def _time(self) -> float:
        return time.time() if self._clock is None else self._clock()

    def _check(self, *numbers: int) -> None:
        if max(numbers, default=0) > LARGEST:
            raise LedgerError(f"the book {self._address} can keep no such value: {max(numbers):,} is over {LARGEST:,}.")


def _whose(session: str | None) -> str:
    """What the names of keys say of a session."""
    return "" if session is None else text(f":session:{session}").decode()


def _number(value: float) -> bytes:
    return repr(float(value)).encode()
