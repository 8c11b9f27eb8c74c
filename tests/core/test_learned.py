"""What a provider states of its limits becomes limits and levels."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tokmagic.core.accounts import accounts_for
from tokmagic.core.book import Lessons
from tokmagic.core.errors import RateLimited
from tokmagic.core.learned import (
    FORGET,
    known_limits,
    learn_rates,
    learn_refusal,
    limits_of,
    note_name,
    revised,
    together,
)
from tokmagic.core.limits import Account, Amounts, Limit
from tokmagic.core.models import Model
from tokmagic.core.rates import RateState
from tokmagic.core.words import parse_limit

NOW = 1_790_000_000.0
NAME = "demo/claude"
MODEL = Model("demo", "claude", "messages")
STATES = (RateState("requests", 50, 49), RateState("input_tokens", 40_000, 38_000))


def limit(amount: int, unit: str) -> Limit:
    return parse_limit(f"{amount} {unit}/minute for {NAME} by key", source="provider")


def accounts(*limits: Limit) -> tuple[Account, ...]:
    return accounts_for(limits, MODEL, {"key": "k", "user": "u"}, datetime.fromtimestamp(NOW, UTC))


def rooms(lessons: Lessons, *limits: Limit) -> dict[str, float]:
    keys = {account.key: account.limit.unit for account in accounts(*limits)}
    return {keys[key]: room for key, room in lessons.rooms.items()}


def test_what_was_stated_becomes_limits_of_this_model_and_key_that_wait() -> None:
    note = revised("", STATES, NOW)
    assert limits_of(note, NAME, NOW) == (limit(50, "requests"), limit(40_000, "input_tokens"))


def test_a_changed_amount_replaces_the_old_one_and_the_others_stay() -> None:
    note = revised(revised("", STATES, NOW), [RateState("requests", 1_000, 999)], NOW + 60)
    assert limits_of(note, NAME, NOW + 60) == (limit(1_000, "requests"), limit(40_000, "input_tokens"))


def test_what_was_not_stated_for_a_day_is_forgotten() -> None:
    note = revised("", STATES, NOW)
    assert limits_of(note, NAME, NOW + FORGET)
    assert limits_of(note, NAME, NOW + FORGET + 1) == ()


@pytest.mark.parametrize(
    "note", ["", "null", "[]", "{", '{"requests": 5}', '{"requests": {"amount": -1, "seen": 1e12}}']
)
def test_a_note_that_makes_no_sense_holds_no_limits(note: str) -> None:
    assert limits_of(note, NAME, NOW) == ()


def test_a_name_with_the_signs_of_a_pattern_is_meant_as_it_is() -> None:
    (only,) = limits_of(revised("", STATES[:1], NOW), "local/a[1]*", NOW)
    assert only.covers("local/a[1]*")
    assert not only.covers("local/a1")


def test_a_limit_over_a_longer_window_is_not_taken_for_a_minutes() -> None:
    daily = RateState("requests", 14_400, 14_370, 179.6)
    assert learn_rates(NAME, "k", [daily], accounts(), NOW, NOW) == Lessons()


def test_the_provider_has_the_last_word_over_the_catalogue_in_both_directions() -> None:
    catalogue = Model("demo", "claude", "messages", rates=(limit(50, "requests"), limit(8_000, "output_tokens")))
    assert known_limits(catalogue, [limit(90, "requests")]) == (limit(90, "requests"), limit(8_000, "output_tokens"))


def test_a_level_is_what_is_left_by_its_word_with_what_rounding_and_time_may_have_added() -> None:
    limits = (limit(50, "requests"), limit(40_000, "input_tokens"))
    lessons = learn_rates(NAME, "k", STATES, accounts(*limits), NOW - 3, NOW)
    assert rooms(lessons, *limits) == {"requests": 49 + 2.5, "input_tokens": 38_000 + 500 + 2_000}
    (note,) = lessons.notes
    assert note == note_name("k", NAME)
    assert limits_of(lessons.notes[note](""), NAME, NOW) == limits


def test_calls_under_way_that_no_level_counts_are_taken_off_what_was_stated() -> None:
    limits, beside = (limit(50, "requests"), limit(40_000, "input_tokens")), Amounts(2, 5_000)
    plain, lessons = (learn_rates(NAME, "k", STATES, accounts(*limits), NOW, NOW, use) for use in (Amounts(), beside))
    before, after = rooms(plain, *limits), rooms(lessons, *limits)
    assert {unit: before[unit] - after[unit] for unit in before} == {"requests": 2, "input_tokens": 5_000}


def test_a_bucket_below_zero_is_known_by_the_time_it_takes_to_fill() -> None:
    output = limit(8_000, "output_tokens")
    lessons = learn_rates(NAME, "k", [RateState("output_tokens", 8_000, 0, 91.0)], accounts(output), NOW, NOW)
    assert rooms(lessons, output) == {"output_tokens": pytest.approx(-4_000)}


def test_limits_of_ones_own_are_no_mirror_of_the_providers() -> None:
    own = parse_limit("10 requests/minute")
    assert learn_rates(NAME, "k", STATES, accounts(own), NOW, NOW).rooms == {}


def test_a_configured_limit_of_the_same_model_stands_on_the_same_bucket() -> None:
    tight = parse_limit(f"20 requests/minute for {NAME} by key", source="config")
    (both,) = accounts(tight, limit(50, "requests"))
    assert both.limit == tight
    assert learn_rates(NAME, "k", [RateState("requests", 50, 7)], [both], NOW, NOW).rooms == {both.key: 7.0}


def test_a_refusal_leaves_room_for_this_call_when_its_pause_is_over_and_not_before() -> None:
    limits = (limit(50, "requests"), limit(40_000, "input_tokens"))
    error = RateLimited(
        "slow", retry_after=12, rates=(RateState("requests", 50, 30), RateState("input_tokens", 40_000, 0))
    )
    lessons = learn_refusal(NAME, "k", error, Amounts(1, 5_000), accounts(*limits), NOW)
    assert rooms(lessons, *limits) == {"requests": 30.0, "input_tokens": 5_000 - 8_000}


def test_a_refusal_that_names_no_limit_holds_every_call_back() -> None:
    requests = limit(60, "requests")
    lessons = learn_refusal(NAME, "k", RateLimited("slow", retry_after=7), Amounts(1), accounts(requests), NOW)
    assert rooms(lessons, requests) == {"requests": 1 - 7}


def test_a_pause_beyond_reason_holds_nobody_back_for_longer_than_a_minute() -> None:
    requests = limit(60, "requests")
    lessons = learn_refusal(NAME, "k", RateLimited("slow", retry_after=9e5), Amounts(1), accounts(requests), NOW)
    assert rooms(lessons, requests) == {"requests": 1 - 60}


def test_lessons_together_keep_the_lower_level() -> None:
    one, other = Lessons({"a": str}, {"x": 5.0, "y": 1.0}), Lessons({"b": str}, {"x": 3.0})
    both = together(one, other)
    assert (set(both.notes), both.rooms) == ({"a", "b"}, {"x": 3.0, "y": 1.0})


def test_a_service_whose_clock_is_off_holds_nobody_back() -> None:
    state = RateState("tokens", 6_000, 0, 4_000_000.0)
    tokens = limit(6_000, "tokens")
    lessons = learn_rates(NAME, "k", [state], accounts(tokens), NOW, NOW)
    assert rooms(lessons, tokens) == {"tokens": pytest.approx(500)}
