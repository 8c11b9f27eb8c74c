"""Usage by group, calls booked by hand, hooks, and what a person can do about an entry that hangs."""

import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

import tokmagic as tm
from tokmagic import hooks, reports
from tokmagic.core.book import Entry
from tokmagic.core.errors import ConfigurationError
from tokmagic.core.limits import Amounts, Charge
from tokmagic.core.reports import moment, natural
from tokmagic.core.usage import Usage
from tokmagic.sync import Client

NOW = datetime(2026, 11, 20, 15, 30, tzinfo=UTC)
USD = 1_000_000_000


@pytest.fixture
def clock():
    return [NOW.timestamp()]


@pytest.fixture
def at_noon(make_parts, clock):
    return make_parts(clock=lambda: clock[0])


def used(parts, *, ago=0.0, state="settled", **facts):
    """Book a call that began ``ago`` seconds before now and ended as told."""
    usage = Usage(input_tokens=100, cache_read_tokens=40, output_tokens=10)
    held = Charge(Amounts(1, 100, 10, 110, USD), Amounts(1, 100, 10, 110))
    facts = {"model": "anthropic/x", "lease_until": parts.clock() + 60, **facts}
    entry = Entry(id=f"{len(parts.ledger.entries(most=10**6)):08x}", call=facts.pop("call", str(ago)), at=0.0, **facts)
    entry = replace(entry, at=parts.clock() - ago, charge=held)
    parts.ledger.reserve(entry, (), entry.call)
    ended = replace(entry, state=state, used=held, usage=usage, nanousd=USD, quality="exact")
    (parts.ledger.release if state == "released" else parts.ledger.settle)(ended)
    return entry


@pytest.mark.parametrize(
    ("since", "ago"),
    [
        ("today", timedelta(hours=15, minutes=30)),
        ("Yesterday", timedelta(days=1, hours=15, minutes=30)),
        ("90m", timedelta(minutes=90)),
        (" 24 h", timedelta(days=1)),
        ("7d", timedelta(days=7)),
        ((NOW - timedelta(days=20)).strftime("%Y-%m-%d"), timedelta(days=20, hours=NOW.hour, minutes=NOW.minute)),
        (timedelta(seconds=5), timedelta(seconds=5)),
        (NOW - timedelta(hours=2), timedelta(hours=2)),
    ],
    ids=str,
)
def test_a_moment_is_a_time_a_span_or_a_word(since, ago):
    assert moment(since, NOW) == (NOW - ago).timestamp()


def test_without_a_moment_everything_counts_and_a_strange_word_is_refused():
    assert moment(None, NOW) == 0.0
    for word in ("lately", "2026-13-40", "5y"):
        with pytest.raises(ConfigurationError, match=f"'{word}' names no moment: use a date such as"):
            moment(word, NOW)


def test_a_row_has_tokens_by_kind_delays_cost_and_the_last_minute_alone(at_noon):
    used(at_noon, ago=3600, waited=2.0)
    used(at_noon, ago=30, waited=0.5)
    used(at_noon, ago=10)
    (row,) = reports.usage_table(at_noon, None, "model")
    assert (row.group, row.calls, row.delays, row.waited) == ("anthropic/x", 3, 2, 2.5)
    assert (row.usage.input_tokens, row.usage.cache_read_tokens, row.usage.output_tokens) == (300, 120, 30)
    assert row.cost.nanousd == 3 * USD
    assert (row.last_minute.calls, row.last_minute.input_tokens, row.last_minute.output_tokens) == (2, 200, 20)


def test_play_money_has_a_row_of_its_own_and_what_was_released_is_in_none(at_noon):
    used(at_noon, ago=5)
    used(at_noon, ago=4, play=True)
    used(at_noon, ago=3, state="released")
    rows = reports.usage_table(at_noon, "today", None)
    assert [(row.cost.play, row.calls, row.last_minute.calls) for row in rows] == [(False, 1, 1), (True, 1, 1)]


def test_days_are_told_apart_at_midnight_and_empty_ones_are_left_out(at_noon):
    here = datetime.fromtimestamp(at_noon.clock())
    since_midnight = (here - here.replace(hour=0, minute=0, second=0)).total_seconds()
    for ago in (10.0, since_midnight - 1, since_midnight + 1, since_midnight + 5 * 86_400 + 1):
        used(at_noon, ago=ago)
    rows = reports.usage_table(at_noon, None, "day")
    days = [(here - timedelta(days=back)).strftime("%Y-%m-%d") for back in (6, 1, 0)]
    assert [(row.group, row.calls) for row in rows] == list(zip(days, (1, 1, 2), strict=True))
    assert [row.group for row in reports.usage_table(at_noon, "today", "day")] == days[-1:]


@pytest.mark.parametrize("by", ["cell", "notebook", "session"])
def test_usage_is_told_apart_by_where_it_came_from(at_noon, by):
    used(at_noon, ago=2, **{by: "one"})
    used(at_noon, ago=1, **{by: "two"})
    assert [row.group for row in reports.usage_table(at_noon, None, by)] == ["one", "two"]


def test_cells_of_equal_names_are_told_apart_by_their_sessions_and_stand_in_their_order(at_noon):
    for cell in ("cell 10", "cell 9", "cell 9", "", "cell x"):
        used(at_noon, ago=30, call=cell + str(at_noon.ledger.entries()), session="beef", notebook="a.ipynb", cell=cell)
    used(at_noon, ago=90, session="cafe", notebook="cafe", cell="cell 9", call="other")
    found = reports.usage_table(at_noon, None, "cell")
    assert [(row.session, row.notebook, row.group, row.calls, row.last_minute.calls) for row in found] == [
        ("cafe", "", "cell 9", 1, 0),
        ("beef", "a.ipynb", "", 1, 1),
        ("beef", "a.ipynb", "cell 9", 2, 2),
        ("beef", "a.ipynb", "cell 10", 1, 1),
        ("beef", "a.ipynb", "cell x", 1, 1),
    ]
    assert [line.split("  ")[0] for line in repr(found).splitlines()[1:3]] == ["cafe", "beef a.ipynb"]


def test_sessions_name_their_notebook_and_come_in_the_order_in_which_they_were_used(at_noon):
    used(at_noon, ago=50, session="beef", notebook="a.ipynb")
    used(at_noon, ago=40, session="cafe", notebook="b.ipynb")
    used(at_noon, ago=5, session="beef", notebook="beef")
    found = reports.usage_table(at_noon, None, "session")
    assert [(row.group, row.notebook, row.calls) for row in found] == [("cafe", "b.ipynb", 1), ("beef", "a.ipynb", 2)]
    assert "beef a.ipynb" in repr(found)


@pytest.mark.parametrize("text", ["cell 007", "", "9", "x9y10", "٣", "1" * 5000])
def test_texts_are_sorted_by_the_numbers_in_them(text):
    assert sorted([f"{text}10", f"{text}9", text], key=natural)[1:] == [f"{text}9", f"{text}10"]


def test_a_group_the_book_does_not_keep_is_refused(at_noon):
    with pytest.raises(ConfigurationError, match="'colour' is not kept: use one of model, cell, day"):
        reports.usage_table(at_noon, None, "colour")


def test_a_table_of_usage_reads_as_text_and_escapes_what_goes_into_html(at_noon):
    used(at_noon, ago=1, cell="<b>In [1]</b>")
    found = reports.usage_table(at_noon, None, "cell")
    assert repr(found).splitlines()[0].split()[:4] == ["session", "cell", "calls", "cost"]
    assert "$1.00" in repr(found)
    assert "&lt;b&gt;In [1]&lt;/b&gt;" in found._repr_html_()


def test_models_are_values_and_show_limits_cached_prices_and_keys(parts, monkeypatch):
    monkeypatch.setenv("DEEPSEEK_API_KEY", "sk-test-000000000000")
    found = reports.model_table(parts, "e")
    shown = {line[0]: line for line in found.lines()}
    assert found[0].context_window == 200_000
    assert "requests/minute" in shown["demo/claude"][7]
    assert "play" in shown["demo/claude"][4]
    assert shown["demo/claude"][8] == "yes"
    assert {line[8] for name, line in shown.items() if name.startswith("deepseek/")} == {"yes"}
    assert {line[8] for name, line in shown.items() if name.startswith("openai/")} == {"no"}
    assert "demo/claude" in repr(found)
    assert "<table>" in found._repr_html_()


@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_every_entry_is_read_once_page_by_page_also_where_many_are_of_one_moment(at_noon, size):
    for ago in (9, 9, 9, 9, 5, 3, 3, 3, 1):
        used(at_noon, ago=ago)
    found = list(reports.pages(at_noon.ledger, size=size))
    assert sorted(entry.id for entry in found) == sorted(f"{number:08x}" for number in range(9))
    assert [entry.at for entry in found] == sorted((entry.at for entry in found), reverse=True)


def test_a_call_made_elsewhere_is_in_every_budget_and_may_pass_one(at_noon):
    client = Client("demo/claude", parts=at_noon, limits=["1 usd/day"])
    entry = reports.record(at_noon, "demo/claude", Usage(input_tokens=10, output_tokens=5), 1.25)
    assert (entry.kind, entry.state, entry.nanousd, entry.play) == ("record", "settled", 1_250_000_000, True)
    (level,) = [level for level in client.snapshot().levels if level.account.limit.unit == "nanousd"]
    assert (level.spent, level.left) == (1_250_000_000, 0)
    with pytest.raises(tm.BudgetExceeded, match="can take"):
        client.send("Hello")


def test_a_record_without_a_cost_takes_the_models_price(at_noon):
    usage = Usage(input_tokens=1_000_000)
    price = at_noon.model("demo/claude").price
    assert reports.record(at_noon, "demo/claude", usage, None).nanousd == price.rates(1_000_000).input


@pytest.mark.parametrize("cost", [-0.01, float("nan"), float("inf"), "much"])
def test_a_cost_that_is_no_amount_is_refused_and_nothing_is_booked(at_noon, cost):
    with pytest.raises(ConfigurationError, match="no amount of US dollars"):
        reports.record(at_noon, "demo/claude", Usage(), cost)
    assert at_noon.ledger.entries() == ()


def test_an_unsettled_entry_is_released_by_the_beginning_of_its_id(at_noon):
    entry = used(at_noon, state="unsettled")
    assert reports.release(at_noon, entry.id[:8]).nanousd == USD
    (after,) = at_noon.ledger.entries()
    assert (after.state, after.nanousd, after.error) == ("released", 0, "released by hand")


def test_a_row_of_a_batch_is_released_by_the_id_it_is_shown_with(at_noon):
    rows = [replace(used(at_noon, state="settled"), id=f"{'ab' * 8}-{row}", call=f"row {row}") for row in (1, 11, 111)]
    for row in rows:
        at_noon.ledger.reserve(row, (), row.call)
        at_noon.ledger.settle(replace(row, state="unsettled", used=row.charge))
    shown = [reports.short_id(row) for row in rows]
    assert shown == ["abababab-1", "abababab-11", "abababab-111"]
    with pytest.raises(ConfigurationError, match=r"3 open entries .* shows the ids, such as abababab-1\."):
        reports.release(at_noon, "abababab")
    assert [reports.release(at_noon, id).id for id in (shown[1], rows[0].id)] == [rows[1].id, rows[0].id]


def test_only_an_unsettled_entry_that_is_meant_alone_can_be_released(at_noon):
    used(at_noon)
    used(at_noon, state="unsettled")
    used(at_noon, state="unsettled")
    held = replace(used(at_noon), id="beef", call="held", lease_until=at_noon.clock() + 9)
    at_noon.ledger.reserve(held, (), "held")
    said = {
        "00000000": "No open entry of the book begins",
        "0000000": "2 open entries of the book begin",
        "": "No open",
        "be": "beef is held",
    }
    for prefix, words in said.items():
        with pytest.raises(ConfigurationError, match=words):
            reports.release(at_noon, prefix)
    assert "released" not in {entry.state for entry in at_noon.ledger.entries()}


def test_a_hook_is_told_of_each_entry_that_ends_and_its_failure_breaks_nothing(parts, caplog):
    told = []

    def broken(entry):
        raise ValueError("no")

    forget = [hooks.on_entry(broken), hooks.on_entry(told.append)]
    try:
        with caplog.at_level(logging.ERROR, "tokmagic"):
            reply = Client("demo/claude", parts=parts).send("Hello")
        reports.record(parts, "demo/claude", Usage(output_tokens=1), None)
    finally:
        for each in [*forget, *forget]:
            each()
    Client("demo/claude", parts=parts).send("Hello again")
    assert [entry.kind for entry in told] == ["call", "record"]
    assert told[0].nanousd == reply.cost.nanousd
    assert "a hook failed for entry" in caplog.text
