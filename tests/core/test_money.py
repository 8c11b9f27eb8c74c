"""Money: exact, rounded up, and never 0 when it is not known."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokmagic.core.money import NANO, Cost, Quality, nanousd, show_nanousd, worst


@given(st.decimals(0, 10**6, allow_nan=False, places=15))
def test_dollars_are_rounded_up_to_a_nano_dollar(dollars: Decimal) -> None:
    assert 0 <= nanousd(dollars) - dollars * NANO < 1


@pytest.mark.parametrize(
    ("dollars", "expected"), [(0.1, 100_000_000), ("5", 5 * NANO), ("0.0000000001", 1), (0, 0), ("-1", -NANO)]
)
def test_dollars_are_taken_as_written(dollars: float | str, expected: int) -> None:
    assert nanousd(dollars) == expected


@pytest.mark.parametrize("dollars", [float("nan"), float("inf"), "-inf", "NaN"])
def test_what_is_no_amount_of_money_is_refused(dollars: float | str) -> None:
    with pytest.raises(ValueError, match="is not an amount of money"):
        nanousd(dollars)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "$0.00"),
        (1, "$0.000000001"),
        (3_120_000, "$0.00312"),
        (100_000_000, "$0.10"),
        (123_400_000, "$0.123"),
        (5 * NANO, "$5.00"),
        (1_234 * NANO + 560_000_000, "$1,234.56"),
        (None, "unknown"),
    ],
)
def test_amounts_for_people(amount: int | None, text: str) -> None:
    assert show_nanousd(amount) == text


@given(st.integers(1, 10**13))
def test_an_amount_above_zero_is_never_shown_as_zero(amount: int) -> None:
    assert any(digit in show_nanousd(amount) for digit in "123456789")


def test_quality_and_play_are_shown() -> None:
    assert str(Cost(NANO, "estimated")) == "≈$1.00"
    assert str(Cost(NANO, "at least", play=True)) == "≥$1.00 play"


def test_a_cost_is_dollars_as_a_float_and_nan_when_unknown() -> None:
    assert float(Cost(NANO // 2)) == 0.5
    assert math.isnan(float(Cost(None, "unknown")))


@pytest.mark.parametrize(
    ("one", "other", "total"),
    [
        (Cost(1), Cost(2, "estimated"), Cost(3, "estimated")),
        (Cost(1, "at least"), Cost(2, "estimated"), Cost(3, "at least")),
        (Cost(1), Cost(None, "unknown"), Cost(None, "unknown")),
        (Cost(1, play=True), Cost(2, play=True), Cost(3, play=True)),
    ],
)
def test_a_sum_is_as_good_as_its_worst_term(one: Cost, other: Cost, total: Cost) -> None:
    assert one + other == other + one == total


def test_play_money_is_not_added_to_real_money() -> None:
    with pytest.raises(ValueError, match="not added together"):
        Cost(1) + Cost(1, play=True)


@pytest.mark.parametrize(
    ("qualities", "expected"),
    [((), "exact"), (("exact", "unknown"), "unknown"), (("estimated", "at least"), "at least")],
)
def test_the_worst_quality_counts(qualities: tuple[Quality, ...], expected: Quality) -> None:
    assert worst(*qualities) == expected
