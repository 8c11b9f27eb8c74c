"""Accounts and their windows, also where the clock on the wall jumps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokmagic.core.accounts import account_of, accounts_for, window_of
from tokmagic.core.errors import ConfigurationError
from tokmagic.core.models import Model
from tokmagic.core.units import Scope, Window
from tokmagic.core.words import parse_limit

BERLIN = ZoneInfo("Europe/Berlin")
HAVANA = ZoneInfo("America/Havana")
SCOPES: dict[Scope, str] = {"session": "s", "notebook": "n", "key": "k", "user": "u"}
MODEL = Model("anthropic", "claude", "messages")
HOUR = 3600


def bounds(window: Window, now: datetime) -> tuple[float, float]:
    start, end = window_of(window, now)
    assert start is not None
    assert end is not None
    return start.timestamp(), end.timestamp()


@pytest.mark.parametrize(
    ("day", "hours"),
    [((2026, 3, 29), 23), ((2026, 10, 25), 25), ((2026, 11, 20), 24)],
    ids=["spring", "autumn", "plain"],
)
def test_a_day_runs_from_midnight_to_midnight_on_the_wall(day: tuple[int, int, int], hours: int) -> None:
    midnight = datetime(*day, tzinfo=BERLIN).timestamp()
    for hour in range(hours):
        now = datetime.fromtimestamp(midnight + hour * HOUR + 1, BERLIN)
        assert bounds("day", now) == (midnight, midnight + hours * HOUR)


def test_the_last_second_and_midnight_are_of_different_days() -> None:
    midnight = datetime(2026, 11, 20, tzinfo=BERLIN)
    before = account_of(parse_limit("5 usd/day"), False, SCOPES, midnight - timedelta(microseconds=1))
    after = account_of(parse_limit("5 usd/day"), False, SCOPES, midnight)
    assert before.until == after.since
    assert before.key != after.key


def test_a_midnight_that_comes_twice_begins_one_day() -> None:
    first = datetime(2026, 11, 1, 0, 30, tzinfo=HAVANA)
    assert bounds("day", first) == bounds("day", first.replace(fold=1)) == bounds("day", first.replace(hour=12))


@pytest.mark.parametrize("fold", [0, 1])
def test_an_hour_that_comes_twice_is_two_hours_of_sixty_minutes(fold: int) -> None:
    now = datetime(2026, 10, 25, 2, 59, 59, tzinfo=BERLIN, fold=fold)
    start, end = bounds("hour", now)
    assert (end - start, now.timestamp() - start) == (3600, 3599)
    assert bounds("minute", now) == (end - 60, end)


def test_a_month_runs_to_the_first_of_the_next() -> None:
    assert window_of("month", datetime(2026, 12, 31, 23, tzinfo=BERLIN)) == (
        datetime(2026, 12, 1, tzinfo=BERLIN),
        datetime(2027, 1, 1, tzinfo=BERLIN),
    )


@pytest.mark.parametrize("window", ["call", "session", "total"])
def test_some_windows_have_no_bounds(window: Window) -> None:
    assert window_of(window, datetime(2026, 11, 20, tzinfo=BERLIN)) == (None, None)


@given(
    st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1)),
    st.sampled_from(["Europe/Berlin", "America/Havana", "Asia/Kolkata", "Africa/Cairo", "Australia/Lord_Howe", "UTC"]),
    st.sampled_from(["minute", "hour", "day", "month"]),
)
def test_now_lies_in_its_window_in_every_zone(wall: datetime, zone: str, window: Window) -> None:
    now = wall.replace(tzinfo=UTC).astimezone(ZoneInfo(zone))
    start, end = bounds(window, now)
    assert start <= now.timestamp() < end


def test_an_hour_is_the_same_account_in_every_zone() -> None:
    now = datetime(2026, 11, 20, 12, 30, tzinfo=UTC)
    keys = {account_of(parse_limit("1 usd/hour"), False, SCOPES, now.astimezone(zone)).key for zone in (UTC, BERLIN)}
    assert len(keys) == 1


def test_a_bucket_has_no_calendar_window() -> None:
    now = datetime(2026, 11, 20, 12, tzinfo=UTC)
    limit = parse_limit("50 requests/minute")
    first, second = (account_of(limit, False, SCOPES, now + timedelta(hours=hour)) for hour in (0, 1))
    assert first == second
    assert (first.since, first.until) == (0.0, None)


def test_a_call_touches_the_limits_that_cover_its_model_and_the_tightest_of_equals() -> None:
    words = ("5 usd/day", "2 usd/day", "9 usd/day", "1k tokens/day for openai/*", "3 usd/day for anthropic/*")
    accounts = accounts_for(map(parse_limit, words), MODEL, SCOPES, datetime(2026, 11, 20, tzinfo=UTC))
    assert [str(account.limit) for account in accounts] == ["$2.00/day", "$3.00/day for anthropic/*"]


def test_keys_differ_by_scope_window_pattern_and_money() -> None:
    now = datetime(2026, 11, 20, 12, tzinfo=UTC)
    words = ("5 usd/day", "5 usd/day by session", "5 usd/month", "5 usd/day for a/*", "5 tokens/day", "5 usd/total")
    keys = {account_of(parse_limit(each), play, SCOPES, now).key for each in words for play in (True, False)}
    assert len(keys) == 2 * len(words)


def test_a_key_does_not_hold_the_amount() -> None:
    now = datetime(2026, 11, 20, 12, tzinfo=UTC)
    assert len({account_of(parse_limit(f"{n} usd/day"), False, SCOPES, now).key for n in (1, 2)}) == 1


def test_names_with_bars_in_them_do_not_run_into_each_other() -> None:
    now = datetime(2026, 11, 20, 12, tzinfo=UTC)
    first = account_of(parse_limit("5 usd/day for b|c by notebook"), False, {"notebook": "a"}, now)
    second = account_of(parse_limit("5 usd/day for c by notebook"), False, {"notebook": "a|b"}, now)
    assert first.key != second.key


def test_a_limit_of_a_scope_nobody_named_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no team is named: name one in the configuration"):
        account_of(parse_limit("5 usd/day by team"), False, SCOPES, datetime(2026, 11, 20, tzinfo=UTC))
