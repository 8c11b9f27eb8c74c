"""The same question for many rows: in order, paced, in the book, and never asked twice."""

import asyncio
from io import StringIO

import pytest

from tests.patience import PATIENCE
from tokmagic import displays
from tokmagic.client import AsyncClient
from tokmagic.core.errors import (
    BudgetExceeded,
    ConfigurationError,
    Interrupted,
    InvalidPrompt,
    LedgerError,
    RequestTooLarge,
    UnknownModel,
)
from tokmagic.core.events import Notice, Progress, Waiting
from tokmagic.core.money import summed
from tokmagic.core.replies import Reply
from tokmagic.progress import Follower, LineDisplay
from tokmagic.sync import Client

MODEL = "demo/claude"
ROWS = [{"text": f"Animal number {n} lives in the sea."} for n in range(20)]
ASKED = "Classify: {{text}}"


@pytest.fixture
def run(runner):
    return runner.run


@pytest.fixture
def client(parts):
    return AsyncClient(MODEL, parts=parts)


async def watch(passage):
    return [event async for event in passage.run()]


def test_every_row_gets_its_own_reply_in_the_order_of_the_rows(client, run):
    replies = run(client.map(ASKED, ROWS))
    assert len(replies) == replies.answered == len(ROWS)
    for row, reply in zip(ROWS, replies, strict=True):
        assert reply.text == run(client.send(f"Classify: {row['text']}")).text
    assert replies.texts == [reply.text for reply in replies]
    assert replies.errors == {}
    assert replies.stopped is None


def test_each_row_is_settled_in_the_book_and_the_sum_is_the_books(client, run):
    replies = run(client.map(ASKED, ROWS))
    entries = client.history(100)
    assert {entry.state for entry in entries} == {"settled"}
    assert sorted(entry.call for entry in entries) == sorted(reply.receipt.call for reply in replies)
    assert replies.cost.nanousd == sum(entry.nanousd for entry in entries)
    assert replies.usage.input_tokens == sum(entry.usage.input_tokens for entry in entries)


def test_it_tells_how_far_it_is(client, run):
    events = run(watch(client.mapping(ASKED, ROWS)))
    assert [event.done for event in events if isinstance(event, Progress)] == list(range(len(ROWS) + 1))


def test_no_more_rows_go_at_once_than_may(make_parts, run):
    client = AsyncClient(MODEL, parts=make_parts(pace=400.0))
    passage = client.mapping(ASKED, ROWS[:6], at_once=2)

    async def most():
        work, seen = asyncio.create_task(watch(passage)), set()
        while not work.done():
            seen.add(len(client.parts.ledger.open_entries()))
            await asyncio.sleep(0.005)
        return max(seen)

    assert run(most()) == 2


def test_a_second_run_costs_nothing_even_in_another_process(make_parts, server, run):
    first = run(AsyncClient(MODEL, parts=make_parts(server=server)).map(ASKED, ROWS))
    again = run(AsyncClient(MODEL, parts=make_parts(server=server)).map(ASKED, ROWS))
    assert again.texts == first.texts
    assert again.cost.nanousd == 0
    assert all(reply.receipt.replayed for reply in again)
    assert repr(again).startswith("<20 of 20 rows answered, 20 of them replayed, $0.00 play>")


def test_fresh_asks_every_row_again(client, run):
    run(client.map(ASKED, ROWS))
    assert not any(reply.receipt.replayed for reply in run(client.map(ASKED, ROWS, fresh=True)))


def test_rows_that_say_the_same_are_asked_once(client, run):
    rows = ["cat", "dog", "cat", "cat", "dog"]
    for options in ({}, {"fresh": True}):
        before = len(client.history(100))
        replies = run(client.map(ASKED, rows, **options))
        assert len(client.history(100)) - before == 2
        assert [reply.receipt.replayed for reply in replies] == [False, False, True, True, True]
        assert replies.texts[0] == replies.texts[2] == replies.texts[3]


def test_it_goes_on_after_a_stop_where_it_was(make_parts, run):
    parts = make_parts(pace=300.0)
    client = AsyncClient(MODEL, parts=parts)

    async def stop_in_the_middle():
        events = client.mapping(ASKED, ROWS, at_once=2).run()
        async for event in events:
            if isinstance(event, Progress) and event.done == 5:
                break
        await events.aclose()

    run(stop_in_the_middle())
    assert parts.ledger.open_entries() == ()
    done = run(client.map(ASKED, ROWS[:6], at_once=2))
    assert sum(reply.receipt.replayed for reply in done) >= 5


def test_a_budget_that_ends_stops_the_rest_and_says_how_many_are_done(client, run):
    price = run(client.send(f"Classify: {ROWS[0]['text']}", max_tokens=100)).cost.nanousd
    replies = run(client.map(ASKED, ROWS, max_tokens=100, limits=["8 requests/session"]))
    assert price > 0
    assert replies.answered == 7
    assert isinstance(replies.stopped, BudgetExceeded)
    assert "7 of 20 rows are answered and kept" in str(replies.stopped)
    assert set(replies.errors.values()) == {replies.stopped}
    assert len(client.history(100)) == 8


def test_where_nothing_is_kept_no_row_is_said_to_cost_nothing_the_next_time(client, run):
    replies = run(client.map(ASKED, ROWS, max_tokens=100, limits=["2 requests/session"], replay=False))
    assert str(replies.stopped).endswith("2 of 20 rows are answered and not kept, as replay is off.")


def test_a_budget_is_spent_to_its_end_although_rows_hold_their_worst_case(client, run):
    one = run(client.send(f"Classify: {ROWS[0]['text']}", max_tokens=400))
    worst = client.history(1)[0].charge.ceiling.nanousd
    assert worst > 3 * one.cost.nanousd
    budget = worst + 12 * one.cost.nanousd
    replies = run(client.map(ASKED, ROWS, max_tokens=400, limits=[f"{budget / 1e9:.9f} usd/session"], at_once=8))
    assert replies.answered >= 9
    spent = sum(entry.nanousd for entry in client.history(100))
    assert spent <= budget + 1


@pytest.mark.parametrize("truncate", ["smart", "split"])
def test_no_answer_is_asked_for_shorter_because_of_what_the_other_rows_hold(parts, run, truncate):
    client = AsyncClient(MODEL, parts=parts, truncate=truncate)
    one = run(client.send(f"Classify: {ROWS[0]['text']}", max_tokens=400)).cost.nanousd
    worst = client.history(1)[0].charge.ceiling.nanousd
    budget = one + 2 * worst + worst // 2 + len(ROWS) * one
    replies = run(client.map(ASKED, ROWS, max_tokens=400, limits=[f"{budget / 1e9:.9f} usd/session"], at_once=8))
    assert replies.answered == len(ROWS)
    assert {reply.receipt.lowered_from for reply in replies} == {None}
    assert {reply.receipt.max_tokens for reply in replies} == {400}


def test_a_row_that_is_alone_is_asked_for_as_much_as_is_left(client, run):
    one = run(client.send(f"Classify: {ROWS[0]['text']}", max_tokens=400)).cost.nanousd
    worst = client.history(1)[0].charge.ceiling.nanousd
    (reply,) = run(client.map(ASKED, ROWS[:1], max_tokens=400, limits=[f"{(one + worst * 0.9) / 1e9:.9f} usd/session"]))
    assert reply.receipt.lowered_from == 400
    assert 256 <= reply.receipt.max_tokens < 400


def test_a_limit_per_call_shortens_the_answers_of_rows_that_go_together(client, run):
    replies = run(client.map(ASKED, ROWS[:4], max_tokens=400, limits=["300 output tokens/call"], at_once=4))
    assert {reply.receipt.max_tokens for reply in replies} == {300}


def test_a_row_that_fails_does_not_stop_the_others(client, run):
    rows = [*ROWS[:3], {"text": "x " * 30_000}, *ROWS[3:6]]
    replies = run(client.map(ASKED, rows, model="demo/small", truncate="off", max_tokens=100))
    assert isinstance(replies[3], RequestTooLarge)
    assert replies.errors == {3: replies[3]}
    assert replies.answered == 6
    assert replies.texts[3] is None


def test_a_limit_of_one_call_refuses_its_row_alone(client, run):
    rows = [*ROWS[:2], {"text": "word " * 2_000}]
    replies = run(client.map(ASKED, rows, max_tokens=10, limits=["1000 input tokens/call"]))
    assert [isinstance(result, Reply) for result in replies] == [True, True, False]
    assert isinstance(replies[2], BudgetExceeded)
    assert replies.stopped is None


def test_what_refuses_every_row_is_raised(client, run):
    with pytest.raises(UnknownModel):
        run(client.map(ASKED, ROWS, model="demo/nobody"))
    with pytest.raises(BudgetExceeded):
        run(client.map(ASKED, ROWS, limits=["0 usd/session"]))
    assert client.history() == ()


def test_what_ends_the_rows_in_the_middle_says_once_how_many_are_answered(parts, client, run):
    async def without_a_book_from_the_second_row_on():
        passage = client.mapping(ASKED, ROWS, at_once=1)
        async for event in passage.run():
            if isinstance(event, Progress) and event.done == 1:
                parts.ledger.close()
        return passage.replies

    replies = run(without_a_book_from_the_second_row_on())
    assert isinstance(replies.stopped, LedgerError)
    assert str(replies.stopped).count(f"{replies.answered} of 20 rows are answered and kept") == 1


def test_a_full_rate_makes_rows_wait_and_not_fail(client, run):
    async def first_wait():
        events = client.mapping(ASKED, ROWS, limits=["5 requests/minute"]).run()
        done = 0
        async for event in events:
            if isinstance(event, Progress):
                done = event.done
            if isinstance(event, Waiting) and "requests/minute" in event.reason and done >= 1:
                await events.aclose()
                return event
        return None

    assert run(asyncio.wait_for(first_wait(), PATIENCE)) is not None
    assert client.parts.ledger.open_entries() == ()


@pytest.mark.parametrize(
    ("template", "rows", "said"),
    [
        ("{{txt}}", [{"text": "a"}], r"\{\{txt\}\}: row 1 has no such value; nothing was sent. Did you mean text\?"),
        ("{{a}} {{b}}", [{"a": 1, "b": 2}, {"a": 1}], r"\{\{b\}\}: row 2 has no such value; .* It has a\."),
        ("no name", ["a"], r"has no \{\{name\}\}"),
        ("{{a}} {{b}}", ["x"], "Row 1 is a str, and the template has 2 names"),
        ("{{a}}", "text", "a list or a table, not one text"),
        ("{{a + 1}}", [{"a": 1}], r"\{\{a \+ 1\}\}: row 1 has no such value"),
    ],
)
def test_rows_that_do_not_fill_the_template_are_refused_before_anything_is_sent(client, template, rows, said):
    with pytest.raises(InvalidPrompt, match=said):
        client.mapping(template, rows)


@pytest.mark.parametrize("at_once", [0, -1, 1.5, True])
def test_a_number_that_is_none_is_refused(client, at_once):
    with pytest.raises(ConfigurationError, match="at_once"):
        client.mapping(ASKED, ROWS, at_once=at_once)


def test_a_thread_cannot_be_shared_by_rows(client):
    with pytest.raises(ConfigurationError, match="leave thread out"):
        client.mapping(ASKED, ROWS, thread=client.conversation("talk"))


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_a_terminal_shows_one_line_that_is_written_over():
    out, clock = StringIO(), Clock()
    follower = Follower(LineDisplay(out, rewrites=True), clock)
    follower.take(Progress(0, 4))
    clock.now = 10.0
    follower.take(Progress(1, 4))
    clock.now = 10.1
    follower.take(Waiting(3.0, "limit full"))
    clock.now = 12.0
    follower.take(None)
    follower.take(Notice("mind this"))
    follower.take(Progress(4, 4))
    lines = out.getvalue().split("\r")
    assert "0 of 4 rows" in lines[1]
    assert lines[2].startswith("━━━━━━──────────────────")
    assert "1 of 4 rows · 10 s · about 30 s left" in lines[2]
    assert "waiting: limit full" in lines[3]
    assert lines[4].startswith("! mind this")
    assert out.getvalue().endswith("\n")
    assert "4 of 4 rows · 12 s" in lines[5]


def test_where_a_line_cannot_be_written_over_only_notes_are_written():
    out = StringIO()
    follower = Follower(LineDisplay(out, rewrites=False), Clock())
    for event in (Progress(0, 2), Progress(2, 2), Notice("mind this")):
        follower.take(event)
    assert out.getvalue() == "! mind this\n"


class Kept:
    def __init__(self):
        self.shown = []

    def show(self, done, total, text):
        self.shown.append((done, total))

    def note(self, text):
        self.shown.append(text)


@pytest.fixture
def display():
    kept = Kept()
    displays.use(lambda: kept)
    yield kept
    displays.use(None)


def test_the_blocking_client_shows_how_far_it_is(parts, display):
    replies = Client(MODEL, parts=parts).map(ASKED, ROWS)
    assert replies.answered == 20
    assert display.shown[0] == (0, 20)
    assert display.shown[-1] == (20, 20)


def spent(parts):
    return summed(entry.cost for entry in parts.ledger.entries(most=100) if entry.state != "released")


def test_a_stop_by_hand_says_what_is_kept_and_what_was_spent(parts, display):
    def stop(done, total, text):
        if done == total:
            raise KeyboardInterrupt

    display.show = stop
    with pytest.raises(Interrupted) as stopped:
        Client(MODEL, parts=parts).map(ASKED, ROWS)
    said = f"20 of 20 rows are answered and kept, {spent(parts)} spent: run it again to go on."
    assert str(stopped.value) == said


def test_a_stop_by_hand_says_that_nothing_is_kept_where_that_is_so(parts, display):
    def stop(done, total, text):
        if done == total:
            raise KeyboardInterrupt

    display.show = stop
    with pytest.raises(Interrupted) as stopped:
        Client(MODEL, parts=parts).map(ASKED, ROWS[:3], replay=False)
    assert str(stopped.value) == f"3 of 3 rows are answered and not kept, as replay is off, {spent(parts)} spent."


def test_rows_that_a_stop_cuts_short_are_in_what_was_spent(make_parts, display):
    parts = make_parts(pace=20.0)
    client = Client(MODEL, parts=parts)

    def stop(done, total, text):
        if any(running.output_tokens for running in client.snapshot().running):
            raise KeyboardInterrupt

    display.show = stop
    with pytest.raises(Interrupted, match=r"^\d of 20 rows") as stopped:
        client.map(ASKED, ROWS)
    assert spent(parts).nanousd > 0
    assert f", {spent(parts)} spent: run it again" in str(stopped.value)


def test_the_displays_show_all_rows_as_one_call_with_their_sum(client, run):
    run(client.send("Hello?"))
    replies = run(client.map(ASKED, ROWS))
    _, rows = (cell.receipt for cell in client.snapshot().cells)
    assert rows.calls == len(ROWS)
    assert rows.cost == replies.cost
    assert rows.usage == replies.usage


def test_a_store_that_fails_is_told_once_and_loses_no_answer(parts, client, run, display):
    parts.replays.path.parent.mkdir(parents=True, exist_ok=True)
    parts.replays.path.write_bytes(b"no database" * 100)
    assert Client(MODEL, parts=parts).map(ASKED, ROWS).answered == len(ROWS)
    notes = [shown for shown in display.shown if isinstance(shown, str)]
    assert len(notes) == 1
    assert "not kept for another run" in notes[0]
