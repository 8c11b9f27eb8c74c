"""A share of the seeded schedules, and the checks themselves: each notices the fault it is there for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tokmagic.core.book import Entry
from tokmagic.core.limits import Admitted
from tokmagic.ledgers import sqlite, standings, tickets

from .schedules import run_schedules


def test_no_schedule_overspends_a_budget_or_leaks_a_hold() -> None:
    counts = run_schedules(range(600))
    assert counts["Admitted"] > 1_800
    assert min(counts[what] for what in ("Refused", "Wait", "answers", "lost", "crashes", "steps")) > 50


def test_a_book_that_admits_everything_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "decide", lambda levels, charge: Admitted(tuple(levels)))
    with pytest.raises(AssertionError, match=r"overspent|more than 300 input_tokens|let .* through"):
        run_schedules(range(50))


def test_a_hold_that_nobody_ends_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "_sweep", lambda db, now: 0)
    with pytest.raises(AssertionError, match="leaked a hold"):
        run_schedules(range(50))


def test_a_place_in_the_queue_that_never_lapses_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tickets, "lapse", lambda db, now: None)
    with pytest.raises(AssertionError, match="leaked a hold or a place"):
        run_schedules(range(200))


def test_an_answer_that_is_counted_short_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    settle = sqlite._settle

    def short(db: object, entry: Entry, was: object, now: float) -> None:
        free = replace(entry, used=replace(entry.used, ceiling=replace(entry.used.ceiling, tokens=0)))
        settle(db, free, was, now)  # type: ignore[arg-type]

    monkeypatch.setattr(sqlite, "_settle", short)
    with pytest.raises(AssertionError, match=r"miscounted|overspent"):
        run_schedules(range(50))


def test_a_bucket_that_fills_up_too_fast_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standings, "refill", lambda limit, room, seconds: float(limit.amount))
    with pytest.raises(AssertionError, match="through, more than"):
        run_schedules(range(200))
