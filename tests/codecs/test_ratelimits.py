from __future__ import annotations

import pytest

from tokmagic.codecs.ratelimits import RateState, anthropic_headers, duration, openai_headers

NOON = 1_790_000_000.25


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
