"""Kernels that share one book, each pacing its calls with the book's own code in invented time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from tokmagic.codecs.failures import failure
from tokmagic.codecs.ratelimits import read_rates
from tokmagic.core import learned
from tokmagic.core.accounts import accounts_for
from tokmagic.core.book import Entry, Lessons
from tokmagic.core.errors import ProviderError
from tokmagic.core.expecting import after_refusal, expected_use, revised_use, within
from tokmagic.core.limits import Account, Amounts, Charge, Limit, Wait
from tokmagic.core.models import Model
from tokmagic.core.retries import RetryPolicy
from tokmagic.core.typical import learned_output, note_name, read_typical
from tokmagic.core.units import Scope
from tokmagic.core.usage import Usage
from tokmagic.ledgers import Ledger
from tokmagic.ledgers.memory import MemoryLedger
from tokmagic.queues.gate import Gate
from tokmagic.queues.turns import Turns

from .clock import VirtualLoop
from .service import PER_MINUTE, Call, Refused, Service

MODEL = Model("demo", "claude", "messages")
KEY = "k"
SCOPES: dict[Scope, str] = {"session": "", "notebook": "", "key": KEY, "user": "u", "team": ""}


def stated_limits() -> tuple[Limit, ...]:
    """The service's limits, as a catalogue would state them."""
    return tuple(Limit(n, unit, "minute", "key", "wait", MODEL.name, "provider") for unit, n in PER_MINUTE.items())


@dataclass(frozen=True)
class Ways:
    """How a run differs from the plain one.

    Attributes:
        error: how far an estimate of the input may be off, as a share.
        margin: what is added to it for that, as a share.
        known: whether the limits are known before the first reply.
    """

    error: float = 0.0
    margin: float = 0.0
    known: bool = True


@dataclass
class Kernel:
    """One kernel: a book it shares, a queue and a gate of its own."""

    name: str
    ledger: Ledger
    service: Service
    ways: Ways
    dice: random.Random
    turns: Turns = field(default_factory=Turns)
    gate: Gate = field(default_factory=lambda: Gate(clock=asyncio.get_running_loop().time))

    async def send(self, call: Call) -> bool:
        """Send it as the corridor does: through the gate, reserved, sent, settled; again after a 429."""
        estimate = round(call.input_tokens * self.dice.uniform(1 - self.ways.error, 1 + self.ways.error))
        policy = RetryPolicy()
        for attempt in range(1, policy.attempts + 1):
            try:
                async with self.gate.passage():
                    entry, accounts = await self._reserve(call, attempt, estimate)
                    await self._attempt(call, entry, accounts)
            except ProviderError as error:
                pause = policy.pause(error, attempt, self.dice.random())
                if pause is None:
                    return False
                await asyncio.sleep(pause)
            else:
                return True
        return False

    async def _reserve(self, call: Call, attempt: int, estimate: int) -> tuple[Entry, tuple[Account, ...]]:
        ticket = f"{self.name}-{call.number}"
        with self.turns.place() as place:
            while True:
                accounts = self._accounts()
                entry = self._entry(ticket, attempt, self._expected(call, attempt, estimate, accounts))
                decision = self.ledger.reserve(entry, accounts, ticket)
                if not isinstance(decision, Wait):
                    return entry, accounts
                await place.sleep(decision.seconds)

    async def _attempt(self, call: Call, entry: Entry, accounts: Sequence[Account]) -> None:
        held, stated = entry.charge.expected, Usage(call.input_tokens)

        async def hold(produced: int) -> None:
            nonlocal held
            revised = revised_use("messages", held, stated, produced)
            if revised != held:
                self.ledger.expect(entry.id, revised)
                held = revised
                if produced == 0:
                    self.turns.wake()

        async def started(headers: dict[str, str]) -> None:
            self._learn(entry, headers)
            self.gate.open()
            await hold(0)

        try:
            await self.service.send(call, started, hold)
        except Refused as refused:
            error = failure(429, "", refused.headers | {"retry-after": str(refused.retry_after)})
            self._refused(entry, accounts, error)
            raise error from None
        usage = Usage(call.input_tokens, output_tokens=call.output_tokens)
        used = Amounts(1, usage.input_tokens, usage.output_tokens, usage.total_tokens)
        notes = {note_name(MODEL.name): lambda note: learned_output(note, call.output_tokens)}
        self.ledger.settle(replace(entry, used=Charge(used, used), usage=usage), Lessons(notes))
        self.turns.wake()

    def _learn(self, entry: Entry, headers: dict[str, str]) -> None:
        """Keep what is stated; a limit that is new begins at the level that is stated with it."""
        states, now = read_rates(headers), self._now()
        before = self._accounts()
        self.ledger.learn(learned.learn_rates(MODEL.name, KEY, states, before, entry.at, now))
        new = [account for account in self._accounts() if account not in before]
        if new:
            self.ledger.levels(new)
            self.ledger.learn(learned.learn_rates(MODEL.name, KEY, states, new, entry.at, now))

    def _refused(self, entry: Entry, accounts: Sequence[Account], error: ProviderError) -> None:
        lessons = learned.learn_refusal(MODEL.name, KEY, error, entry.charge.expected, accounts, self._now())
        self.ledger.release(entry, lessons)

    def _entry(self, ticket: str, attempt: int, expected: Amounts) -> Entry:
        now = self._now()
        return Entry(
            id=f"{ticket}-{attempt}", call=ticket, at=now, model=MODEL.name, owner=self.name, lease_until=now + 660,
            key=KEY, user="u", charge=Charge(Amounts(1), expected),
        )  # fmt: skip

    def _expected(self, call: Call, attempt: int, estimate: int, accounts: Sequence[Account]) -> Amounts:
        name = note_name(MODEL.name)
        typical = read_typical(self.ledger.recall(name).get(name, ""))
        use = expected_use("messages", estimate, round(estimate * self.ways.margin), call.max_tokens, typical)
        for _ in range(1, attempt):
            use = after_refusal(use)
        return within(use, estimate, accounts, "messages")

    def _accounts(self) -> tuple[Account, ...]:
        name, now = learned.note_name(KEY, MODEL.name), self._now()
        limits = learned.limits_of(self.ledger.recall(name).get(name, ""), MODEL.name, now)
        catalogue = replace(MODEL, rates=stated_limits() if self.ways.known else ())
        return accounts_for(learned.known_limits(catalogue, limits), MODEL, SCOPES, datetime.fromtimestamp(now, UTC))

    def _now(self) -> float:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        return loop.epoch()


async def kernels(service: Service, count: int, ways: Ways, seed: int) -> list[Kernel]:
    """So many kernels on one book."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    ledger = MemoryLedger(clock=loop.epoch)
    dice = [random.Random(f"{seed} {number}") for number in range(count)]  # noqa: S311
    made = [Kernel(f"k{number}", ledger, service, ways, each) for number, each in enumerate(dice)]
    for kernel in made:
        if ways.known:
            kernel.gate.open()
    return made
