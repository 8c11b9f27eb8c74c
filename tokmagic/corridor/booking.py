"""The book's side of one call: who calls, what each attempt reserves, what it is charged meanwhile, and how it ends.

A method that asks the book blocks, is one transaction where nothing says otherwise, and may be called from any thread;
``limits_known``, ``has_news``, ``may_come_back``, ``remarks`` and ``may_warn`` ask nothing and take no time. When and
how often they are called is the corridor's affair.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

from tokmagic import hooks
from tokmagic.allowance import Tab, by_tab
from tokmagic.core.accounts import accounts_for
from tokmagic.core.alarms import long_answer, overrun, warnings_of
from tokmagic.core.book import Entry, Kind
from tokmagic.core.errors import LedgerError, RateLimited
from tokmagic.core.events import Started
from tokmagic.core.expecting import after_refusal, expected_use, revised_use, within
from tokmagic.core.learned import UNITS, credible
from tokmagic.core.limits import (
    SHORTEST_WAIT,
    Account,
    Admitted,
    Amounts,
    Decision,
    Level,
    Limit,
    Refused,
    Wait,
    decide,
)
from tokmagic.core.planning import CallPlan
from tokmagic.core.rates import RateState
from tokmagic.core.receipts import kernels_on, why_it_waits
from tokmagic.core.settling import Outcome, settle_entry
from tokmagic.core.units import Scope
from tokmagic.core.usage import Usage
from tokmagic.parts import Parts

#: Seconds a hold outlives its call's deadline before it counts as a dead owner's.
GRACE = 60.0
#: Seconds within which a kernel has to have called to count as one that shares a limit.
LATELY = 60.0


@dataclass(slots=True)
class Booking:
    """One call in the book.

    Attributes:
        parts: whose book it is.
        limits: those of the caller; the provider's own are added.
        timeout: seconds an attempt may take; its hold lives a little longer.
        key: fingerprint of the key that is sent; empty where it is the process's own.
        id: of the call; also its place in the queue of waiters.
        entries: its attempts as they ended.
        waited: seconds it waited so far, counted by the caller.
        refusals: how many of its attempts the provider refused for its rates.
        levels: those the last attempt was admitted to, as they were before.
        said: how its reader was told last that the answer is shorter than was asked for.
        tab: what its limits per call count; other calls that are made for the same one share it.
        who: makes it, scope by scope, by the models that were asked.
        beside: whether calls run beside it that end by themselves, and give back by that what they do not use.
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
    refusals: int = 0
    levels: tuple[Level, ...] = ()
    said: str = ""
    tab: Tab = field(default_factory=Tab)
    who: dict[str, dict[Scope, str]] = field(default_factory=dict)
    beside: Callable[[], bool] = bool

    def entry(self, plan: CallPlan, attempt: int) -> Entry:
        """A new line of the book for an attempt at the plan, charged by what is known now."""
        return self._line(plan, attempt, self._shared(plan))

    def ask(self, plan: CallPlan, attempt: int, asked: Entry | None = None) -> tuple[Entry, Decision]:
        """Reserve for an attempt: the line of the book, new unless it was ``asked`` for before, and what is decided."""
        shared = self._shared(plan)
        entry = self._line(plan, attempt, shared) if asked is None else replace(asked, at=self.parts.clock())
        return entry, self._reserve(plan, entry, shared)

    def reserve(self, plan: CallPlan, entry: Entry) -> Decision:
        """Hold the entry's charge, or say what is in the way. Who has to wait keeps its place until ``withdraw``."""
        return self._reserve(plan, entry, self._shared(plan))

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Count the time that passes inside as waited, unless it is none to speak of."""
        began = self.parts.clock()
        try:
            yield
        finally:
            passed = self.parts.clock() - began
            self.waited += passed if passed > SHORTEST_WAIT else 0.0

    def may_come_back(self, refused: Refused) -> bool:
        """Whether calls beside this one may yet give back what it lacks: then it is refused, and not shortened."""
        level = refused.level
        return level.held > 0 and level.account.limit.window != "call" and self.beside()

    def withdraw(self) -> None:
        """Give up the place in the queue."""
        self.parts.ledger.withdraw(self.id)

    def why_it_waits(self, wait: Wait) -> str:
        """The reason of a wait, with how many kernels share the limit."""
        lately = self.parts.ledger.entries(since=self.parts.clock() - LATELY, most=200)
        return why_it_waits(wait, kernels_on(wait.level.account, lately))

    def limits_known(self, plan: CallPlan) -> bool:
        """Whether anything is known of the provider's own limits, as of the last look."""
        return bool(self.parts.learning.limits(plan.model, self._scopes(plan)["key"]))

    def has_news(self, plan: CallPlan, entry: Entry, outcome: Outcome) -> bool:
        """Whether the start of the reply says what the book does not know: see ``started`` and ``revise``."""
        started = outcome.started
        if started is None:
            return False
        return self._now_expected(plan, entry, outcome) != entry.charge.expected or self.parts.learning.is_news(
            plan.model, entry.key, _rates(plan, started)
        )

    def started(self, plan: CallPlan, entry: Entry, started: Started) -> None:
        """Keep what the reply's start states of the provider's limits, if that is news.

        A new limit gets its account, and that its level, before anybody knows of it.
        """
        learning, rates = self.parts.learning, _rates(plan, started)
        if not learning.is_news(plan.model, entry.key, rates):
            return
        known = {account.key: account for account in self._accounts(plan)}
        limits = [*self.limits, *learning.limits(plan.model, entry.key, rates)]
        accounts = accounts_for(limits, plan.model, self._scopes(plan), self.parts.now())
        new = [account for account in accounts if account.key not in known]
        self.parts.ledger.levels(new)
        learning.stated(plan, entry, rates, known.values(), new, self._beside(entry))

    def revise(self, plan: CallPlan, entry: Entry, outcome: Outcome) -> Entry:
        """Let the running attempt stand for what is known of it by now; a shorter input makes room for others."""
        expected = self._now_expected(plan, entry, outcome)
        if expected == entry.charge.expected:
            return entry
        self.parts.ledger.expect(entry.id, expected)
        return replace(entry, charge=replace(entry.charge, expected=expected))

    def settle(self, plan: CallPlan, entry: Entry, outcome: Outcome, first_token: float | None = None) -> Entry:
        """End the attempt in the book by what arrived of it, with what it taught."""
        told = sum(other.waited for other in self.entries if other.state != "released")
        entry = replace(entry, waited=max(0.0, self.waited - told), first_token=first_token)
        booked = replace(plan, charge=entry.charge)
        ended = settle_entry(entry, booked, outcome, self.parts.counter(plan.model), self.parts.clock())
        self.entries.append(ended)
        for tab in by_tab(self.limits, self.tab):
            tab.end(ended)
        self.refusals += isinstance(outcome.error, RateLimited)
        lessons = self.parts.learning.lessons(plan, ended, outcome, partial(self._accounts, plan))
        (self.parts.ledger.release if ended.state == "released" else self.parts.ledger.settle)(ended, lessons)
        hooks.ended(ended)
        return ended

    def remarks(self) -> tuple[str, ...]:
        """What a reader must look at in the last attempt by itself, a line each."""
        ended = self.entries[-1]
        return tuple(filter(None, (overrun(ended), long_answer(ended.usage.output_tokens))))

    @property
    def may_warn(self) -> bool:
        """Whether the last attempt can have taken a budget past its warning share."""
        used = self.entries[-1].used.ceiling
        return any(_may_warn(level, used) for level in self.levels)

    def warnings(self, plan: CallPlan) -> tuple[str, ...]:
        """The budgets that passed their warning share. The call is settled: it does not fail with this look."""
        if not self.may_warn:
            return ()
        try:
            return warnings_of(self.levels, self.parts.ledger.levels(self._accounts(plan)))
        except LedgerError as error:
            return (f"Whether a budget is near its end could not be seen: {error}",)

    def outlook(self, plan: CallPlan) -> float | None:
        """Seconds the plan would wait now; None if it would be refused. Takes nothing."""
        decision = decide(self.parts.ledger.levels(self._accounts(plan)), self.entry(plan, 1).charge)
        if isinstance(decision, Refused):
            return None
        return decision.seconds if isinstance(decision, Wait) else 0.0

    def _line(self, plan: CallPlan, attempt: int, accounts: Sequence[Account]) -> Entry:
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
            charge=replace(plan.charge, expected=self._expected(plan, accounts)),
            play=plan.model.play,
            dropped_tokens=sum(cut.tokens for cut in plan.cuts),
        )

    def _reserve(self, plan: CallPlan, entry: Entry, shared: Sequence[Account]) -> Decision:
        held = replace(entry, lease_until=self.parts.clock() + self.timeout + GRACE)
        ask: Callable[[], Decision] = partial(self.parts.ledger.reserve, held, shared, self.id)
        for tab, limits in by_tab(self.limits, self.tab).items():
            ask = partial(tab.admit, held, self._accounts_of(plan, limits), ask)
        decision = ask()
        if isinstance(decision, Admitted):
            self.levels = decision.levels
        return decision

    def _beside(self, entry: Entry) -> Amounts:
        """What the other calls of the model that are under way with the same key are expected to use."""
        held = (other for other in self.parts.ledger.open_entries() if other.state == "held" and other.id != entry.id)
        uses = [other.charge.expected for other in held if (other.model, other.key) == (entry.model, entry.key)]
        return Amounts(*(sum(use.of(unit) or 0 for use in uses) for unit in UNITS))

    def _now_expected(self, plan: CallPlan, entry: Entry, outcome: Outcome) -> Amounts:
        stated = outcome.started.usage if outcome.started is not None else None
        return revised_use(plan.model.protocol, entry.charge.expected, stated, outcome.produced)

    def _expected(self, plan: CallPlan, accounts: Sequence[Account]) -> Amounts:
        tokens, protocol = plan.input_tokens, plan.model.protocol
        typical = self.parts.learning.typical(plan.model)
        use = expected_use(protocol, int(tokens), tokens.margin, plan.request.max_tokens, typical)
        for _ in range(self.refusals):
            use = after_refusal(use)
        return within(use, int(tokens), accounts, protocol)

    def _accounts(self, plan: CallPlan) -> tuple[Account, ...]:
        """Those of every limit of the call."""
        return self._shared(plan) + self._accounts_of(plan, (limit for limit in self.limits if limit.window == "call"))

    def _shared(self, plan: CallPlan) -> tuple[Account, ...]:
        """Those in the book; a limit per call has no place there."""
        self.parts.learning.look()
        known = self.parts.learning.limits(plan.model, self._scopes(plan)["key"])
        return self._accounts_of(plan, [*(limit for limit in self.limits if limit.window != "call"), *known])

    def _accounts_of(self, plan: CallPlan, limits: Iterable[Limit]) -> tuple[Account, ...]:
        return accounts_for(limits, plan.model, self._scopes(plan), self.parts.now())

    def _scopes(self, plan: CallPlan) -> dict[Scope, str]:
        """Who calls; the key is looked up once for each model that is asked."""
        name = plan.model.name
        if name not in self.who:
            scopes = self.parts.scopes(plan.model, self.notebook)
            self.who[name] = {**scopes, "key": self.key or scopes["key"]}
        return self.who[name]


def _rates(plan: CallPlan, started: Started) -> tuple[RateState, ...]:
    """What the reply's start states of its limits, as far as the call does not refute it."""
    return credible(started.rates, started.usage or Usage(input_tokens=int(plan.input_tokens)))


def _may_warn(level: Level, used: Amounts) -> bool:
    """Whether the level can have passed its warning share since a call that used so much was admitted."""
    limit = level.account.limit
    share = limit.amount * limit.warn_percent
    most = level.spent + level.held + (used.of(limit.unit) or 0)
    return limit.full == "refuse" and level.spent * 100 < share <= most * 100
