"""What every ledger does, over each of them."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from tokmagic.core.book import Entry, Lessons
from tokmagic.core.errors import LedgerError
from tokmagic.core.limits import Admitted, Refused, Wait
from tokmagic.core.usage import Usage

if TYPE_CHECKING:
    from conftest import Desk

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()
DAY = "10 usd/day"
USD = 1_000_000_000


def test_an_admitted_call_is_held_at_its_ceiling(desk: Desk) -> None:
    assert desk.reserve(desk.entry(4 * USD), DAY) == Admitted()
    assert desk.spent_and_held(DAY) == (0, 4 * USD)


def test_a_refusal_consumes_nothing_on_any_account(desk: Desk) -> None:
    desk.reserve(desk.entry(8 * USD), DAY)
    refused = desk.reserve(desk.entry(3 * USD, tokens=5), DAY, "100 tokens/session", "10 requests/minute")
    assert isinstance(refused, Refused)
    assert (refused.needed, refused.level.left, refused.never) == (3 * USD, 2 * USD, False)
    assert desk.spent_and_held("100 tokens/session") == (0, 0)
    assert desk.level("10 requests/minute").room == 10
    assert len(desk.ledger.entries()) == 1


def test_the_last_nano_dollar_can_be_used_and_no_more(desk: Desk) -> None:
    assert desk.reserve(desk.entry(10 * USD), DAY) == Admitted()
    assert isinstance(desk.reserve(desk.entry(1), DAY), Refused)


@pytest.mark.parametrize("truth", [1 * USD, 4 * USD, 7 * USD], ids=["less", "as reserved", "more"])
def test_a_settle_replaces_the_hold_by_the_truth(desk: Desk, truth: int) -> None:
    entry = desk.entry(4 * USD)
    desk.reserve(entry, DAY)
    desk.settle(entry, truth)
    assert desk.spent_and_held(DAY) == (truth, 0)


def test_settling_twice_counts_once(desk: Desk) -> None:
    entry = desk.entry(4 * USD)
    desk.reserve(entry, DAY)
    desk.settle(entry, 1 * USD)
    desk.settle(entry, 3 * USD)
    assert desk.spent_and_held(DAY) == (1 * USD, 0)
    assert desk.ledger.entries()[0].nanousd == 1 * USD


def test_a_release_gives_the_hold_back_once(desk: Desk) -> None:
    entry = desk.entry(4 * USD)
    desk.reserve(entry, DAY)
    desk.ledger.release(entry)
    desk.ledger.release(entry)
    assert desk.spent_and_held(DAY) == (0, 0)
    assert desk.ledger.entries()[0].state == "released"


def test_a_release_after_the_settle_changes_nothing(desk: Desk) -> None:
    entry = desk.entry(4 * USD)
    desk.reserve(entry, DAY)
    desk.settle(entry, 2 * USD)
    desk.ledger.release(entry)
    assert desk.spent_and_held(DAY) == (2 * USD, 0)
    assert desk.ledger.entries()[0].state == "settled"


def test_an_end_without_a_reservation_is_refused(desk: Desk) -> None:
    for end in (desk.ledger.settle, desk.ledger.release):
        with pytest.raises(LedgerError, match="no entry entry-1"):
            end(replace(desk.entry(1), id="entry-1"))


def test_an_unknown_truth_stays_booked_at_the_ceiling(desk: Desk) -> None:
    entry = desk.entry(4 * USD)
    desk.reserve(entry, DAY)
    desk.settle(entry, None)
    assert desk.spent_and_held(DAY) == (4 * USD, 0)


def test_the_hold_of_a_dead_owner_is_charged_at_its_ceiling(desk: Desk) -> None:
    entry = desk.entry(4 * USD)
    desk.reserve(entry, DAY)
    desk.clock.now += 600
    assert desk.ledger.sweep() == 0
    desk.clock.now += 1
    assert desk.ledger.sweep() == 1
    assert desk.spent_and_held(DAY) == (4 * USD, 0)
    (swept,) = desk.ledger.entries()
    assert (swept.state, swept.nanousd, swept.quality, swept.used) == ("unsettled", 4 * USD, "estimated", entry.charge)


def test_a_reservation_sweeps_first(desk: Desk) -> None:
    desk.reserve(desk.entry(4 * USD), DAY)
    desk.clock.now += 601
    desk.reserve(desk.entry(1 * USD), DAY)
    assert desk.spent_and_held(DAY) == (4 * USD, 1 * USD)


def test_a_late_settle_replaces_the_ceiling_by_the_truth(desk: Desk) -> None:
    entry = desk.entry(4 * USD)
    desk.reserve(entry, DAY)
    desk.clock.now += 601
    desk.ledger.sweep()
    desk.settle(entry, 1 * USD)
    desk.settle(entry, 3 * USD)
    assert desk.spent_and_held(DAY) == (1 * USD, 0)


def test_an_unsettled_entry_can_be_released(desk: Desk) -> None:
    entry = desk.entry(4 * USD)
    desk.reserve(entry, DAY)
    desk.ledger.settle(replace(entry, state="unsettled", error="the stream broke"))
    assert desk.spent_and_held(DAY) == (4 * USD, 0)
    assert desk.ledger.entries()[0].error == "the stream broke"
    desk.ledger.release(entry)
    assert desk.spent_and_held(DAY) == (0, 0)


def test_a_hold_belongs_to_the_window_it_was_reserved_in(desk: Desk) -> None:
    desk.clock.now = NOON + 12 * 3600 - 1
    entry = desk.entry(4 * USD)
    desk.reserve(entry, DAY)
    yesterday = desk.account(DAY)
    desk.clock.now += 2
    assert desk.spent_and_held(DAY) == (0, 0)
    desk.settle(entry, 3 * USD)
    assert desk.spent_and_held(DAY) == (0, 0)
    (level,) = desk.ledger.levels([yesterday])
    assert (level.spent, level.held) == (3 * USD, 0)


def test_a_call_that_waited_past_midnight_is_booked_on_the_new_day_only(desk: Desk) -> None:
    desk.clock.now = NOON + 12 * 3600 - 1
    desk.level(DAY)
    yesterday, entry = desk.account(DAY), desk.entry(4 * USD)
    desk.clock.now += 2
    desk.reserve(entry, DAY)
    assert desk.ledger.levels([yesterday])[0].held == 0
    assert desk.spent_and_held(DAY) == (0, 4 * USD)
    assert desk.spent_and_held("20 usd/day") == (0, 4 * USD)


def test_a_limit_set_in_mid_day_sees_what_was_spent_and_held_before(desk: Desk) -> None:
    settled, held, swept, other = desk.entry(1 * USD), desk.entry(2 * USD), desk.entry(4 * USD), desk.entry(8 * USD)
    other = replace(other, model="openai/gpt")
    for entry in (settled, held, swept, other):
        desk.reserve(entry)
    desk.settle(settled, 1 * USD)
    desk.ledger.settle(replace(swept, state="unsettled"))
    limit = "100 usd/day for demo/*"
    assert desk.spent_and_held(limit) == (5 * USD, 2 * USD)
    desk.settle(held, 1 * USD)
    desk.settle(swept, 3 * USD)
    assert desk.spent_and_held(limit) == (5 * USD, 0)


def test_a_limit_counts_the_calls_of_those_who_do_not_know_it(desk: Desk) -> None:
    desk.level(DAY)
    elsewhere = desk.entry(4 * USD, session="another kernel")
    stranger = desk.entry(4 * USD, user="another user")
    desk.reserve(elsewhere)
    desk.reserve(stranger)
    assert desk.spent_and_held(DAY) == (0, 4 * USD)
    assert isinstance(desk.reserve(desk.entry(7 * USD), DAY), Refused)


def test_a_rate_counts_the_calls_of_those_who_do_not_know_it(desk: Desk) -> None:
    desk.level("10 requests/minute")
    desk.reserve(desk.entry())
    assert desk.level("10 requests/minute").room == 9


def test_a_changed_amount_goes_on_with_what_was_spent(desk: Desk) -> None:
    entry = desk.entry(4 * USD)
    desk.reserve(entry, DAY)
    desk.settle(entry, 4 * USD)
    assert isinstance(desk.reserve(desk.entry(1), "3 usd/day"), Refused)
    assert desk.reserve(desk.entry(1), "5 usd/day") == Admitted()


def test_an_unknown_price_is_refused_under_a_money_limit_only(desk: Desk) -> None:
    refused = desk.reserve(desk.entry(None), DAY)
    assert isinstance(refused, Refused)
    assert (refused.needed, refused.never) == (None, True)
    assert desk.reserve(desk.entry(None), "100 requests/day") == Admitted()


def test_play_money_and_real_money_are_apart(desk: Desk) -> None:
    for entry in (desk.entry(4 * USD), desk.entry(1 * USD, play=True)):
        desk.reserve(entry, DAY)
        desk.settle(entry, entry.charge.ceiling.nanousd)
    assert desk.spent_and_held(DAY) == (4 * USD, 0)
    assert desk.spent_and_held(DAY, play=True) == (1 * USD, 0)
    real, play = desk.ledger.totals()
    assert (real.cost.nanousd, real.cost.play) == (4 * USD, False)
    assert (play.cost.nanousd, play.cost.play) == (1 * USD, True)


def test_a_limit_per_call_looks_at_one_call_alone(desk: Desk) -> None:
    assert desk.reserve(desk.entry(1 * USD), "1 usd/call") == Admitted()
    assert desk.reserve(desk.entry(1 * USD), "1 usd/call") == Admitted()
    refused = desk.reserve(desk.entry(1 * USD + 1), "1 usd/call")
    assert isinstance(refused, Refused)
    assert refused.never
    assert desk.spent_and_held("1 usd/call") == (0, 0)


def test_entries_come_back_as_they_were_written(desk: Desk) -> None:
    entry = desk.entry(4 * USD, tokens=7, kind="compaction", attempt=2, owner="me", cell="3", thread="main")
    desk.reserve(entry)
    ended = replace(
        entry,
        used=desk.entry(3 * USD, tokens=3).charge,
        usage=Usage(10, 1, 2, 3, 4, 2),
        nanousd=3 * USD,
        quality="exact",
        stop_reason="end",
        request_id="r",
        waited=1.5,
        first_token=0.25,
        duration=2.0,
        dropped_tokens=9,
        error="none",
        settled_at=NOON + 2,
        state="settled",
    )
    desk.ledger.settle(ended)
    assert desk.ledger.entries() == (ended,)


def test_entries_are_chosen_by_time_session_and_number_the_newest_first(desk: Desk) -> None:
    ids = []
    for session in ("s1", "s2", "s1"):
        entry = desk.entry(session=session)
        desk.reserve(entry)
        ids.append(entry.id)
        desk.clock.now += 1
    assert [entry.id for entry in desk.ledger.entries()] == ids[::-1]
    assert [entry.id for entry in desk.ledger.entries(session="s1")] == [ids[2], ids[0]]
    assert [entry.id for entry in desk.ledger.entries(since=NOON + 1, most=1)] == [ids[2]]


def test_totals_add_up_what_ended_by_group(desk: Desk) -> None:
    calls = [("1", 1 * USD, "settle"), ("1", 2 * USD, "settle"), ("2", 4 * USD, "unsettled"), ("2", 8 * USD, "release")]
    for cell, price, end in calls:
        entry = desk.entry(price, tokens=100, cell=cell, waited=0.5, dropped_tokens=3)
        desk.reserve(entry)
        if end == "settle":
            done = replace(entry, nanousd=price, quality="exact", used=entry.charge, usage=Usage(input_tokens=100))
            desk.ledger.settle(done)
        elif end == "release":
            desk.ledger.release(entry)
        else:
            desk.ledger.settle(replace(entry, state="unsettled"))
    desk.reserve(desk.entry(16 * USD, cell="2"))
    first, second = desk.ledger.totals(by="cell")
    assert (first.group, first.calls, first.usage.input_tokens, first.waited) == ("1", 2, 200, 1.0)
    assert (first.cost.nanousd, first.cost.quality, first.dropped_tokens) == (3 * USD, "exact", 6)
    assert (second.group, second.calls, second.cost.nanousd, second.cost.quality) == ("2", 1, 4 * USD, "estimated")
    (all_of_it,) = desk.ledger.totals()
    assert (all_of_it.group, all_of_it.calls, all_of_it.cost.nanousd) == ("", 3, 7 * USD)
    assert desk.ledger.totals(since=NOON + 1) == ()


def test_a_sum_with_an_unknown_price_is_unknown(desk: Desk) -> None:
    for price in (1, None):
        entry = desk.entry(price)
        desk.reserve(entry)
        desk.settle(entry, price)
    (total,) = desk.ledger.totals()
    assert (total.cost.nanousd, total.cost.quality) == (None, "unknown")


def test_attempts_of_one_call_are_one_call(desk: Desk) -> None:
    for attempt in (1, 2):
        entry = desk.entry(1, call="the call", attempt=attempt)
        desk.reserve(entry)
        desk.settle(entry, 1)
    assert desk.ledger.totals()[0].calls == 1


def test_two_threads_share_a_limit_and_never_pass_it(desk: Desk) -> None:
    entries = [desk.entry(1 * USD) for _ in range(30)]
    decisions: list[object] = []

    def spend(share: list[Entry]) -> None:
        for entry in share:
            decision = desk.reserve(entry, DAY)
            decisions.append(decision)
            if isinstance(decision, Admitted):
                desk.settle(entry, 1 * USD)

    threads = [threading.Thread(target=spend, args=(entries[start::2],)) for start in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert decisions.count(Admitted()) == 10
    assert desk.spent_and_held(DAY) == (10 * USD, 0)


def test_a_closed_ledger_says_so_and_closes_twice(desk: Desk) -> None:
    desk.ledger.close()
    desk.ledger.close()
    with pytest.raises(LedgerError, match="was closed: open it again"):
        desk.ledger.sweep()


def test_a_wait_takes_nothing(desk: Desk) -> None:
    desk.reserve(desk.entry(1 * USD, tokens=60), "60 tokens/minute", DAY)
    assert isinstance(desk.reserve(desk.entry(1 * USD, tokens=30), "60 tokens/minute", DAY), Wait)
    assert desk.spent_and_held(DAY) == (0, 1 * USD)
    assert desk.level("60 tokens/minute").room == 0


def test_half_a_surrogate_pair_ends_no_call_in_the_middle(desk: Desk) -> None:
    entry = desk.entry(1 * USD, cell="caf\udce9")
    desk.reserve(entry, DAY)
    desk.ledger.settle(replace(entry, state="unsettled", error="no \ud800 way", stop_reason="ü"))
    (kept,) = desk.ledger.entries()
    assert (kept.cell, kept.error, kept.stop_reason) == ("caf?", "no ? way", "ü")
    assert desk.spent_and_held(DAY) == (1 * USD, 0)


def test_a_number_no_book_can_keep_is_refused_and_nothing_has_happened(desk: Desk) -> None:
    entry = desk.entry(1 * USD)
    desk.reserve(entry, DAY)
    with pytest.raises(LedgerError, match="can keep no such value"):
        desk.settle(entry, 2**70)
    assert desk.spent_and_held(DAY) == (0, 1 * USD)


def test_notes_are_revised_from_what_they_were_and_recalled_by_prefix(desk: Desk) -> None:
    for _ in range(2):
        desk.ledger.learn(Lessons(notes={"ratio/a": lambda old: old + "x", "limits/a": lambda old: "y"}))
    assert desk.ledger.recall("ratio/") == {"ratio/a": "xx"}
    assert desk.ledger.recall("") == {"ratio/a": "xx", "limits/a": "y"}


def test_a_settlement_keeps_its_lessons(desk: Desk) -> None:
    entry = desk.entry(1 * USD)
    desk.reserve(entry, DAY)
    desk.ledger.release(entry, Lessons(notes={"n": lambda old: "kept"}))
    assert desk.ledger.recall("n") == {"n": "kept"}
