"""Limits and the one decision: what refuses, what waits and for how long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokmagic.core.errors import ConfigurationError
from tokmagic.core.limits import (
    MAX_AMOUNT,
    Account,
    Admitted,
    Amounts,
    Charge,
    Level,
    Limit,
    Refused,
    Wait,
    decide,
    rate,
    refill,
    short,
    show_amount,
)
from tokmagic.core.units import Full, Unit, Window


def limit(amount: int, unit: Unit = "tokens", full: Full = "refuse", window: Window = "minute") -> Limit:
    return Limit(amount, unit, window, "user", full)


def level(
    amount: int, *, spent: int = 0, held: int = 0, room: float = 0.0, ahead: int = 0, full: Full = "refuse"
) -> Level:
    return Level(Account(limit(amount, full=full), f"{full}-{amount}", "u"), spent, held, room, ahead)


def tokens(ceiling: int, expected: int | None = None) -> Charge:
    return Charge(Amounts(tokens=ceiling), Amounts(tokens=ceiling if expected is None else expected))


def test_without_limits_everything_is_admitted() -> None:
    assert decide((), tokens(10**9)) == Admitted()


@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 1000))
def test_a_refusing_limit_admits_exactly_what_fits(amount: int, spent: int, held: int, needed: int) -> None:
    admitted = decide([level(amount, spent=spent, held=held)], tokens(needed)) == Admitted()
    assert admitted == (spent + held + needed <= amount)


def test_a_refusing_limit_reads_the_ceiling_and_a_waiting_one_the_expected() -> None:
    refusing, waiting = level(100), level(100, room=100.0, full="wait")
    assert decide([refusing, waiting], tokens(100, expected=10)) == Admitted()
    assert decide([waiting], tokens(1000, expected=100)) == Admitted()
    assert isinstance(decide([refusing], tokens(101, expected=10)), Refused)


def test_a_refusal_says_whether_it_can_ever_pass() -> None:
    assert decide([level(100, spent=60)], tokens(50)) == Refused(level(100, spent=60), 50, never=False)
    assert decide([level(100)], tokens(101)) == Refused(level(100), 101, never=True)


def test_a_wait_says_exactly_how_long() -> None:
    bucket = level(60, room=10.0, full="wait")
    assert decide([bucket], tokens(25)) == Wait(15.0, bucket, 25)


def test_who_came_earlier_is_served_first() -> None:
    bucket = level(60, room=30.0, ahead=20, full="wait")
    assert decide([bucket], tokens(25)) == Wait(15.0, bucket, 25)


def test_what_a_bucket_can_never_hold_is_refused() -> None:
    bucket = level(60, room=60.0, full="wait")
    assert decide([bucket], tokens(61)) == Refused(bucket, 61, never=True)


def test_a_refusal_comes_before_any_wait_and_the_longest_wait_counts() -> None:
    short_wait, long_wait = level(60, room=59.0, full="wait"), level(61, room=0.0, full="wait")
    decision = decide([short_wait, long_wait], tokens(60))
    assert isinstance(decision, Wait)
    assert decision.level is long_wait
    assert isinstance(decide([short_wait, long_wait, level(10)], tokens(60)), Refused)


def test_a_call_that_needs_nothing_of_a_bucket_does_not_wait_for_it() -> None:
    assert decide([level(60, room=-500.0, ahead=60, full="wait")], tokens(0)) == Admitted()
    assert decide([level(0, room=-5.0, full="wait")], tokens(0)) == Admitted()


def test_an_empty_bucket_that_never_refills_refuses() -> None:
    assert isinstance(decide([level(0, full="wait")], tokens(1)), Refused)


@pytest.mark.parametrize("full", ["refuse", "wait"])
def test_an_unknown_price_is_refused_by_a_money_limit(full: Full) -> None:
    money = Level(Account(limit(10**9, "nanousd", full), "money", "u"), room=1e9)
    unknown = Amounts(nanousd=None)
    assert decide([money], Charge(unknown, unknown)) == Refused(money, None, never=True)


@given(st.integers(1, 10**9), st.floats(0, 1), st.floats(0, 86_400), st.floats(1.6e9, 2.2e9))
def test_who_waits_as_long_as_told_is_admitted(amount: int, fullness: float, idle: float, now: float) -> None:
    bucket = level(amount, room=refill(limit(amount, full="wait"), -amount * fullness, idle), full="wait")
    decision = decide([bucket], tokens(amount))
    if isinstance(decision, Wait):
        waited = (now + decision.seconds) - now
        later = level(amount, room=refill(bucket.account.limit, bucket.room, waited), full="wait")
        assert decide([later], tokens(amount)) == Admitted()


def test_a_bucket_refills_at_its_rate_up_to_its_amount() -> None:
    bucket = limit(60, full="wait")
    assert rate(bucket) == 1.0
    assert refill(bucket, 10.0, 20.0) == 30.0
    assert refill(bucket, -90.0, 30.0) == -60.0
    assert refill(bucket, 10.0, 3600.0) == 60.0


def test_a_clock_that_stepped_back_refills_nothing() -> None:
    assert refill(limit(60, full="wait"), 10.0, -100.0) == 10.0


@pytest.mark.parametrize("amount", [-1, float("nan"), float("inf"), 1.5, True, MAX_AMOUNT + 1, "5", None])
def test_an_amount_that_cannot_be_counted_is_refused(amount: int) -> None:
    with pytest.raises(ConfigurationError, match="use a whole number from 0 to"):
        limit(amount)


@pytest.mark.parametrize("window", ["call", "session", "month", "total"])
def test_a_limit_over_a_window_that_does_not_refill_cannot_wait(window: Window) -> None:
    with pytest.raises(ConfigurationError, match="does not refill: use one of minute, hour, day"):
        limit(10, full="wait", window=window)


def test_what_is_left_is_never_below_zero() -> None:
    assert level(100, spent=60, held=30).left == 10
    assert level(100, spent=160).left == 0
    assert level(100, room=12.9, full="wait").left == 12
    assert level(100, room=-3.0, full="wait").left == 0


def test_a_pattern_covers_models_by_provider_and_name() -> None:
    some = Limit(1, "tokens", "day", "user", "refuse", "anthropic/*")
    assert some.covers("anthropic/claude-sonnet-5-5")
    assert not some.covers("openai/gpt-6-sol")
    assert some.covers("Anthropic/Claude-Opus-5-5")


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (950, "950"),
        (1_234, "1,234"),
        (1_500, "1.5k"),
        (40_000, "40k"),
        (200_000, "200k"),
        (1_500_000, "1.5M"),
        (1_250_000, "1,250k"),
        (20_000_000, "20M"),
    ],
)
def test_numbers_are_short_without_losing_digits(number: int, text: str) -> None:
    assert short(number) == text


def test_limits_say_what_they_are() -> None:
    assert str(Limit(5_000_000_000, "nanousd", "day", "user", "refuse")) == "$5.00/day"
    assert str(Limit(200_000, "input_tokens", "minute", "key", "wait", "a/*")) == "200k input tokens/minute for a/*"
    assert show_amount(50, "requests") == "50 requests"
