"""What a call is expected to use, before it is sent and while it runs."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokmagic.core.accounts import accounts_for
from tokmagic.core.expecting import after_refusal, expected_use, revised_use, within
from tokmagic.core.limits import Account, Amounts
from tokmagic.core.models import Model
from tokmagic.core.typical import FIRST_GUESS, Typical, learned_output, note_name, read_typical
from tokmagic.core.usage import Usage
from tokmagic.core.words import parse_limit

SHORT = Typical(mean=99.5, answers=50)


def accounts(*words: str) -> tuple[Account, ...]:
    limits = [parse_limit(text) for text in words]
    return accounts_for(limits, Model("a", "b", "messages"), {"key": "k"}, datetime(2026, 11, 20, tzinfo=UTC))


def test_messages_count_what_is_produced_typically_and_the_input_with_its_margin() -> None:
    assert expected_use("messages", 1_000, 50, 4_096, SHORT) == Amounts(1, 1_050, 100, 1_150)


def test_the_others_count_the_larger_of_input_and_bound() -> None:
    assert expected_use("chat", 1_000, 50, 4_096, SHORT) == Amounts(1, 1_050, 4_096, 4_096)
    assert expected_use("chat", 9_000, 50, 4_096, SHORT) == Amounts(1, 9_050, 4_096, 9_050)


def test_caution_alone_never_makes_a_call_too_large_for_a_limit() -> None:
    use = expected_use("messages", 900, 200, 4_096, Typical())
    limited = accounts("1000 input_tokens/minute", "800 output_tokens/minute", "5 usd/day by key")
    assert within(use, 900, limited, "messages") == Amounts(1, 1_000, 800, 2_100)
    assert within(expected_use("messages", 1_001, 200, 99, SHORT), 1_001, limited, "messages").input_tokens == 1_001


def test_a_bound_that_is_too_large_for_a_limit_stays_so() -> None:
    use = expected_use("chat", 900, 200, 4_096, SHORT)
    assert within(use, 900, accounts("4000 tokens/minute"), "chat").tokens == 4_096
    assert (
        within(expected_use("chat", 3_900, 200, 99, SHORT), 3_900, accounts("4000 tokens/minute"), "chat").tokens
        == 4_000
    )


def test_the_providers_own_count_of_the_input_takes_the_estimates_place_without_what_was_cached() -> None:
    use = expected_use("messages", 1_000, 50, 4_096, SHORT)
    stated = Usage(input_tokens=980, cache_read_tokens=600)
    assert revised_use("messages", use, stated, 0) == Amounts(1, 380, 100, 480)
    assert revised_use("messages", use, None, 99) == use
    assert revised_use("chat", use, stated, 5_000) == use


@given(st.integers(1, 4_096), st.integers(0, 50_000))
def test_an_answer_is_always_charged_ahead_of_what_it_has_produced(typical: int, produced: int) -> None:
    use = expected_use("messages", 10, 0, 50_000, Typical(mean=typical, answers=9))
    assert revised_use("messages", use, None, produced).output_tokens > produced or produced < use.output_tokens


def test_a_call_that_was_refused_in_its_turn_is_taken_for_larger() -> None:
    assert after_refusal(Amounts(1, 1_000, 100, 1_100)) == Amounts(1, 1_250, 100, 1_350)


def test_before_any_answer_a_first_guess_stands_bounded_by_what_may_be_written() -> None:
    assert Typical().expect(4_096) == FIRST_GUESS
    assert Typical().expect(50) == 50
    assert Typical(mean=0.0).expect(50) == 1


def test_the_mean_follows_the_answers_and_is_kept_in_a_note() -> None:
    note = ""
    for _ in range(300):
        note = learned_output(note, 120)
    assert read_typical(note).expect(4_096) == pytest.approx(120, abs=3)
    for _ in range(150):
        note = learned_output(note, 600)
    assert read_typical(note).expect(4_096) == pytest.approx(600, abs=40)
    assert note_name("demo/claude") == "output/demo/claude"


@pytest.mark.parametrize("note", ["", "null", "{}", '{"mean": NaN, "answers": 1}', '{"mean": -1, "answers": 1}'])
def test_a_note_that_makes_no_sense_is_the_first_guess(note: str) -> None:
    assert read_typical(note) == Typical()
