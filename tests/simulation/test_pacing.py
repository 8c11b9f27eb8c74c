"""The provider's limits are met, not hit: 500 calls, 24 at once, against its documented buckets, in invented time.

The calls, the provider and its network are drawn from seeds; what admits is the book's own code.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from .clock import run
from .kernels import Ways, kernels
from .runs import Run, drive
from .service import LOADS, Call, calls

COUNTS = (1, 3)
EXACT = Ways()
ESTIMATED = Ways(error=0.2, margin=0.25)
UNKNOWN = Ways(known=False)


def paced(load: list[Call], count: int, ways: Ways, seed: int) -> Run:
    return run(drive(load, lambda service: kernels(service, count, ways, seed)))


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("load", LOADS)
@pytest.mark.parametrize("seed", range(2))
def test_the_limit_is_used_to_the_full_without_a_refusal_or_a_failure(load: str, count: int, seed: int) -> None:
    sent = calls(load, seed)
    came = paced(sent, count, EXACT, seed)
    assert (came.service.refused, came.failures, came.service.accepted) == (0, 0, 500)
    assert came.service.share_used() >= 0.99
    assert came.largest_p95(sent) <= 1.25 * came.p99


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("seed", [0])
def test_estimates_off_by_a_fifth_with_their_margin_meet_hardly_a_refusal(count: int, seed: int) -> None:
    check_hardly_refused(paced(calls("heavy-tailed", seed), count, ESTIMATED, seed))


@pytest.mark.parametrize("load", LOADS)
@pytest.mark.parametrize("seed", [0])
def test_limits_that_only_replies_state_are_learned_at_once_and_shared(load: str, seed: int) -> None:
    check_hardly_refused(paced(calls(load, seed), 3, UNKNOWN, seed))


def check_hardly_refused(came: Run) -> None:
    assert came.service.refused <= 5
    assert (came.failures, came.service.accepted) == (0, 500)
    assert came.service.share_used() >= 0.99


def pace_anew(seed: int) -> Mapping[str, int]:
    """All of these tests, with loads of their own."""
    for load in LOADS:
        for count in COUNTS:
            test_the_limit_is_used_to_the_full_without_a_refusal_or_a_failure(load, count, seed)
        test_limits_that_only_replies_state_are_learned_at_once_and_shared(load, seed)
    for count in COUNTS:
        test_estimates_off_by_a_fifth_with_their_margin_meet_hardly_a_refusal(count, seed)
    runs = len(LOADS) * len(COUNTS) + len(LOADS) + len(COUNTS)
    return {"runs": runs, "calls": 500 * runs}
