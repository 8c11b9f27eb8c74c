from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from tokmagic.core.limits import Account, Level
from tokmagic.core.money import Cost
from tokmagic.core.replies import Cut, Receipt
from tokmagic.core.shown import CELL_COLUMNS, REFILL_SHOWN, as_json
from tokmagic.core.snapshot import (
    Cell,
    Note,
    Pause,
    Row,
    Running,
    Snapshot,
    Sums,
    headline,
    rows,
)
from tokmagic.core.usage import Usage
from tokmagic.core.words import parse_limit

AT = 1_000_000.0
FIXTURE = Path(__file__).with_name("snapshot.json")


def level(words: str, *, until: float | None = None, play: bool = False, **fill: float) -> Level:
    account = Account(parse_limit(words), key=words, scope_id="me", until=until, play=play)
    return Level(account, **fill)


def found(snapshot: Snapshot) -> dict[str, Row]:
    return {row.key: row for row in rows(snapshot)}


def busy() -> Snapshot:
    receipt = Receipt(
        call="c1",
        model="demo/claude",
        usage=Usage(input_tokens=1_200, cache_read_tokens=1_000, output_tokens=80),
        cost=Cost(1_230_000, "estimated", play=True),
        cuts=(Cut("dropped turns", "4 earlier turns", 5_000),),
        waited=12.0,
        stop_reason="max_tokens",
        duration=3.5,
    )
    return Snapshot(
        sequence=7,
        epoch="kernel-1",
        at=AT,
        model="demo/claude",
        context_window=8_000,
        context_used=6_800,
        levels=(
            level("5 usd/day", until=AT + 18_720, spent=1_800_000_000, held=200_000_000),
            level("30k input_tokens/minute", room=2_000.0, ahead=500),
        ),
        running=(Running("cell 4", "demo/claude", 900, 35, Cost(10_000_000, play=True)),),
        pause=Pause("28k of 30k input tokens/min used", AT + 12),
        minute_tokens=(0, 4_000, 1_280),
        session=Sums(2, Usage(2_000, output_tokens=160), 0, 2_460_000, "estimated"),
        day=Sums(3, Usage(3_000, output_tokens=200), 5_000_000, 2_460_000, "estimated"),
        cells=(Cell("cell 3", receipt),),
        notices=(Note("", "No key is set: demo/claude answers."),),
    )


def test_a_snapshot_is_sent_as_the_json_other_displays_expect() -> None:
    assert json.loads(json.dumps(as_json(busy()))) == json.loads(FIXTURE.read_text("utf-8"))


def test_a_refusing_limit_tells_what_is_left_what_is_held_and_when_it_resets() -> None:
    row = found(busy())["limit 5 usd/day"]
    assert row.text == "$3.00 left, $0.20 held for running calls, resets in 5 h 12 min"
    assert (row.fraction, row.tone) == (0.4, "ok")


def test_a_waiting_limit_tells_when_its_bucket_is_full_again_and_who_is_ahead() -> None:
    row = found(busy())["limit 30k input_tokens/minute"]
    assert row.text == "2k input tokens left, 500 input tokens queued, full again in 57 s"
    assert row.tone == "warn"


def test_a_refusing_limit_used_up_is_bad_and_a_waiting_one_only_warns() -> None:
    spent = found(Snapshot(1, "k", AT, levels=(level("10 requests/day", spent=10), level("10 requests/minute"))))
    assert spent["limit 10 requests/day"].tone == "bad"
    assert spent["limit 10 requests/minute"].tone == "warn"


def test_a_budget_that_was_passed_says_by_how_much_in_red() -> None:
    row = found(Snapshot(1, "k", AT, levels=(level("5 usd/total", spent=5_250_000_000),)))["limit 5 usd/total"]
    assert (row.text, row.fraction, row.tone) == ("passed by $0.25", 1.0, "bad")


def test_a_budget_warns_at_its_own_share() -> None:
    words = "10 requests/total, warn at 50 %"
    tones = [
        found(Snapshot(1, "k", AT, levels=(level(words, spent=spent),)))[f"limit {words}"].tone for spent in (4, 5)
    ]
    assert tones == ["ok", "warn"]


def test_a_limit_of_nothing_is_full() -> None:
    row = found(Snapshot(1, "k", AT, levels=(level("0 usd/day"), level("0 requests/minute"))))
    assert row["limit 0 usd/day"].fraction == 1.0
    assert row["limit 0 requests/minute"].text == "0 requests left"


def test_play_money_is_told_apart_from_real_money() -> None:
    row = found(busy())
    assert row["cost day"].text.startswith("≈$0.005")
    assert row["play day"].text == "≈$0.00246 play"
    assert "play" not in row["cost day"].text


def test_play_money_alone_is_one_row_without_a_sum_of_nothing() -> None:
    shown = found(busy())
    assert shown["cost session"].text == "≈$0.00246 play, 2 calls, 2,000 in, 160 out"
    assert "play session" not in shown


def test_an_unknown_price_is_unknown_and_never_zero() -> None:
    row = found(Snapshot(1, "k", AT, session=Sums(1, Usage(10), None, 0, "unknown")))["cost session"]
    assert row.text.startswith("unknown")
    assert row.tone == "warn"


def test_a_new_kernel_names_its_empty_states() -> None:
    empty = found(Snapshot(0, "k", AT))
    assert {row.tone for row in empty.values()} == {"idle"}
    assert empty["cost session"].text == "no calls yet"
    assert "pause" not in empty


def test_what_was_cut_in_the_last_cell_is_said_with_numbers() -> None:
    row = found(busy())["cut"]
    assert row.text == "4 earlier turns: −5,000 tokens"
    assert row.tone == "warn"


def test_every_row_has_its_own_key_and_a_fraction_within_bounds() -> None:
    drawn = rows(busy())
    assert len({row.key for row in drawn}) == len(drawn)
    assert all(row.fraction is None or 0.0 <= row.fraction <= 1.0 for row in drawn)


def test_a_running_call_shows_what_it_wrote_so_far_and_the_most_it_can_cost() -> None:
    row = found(busy())["running 0"]
    assert (row.label, row.text) == ("Running cell 4", "demo/claude: 900 in, ≈35 out so far, at most $0.01 play")
    unpriced = replace(busy().running[0], ceiling=Cost(None, "unknown"))
    assert found(replace(busy(), running=(unpriced,)))["running 0"].text.endswith("at an unknown price")


def test_a_text_that_counts_down_says_the_same_as_its_parts() -> None:
    counting = [row for row in rows(busy()) if row.countdown is not None]
    assert [row.key for row in counting] == ["pause", "limit 5 usd/day", "limit 30k input_tokens/minute"]
    assert all(row.countdown is not None and row.countdown.text(AT) == row.text for row in counting)


def test_the_headline_is_the_limit_with_least_left_of_itself() -> None:
    row = headline(busy())
    assert row is not None
    assert (row.label, row.text, row.tone) == ("30k input tokens/minute", "2k input tokens left", "warn")
    assert headline(Snapshot(1, "k", AT)) is None


def test_a_snapshot_is_stale_when_the_first_of_its_countdowns_or_its_running_minute_ends() -> None:
    resets = (level("5 usd/day", until=AT + 18_720, spent=5),)
    assert as_json(replace(busy(), levels=resets))["stale_at"] == AT + 12
    assert as_json(Snapshot(1, "k", AT, minute_tokens=(0, 5)))["stale_at"] == AT + 60
    assert as_json(Snapshot(1, "k", AT, minute_tokens=(0, 0)))["stale_at"] is None
    assert as_json(Snapshot(1, "k", AT, pause=Pause("full", AT)))["stale_at"] is None


def test_what_is_left_of_a_limit_that_fills_by_itself_is_soon_stale_and_of_a_full_one_never() -> None:
    filling = level("600 tokens/minute", room=71.0)
    assert as_json(Snapshot(1, "k", AT, levels=(filling,)))["stale_at"] == AT + REFILL_SHOWN
    assert as_json(Snapshot(1, "k", AT, levels=(level("600 tokens/minute", room=600.0),)))["stale_at"] is None


def test_only_the_newest_cells_are_sent() -> None:
    cells = tuple(replace(busy().cells[0], label=f"cell {number}") for number in range(50))
    sent = as_json(replace(busy(), cells=cells))["cells"]
    assert [cell["label"] for cell in sent] == [f"cell {number}" for number in range(30, 50)]
    assert all(len(cell["texts"]) == len(CELL_COLUMNS) for cell in sent)


def test_a_call_that_no_cell_made_is_named_in_words_and_a_note_names_its_cell() -> None:
    cell = replace(busy().cells[0], label="")
    notes = (Note("", "No key is set."), Note("cell 7", "More than was held."))
    shown = {row.label: row.text for row in rows(replace(busy(), cells=(cell,), notices=notes))}
    assert {"Cost of the last call", "Cut in the last call"} <= shown.keys()
    assert (shown["Note"], shown["Note on cell 7"]) == ("No key is set.", "More than was held.")
    (sent,) = as_json(replace(busy(), cells=(cell,)))["cells"]
    assert sent["texts"][0] == "-"
