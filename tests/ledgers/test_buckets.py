"""Waiting limits, over every ledger: how long, in which order, and what comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tokmagic.core.book import Lessons
from tokmagic.core.limits import Admitted, Amounts, Charge, Refused, Wait

if TYPE_CHECKING:
    from conftest import Desk

RATE = "60 tokens/minute"
REQUESTS = "60 requests/minute"


def seconds(decision: object) -> float:
    assert isinstance(decision, Wait)
    return decision.seconds


def test_a_new_bucket_is_full_and_says_exactly_how_long_it_takes_to_refill(desk: Desk) -> None:
    assert desk.level(RATE).room == 60
    assert desk.reserve(desk.entry(tokens=60), RATE) == Admitted()
    assert seconds(desk.reserve(desk.entry(tokens=30), RATE)) == pytest.approx(30, abs=1e-6)


def test_who_waited_as_long_as_it_was_told_is_admitted(desk: Desk) -> None:
    desk.reserve(desk.entry(tokens=60), RATE)
    entry = desk.entry(tokens=17)
    desk.clock.now += seconds(desk.reserve(entry, RATE))
    assert desk.reserve(entry, RATE) == Admitted()


def test_a_bucket_does_not_overflow(desk: Desk) -> None:
    desk.reserve(desk.entry(tokens=10), RATE)
    desk.clock.now += 3600
    assert desk.level(RATE).room == 60


def test_what_can_never_fit_is_refused_at_once_and_takes_no_place(desk: Desk) -> None:
    refused = desk.reserve(desk.entry(tokens=61), RATE)
    assert isinstance(refused, Refused)
    assert refused.never
    assert desk.level(RATE).ahead == 0


def test_settling_gives_back_what_was_not_used(desk: Desk) -> None:
    entry = desk.entry(tokens=50)
    desk.reserve(entry, RATE)
    desk.settle(entry, tokens=20)
    assert desk.level(RATE).room == 40


def test_settling_above_the_expected_takes_the_bucket_below_zero(desk: Desk) -> None:
    entry = desk.entry(tokens=50)
    desk.reserve(entry, RATE)
    desk.settle(entry, tokens=80)
    assert desk.level(RATE).room == -20
    assert seconds(desk.reserve(desk.entry(tokens=10), RATE)) == pytest.approx(30, abs=1e-6)


def test_a_release_gives_tokens_back_and_keeps_the_request_counted(desk: Desk) -> None:
    entry = desk.entry(tokens=50)
    desk.reserve(entry, RATE, REQUESTS)
    desk.ledger.release(entry)
    assert desk.level(RATE).room == 60
    assert desk.level(REQUESTS).room == 59


def test_settled_requests_stay_counted(desk: Desk) -> None:
    entry = desk.entry()
    desk.reserve(entry, REQUESTS)
    desk.settle(entry)
    assert desk.level(REQUESTS).room == 59


def test_callers_are_served_in_the_order_they_came(desk: Desk) -> None:
    desk.reserve(desk.entry(tokens=60), RATE)
    first, second, third = (desk.entry(tokens=20) for _ in range(3))
    waits = [seconds(desk.reserve(entry, RATE)) for entry in (first, second, third)]
    assert waits == pytest.approx([20, 40, 60], abs=1e-6)
    desk.clock.now += 20
    assert isinstance(desk.reserve(third, RATE), Wait)
    assert isinstance(desk.reserve(desk.entry(tokens=1), RATE), Wait)
    assert desk.reserve(first, RATE) == Admitted()
    desk.clock.now += 20
    assert isinstance(desk.reserve(third, RATE), Wait)
    assert desk.reserve(second, RATE) == Admitted()


def test_a_dead_head_is_skipped_once_its_lease_has_ended(desk: Desk) -> None:
    desk.reserve(desk.entry(tokens=60), RATE)
    desk.reserve(desk.entry(tokens=10), RATE, ticket="dead")
    next_one = desk.entry(tokens=10)
    assert seconds(desk.reserve(next_one, RATE)) == pytest.approx(20, abs=1e-6)
    desk.clock.now += 10
    assert isinstance(desk.reserve(next_one, RATE), Wait)
    desk.clock.now += 5.5
    assert desk.reserve(next_one, RATE) == Admitted()


def test_who_withdraws_is_not_waited_for(desk: Desk) -> None:
    desk.reserve(desk.entry(tokens=60), RATE)
    desk.reserve(desk.entry(tokens=10), RATE, ticket="gone")
    assert desk.level(RATE).ahead == 10
    desk.ledger.withdraw("gone")
    desk.ledger.withdraw("never seen")
    assert desk.level(RATE).ahead == 0


def test_who_waits_for_one_bucket_does_not_block_another(desk: Desk) -> None:
    desk.reserve(desk.entry(tokens=60), RATE, "2 requests/minute")
    assert isinstance(desk.reserve(desk.entry(tokens=60), RATE, "2 requests/minute"), Wait)
    assert desk.reserve(desk.entry(), "2 requests/minute") == Admitted()


def test_callers_that_want_two_buckets_in_crossed_order_do_not_wait_for_each_other(desk: Desk) -> None:
    other = "60 input tokens/minute"
    desk.reserve(desk.entry(tokens=60), RATE)
    first, second = desk.entry(tokens=50), desk.entry(tokens=50)
    assert isinstance(desk.reserve(first, RATE, other), Wait)
    input_only = Amounts(requests=1, input_tokens=60)
    desk.reserve(desk.entry(charge=Charge(input_only, input_only)), other)
    assert isinstance(desk.reserve(second, other, RATE), Wait)
    assert isinstance(desk.reserve(first, RATE, other), Wait)
    desk.clock.now += 50
    assert isinstance(desk.reserve(second, other, RATE), Wait)
    assert desk.reserve(first, RATE, other) == Admitted()


def test_a_clock_that_stepped_back_refills_nothing_and_goes_on_from_there(desk: Desk) -> None:
    desk.reserve(desk.entry(tokens=60), RATE)
    desk.clock.now -= 3600
    assert desk.level(RATE).room == 0
    desk.clock.now += 30
    assert desk.level(RATE).room == pytest.approx(30)


def test_a_ticket_from_before_the_clock_stepped_back_blocks_nobody(desk: Desk) -> None:
    desk.reserve(desk.entry(tokens=60), RATE)
    desk.reserve(desk.entry(tokens=60), RATE, ticket="dead")
    desk.clock.now -= 3600
    desk.level(RATE)
    desk.clock.now += 30
    assert desk.reserve(desk.entry(tokens=30), RATE) == Admitted()


def test_a_call_that_needs_nothing_of_a_bucket_passes_its_debt(desk: Desk) -> None:
    entry = desk.entry(tokens=60)
    desk.reserve(entry, RATE)
    desk.settle(entry, tokens=600)
    assert desk.reserve(desk.entry(tokens=0), RATE) == Admitted()


def test_what_the_provider_says_is_left_lowers_a_bucket_and_never_raises_it(desk: Desk) -> None:
    desk.reserve(desk.entry(tokens=10), RATE)
    key = desk.level(RATE).account.key
    desk.ledger.learn(Lessons(rooms={key: 20.0, "no such account": 1.0}))
    assert desk.level(RATE).room == 20
    desk.ledger.learn(Lessons(rooms={key: 50.0}))
    assert desk.level(RATE).room == 20
