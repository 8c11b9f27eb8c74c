"""Prices: tiers, cache parts, and a ceiling that no usage within it passes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokmagic.core.money import Cost
from tokmagic.core.prices import Price, Rates, ceiling, cost
from tokmagic.core.usage import Usage

MILLI = 1_000_000
CARD = Rates(
    input=3000 * MILLI,
    output=15_000 * MILLI,
    cache_read=300 * MILLI,
    cache_write=3750 * MILLI,
    cache_write_1h=6000 * MILLI,
)
LONG = Rates(*(2 * each for each in (CARD.input, CARD.output, CARD.cache_read, CARD.cache_write, CARD.cache_write_1h)))
PRICE = Price(((0, CARD), (200_001, LONG)))

rate_cards = st.builds(Rates, *(st.integers(0, 10**11) for _ in range(5)))
tiers = st.lists(st.tuples(st.integers(1, 5000), rate_cards), max_size=3).map(
    lambda later: tuple(sorted(later, key=lambda tier: tier[0]))
)
all_tiers = st.builds(lambda first, later: ((0, first), *later), rate_cards, tiers)
WAYS = ("batch", "flex", "priority")
prices = st.builds(
    lambda tiers, others, served: Price(tiers, tuple(others), served=served),
    all_tiers,
    st.lists(all_tiers, max_size=2),
    st.dictionaries(st.sampled_from(WAYS), all_tiers),
)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    read, write, write_1h, plain = (draw(st.integers(0, 2000)) for _ in range(4))
    return Usage(read + write + write_1h + plain, read, write, write_1h, draw(st.integers(0, 5000)))


def test_each_part_of_the_input_is_priced_once() -> None:
    usage = Usage(1000, cache_read_tokens=100, cache_write_tokens=200, cache_write_1h_tokens=300, output_tokens=50)
    dollars = 400 * 3 + 100 * 0.3 + 200 * 3.75 + 300 * 6 + 50 * 15
    assert cost(PRICE, usage).nanousd == round(dollars * 1000)


def test_reasoning_is_part_of_the_output_and_not_priced_twice() -> None:
    assert cost(PRICE, Usage(0, output_tokens=50, reasoning_tokens=40)) == cost(PRICE, Usage(0, output_tokens=50))


def test_a_cost_is_rounded_up() -> None:
    cheap = Price(((0, Rates(1, 1, 1, 1, 1)),))
    assert cost(cheap, Usage(1)).nanousd == 1
    assert ceiling(cheap, 1, 0) == 1


def test_the_dearer_card_begins_at_its_first_token() -> None:
    assert cost(PRICE, Usage(200_000)).nanousd == 200_000 * 3_000
    assert cost(PRICE, Usage(200_001)).nanousd == 200_001 * 6_000


def test_without_a_price_the_cost_is_unknown() -> None:
    assert cost(None, Usage(1, output_tokens=1)) == Cost(None, "unknown")
    assert ceiling(None, 1, 1) is None


def test_a_cost_keeps_quality_and_play() -> None:
    assert cost(Price(PRICE.tiers, play=True), Usage(1), "at least") == Cost(3_000, "at least", play=True)


SERVED = Price(((0, CARD),), served={"batch": ((0, Rates(*(1_500 * MILLI,) * 5)),), "priority": PRICE.tiers})


def test_a_call_costs_what_its_way_of_being_served_costs() -> None:
    usage = Usage(300_000)
    assert cost(SERVED, usage).nanousd == 300_000 * 3_000
    assert cost(SERVED, usage, served="batch") == Cost(300_000 * 1_500, "exact")
    assert cost(SERVED, usage, served="priority").nanousd == 300_000 * 6_000


@pytest.mark.parametrize(("served", "quality"), [("default", "exact"), ("standard", "exact"), ("scale", "estimated")])
def test_a_way_without_a_card_is_priced_as_an_ordinary_call_and_says_so(served: str, quality: str) -> None:
    assert cost(SERVED, Usage(1_000), served=served) == Cost(3_000_000, quality)  # type: ignore[arg-type]


def test_a_ceiling_covers_every_way_a_call_may_be_served() -> None:
    assert ceiling(SERVED, 300_000, 1_000) == 300_000 * 12_000 + 1_000 * 30_000


@given(prices, usages(), st.integers(0, 3000), st.integers(0, 3000), st.sampled_from(["", *WAYS]))
def test_no_usage_within_the_bounds_costs_more_than_the_ceiling(
    price: Price, usage: Usage, more_in: int, more_out: int, served: str
) -> None:
    most = ceiling(price, usage.input_tokens + more_in, usage.output_tokens + more_out)
    assert most is not None
    assert cost(price, usage, served=served).nanousd <= most  # type: ignore[operator]


@given(prices, st.integers(0, 20_000), st.integers(0, 20_000), st.integers(0, 5000))
def test_a_larger_call_has_no_lower_ceiling(price: Price, tokens_in: int, tokens_out: int, more: int) -> None:
    least, most = ceiling(price, tokens_in, tokens_out), ceiling(price, tokens_in + more, tokens_out + more)
    assert least is not None
    assert most is not None
    assert least <= most
