"""Seeded schedules of calls that overlap, crash, lose their answers and see their clocks step.

After every step what was truly spent, or may have been, is within each budget; at the end, when every lease is over,
nothing is held, and each budget counts at least the truth and at most the worst case of what was lost.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from random import Random

from tests.soak import share
from tokmagic.core.accounts import account_of
from tokmagic.core.book import Entry
from tokmagic.core.limits import Account, Admitted, Amounts, Charge
from tokmagic.core.words import parse_limit
from tokmagic.ledgers.memory import MemoryLedger

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()
LIMITS = tuple(map(parse_limit, ("1000 tokens/day", "600 tokens/session", "400 tokens/hour", "1500 tokens/total")))
LEASE = 600.0
#: Schedules that share one book, each with a user of its own, so that most of the time goes into the schedules.
PER_BOOK = 200
STEPS = 16


@dataclass
class Sent:
    """A call that was admitted: what it truly uses, and on which accounts it stands."""

    entry: Entry
    truth: int
    accounts: list[Account]
    over: bool = False


@dataclass
class Schedule:
    """One seed's course of events."""

    seed: int
    book: MemoryLedger
    clock: list[float]
    sent: list[Sent] = field(default_factory=list)

    def run(self) -> None:
        random = Random(self.seed)  # noqa: S311
        for step in range(STEPS):
            act = random.choice(ACTS)
            act(self, random, step)
            self.check_budgets()
        self.clock[0] += 2 * LEASE + 100_000
        self.book.sweep()
        self.check_end()

    def accounts(self) -> list[Account]:
        scopes = {"user": f"u{self.seed}", "session": f"s{self.seed}"}
        now = datetime.fromtimestamp(self.clock[0], UTC)
        return [account_of(limit, False, scopes, now) for limit in LIMITS]

    def begin(self, random: Random, step: int) -> None:
        ceiling = random.randrange(300)
        amounts = Amounts(tokens=ceiling)
        id, now = f"{self.seed}-{step}", self.clock[0]
        entry = Entry(id, id, now, "m", session=f"s{self.seed}", user=f"u{self.seed}", lease_until=now + LEASE)
        entry = replace(entry, charge=Charge(amounts, amounts))
        accounts = self.accounts()
        decisions = [self.book.reserve(entry, accounts, id) for _ in range(random.choice((1, 1, 2)))]
        if isinstance(decisions[-1], Admitted):
            self.sent.append(Sent(entry, random.randint(0, ceiling), accounts))

    def answer(self, random: Random, _: int) -> None:
        """The answer of a call comes, once or twice, perhaps after its lease."""
        if self.sent:
            call = random.choice(self.sent)
            used = Amounts(tokens=call.truth)
            for _ in range(random.choice((1, 2))):
                self.book.settle(replace(call.entry, used=Charge(used, used)))
            call.over = True

    def lose(self, random: Random, _: int) -> None:
        """The answer of a call is lost; perhaps it is known later."""
        if self.sent:
            self.book.settle(replace(random.choice(self.sent).entry, state="unsettled"))

    def crash(self, random: Random, _: int) -> None:
        """A kernel dies with its calls: nothing more is heard of them before their leases end."""
        self.clock[0] += random.choice((0.0, LEASE + 1))

    def give_back(self, random: Random, _: int) -> None:
        """A call surely did not run."""
        waiting = [call for call in self.sent if not call.over]
        if waiting:
            call = random.choice(waiting)
            call.truth, call.over = 0, True
            self.book.release(call.entry)

    def step_clock(self, random: Random, _: int) -> None:
        self.clock[0] += random.choice((-7200.0, -60.0, 0.5, 30.0, 3600.0, 40_000.0))

    def check_budgets(self) -> None:
        for account in {account.key: account for call in self.sent for account in call.accounts}.values():
            truth = sum(call.truth for call in self.sent if account in call.accounts)
            assert truth <= account.limit.amount, f"seed {self.seed} overspent {account.key}"

    def check_end(self) -> None:
        for account in {account.key: account for call in self.sent for account in call.accounts}.values():
            calls = [call for call in self.sent if account in call.accounts]
            truth = sum(call.truth for call in calls)
            worst = sum(call.truth if call.over else call.entry.charge.ceiling.tokens for call in calls)
            (level,) = self.book.levels([account])
            assert level.held == 0, f"seed {self.seed} leaked a hold on {account.key}"
            assert truth <= level.spent == worst <= account.limit.amount, f"seed {self.seed} miscounted {account.key}"


ACTS = (
    *(Schedule.begin, Schedule.begin, Schedule.begin, Schedule.answer, Schedule.answer),
    *(Schedule.lose, Schedule.crash, Schedule.give_back, Schedule.step_clock),
)


def run_schedules(seeds: range) -> int:
    """Run them over one book; how many calls were admitted."""
    clock = [NOON]
    book = MemoryLedger(clock=lambda: clock[0])
    admitted = 0
    for seed in seeds:
        clock[0] = NOON
        schedule = Schedule(seed, book, clock)
        schedule.run()
        admitted += len(schedule.sent)
    book.close()
    return admitted


def test_no_schedule_overspends_a_budget_or_leaks_a_hold() -> None:
    seeds = share(1_000_000, 600)
    admitted = sum(run_schedules(range(first, first + PER_BOOK)) for first in range(0, seeds, PER_BOOK))
    assert admitted > 2 * seeds
