from __future__ import annotations

import json
from pathlib import Path

import pytest

from tokmagic.core.spans import Countdown, show_seconds

SPANS: list[tuple[float, str]] = json.loads(Path(__file__).with_name("spans.json").read_text("utf-8"))


@pytest.mark.parametrize(("seconds", "shown"), SPANS)
def test_a_time_span_is_shown_in_its_two_largest_units(seconds: float, shown: str) -> None:
    assert show_seconds(seconds) == shown


def test_a_countdown_runs_down_to_zero_and_stays_there() -> None:
    countdown = Countdown("resets in ", 100.0, ".")
    assert [countdown.text(at) for at in (90.0, 100.0, 110.0)] == [
        "resets in 10 s.",
        "resets in 0 s.",
        "resets in 0 s.",
    ]
