"""The three ledgers do the same, step by step, whatever is asked of them and however the clock goes."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule
from hypothesis.stateful import run_state_machine_as_test as run

from tests.soak import share
from tokmagic.core.accounts import account_of
from tokmagic.core.book import Entry, Lessons
from tokmagic.core.limits import Account, Admitted, Amounts, Charge, Refused, Wait
from tokmagic.core.usage import Usage
from tokmagic.core.words import parse_limit
from tokmagic.ledgers import Ledger
from tokmagic.ledgers.memory import MemoryLedger
from tokmagic.ledgers.redis import RedisLedger
from tokmagic.ledgers.sqlite import SQLiteLedger

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()
SCOPES = {"notebook": "n", "user": "u", "key": "k", "team": "t"}
WORDS = (
    "1000 tokens/day",
    "300 tokens/session for a/*",
    "5 usd/hour",
    "400 tokens/total for [!b]/*",
    "240 tokens/minute",
    "20 requests/minute",
    "2 usd/call",
    "900 input tokens/minute for ?/x",
)
NAMES = itertools.count()


def plain(decision: object) -> object:
    """A decision as values that can be compared, with times to the microsecond."""
    if isinstance(decision, Wait):
        return ("wait", pytest.approx(decision.seconds, abs=1e-6), decision.needed, decision.level.account.key)
    if isinstance(decision, Refused):
        return ("refused", decision.level.account.key, decision.needed, decision.never, decision.level.left)
    return type(decision)


class Three(RuleBasedStateMachine):
    held = Bundle("held")
    folder: Path
    redis: str

    @initialize()
    def open(self) -> None:
        self.now, self.made = NOON, 0
        name = f"{self.folder.name}-{next(NAMES)}"
        clock = lambda: self.now  # noqa: E731
        self.ledgers: list[Ledger] = [
            MemoryLedger(clock=clock),
            SQLiteLedger(self.folder / name, clock=clock),
            RedisLedger(f"{self.redis}?prefix={name}", clock=clock),
        ]

    def same(self, ask: Callable[[Ledger], Any], seen: Callable[[Any], Any] = lambda answer: answer) -> Any:
        first, *others = (ask(ledger) for ledger in self.ledgers)
        for other in others:
            assert seen(other) == seen(first)
        return first

    def accounts(self, words: set[str], session: str) -> list[Account]:
        when = datetime.fromtimestamp(self.now, UTC)
        scopes = {**SCOPES, "session": session}
        return [account_of(parse_limit(each), False, scopes, when) for each in sorted(words)]

    @rule(
        target=held,
        tokens=st.integers(0, 250),
        price=st.none() | st.integers(0, 3_000_000_000),
        model=st.sampled_from(["a/x", "b/y", "A/[x]"]),
        session=st.sampled_from(["s1", "s2"]),
        call=st.sampled_from(["c1", "c2", "c3"]),
        words=st.sets(st.sampled_from(WORDS)),
        again=st.booleans(),
    )
    def reserve(
        self, tokens: int, price: int | None, model: str, session: str, call: str, words: set[str], again: bool
    ) -> object:
        self.made += 1
        amounts = Amounts(1, tokens // 2, tokens - tokens // 2, tokens, price)
        entry = Entry(
            f"e{self.made}", call, self.now, model, session=session, lease_until=self.now + 900,
            charge=Charge(amounts, replace(amounts, tokens=tokens // 3)), cell=session, waited=tokens / 8, **SCOPES,
        )  # fmt: skip
        accounts = self.accounts({each for each in words if parse_limit(each).covers(model)}, session)
        for _ in range(1 + again):
            decision = self.same(lambda ledger: ledger.reserve(entry, accounts, call), plain)
        return entry if isinstance(decision, Admitted) else multiple()

    @rule(entry=held, part=st.integers(0, 120), priced=st.booleans())
    def settle(self, entry: Entry, part: int, priced: bool) -> None:
        tokens = entry.charge.ceiling.tokens * part // 100
        price = (entry.charge.ceiling.nanousd or 0) * part // 100 if priced else None
        used = Amounts(1, tokens // 2, tokens - tokens // 2, tokens, price)
        done = replace(
            entry, used=Charge(used, used), usage=Usage(tokens // 2, output_tokens=tokens - tokens // 2),
            nanousd=price, quality="exact" if priced else "unknown", error="done",
        )  # fmt: skip
        self.same(lambda ledger: ledger.settle(done))

    @rule(entry=held)
    def release(self, entry: Entry) -> None:
        self.same(lambda ledger: ledger.release(entry))

    @rule(entry=held)
    def lose(self, entry: Entry) -> None:
        self.same(lambda ledger: ledger.settle(replace(entry, state="unsettled", error="lost")))

    @rule(entry=held, tokens=st.integers(0, 300))
    def expect(self, entry: Entry, tokens: int) -> None:
        self.same(lambda ledger: ledger.expect(entry.id, Amounts(1, tokens, 0, tokens, 0)))

    @rule(call=st.sampled_from(["c1", "c2", "c3"]))
    def withdraw(self, call: str) -> None:
        self.same(lambda ledger: ledger.withdraw(call))

    @rule(room=st.integers(-10, 200), word=st.sampled_from("xyz"))
    def learn(self, room: int, word: str) -> None:
        key = self.accounts({WORDS[4]}, "s1")[0].key
        lessons = Lessons(notes={"n": lambda old: old[-20:] + word}, rooms={key: float(room)})
        self.same(lambda ledger: ledger.learn(lessons))

    @rule(seconds=st.sampled_from([-40.0, 0.25, 1.0, 7.5, 61.0, 901.0, 3600.0, 86400.0]))
    def wait(self, seconds: float) -> None:
        self.now = max(NOON, self.now + seconds)

    @rule()
    def sweep(self) -> None:
        self.same(lambda ledger: ledger.sweep())

    @rule(by=st.sampled_from([None, "model", "cell", "session"]), back=st.sampled_from([None, 0, 60, 37, 3600]))
    def report(self, by: Any, back: int | None) -> None:
        since = 0.0 if back is None else self.now // 60 * 60 - back
        self.same(lambda ledger: ledger.totals(since=since, by=by))
        self.same(lambda ledger: ledger.totals(until=since, by=by))
        self.same(lambda ledger: ledger.totals(until=since, session="s1", by=by))
        self.same(lambda ledger: ledger.entries(since=since, session="s2"))

    @invariant()
    def the_books_are_the_same(self) -> None:
        if not hasattr(self, "ledgers"):
            return
        self.same(lambda ledger: [asdict(entry) for entry in ledger.entries()])
        self.same(lambda ledger: ledger.open_entries("e1"))
        self.same(lambda ledger: ledger.recall(""))
        accounts = self.accounts(set(WORDS[:1] + WORDS[4:6]), "s1")
        levels = lambda found: [  # noqa: E731
            (level.spent, level.held, level.ahead, pytest.approx(level.room, abs=1e-6)) for level in found
        ]
        self.same(lambda ledger: ledger.levels(accounts), levels)

    def teardown(self) -> None:
        for ledger in getattr(self, "ledgers", ()):
            ledger.close()


def test_three_ledgers_agree_step_by_step(tmp_path: Path, redis_server: str) -> None:
    machine = type("Books", (Three,), {"folder": tmp_path, "redis": redis_server})
    steps = settings(max_examples=share(3_000, 20), stateful_step_count=30, derandomize=True, print_blob=False)
    run(machine, settings=steps)
