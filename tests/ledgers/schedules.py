"""Seeded schedules of calls that overlap, wait, crash, lose their answers and see their clocks step.

After every step what was truly spent, or may have been, is within each budget, and what a rate let through within its
bucket and its refill. At the end, when every lease is over, nothing is held and nobody queues, and each budget counts
the truth of every call that was heard of and the worst case of every other.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from random import Random

from tests.soak import naming
from tokmagic.core.accounts import account_of
from tokmagic.core.book import Entry
from tokmagic.core.limits import SHORTEST_WAIT, Account, Admitted, Amounts, Charge, Wait, rate
from tokmagic.core.words import parse_limit
from tokmagic.ledgers.memory import MemoryLedger

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()
BUDGETS = ("1000 tokens/day", "600 tokens/session", "400 tokens/hour", "1500 tokens/total")
RATE = parse_limit("300 input_tokens/minute")
LIMITS = (*map(parse_limit, BUDGETS), RATE)
LEASE = 600.0
#: Schedules that share one book, each with a user of its own: few enough that none reads much of the others.
PER_BOOK = 40
STEPS = 16


@dataclass
class Call:
    """What it truly uses, and how long its kernel would wait for its turn."""

    entry: Entry
    truth: int
    seconds: float = 0.0
    accounts: tuple[Account, ...] = ()
    over: bool = False

    @property
    def ceiling(self) -> int:
        return self.entry.charge.ceiling.tokens


@dataclass
class Schedule:
    """One seed's course of events; ``truths`` is what the calls on each account truly use."""

    seed: int
    book: MemoryLedger
    clock: list[float]
    sent: list[Call] = field(default_factory=list)
    waiting: list[Call] = field(default_factory=list)
    accounts: dict[str, Account] = field(default_factory=dict)
    truths: Counter[str] = field(default_factory=Counter)
    let_through: int = 0
    forward: float = 0.0
    latest: float = NOON
    counts: Counter[str] = field(default_factory=Counter)

    def run(self) -> Counter[str]:
        random = Random(self.seed)  # noqa: S311
        for step in range(STEPS):
            random.choice(ACTS)(self, random, step)
            self.check_budgets()
            self.check_rate()
        self.clock[0] = self.latest + 2 * LEASE
        self.book.sweep()
        self.check_end()
        return self.counts

    def begin(self, random: Random, step: int) -> None:
        """A new call asks for its reservation."""
        ceiling = random.randrange(300)
        amounts = Amounts(requests=1, input_tokens=ceiling, tokens=ceiling)
        id, who = f"{self.seed}-{step}", {"session": f"s{self.seed}", "user": f"u{self.seed}", "key": f"k{self.seed}"}
        entry = Entry(id, id, 0.0, "m", charge=Charge(amounts, amounts), **who)
        self.ask(random, Call(entry, random.randint(0, ceiling)))

    def ask(self, random: Random, call: Call) -> None:
        """Reserve, once more where the answer to that was lost; one that has to wait queues."""
        now = self.clock[0]
        scopes = {"session": call.entry.session, "user": call.entry.user, "key": call.entry.key}
        accounts = tuple(account_of(limit, False, scopes, datetime.fromtimestamp(now, UTC)) for limit in LIMITS)
        call.entry, call.accounts = replace(call.entry, at=now, lease_until=now + LEASE), accounts
        for _ in range(random.choice((1, 1, 2))):
            decision = self.book.reserve(call.entry, accounts, call.entry.id)
        self.counts[type(decision).__name__] += 1
        if isinstance(decision, Admitted):
            self.sent.append(call)
            self.accounts |= {account.key: account for account in accounts}
            self.truths.update(dict.fromkeys((account.key for account in accounts), call.truth))
            self.let_through += call.ceiling
        elif isinstance(decision, Wait):
            call.seconds = decision.seconds
            self.waiting.append(call)

    def ask_again(self, random: Random, _: int) -> None:
        """A call that waits asks again, in time or too early; or it gives up, or dies in the queue."""
        if self.waiting:
            call = self.waiting.pop(random.randrange(len(self.waiting)))
            fate = random.choice(("in time", "in time", "early", "gives up", "dies"))
            if fate == "in time":
                self.turn_clock(call.seconds)
            if fate in ("in time", "early"):
                self.ask(random, call)
            elif fate == "gives up":
                self.book.withdraw(call.entry.id)

    def answer(self, random: Random, _: int) -> None:
        """The answer of a call comes, once or twice, perhaps after its lease."""
        if self.sent:
            call = random.choice(self.sent)
            used = Amounts(requests=1, input_tokens=call.truth, tokens=call.truth)
            for _ in range(random.choice((1, 2))):
                self.book.settle(replace(call.entry, used=Charge(used, used)))
            self.end(call)
            self.counts["answers"] += 1

    def lose(self, random: Random, _: int) -> None:
        """The answer of a call is lost; perhaps it is known later."""
        if self.sent:
            self.book.settle(replace(random.choice(self.sent).entry, state="unsettled"))
            self.counts["lost"] += 1

    def crash(self, random: Random, _: int) -> None:
        """A kernel dies with its calls: nothing more is heard of them before their leases end."""
        self.turn_clock(random.choice((0.0, LEASE + 1)))
        self.counts["crashes"] += 1

    def give_back(self, random: Random, _: int) -> None:
        """A call surely did not run."""
        waiting = [call for call in self.sent if not call.over]
        if waiting:
            call = random.choice(waiting)
            self.truths.subtract(dict.fromkeys((account.key for account in call.accounts), call.truth))
            call.truth = 0
            self.book.release(call.entry)
            self.end(call)

    def step_clock(self, random: Random, _: int) -> None:
        self.turn_clock(random.choice((-7200.0, -60.0, 0.5, 30.0, 3600.0, 40_000.0)))
        self.counts["steps"] += 1

    def turn_clock(self, seconds: float) -> None:
        self.clock[0] += seconds
        self.forward += max(seconds, 0.0)
        self.latest = max(self.latest, self.clock[0])

    def end(self, call: Call) -> None:
        if not call.over:
            self.let_through -= call.ceiling - call.truth
        call.over = True

    def check_budgets(self) -> None:
        for key, truth in self.truths.items():
            limit = self.accounts[key].limit
            assert limit.full == "wait" or truth <= limit.amount, f"overspent {key}: {truth:,} of {limit}"

    def check_rate(self) -> None:
        most = RATE.amount + rate(RATE) * (self.forward + STEPS * SHORTEST_WAIT)
        assert self.let_through <= most, f"let {self.let_through:,} through, more than {RATE} allows"

    def check_end(self) -> None:
        worst: Counter[str] = Counter()
        for call in self.sent:
            most = call.truth if call.over else call.ceiling
            worst.update(dict.fromkeys((account.key for account in call.accounts), most))
        for level in self.book.levels(tuple(self.accounts.values())):
            key, limit = level.account.key, level.account.limit
            assert (level.held, level.ahead) == (0, 0), f"leaked a hold or a place on {key}: {level}"
            if limit.full == "wait":
                assert level.room == limit.amount, f"{key} is not full again: {level}"
            else:
                assert self.truths[key] <= level.spent == worst[key] <= limit.amount, f"miscounted {key}: {level}"


ACTS = (
    *(Schedule.begin, Schedule.begin, Schedule.begin, Schedule.answer, Schedule.answer, Schedule.ask_again),
    *(Schedule.lose, Schedule.crash, Schedule.give_back, Schedule.step_clock),
)


def run_schedules(seeds: range) -> Counter[str]:
    """Run them, some over each book; what happened in them."""
    counts: Counter[str] = Counter()
    clock = [NOON]
    for first in range(seeds.start, seeds.stop, PER_BOOK):
        book = MemoryLedger(clock=lambda: clock[0])
        for seed in range(first, min(first + PER_BOOK, seeds.stop)):
            clock[0] = NOON
            with naming(seed):
                counts.update(Schedule(seed, book, clock).run())
        book.close()
    return counts
