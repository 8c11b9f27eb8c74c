"""What an entry under way is expected to use may change; what a refusal teaches stands after its hold is given back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tokmagic.core.book import Lessons
from tokmagic.core.limits import REACH, Admitted, Amounts, Wait
from tokmagic.core.words import parse_limit

if TYPE_CHECKING:
    from conftest import Desk

RATE = "60 tokens/minute"
BUDGET = "100 tokens/day"


def test_a_running_entry_stands_for_what_it_is_expected_to_use_now(desk: Desk) -> None:
    entry = desk.entry(tokens=10)
    desk.reserve(entry, RATE, BUDGET)
    desk.ledger.expect(entry.id, Amounts(tokens=35))
    assert desk.level(RATE).room == 25
    desk.ledger.expect(entry.id, Amounts(tokens=5))
    assert desk.level(RATE).room == 55
    assert desk.spent_and_held(BUDGET) == (0, 10)


def test_the_truth_replaces_what_was_expected_last(desk: Desk) -> None:
    entry = desk.entry(tokens=10)
    desk.reserve(entry, RATE)
    desk.ledger.expect(entry.id, Amounts(tokens=50))
    desk.settle(entry, tokens=20)
    assert desk.level(RATE).room == 40


def test_an_entry_that_has_ended_or_never_was_expects_nothing(desk: Desk) -> None:
    entry = desk.entry(tokens=10)
    desk.reserve(entry, RATE)
    desk.settle(entry, tokens=10)
    desk.ledger.expect(entry.id, Amounts(tokens=50))
    desk.ledger.expect("another", Amounts(tokens=50))
    assert desk.level(RATE).room == 50


def test_a_level_taught_by_a_refusal_stands_after_its_hold_is_given_back(desk: Desk) -> None:
    entry = desk.entry(tokens=40)
    desk.reserve(entry, RATE)
    desk.ledger.release(entry, Lessons(rooms={desk.account(RATE).key: 5.0}))
    assert desk.level(RATE).room == 5


def test_a_full_bucket_of_the_providers_gains_nothing_before_the_call_has_reached_it(desk: Desk) -> None:
    account = desk.account(RATE)
    limit = parse_limit(RATE, source="provider")
    mirror = type(account)(limit, account.key, account.scope_id)
    first = desk.entry(tokens=60)
    assert desk.ledger.reserve(first, [mirror], first.id) == Admitted()
    decision = desk.ledger.reserve(desk.entry(tokens=30), [mirror], "next")
    assert isinstance(decision, Wait)
    assert decision.seconds == pytest.approx(30 + REACH, abs=1e-6)
