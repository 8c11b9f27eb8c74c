"""What a call that has ended makes its reader look at."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokmagic.core.alarms import long_answer, overrun, warnings_of
from tokmagic.core.book import Entry
from tokmagic.core.limits import Account, Amounts, Charge, Level, Refused, decide
from tokmagic.core.words import parse_limit

DAY = Account(parse_limit("5 usd/day"), "day", "me")
TOKENS = Account(parse_limit("1000 tokens/session for demo/*, warn at 50 %"), "tokens", "me", play=True)
RATE = Account(parse_limit("50 requests/minute"), "rate", "me")
DOLLAR = 10**9


@pytest.mark.parametrize(("before", "after"), [(0, 4 * DOLLAR), (4 * DOLLAR - 1, 4 * DOLLAR), (1, 6 * DOLLAR)])
def test_a_budget_that_passes_its_share_is_warned_of(before: int, after: int) -> None:
    (said,) = warnings_of([Level(DAY, before)], [Level(DAY, after)])
    assert said == f"${after / DOLLAR:.2f} of $5.00/day used ({after * 20 // DOLLAR} %)."


@pytest.mark.parametrize(("before", "after"), [(0, 4 * DOLLAR - 1), (4 * DOLLAR, 5 * DOLLAR), (0, 0)])
def test_a_budget_that_does_not_cross_its_share_is_not(before: int, after: int) -> None:
    assert warnings_of([Level(DAY, before)], [Level(DAY, after)]) == ()


def test_the_share_is_the_limits_own_and_play_money_says_so() -> None:
    assert warnings_of([Level(TOKENS, 499)], [Level(TOKENS, 500)]) == (
        "500 of 1k tokens/session for demo/* used (50 %).",
    )
    play = replace(DAY, play=True)
    assert warnings_of([Level(play)], [Level(play, 5 * DOLLAR)]) == ("$5.00 play of $5.00/day used (100 %).",)


def test_rates_unknown_accounts_and_empty_limits_warn_of_nothing() -> None:
    assert warnings_of([Level(RATE, room=50.0)], [Level(RATE, room=0.0)]) == ()
    assert warnings_of([], [Level(DAY, 5 * DOLLAR)]) == ()
    nothing = Account(parse_limit("0 usd/day"), "nothing", "me")
    assert warnings_of([Level(nothing)], [Level(nothing)]) == ()


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=30))
def test_calls_one_after_the_other_cross_a_share_once(costs: list[int]) -> None:
    spent, said = 0, 0
    for cost in costs:
        said += len(warnings_of([Level(DAY, spent)], [Level(DAY, spent + cost)]))
        spent += cost
    assert said == (1 if spent >= 4 * DOLLAR else 0)


CEILING = Amounts(1, 100, 50, 150, 1_000_000)
ENTRY = Entry("e", "c", 0.0, "demo/claude", charge=Charge(CEILING, CEILING), play=True)


@pytest.mark.parametrize(
    ("used", "said"),
    [
        (CEILING, ""),
        (replace(CEILING, nanousd=1_500_000), "demo/claude cost $0.0015 play, more than the $0.001 play held for it"),
        (replace(CEILING, output_tokens=60), "demo/claude used 60 output tokens, more than the 50 held for it"),
        (replace(CEILING, nanousd=None), ""),
    ],
)
def test_a_call_that_used_more_than_was_held_for_it_is_told_of(used: Amounts, said: str) -> None:
    assert overrun(replace(ENTRY, used=Charge(used, used))).startswith(said)
    assert bool(said) == bool(overrun(replace(ENTRY, used=Charge(used, used))))


def test_a_budget_that_was_passed_refuses_even_what_costs_nothing() -> None:
    passed = Level(DAY, 5 * DOLLAR + 1)
    assert isinstance(decide([passed], Charge(Amounts(requests=1, nanousd=0))), Refused)


@pytest.mark.parametrize(
    ("tokens", "said"),
    [(16_000, ""), (16_001, "16,001 tokens, more than the normal 16,000"), (128_001, "than the extended 128,000")],
)
def test_an_answer_above_the_usual_sizes_is_told_of(tokens: int, said: str) -> None:
    assert said in long_answer(tokens)
    assert bool(said) == bool(long_answer(tokens))
