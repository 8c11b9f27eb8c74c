"""What one call has come to so far, for the limits per call.

A call can take several attempts, and one that may have run is paid for although another follows; a text that is too
long is sent in parts, several at once. A limit per call bounds all of that together. It needs no place in the book,
for a call is made by one process.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from tokmagic.core.book import Entry
from tokmagic.core.limits import Account, Admitted, Amounts, Charge, Decision, Level, Refused, Unit, decide


class Tab:
    """The attempts of one call: what is held for those under way, and what the others used."""

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


def _sum(amounts: Iterable[Amounts], unit: Unit) -> int:
    return sum(amount.of(unit) or 0 for amount in amounts)
