"""The book: where reservations and their settled truth are kept, shared by every cell, thread and kernel.

A ledger counts and inserts; what is admitted is decided by ``core.limits.decide``. Each method is one transaction, may
be called from any thread, and either happens whole or raises ``LedgerError`` and did not happen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from tokmagic.core.book import NOTHING_LEARNED, Entry, Lessons, Total
from tokmagic.core.limits import Account, Amounts, Decision, Level


class Ledger(Protocol):
    """What every ledger does; one contract test runs over all of them."""

    def reserve(self, entry: Entry, accounts: Sequence[Account], ticket: str) -> Decision:
        """Hold ``entry.charge`` on all accounts, or on none.

        ``ticket`` is the caller's place in the queue, the same on every try of one call: a caller that has to wait
        keeps its place, and later callers of the same buckets wait behind it. Admitted and refused callers have none.
        To reserve an entry that is held already takes nothing more, so that a lost answer can be asked for again.
        """

    def expect(self, id: str, expected: Amounts) -> None:
        """Let a held entry stand for so much on its waiting limits from now on; budgets keep its ceiling."""

    def settle(self, entry: Entry, lessons: Lessons = NOTHING_LEARNED) -> None:
        """Replace the hold by ``entry.used``. Settling twice is a no-op; one after the lease ended still counts."""

    def release(self, entry: Entry, lessons: Lessons = NOTHING_LEARNED) -> None:
        """Give the hold back because the attempt surely did not run. Its request stays counted in the request rates."""

    def learn(self, lessons: Lessons) -> None:
        """Keep what was learned apart from any entry. A bucket's room is only ever lowered by it."""

    def recall(self, prefix: str) -> dict[str, str]:
        """The notes whose name starts with ``prefix``, by name."""

    def withdraw(self, ticket: str) -> None:
        """Give up a place in the queue. Unknown tickets are ignored."""

    def levels(self, accounts: Sequence[Account]) -> tuple[Level, ...]:
        """How full the accounts are now; takes nothing."""

    def entries(
        self, *, since: float = 0.0, until: float | None = None, session: str | None = None, most: int = 1000
    ) -> tuple[Entry, ...]:
        """The newest entries from ``since`` up to, and not at, ``until``; the newest first."""

    def totals(
        self,
        *,
        since: float = 0.0,
        until: float | None = None,
        session: str | None = None,
        by: Literal["model", "cell", "notebook", "session"] | None = None,
    ) -> tuple[Total, ...]:
        """Sums of what ended of the entries from ``since`` up to, and not at, ``until``, by group.

        Real and play money are apart, and so is what was released: it is in none of them.
        """

    def open_entries(self, prefix: str = "") -> tuple[Entry, ...]:
        """The entries that are held or unsettled and whose id starts with ``prefix``, the oldest first."""

    def sweep(self) -> int:
        """Charge the holds whose lease ended at their ceiling, marked ``unsettled``; how many there were."""

    def close(self) -> None:
        """Let go of files and connections. Closing twice is a no-op."""
