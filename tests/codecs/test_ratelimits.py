from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokmagic.codecs.failures import failure
from tokmagic.codecs.ratelimits import (
    anthropic_headers,
    duration,
    openai_headers,
    read_duration,
    read_message,
    read_rates,
    retry_after,
)
from tokmagic.core.rates import RateState

NOON = 1_790_000_000.25
DATE = "Mon, 21 Sep 2026 14:13:20 GMT"


def test_anthropics_headers_round_tokens_and_give_times() -> None:
    states = [
        RateState("requests", 50, 49, 1.2),
        RateState("input_tokens", 400_000, 399_456, 0.1),
        RateState("output_tokens", 80_000, 79_100, 60.0),
    ]
    assert anthropic_headers(states, NOON) == {
        "anthropic-ratelimit-requests-limit": "50",
        "anthropic-ratelimit-requests-remaining": "49",
        "anthropic-ratelimit-requests-reset": "2026-09-21T14:13:22Z",
        "anthropic-ratelimit-input-tokens-limit": "400000",
        "anthropic-ratelimit-input-tokens-remaining": "399000",
        "anthropic-ratelimit-input-tokens-reset": "2026-09-21T14:13:21Z",
        "anthropic-ratelimit-output-tokens-limit": "80000",
        "anthropic-ratelimit-output-tokens-remaining": "79000",
        "anthropic-ratelimit-output-tokens-reset": "2026-09-21T14:14:21Z",
        "anthropic-ratelimit-tokens-limit": "80000",
        "anthropic-ratelimit-tokens-remaining": "79000",
        "anthropic-ratelimit-tokens-reset": "2026-09-21T14:14:21Z",
    }


def test_openais_headers_give_durations() -> None:
    assert openai_headers([RateState("requests", 50, 49, 1.2), RateState("tokens", 1000, 10, 360.0)]) == {
        "x-ratelimit-limit-requests": "50",
        "x-ratelimit-remaining-requests": "49",
        "x-ratelimit-reset-requests": "1.2s",
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "10",
        "x-ratelimit-reset-tokens": "6m0s",
    }


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0ms"), (0.02, "20ms"), (0.0001, "1ms"), (1, "1s"), (1.5, "1.5s"), (59.9999, "1m0s"), (360, "6m0s")],
)
def test_a_duration_is_written_as_openai_writes_it(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_what_anthropic_states_is_read_back() -> None:
    states = (
        RateState("requests", 50, 49, 2.0),
        RateState("input_tokens", 400_000, 399_000, 1.0),
        RateState("output_tokens", 80_000, 79_000, 61.0),
    )
    assert read_rates({**anthropic_headers(states, NOON - 0.25), "Date": DATE}) == states


def test_what_openai_states_is_read_back() -> None:
    states = (RateState("requests", 50, 49, 1.2), RateState("tokens", 1000, 10, 360.0))
    assert read_rates(openai_headers(states)) == states


def test_a_service_may_state_the_rest_alone() -> None:
    assert read_rates({"x-ratelimit-remaining-tokens": "900"}) == (RateState("tokens", None, 900),)


def test_anthropics_plain_tokens_count_where_nothing_finer_is_stated() -> None:
    only = {"anthropic-ratelimit-tokens-limit": "1000", "anthropic-ratelimit-tokens-remaining": "10"}
    assert read_rates(only) == (RateState("tokens", 1000, 10),)
    finer = {"anthropic-ratelimit-input-tokens-limit": "500", "anthropic-ratelimit-input-tokens-remaining": "10"}
    assert read_rates(only | finer) == (RateState("input_tokens", 500, 10),)


def test_a_rest_that_was_rounded_above_the_limit_is_the_limit() -> None:
    stated = {"x-ratelimit-limit-tokens": "1500", "x-ratelimit-remaining-tokens": "2000"}
    assert read_rates(stated) == (RateState("tokens", 1500, 1500),)


@pytest.mark.parametrize("nonsense", ["", "-1", "many", "1e3", "nan", "²", "9" * 40, "1.5", "0x10"])
def test_an_amount_that_makes_no_sense_is_passed_over_and_the_rest_counts(nonsense: str) -> None:
    headers = openai_headers([RateState("requests", 50, 49, 1.0), RateState("tokens", 1000, 10, 1.0)])
    assert read_rates(headers | {"x-ratelimit-remaining-tokens": nonsense}) == (RateState("requests", 50, 49, 1.0),)


@given(
    st.dictionaries(
        st.sampled_from([*openai_headers([RateState("tokens", 1, 1, 1.0)]), "date", "retry-after"]), st.text()
    )
)
def test_no_header_is_fatal(headers: dict[str, str]) -> None:
    assert all(state.remaining >= 0 for state in read_rates(headers))
    assert (retry_after(headers) or 0.0) >= 0.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("20ms", 0.02), ("1s", 1.0), ("6m0s", 360.0), ("1h2m3.5s", 3723.5), ("7", 7.0), ("s", None), ("6 m", None)],
)
def test_a_duration_is_read(text: str, seconds: float | None) -> None:
    assert read_duration(text) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after": "Mon, 21 Sep 2026 14:13:50 GMT", "date": DATE}, 30.0),
        ({"retry-after": "Mon, 21 Sep 2026 14:13:00 GMT", "date": DATE}, 0.0),
        ({"retry-after": "Mon, 21 Sep 2026 14:13:50 GMT"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "inf"}, None),
        ({}, None),
    ],
)
def test_how_long_to_wait_is_read_in_each_of_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


def test_a_refusal_without_headers_teaches_by_its_text() -> None:
    text = (
        "Rate limit reached for gpt in organization org-1 on tokens per min (TPM): Limit 10000, Used 8905, "
        "Requested 1512. Please try again in 2.502s. Visit our site to learn more."
    )
    error = failure(429, {"error": {"message": text, "type": "tokens", "code": "rate_limit_exceeded"}}, {})
    assert error.rates == (RateState("tokens", 10_000, 1_095),)
    assert error.retry_after == pytest.approx(2.502)
    assert read_message("on requests per min. Limit: 3 / min. Please try again in 20s.") == ()


def test_a_refusals_headers_are_handed_on() -> None:
    headers = anthropic_headers([RateState("requests", 50, 0, 1.0)], NOON) | {"retry-after": "12"}
    error = failure(429, {"type": "error", "error": {"type": "rate_limit_error", "message": "slow"}}, headers)
    assert (error.rates[0].remaining, error.retry_after) == (0, 12.0)
