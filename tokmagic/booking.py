"""The book's side of one call: who calls, what each attempt reserves, and how it ends.

Every method is one transaction of the book, blocks, and may be called from any thread. When and how often they are
called is the corridor's affair.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace

from tokmagic import hooks
from tokmagic.core.accounts import accounts_for
from tokmagic.core.book import Entry, Kind
from tokmagic.core.limits import Account, Decision, Limit, Refused, Scope, Wait, decide
from tokmagic.core.planning import CallPlan
from tokmagic.core.settling import Outcome, settle_entry
from tokmagic.parts import Parts

#: Seconds a hold outlives its call's deadline before it counts as a dead owner's.
GRACE = 60.0


@dataclass(slots=True)
class Booking:
    """One call in the book.

    Attributes:
        parts: whose book it is.
        limits: those of the caller; the model's own are added.
        timeout: seconds an attempt may take; its hold lives a little longer.
        key: fingerprint of the key that is sent; empty where it is the process's own.
        id: of the call; also its place in the queue of waiters.
        entries: its attempts as they ended.
        waited: seconds it waited so far, counted by the caller.
    """

    parts: Parts
    limits: list[Limit]
    timeout: float
    cell: str = ""
    notebook: str = ""
    thread: str = ""
    kind: Kind = "call"
    key: str = ""
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    entries: list[Entry] = field(default_factory=list)
    waited: float = 0.0

    def entry(self, plan: CallPlan, attempt: int) -> Entry:
        """A new line of the book for an attempt at the plan."""
        scopes = self._scopes(plan)
        return Entry(
            id=uuid.uuid4().hex,
            call=self.id,
            at=self.parts.clock(),
            model=plan.model.name,
            kind=self.kind,
            attempt=attempt,
            owner=self.parts.epoch,
            session=self.parts.epoch,
            notebook=scopes["notebook"],
            cell=self.cell,
            thread=self.thread,
            user=scopes["user"],
            team=scopes["team"],
            key=scopes["key"],
            charge=plan.charge,
            play=plan.model.play,
            dropped_tokens=sum(cut.tokens for cut in plan.cuts),
        )

    def reserve(self, plan: CallPlan, entry: Entry) -> Decision:
        """Hold the entry's charge, or say what is in the way. Who has to wait keeps its place until ``withdraw``."""
        lease = self.parts.clock() + self.timeout + GRACE
        return self.parts.ledger.reserve(replace(entry, lease_until=lease), self._accounts(plan), self.id)

    def withdraw(self) -> None:
        """Give up the place in the queue."""
        self.parts.ledger.withdraw(self.id)

    def settle(self, plan: CallPlan, entry: Entry, outcome: Outcome, first_token: float | None = None) -> Entry:
        """End the attempt in the book by what arrived of it."""
        counter = self.parts.counter(plan.model)
        ended = settle_entry(replace(entry, waited=self.waited), plan, outcome, counter, self.parts.clock())
        ended = replace(ended, first_token=first_token)
        self.entries.append(ended)
        (self.parts.ledger.release if ended.state == "released" else self.parts.ledger.settle)(ended)
        hooks.ended(ended)
        return ended

    def outlook(self, plan: CallPlan) -> float | None:
        """Seconds the plan would wait now; None if it would be refused. Takes nothing."""
        decision = decide(self.parts.ledger.levels(self._accounts(plan)), plan.charge)
        if isinstance(decision, Refused):
            return None
        return decision.seconds if isinstance(decision, Wait) else 0.0

    def _accounts(self, plan: CallPlan) -> tuple[Account, ...]:
        return accounts_for([*self.limits, *plan.model.rates], plan.model, self._scopes(plan), self.parts.now())

    def _scopes(self, plan: CallPlan) -> dict[Scope, str]:
        scopes = self.parts.scopes(plan.model, self.notebook)
        return {**scopes, "key": self.key or scopes["key"]}
