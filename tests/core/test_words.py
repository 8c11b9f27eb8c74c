"""Limits in words: what they mean, and why bad ones are refused."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokmagic.core.errors import ConfigurationError
from tokmagic.core.limits import Limit
from tokmagic.core.words import UNITS, WINDOWS, parse_limit


@pytest.mark.parametrize(
    ("words", "limit"),
    [
        ("5 usd/day", Limit(5_000_000_000, "nanousd", "day", "user", "refuse")),
        ("$5/day", Limit(5_000_000_000, "nanousd", "day", "user", "refuse")),
        ("$ 0.10 usd / call", Limit(100_000_000, "nanousd", "call", "session", "refuse")),
        ("1,500.25 dollars per month", Limit(1_500_250_000_000, "nanousd", "month", "user", "refuse")),
        ("0.0000000001 usd/day", Limit(1, "nanousd", "day", "user", "refuse")),
        ("1 usd/minute", Limit(1_000_000_000, "nanousd", "minute", "key", "refuse")),
        ("200k tokens/session", Limit(200_000, "tokens", "session", "session", "refuse")),
        ("1.5M input tokens/hour", Limit(1_500_000, "input_tokens", "hour", "user", "refuse")),
        ("1_000 OUTPUT_TOKENS/MINUTE", Limit(1_000, "output_tokens", "minute", "key", "wait")),
        ("50 requests/minute", Limit(50, "requests", "minute", "key", "wait")),
        ("50 calls/total by team", Limit(50, "requests", "total", "team", "refuse")),
        ("0 tokens/day", Limit(0, "tokens", "day", "user", "refuse")),
        (
            "5k tokens/day for anthropic/* by notebook",
            Limit(5000, "tokens", "day", "notebook", "refuse", "anthropic/*"),
        ),
        ("5 usd/day, warn at 60 %", Limit(5_000_000_000, "nanousd", "day", "user", "refuse", warn_percent=60)),
        (
            "5 usd/day warn at 7 % by team for a/*",
            Limit(5 * 10**9, "nanousd", "day", "team", "refuse", "a/*", warn_percent=7),
        ),
        ("5 usd/day warn at 100%", Limit(5_000_000_000, "nanousd", "day", "user", "refuse", warn_percent=100)),
        (
            "9 calls/month for openai/gpt-5*, warn at 1%",
            Limit(9, "requests", "month", "user", "refuse", "openai/gpt-5*", warn_percent=1),
        ),
        (
            "9 usd/total for demo/* by team, warn at 90 %",
            Limit(9_000_000_000, "nanousd", "total", "team", "refuse", "demo/*", warn_percent=90),
        ),
    ],
)
def test_words_mean_a_limit(words: str, limit: Limit) -> None:
    assert parse_limit(words) == limit


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("", "is not a limit: write an amount"),
        ("five usd/day", "is not a limit: write an amount"),
        ("5 usd a day", "is not a limit: write an amount"),
        ("1e5 tokens/day", "is not a limit: write an amount"),
        ("1..2 usd/day", "'1..2' is not a number"),
        ("1,5 usd/day", "'1,5' is not a number"),
        ("12,34 tokens/day", "'12,34' is not a number"),
        ("nan usd/day", "a finite amount of 0 or more"),
        ("inf usd/day", "a finite amount of 0 or more"),
        ("-infinity tokens/day", "a finite amount of 0 or more"),
        ("-1 usd/day", "a finite amount of 0 or more"),
        ("0.5 tokens/day", "whole numbers"),
        ("99999999999999999999 tokens/day", "beyond what the book can count"),
        ("5 usdd/day", "Did you mean usd?"),
        ("5 tokns/day", "Did you mean token?"),
        ("5 eur/day", "the unit 'eur' is not known; use one of usd, tokens"),
        ("5/day", "no unit is named; use one of usd, tokens"),
        ("$5 tokens/day", "$ and 'tokens' are two units"),
        ("5 usd/dya", "Did you mean day?"),
        ("5 usd/fortnight", "the window 'fortnight' is not known; use one of call, minute"),
        ("5 usd", "no window is named"),
        ("5 usd/day by noteboook", "Did you mean notebook?"),
        ("5 usd/day by team by user", "once each"),
        ("5 usd/day for a/* for b/*", "once each"),
        ("5 usd/day for a,b", "for MODELS, by SCOPE or warn at N %"),
        ("5 usd/day for", "for MODELS, by SCOPE or warn at N %"),
        ("5 usd/day, please", "for MODELS, by SCOPE or warn at N %"),
        ("5 usd/day, warn at 0 %", "warn at a whole number of 1 to 100 %, not at '0'"),
        ("5 usd/day, warn at 101 %", "not at '101'"),
        ("5 usd/day, warn at 60.5 %", "not at '60.5'"),
        ("5 usd/day, warn at 60", "is not a limit"),
        ("50 requests/minute, warn at 60 %", "a limit per minute has nothing to warn at"),
        ("1 usd/call, warn at 60 %", "a limit per call has nothing to warn at"),
    ],
)
def test_words_that_cannot_be_used_are_refused_with_the_reason(words: str, why: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        parse_limit(words)
    assert why in str(refused.value)
    assert repr(words) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_window_is_taken_from_the_caller_where_the_words_name_none() -> None:
    assert parse_limit("0.10 usd", window="call").window == "call"
    assert parse_limit("0.10 usd/day", window="call").window == "day"


def test_a_limit_knows_who_set_it() -> None:
    assert parse_limit("5 usd/day", source="config").source == "config"


@given(st.integers(0, 10**9), st.sampled_from(sorted(UNITS)), st.sampled_from(WINDOWS))
def test_every_whole_amount_of_every_unit_and_window_is_a_limit(amount: int, unit: str, window: str) -> None:
    limit = parse_limit(f"{amount:,} {unit}s/{window}")
    assert limit.amount == amount * (10**9 if limit.unit == "nanousd" else 1)
    assert (limit.unit, limit.window) == (UNITS[unit], window)


@given(st.text(max_size=40))
def test_no_text_is_worse_than_refused(words: str) -> None:
    with suppress(ConfigurationError):
        assert parse_limit(words).amount >= 0
