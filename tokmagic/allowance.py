"""What a call may still use of its limits per call, and what a run of tools may, with all that its tools send.

A call can take several attempts, and one that may have run is paid for although another follows; a text that is too
long is sent in parts, several at once; a run takes several calls, and its tools may send more beside them. A limit per
call bounds all of that together. It needs no place in the book, for a call and a run are made by one process.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, fields

from tokmagic.core.book import Entry
from tokmagic.core.limits import Account, Admitted, Amounts, Charge, Decision, Level, Limit, Refused, decide
from tokmagic.core.units import Unit


class Tab:
    """Attempts that are bounded together: what is held for those under way, and what the others used."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[str, Amounts] = {}
        self._spent: list[Amounts] = []

    def admit(self, entry: Entry, own: Iterable[Account], ask: Callable[[], Decision]) -> Decision:
        """What ``ask`` decides, unless one of the limits per call refuses first.

        Args:
            entry: of the attempt that is to be reserved.
            own: the accounts of the limits per call.
            ask: reserves it under all other limits.
        """
        with self._lock:
            verdict = decide([self._level(account) for account in own], Charge(entry.charge.ceiling))
            decision = verdict if isinstance(verdict, Refused) else ask()
            if isinstance(decision, Admitted):
                self._held[entry.id] = entry.charge.ceiling
        return decision

    def end(self, entry: Entry) -> None:
        """The attempt has ended: from now on it stands for what it used."""
        with self._lock:
            self._held.pop(entry.id, None)
            if entry.state != "released":
                self._spent.append(entry.used.ceiling)

    def _level(self, account: Account) -> Level:
        unit = account.limit.unit
        return Level(account, spent=_sum(self._spent, unit), held=_sum(self._held.values(), unit))


@dataclass(frozen=True, slots=True)
class RunLimit(Limit):
    """A limit per call that bounds all calls of a run together; it comes with what they have come to."""

    tab: Tab = field(default_factory=Tab, compare=False)


@dataclass(frozen=True, slots=True)
class Allowance:
    """The limits of one run.

    Attributes:
        shared: those of its client, which each call obeys by itself.
        own: those of the run; those per call are ``RunLimit``.
    """

    shared: Sequence[Limit]
    own: Sequence[Limit]


def allowance(shared: Sequence[Limit], own: Sequence[Limit]) -> Allowance:
    """That of a run that begins."""
    tab = Tab()
    return Allowance(shared, [_together(limit, tab) for limit in own])


_around: ContextVar[Allowance | None] = ContextVar("tokmagic_allowance", default=None)


@contextmanager
def inside(allowance: Allowance) -> Iterator[None]:
    """Calls that are made in the block, in this thread or task, obey the allowance too."""
    token = _around.set(allowance)
    try:
        yield
    finally:
        _around.reset(token)


def limits_around() -> list[Limit]:
    """The limits of the run whose tool is at work here; none outside of one."""
    allowance = _around.get()
    return [*allowance.shared, *allowance.own] if allowance is not None else []


def by_tab(limits: Iterable[Limit], own: Tab) -> dict[Tab, list[Limit]]:
    """The limits per call by what they look at: the call's own tab first, then those of the runs it is made for."""
    found: dict[Tab, list[Limit]] = {own: []}
    for limit in limits:
        if limit.window == "call":
            found.setdefault(limit.tab if isinstance(limit, RunLimit) else own, []).append(limit)
    return found


def _together(limit: Limit, tab: Tab) -> Limit:
    if limit.window != "call" or isinstance(limit, RunLimit):
        return limit
    return RunLimit(**{each.name: getattr(limit, each.name) for each in fields(Limit)}, tab=tab)


def _sum(amounts: Iterable[Amounts], unit: Unit) -> int:
    return sum(amount.of(unit) or 0 for amount in amounts)
