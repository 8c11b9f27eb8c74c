"""Sensible sizes for a model, from what it can write."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokmagic.core.errors import ConfigurationError
from tokmagic.core.models import Model
from tokmagic.core.sizes import extended_output, safe_limits, with_beta


def model(window: int | None = 200_000, longest: int | None = 64_000, **facts: object) -> Model:
    return Model("anthropic", "claude", "messages", window, longest, **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("window", "longest", "max_tokens"),
    [
        (200_000, 64_000, 16_000),
        (1_000_000, 384_000, 16_000),
        (200_000, 8_192, 2_048),
        (8_192, 4_096, 1_024),
        (8_192, 64_000, 2_048),
        (128_000, None, 4_096),
        (None, None, 4_096),
        (None, 2, 1),
    ],
)
def test_an_answer_is_bounded_by_a_quarter_of_what_there_is(
    window: int | None, longest: int | None, max_tokens: int
) -> None:
    found = safe_limits(model(window, longest))
    assert found.max_tokens == max_tokens
    assert found.max_input_tokens == (None if window is None else window - max_tokens)


def test_thinking_gets_half_of_an_answer_where_the_model_takes_a_budget() -> None:
    assert safe_limits(model(thinking_budget=True)).thinking_budget == 8_000
    assert safe_limits(model()).thinking_budget is None
    assert safe_limits(model(longest=8_188, thinking_budget=True)).thinking_budget is None


def test_the_extended_output_is_all_the_model_writes_and_leaves_half_of_the_window() -> None:
    assert extended_output(model(1_000_000, 384_000)).max_tokens == 128_000
    assert extended_output(model(1_000_000, 64_000)).max_tokens == 64_000
    assert extended_output(model(100_000, 64_000)).max_tokens == 50_000


def test_a_switch_of_the_providers_own_lets_the_model_write_more() -> None:
    switched = extended_output(model(1_000_000, 64_000, extended_output_tokens=128_000, extended_output_beta="more"))
    assert (switched.model.max_output_tokens, switched.max_tokens, switched.beta) == (128_000, 128_000, "more")


@pytest.mark.parametrize(("window", "longest"), [(200_000, 8_192), (200_000, 16_000), (30_000, 64_000), (None, None)])
def test_a_model_that_writes_no_more_than_usual_has_no_extended_output(window: int | None, longest: int | None) -> None:
    assert safe_limits(model(window, longest)).extended_max_tokens is None
    with pytest.raises(ConfigurationError, match="anthropic/claude has no extended output"):
        extended_output(model(window, longest))


@given(st.none() | st.integers(1, 2_000_000), st.none() | st.integers(1, 400_000), st.booleans())
def test_sizes_are_never_beyond_the_model(window: int | None, longest: int | None, thinks: bool) -> None:
    found = safe_limits(model(window, longest, thinking_budget=thinks))
    assert 1 <= found.max_tokens <= min(longest or 4_096, max(1, (window or 10**9) // 4))
    assert found.thinking_budget is None or 1_024 <= found.thinking_budget < found.max_tokens
    assert found.extended_max_tokens is None or found.max_tokens <= found.extended_max_tokens <= (longest or 0)


def test_a_beta_feature_joins_those_that_are_named_already() -> None:
    assert with_beta({}, "more") == {"anthropic-beta": "more"}
    assert with_beta({"Anthropic-Beta": "a, more", "x": "y"}, "more") == {"x": "y", "anthropic-beta": "a,more"}
    assert with_beta({"x": "y"}, "") == {"x": "y"}
