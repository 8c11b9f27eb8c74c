"""Totals over a long time, over every ledger: what is kept by the minute and the day is what the entries add up to."""

from __future__ import annotations

import itertools
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Literal

import pytest

from tokmagic.ledgers.sums import add_up

if TYPE_CHECKING:
    from conftest import Desk

DAY = 86_400


@pytest.fixture
def busy_week(desk: Desk) -> Desk:
    """A desk whose calls ended over a week, some in several attempts, some late, some corrected."""
    random = Random(7)  # noqa: S311
    desk.clock.now -= desk.clock.now % DAY
    for number in range(60):
        desk.clock.now += random.choice((60, 3600, 17_000))
        facts = {"model": random.choice(("a/x", "b/y")), "session": random.choice("st"), "cell": str(number % 7)}
        entry = desk.entry(number, tokens=number, call=str(number // 2), play=number % 9 == 0, **facts)
        desk.reserve(entry)
        if number % 3 == 0:
            desk.ledger.settle(replace(entry, state="unsettled"))
        if number % 6:
            desk.settle(entry, number // 2)
        elif number % 12:
            desk.ledger.release(entry)
    return desk


@pytest.mark.parametrize("by", [None, "model", "cell", "notebook", "session"])
def test_totals_of_any_minutes_are_what_the_entries_in_them_add_up_to(
    busy_week: Desk, by: Literal["model", "cell", "notebook", "session"] | None
) -> None:
    ledger, noon = busy_week.ledger, busy_week.clock.now // DAY * DAY - DAY / 2
    bounds = (0.0, noon - 3 * DAY, noon - 60, noon + DAY / 2, noon + DAY)
    for since, until in itertools.product(bounds, (*bounds, None)):
        ended = [entry for entry in ledger.entries(since=since, until=until) if entry.state in ("settled", "unsettled")]
        assert ledger.totals(since=since, until=until, by=by) == add_up(ended, by)


@pytest.mark.parametrize("scope", ["u1", "another user"])
def test_a_new_limit_begins_with_what_was_spent_over_days(busy_week: Desk, scope: str) -> None:
    account = replace(busy_week.account("1000 usd/total for a/*"), key="new", scope_id=scope)
    spent = sum(
        entry.used.ceiling.nanousd or 0
        for entry in busy_week.ledger.entries()
        if entry.state in ("settled", "unsettled") and entry.model == "a/x" and not entry.play and entry.user == scope
    )
    (level,) = busy_week.ledger.levels([account])
    assert level.spent == spent
    assert (spent > 0) == (scope == "u1")


def test_a_call_of_many_attempts_counts_once_in_each_minute_and_in_all(desk: Desk) -> None:
    began = desk.clock.now = desk.clock.now // 60 * 60
    for minute in (0, 0, 0, 1, 1):
        desk.clock.now = began + 60 * minute
        entry = desk.entry(1, call="of many attempts")
        desk.reserve(entry)
        desk.settle(entry, 1)
    spans = [(began, began + 60), (began + 60, None), (0.0, None)]
    assert [total.calls for span in spans for total in desk.ledger.totals(since=span[0], until=span[1])] == [1, 1, 1]
