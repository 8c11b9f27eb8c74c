"""When to try again."""

from __future__ import annotations

import pytest

from tokmagic.core.errors import AuthenticationFailed, Overloaded, ProviderError, RateLimited, StreamBroken
from tokmagic.core.retries import RetryPolicy

POLICY = RetryPolicy(attempts=8, base=0.5, longest=30.0)


@pytest.mark.parametrize("error", [AuthenticationFailed("no"), StreamBroken("half"), ProviderError("what")])
def test_a_final_error_is_not_tried_again(error: ProviderError) -> None:
    assert POLICY.pause(error, 1, 0.0) is None


def test_pauses_double_up_to_the_longest() -> None:
    pauses = [POLICY.pause(Overloaded("busy"), attempt, 0.0) for attempt in range(1, 8)]
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30]


def test_the_last_attempt_is_the_last() -> None:
    policy = RetryPolicy(attempts=2)
    assert policy.pause(Overloaded("busy"), 1, 0.0) == 0.5
    assert policy.pause(Overloaded("busy"), 2, 0.0) is None


def test_jitter_spreads_clients_over_twice_the_pause_at_most() -> None:
    assert POLICY.pause(Overloaded("busy"), 1, 0.5) == 0.75
    assert POLICY.pause(Overloaded("busy"), 1, 0.999) == pytest.approx(1.0, abs=0.001)


def test_what_the_provider_asks_for_is_obeyed_and_never_undercut() -> None:
    asked = RateLimited("slow down", retry_after=7.0)
    assert POLICY.pause(asked, 1, 0.0) == 7.0
    assert POLICY.pause(asked, 5, 0.0) == 7.0
    assert POLICY.pause(asked, 1, 1.0) == 8.75


def test_clients_told_to_return_at_once_spread_like_those_told_nothing() -> None:
    asked = RateLimited("slow down", retry_after=0.02)
    assert [POLICY.pause(asked, attempt, 0.5) for attempt in (1, 2, 3)] == [0.27, 0.52, 1.02]


def test_a_longer_wait_than_anyone_should_wait_unseen_is_final() -> None:
    assert POLICY.pause(RateLimited("tomorrow", retry_after=30.1), 1, 0.0) is None
    assert POLICY.pause(RateLimited("soon", retry_after=30.0), 1, 0.0) == 30.0
