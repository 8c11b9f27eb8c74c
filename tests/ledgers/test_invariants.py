"""Whatever happens in whatever order: no hard limit is passed, and the levels are what the entries add up to."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from tokmagic.core.accounts import account_of
from tokmagic.core.book import Entry
from tokmagic.core.limits import Account, Admitted, Amounts, Charge, Wait
from tokmagic.core.words import parse_limit
from tokmagic.ledgers.memory import MemoryLedger

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()
SCOPES = {"session": "s", "user": "u", "key": "k"}
ALWAYS = ("1000 tokens/day", "300 tokens/session for a/*")
SOMETIMES = ("700 tokens/hour", "400 tokens/total for a/*", "5 requests/hour", "900 tokens/day for b/*")
RATE = "240 tokens/minute"


def account(words: str, now: float, user: str = "u") -> Account:
    return account_of(parse_limit(words), False, {**SCOPES, "user": user}, datetime.fromtimestamp(now, UTC))


def naive(entries: tuple[Entry, ...], account: Account) -> tuple[int, int]:
    """What is spent and held on the account, summed from the entries."""
    until = account.until or float("inf")
    counted = [
        entry
        for entry in entries
        if account.since <= entry.at < until
        and account.limit.covers(entry.model)
        and getattr(entry, account.limit.scope) == account.scope_id
        and not entry.play
    ]
    unit = account.limit.unit
    spent = sum(entry.used.ceiling.of(unit) or 0 for entry in counted if entry.state in ("settled", "unsettled"))
    held = sum(entry.charge.ceiling.of(unit) or 0 for entry in counted if entry.state == "held")
    return spent, held


class Book(RuleBasedStateMachine):
    held = Bundle("held")

    def __init__(self) -> None:
        super().__init__()
        self.now = NOON
        self.made = 0
        self.room = 240.0
        self.room_at = NOON
        self.ended: set[str] = set()
        self.ledger = MemoryLedger(clock=lambda: self.now)
        self.ledger.levels([account(words, self.now) for words in (RATE, *ALWAYS)])

    def flow(self, tokens: int) -> None:
        self.room = min(240.0, self.room + max(0.0, self.now - self.room_at) * 4) + tokens
        self.room_at = self.now

    @rule(
        target=held,
        tokens=st.integers(0, 250),
        model=st.sampled_from(["a/x", "b/y"]),
        user=st.sampled_from(["u", "u", "v"]),
        known=st.sets(st.sampled_from(SOMETIMES)),
    )
    def reserve(self, tokens: int, model: str, user: str, known: set[str]) -> object:
        self.made += 1
        amounts = Amounts(requests=1, tokens=tokens)
        entry = Entry(f"e{self.made}", "", self.now, model, session="s", user=user, key="k", lease_until=self.now + 900)
        entry = replace(entry, charge=Charge(amounts, amounts))
        words = [words for words in (RATE, *ALWAYS, *sorted(known)) if parse_limit(words).covers(model)]
        decision = self.ledger.reserve(entry, [account(each, self.now, user) for each in words], entry.id)
        if isinstance(decision, Wait):
            self.ledger.withdraw(entry.id)
        if not isinstance(decision, Admitted):
            return multiple()
        self.flow(-tokens)
        return entry

    @rule(entry=held, part=st.floats(0, 1))
    def settle(self, entry: Entry, part: float) -> None:
        used = Amounts(requests=1, tokens=int(entry.charge.ceiling.tokens * part))
        self.ledger.settle(replace(entry, used=Charge(used, used)))
        self.end(entry, entry.charge.ceiling.tokens - used.tokens)

    @rule(entry=held)
    def release(self, entry: Entry) -> None:
        self.ledger.release(entry)
        self.end(entry, entry.charge.ceiling.tokens)

    @rule(entry=held)
    def lose(self, entry: Entry) -> None:
        self.ledger.settle(replace(entry, state="unsettled"))

    @rule(seconds=st.floats(-30, 2000))
    def wait(self, seconds: float) -> None:
        self.flow(0)
        self.now = max(NOON, self.now + seconds)
        self.flow(0)
        self.ledger.levels([account(RATE, self.now)])

    @rule()
    def sweep(self) -> None:
        self.ledger.sweep()

    def end(self, entry: Entry, freed: int) -> None:
        if entry.id not in self.ended:
            self.ended.add(entry.id)
            self.flow(freed)

    @invariant()
    def hard_limits_hold_and_levels_are_the_sum_of_the_entries(self) -> None:
        entries = self.ledger.entries(most=10_000)
        for words in (*ALWAYS, *SOMETIMES):
            (level,) = self.ledger.levels([account(words, self.now)])
            assert (level.spent, level.held) == naive(entries, level.account), words

    @invariant()
    def the_limits_every_call_knows_are_never_passed(self) -> None:
        for level in self.ledger.levels([account(words, self.now) for words in ALWAYS]):
            assert level.spent + level.held <= level.account.limit.amount

    @invariant()
    def the_bucket_is_what_flowed_in_and_out(self) -> None:
        self.flow(0)
        (level,) = self.ledger.levels([account(RATE, self.now)])
        assert level.room == pytest.approx(min(240.0, self.room), abs=0.01)

    def teardown(self) -> None:
        self.ledger.close()


TestBook = Book.TestCase
TestBook.settings = settings(max_examples=120, stateful_step_count=30, derandomize=True)
