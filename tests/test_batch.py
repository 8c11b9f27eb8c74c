"""Rows as one batch of the provider: at half the price, reserved before, never submitted twice, settled by id."""

from dataclasses import replace

import pytest

from tokmagic import displays
from tokmagic.batch import AsyncBatch
from tokmagic.client import AsyncClient
from tokmagic.core.batches import BatchStatus, Submission, in_batches, submission_of
from tokmagic.core.errors import (
    BudgetExceeded,
    ConfigurationError,
    ConnectionFailed,
    MissingKey,
    ProviderError,
    RequestTooLarge,
    ServerFailed,
)
from tokmagic.core.replies import Reply
from tokmagic.parts import Parts
from tokmagic.sync import Client

ROWS = [{"text": f"Animal number {n} lives in the sea."} for n in range(12)]
ASKED = "Classify: {{text}}"
SOON = 0.01
MODELS = ["demo/claude", "demo/gpt"]


@pytest.fixture
def run(runner):
    return runner.run


@pytest.fixture(params=MODELS)
def client(request, parts):
    return AsyncClient(request.param, parts=parts, max_tokens=100)


async def asked(client, rows=ROWS, **options):
    batch = await client.batch(ASKED, rows, **options)
    return await batch.results(SOON)


def test_every_row_is_answered_as_a_call_would_be_at_half_the_price(client, run):
    replies = run(asked(client))
    assert replies.answered == len(ROWS)
    for row, reply in zip(ROWS, replies, strict=True):
        alone = run(client.send(f"Classify: {row['text']}"))
        assert reply.text == alone.text
        assert reply.usage == alone.usage
        assert reply.cost.quality == "exact"
        assert abs(2 * reply.cost.nanousd - alone.cost.nanousd) <= 2


def test_every_row_stands_in_the_book_as_part_of_a_batch(client, run):
    replies = run(asked(client))
    entries = client.history(100)
    assert {(entry.kind, entry.state) for entry in entries} == {("batch", "settled")}
    assert {entry.call for entry in entries} == {reply.receipt.call for reply in replies}
    assert sum(entry.nanousd for entry in entries) == replies.cost.nanousd


def test_it_is_reserved_while_it_runs_and_takes_nothing_from_the_rates_of_a_minute(client, run):
    async def submit():
        batch = await client.batch(ASKED, ROWS, limits=["3 requests/minute"])
        return batch, client.parts.ledger.open_entries()

    batch, held = run(submit())
    assert len(held) == len(ROWS)
    assert {entry.charge.expected.requests for entry in held} == {0}
    assert min(entry.charge.ceiling.nanousd for entry in held) > 0
    run(batch.results(SOON))
    assert client.parts.ledger.open_entries() == ()
    assert {entry.used.expected.requests for entry in client.history(100)} == {0}


def test_a_budget_without_room_for_all_rows_refuses_before_anything_is_sent(client, run):
    one = run(client.quote(f"Classify: {ROWS[0]['text']}")).ceiling.nanousd
    with pytest.raises(BudgetExceeded):
        run(client.batch(ASKED, ROWS, limits=[f"{one / 1e9:.9f} usd/session"]))
    assert client.parts.ledger.open_entries() == ()
    assert set(client.parts.ledger.recall("batch:").values()) == {""}
    assert run(asked(client)).answered == len(ROWS)


def test_rows_that_nothing_bounds_are_refused_by_a_budget_before_anything_is_sent(client, run):
    search = [{"type": "web_search_20250305", "name": "web_search"}]
    with pytest.raises(BudgetExceeded, match="cannot be kept: the server tool web_search can cost more"):
        run(client.batch(ASKED, ROWS, limits=["5 usd/session"], server_tools=search))
    assert client.history() == ()
    assert set(client.parts.ledger.recall("batch:").values()) == {""}


def test_another_run_costs_nothing_and_sends_nothing(client, run):
    first = run(asked(client))
    batch = run(client.batch(ASKED, ROWS))
    again = run(batch.results(SOON))
    assert batch.id == ""
    assert again.texts == first.texts
    assert again.cost.nanousd == 0
    assert run(client.map(ASKED, ROWS)).cost.nanousd == 0
    assert len(client.history(100)) == len(ROWS)


def test_rows_that_were_answered_by_map_are_not_sent(client, run):
    run(client.map(ASKED, ROWS[:5]))
    batch = run(client.batch(ASKED, ROWS))
    assert len(batch._book.submission.rows) == len(ROWS) - 5
    replies = run(batch.results(SOON))
    assert [reply.receipt.replayed for reply in replies] == [True] * 5 + [False] * 7


def test_rows_that_ask_the_same_are_sent_once(client, run):
    replies = run(asked(client, [ROWS[0], ROWS[1], ROWS[0]]))
    assert replies.texts[0] == replies.texts[2]
    assert [reply.receipt.replayed for reply in replies] == [False, False, True]
    assert len(client.history(100)) == 2


def test_a_batch_is_gone_on_with_after_a_restart_and_not_submitted_twice(make_parts, server, run):
    before, after = (make_parts(server=server) for _ in range(2))
    after.epoch = before.epoch  # demo models have a key of their own in every process
    first = run(AsyncClient("demo/claude", parts=before).batch(ASKED, ROWS))
    before.close()
    again = run(AsyncClient("demo/claude", parts=after).batch(ASKED, ROWS))
    assert again.id == first.id != ""
    replies = run(again.results(SOON))
    assert replies.answered == len(ROWS)
    assert after.ledger.open_entries() == ()
    assert len(after.ledger.entries()) == len(ROWS)
    assert {reply.receipt.call for reply in replies} == {entry.call for entry in after.ledger.entries()}


def test_settling_twice_books_once(make_parts, server, run):
    parts = make_parts(server=server)
    one = run(AsyncClient("demo/claude", parts=parts).batch(ASKED, ROWS))
    two = run(AsyncClient("demo/claude", parts=parts).batch(ASKED, ROWS))
    assert one.id == two.id
    first, second = run(one.results(SOON)), run(two.results(SOON))
    assert second.texts == first.texts
    assert second.cost == first.cost
    assert sum(entry.nanousd for entry in parts.ledger.entries()) == first.cost.nanousd


def test_fresh_submits_anew(client, run):
    first = run(client.batch(ASKED, ROWS[:2]))
    run(first.results(SOON))
    again = run(client.batch(ASKED, ROWS[:2], fresh=True))
    assert again.id not in ("", first.id)
    assert not any(reply.receipt.replayed for reply in run(again.results(SOON)))


def test_a_row_that_is_too_large_is_not_sent_and_the_others_are(parts, run):
    client = AsyncClient("demo/small", parts=parts, max_tokens=100, truncate="off")
    replies = run(asked(client, [ROWS[0], {"text": "x " * 30_000}, ROWS[1]]))
    assert [type(result) for result in replies] == [Reply, RequestTooLarge, Reply]


@pytest.mark.parametrize("model", MODELS)
def test_a_cancelled_batch_pays_for_what_was_answered_and_sends_the_rest_when_asked_again(
    model, make_parts, server, run
):
    client = AsyncClient(model, parts=make_parts(pace=100.0), max_tokens=100)
    rows = [{"text": f"Animal {n}."} for n in range(30)]

    async def stopped():
        batch = await client.batch(ASKED, rows)
        await batch.cancel()
        return await batch.results(SOON)

    replies = run(stopped())
    assert 0 < len(replies.errors) <= 30
    assert "it cost nothing" in str(next(iter(replies.errors.values())))
    assert client.parts.ledger.open_entries() == ()
    states = [entry.state for entry in client.history(500)]
    assert (states.count("settled"), states.count("released")) == (replies.answered, len(replies.errors))
    again = run(asked(AsyncClient(model, parts=make_parts(server=server), max_tokens=100), rows))
    assert again.answered == 30
    assert sum(reply.receipt.replayed for reply in again) == replies.answered


class Failing:
    """The provider's batches, of which one method fails."""

    def __init__(self, real, method, error):
        self._real = real
        self._method = method
        self._error = error

    def __getattr__(self, name):
        if name == self._method:
            return self._fail
        return getattr(self._real, name)

    async def _fail(self, *_):
        raise self._error


@pytest.fixture
def failing(client, monkeypatch):
    def fail(method, error):
        real = AsyncBatch._batches

        async def batches(self):
            return Failing(await real(self), method, error)

        monkeypatch.setattr(AsyncBatch, "_batches", batches)

    return fail


def test_a_submission_that_surely_was_not_taken_gives_everything_back(client, failing, run, monkeypatch):
    failing("submit", ConnectionFailed("no connection"))
    with pytest.raises(ConnectionFailed):
        run(client.batch(ASKED, ROWS))
    assert client.parts.ledger.open_entries() == ()
    monkeypatch.undo()
    assert run(asked(client)).answered == len(ROWS)


def test_a_submission_that_may_have_been_taken_stays_held_and_is_not_repeated_unasked(
    client, failing, run, monkeypatch
):
    failing("submit", ServerFailed("500"))
    with pytest.raises(ServerFailed):
        run(client.batch(ASKED, ROWS))
    assert len(client.parts.ledger.open_entries()) == len(ROWS)
    monkeypatch.undo()
    with pytest.raises(
        ConfigurationError, match="look whether demo has the batch, else submit it anew with fresh=True"
    ):
        run(client.batch(ASKED, ROWS))
    assert run(asked(client, fresh=True)).answered == len(ROWS)


def test_a_provider_that_does_not_answer_for_a_while_is_asked_again(client, run, monkeypatch):
    batch = run(client.batch(ASKED, ROWS))
    real, failures = AsyncBatch.status, [ConnectionFailed("away"), ServerFailed("500")]

    async def status(self):
        if failures:
            raise failures.pop()
        return await real(self)

    monkeypatch.setattr(AsyncBatch, "status", status)
    assert run(batch.results(SOON)).answered == len(ROWS)
    assert failures == []


def test_a_batch_that_failed_as_a_whole_costs_nothing(client, run, monkeypatch):
    batch = run(client.batch(ASKED, ROWS))

    async def status(self):
        return BatchStatus("failed", len(ROWS), why="the file was too large")

    monkeypatch.setattr(AsyncBatch, "status", status)
    with pytest.raises(ProviderError, match=r"did not take the batch .*: the file was too large\."):
        run(batch.results(SOON))
    assert client.parts.ledger.open_entries() == ()
    assert {entry.state for entry in client.history(100)} == {"released"}


def test_a_service_without_batches_says_what_to_do(parts, run):
    client = AsyncClient("demo/chat", parts=parts)
    with pytest.raises(ConfigurationError, match="demo has no batches: ask the rows with map"):
        run(client.batch(ASKED, ROWS))
    assert parts.ledger.open_entries() == ()


def test_a_missing_key_is_refused_before_anything_is_reserved(parts, run):
    with pytest.raises(MissingKey, match="ANTHROPIC_API_KEY"):
        run(AsyncClient("anthropic/claude-sonnet-5-5", parts=parts).batch(ASKED, ROWS))
    assert parts.ledger.entries() == ()


def test_a_chain_and_a_thread_are_refused(client, run):
    for options in (
        {"model": ["demo/claude", "demo/gpt"]},
        {"thread": client.conversation("talk")},
        {"truncate": "split"},
    ):
        with pytest.raises(ConfigurationError, match="one model, each row in one request"):
            run(client.batch(ASKED, ROWS, **options))


@pytest.mark.parametrize("name", ["anthropic/claude-sonnet-5-5", "openai/gpt-6-sol"])
def test_a_real_models_batch_price_is_lower_than_its_own(name, make_parts):
    model = make_parts(kind=Parts).model(name)
    (_, own), (_, batch) = model.price.tiers[0], in_batches(model).price.tiers[0]
    assert batch.output * 2 == own.output
    assert in_batches(model).price.dearest(100)[1] == batch.output


def test_without_a_batch_price_the_ordinary_one_bounds_it(make_parts):
    model = make_parts().model("demo/claude")
    assert in_batches(replace(model, price=replace(model.price, served={}))).price.tiers == model.price.tiers


def test_what_is_remembered_is_read_as_it_was_written():
    sent = Submission("abc", (0, 2, 5), 12.5, "msgbatch_1")
    assert submission_of(sent.as_note()) == sent
    assert [sent.row_of(id) for id in ("abc-2", "abc-3", "abd-2", "abc", "abc-x")] == [2, None, None, None, None]
    assert submission_of("") is None


def test_the_blocking_face_shows_how_far_it_is_and_looks_and_cancels(parts):
    shown = []

    class Kept:
        def show(self, done, total, text):
            shown.append((done, total))

        def note(self, text):
            raise AssertionError(text)

    displays.use(Kept)
    try:
        batch = Client("demo/claude", parts=parts).batch(ASKED, ROWS)
        assert batch.id in repr(batch)
        assert batch.status().total == len(ROWS)
        assert batch.results(SOON).answered == len(ROWS)
        batch.cancel()
        assert batch.status().over
    finally:
        displays.use(None)
    assert shown[-1] == (len(ROWS), len(ROWS))
