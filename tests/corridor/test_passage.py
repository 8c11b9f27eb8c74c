"""The corridor under attack: stopped at every step, failed by its book at every step, and asked by many at once."""

import asyncio
import itertools
import sqlite3
import threading
import types
from dataclasses import replace

import anyio
import pytest

from tests.endless import Endless
from tests.patience import PATIENCE
from tokmagic import catalog, tokenizers
from tokmagic.client import AsyncClient
from tokmagic.core.errors import BudgetExceeded, LedgerError
from tokmagic.core.events import Completed, Notice
from tokmagic.core.replies import Reply
from tokmagic.parts import Parts
from tokmagic.queues.gate import FEW
from tokmagic.server import start_server

PROMPT = "The sea is deep. The sea is blue. Whales live in the sea."


@pytest.fixture
def run(runner):
    return runner.run


class Unpaced(Parts):
    """Parts whose models have no limits a minute."""

    def model(self, name):
        return replace(super().model(name), rates=())


@types.coroutine
def cancelled_at(awaitable, step):
    """Await it; where it gives the loop its turn for the ``step``-th time, its task is cancelled."""
    inner, told, passed = awaitable.__await__(), None, 0
    resume = inner.send
    while True:
        try:
            handed = resume(told)
        except StopIteration as end:
            return passed, end.value
        passed += 1
        if passed == step:
            asyncio.current_task().cancel()
        try:
            told, resume = (yield handed), inner.send
        except BaseException as error:  # noqa: BLE001 - whatever comes is handed to who waits
            told, resume = error, inner.throw


def tickets(parts):
    with sqlite3.connect(parts.settings.home / "book.sqlite") as db:
        return db.execute("SELECT count(*) FROM tickets").fetchone()[0]


def stop_at_every_step(parts, run, make, most=200):
    """Make the call again and again, stopped one step later each time; how many steps it has."""

    async def once(step):
        return await asyncio.create_task(_as_coroutine(cancelled_at(make(), step)))

    for step in range(1, most):
        try:
            passed, _ = run(once(step))
        except asyncio.CancelledError:
            passed = step
        assert [entry for entry in parts.ledger.open_entries() if entry.state == "held"] == []
        assert tickets(parts) == 0
        assert parts.gauge.snapshot((), (), ()).running == ()
        if passed < step:
            return passed
    raise AssertionError(f"not done in {most} steps")


async def _as_coroutine(awaitable):
    return await awaitable


@pytest.mark.parametrize("options", [{}, {"max_tokens": 4_000, "limits": ["0.01 usd/call"]}, {"stream": False}])
def test_a_call_that_is_stopped_at_any_step_leaves_no_hold_and_no_place_behind(make_parts, server, run, options):
    parts = make_parts(server=server, kind=Unpaced)
    client = AsyncClient("demo/claude", parts=parts)
    run(client.send(PROMPT))
    assert stop_at_every_step(parts, run, lambda: client.send(PROMPT, **options)) > 3


def test_a_call_that_is_stopped_at_any_step_on_its_way_into_a_wait_leaves_no_place_behind(make_parts, server, run):
    parts = make_parts(server=server, kind=Unpaced, clock=lambda: 1_800_000_000.0)
    client = AsyncClient("demo/claude", parts=parts, limits=["3k input_tokens/minute"], max_tokens=5)
    run(client.send("word " * 2_900))

    async def once():
        async with asyncio.timeout(0.2):
            await client.send("word " * 400)

    with pytest.raises(TimeoutError):
        stop_at_every_step(parts, run, once)
    assert tickets(parts) == 0
    assert len(parts.ledger.entries()) == 1


@pytest.mark.parametrize("last", range(1, 9))
def test_a_call_that_is_left_at_any_event_is_settled_or_given_back(parts, run, last):
    client = AsyncClient("demo/claude", parts=parts, limits=["0.01 usd/session"])

    async def leave():
        async with client.stream(PROMPT, max_tokens=4_000) as stream:
            seen = 0
            async for _ in stream:
                seen += 1
                if seen == last:
                    break
        return stream.reply

    reply = run(leave())
    assert {entry.state for entry in parts.ledger.entries()} <= {"settled", "released"}
    assert (reply is None) == (not any(entry.state == "settled" for entry in parts.ledger.entries()))


class Watched:
    """A book that counts what it is asked and fails where it is told to."""

    def __init__(self, ledger):
        self._ledger = ledger
        self.asked = []
        self.failing = set()

    def __getattr__(self, name):
        act = getattr(self._ledger, name)

        def asked(*arguments, **options):
            self.asked.append(name)
            if name in self.failing:
                raise LedgerError(f"no {name} today.")
            return act(*arguments, **options)

        return asked if callable(act) else act


@pytest.fixture
def watched(make_parts, server):
    class Parted(Unpaced):
        @property
        def ledger(self):
            self.book = getattr(self, "book", None) or Watched(super().ledger)
            return self.book

    return make_parts(server=server, kind=Parted)


def test_a_call_takes_two_transactions_of_the_book(watched, run):
    client = AsyncClient("demo/claude", parts=watched, limits=["5 usd/day", "200k tokens/session"])
    run(client.send(PROMPT))
    watched.book.asked.clear()
    for _ in range(3):
        run(client.send(PROMPT))
    assert watched.book.asked == ["reserve", "settle"] * 3


def test_a_budget_that_warned_already_is_not_read_again_for_it(watched, run):
    client = AsyncClient("demo/claude", parts=watched, limits=["1k tokens/session, warn at 5 %"], max_tokens=1)
    for _ in range(4):
        run(client.send(PROMPT))
    assert watched.book.asked.count("levels") == 1


@pytest.mark.parametrize("failing", ["reserve", "recall"])
def test_without_the_book_nothing_is_sent(watched, run, failing):
    watched.ledger.failing.add(failing)
    with pytest.raises(LedgerError):
        run(AsyncClient("demo/claude", parts=watched).send(PROMPT))
    assert watched._ledger.entries() == ()


def test_a_book_that_fails_while_an_answer_comes_costs_no_word_of_it(watched, run):
    watched.ledger.failing.update({"expect", "learn", "levels"})
    client = AsyncClient("demo/claude", parts=watched, limits=["1k tokens/session, warn at 1 %"], max_tokens=40)
    events = []

    async def watch():
        async with client.stream(PROMPT) as stream:
            events.extend([event async for event in stream])

    run(watch())
    (told,) = [event.text for event in events if isinstance(event, Notice)]
    assert told == "Whether a budget is near its end could not be seen: no levels today."
    assert isinstance(events[-1], Completed)
    assert [entry.state for entry in watched._ledger.entries()] == ["settled"]


@pytest.mark.parametrize("stop", ["cancel", "scope"])
def test_a_call_that_is_stopped_while_the_book_reserves_is_given_back(watched, run, stop):
    reserve = watched.ledger.reserve

    async def call():
        loop, task, told = asyncio.get_running_loop(), asyncio.current_task(), threading.Event()
        scope = anyio.CancelScope()

        def reserved(*arguments):
            end = task.cancel if stop == "cancel" else scope.cancel
            loop.call_soon_threadsafe(lambda: (end(), told.set()))
            assert told.wait(PATIENCE)
            return reserve(*arguments)

        watched.book.reserve = reserved
        with scope:
            await AsyncClient("demo/claude", parts=watched).send(PROMPT)

    async def stopped():
        await asyncio.wait([asyncio.create_task(call())])

    run(stopped())
    assert [(entry.state, entry.nanousd) for entry in watched._ledger.entries()] == [("released", 0)]


def test_a_call_that_cannot_be_settled_fails_and_stays_held(watched, run):
    watched.ledger.failing.add("settle")
    client = AsyncClient("demo/claude", parts=watched)
    with pytest.raises(LedgerError, match="no settle today"):
        run(client.send(PROMPT))
    (entry,) = watched._ledger.open_entries()
    assert entry.state == "held"


def test_a_call_that_nothing_holds_up_has_not_waited_however_slow_the_machine_is(make_parts, server, run):
    seconds = itertools.count(1_800_000_000)
    parts = make_parts(server=server, kind=Unpaced, clock=lambda: float(next(seconds)))
    assert run(AsyncClient("demo/claude", parts=parts).send(PROMPT)).receipt.waited == 0


def test_an_unstreamed_call_that_is_stopped_is_booked_at_its_ceiling(make_parts, run):
    engine = Endless()

    async def stop_when_it_was_heard():
        task = asyncio.create_task(AsyncClient("demo/claude", parts=parts).send(PROMPT, stream=False))
        await asyncio.to_thread(engine.begun.wait, PATIENCE)
        task.cancel()
        await task

    with start_server(catalog.demo_models().values(), tokenizers.counter, engine=engine) as server:
        parts = make_parts(server=server, kind=Unpaced)
        with pytest.raises(asyncio.CancelledError):
            run(stop_when_it_was_heard())
    (entry,) = parts.ledger.entries()
    assert (entry.state, entry.nanousd) == ("unsettled", entry.charge.ceiling.nanousd)
    assert "in one piece" in entry.error


def test_two_hundred_calls_at_once_spend_budgets_to_within_a_call_of_their_end(make_parts, server, run):
    parts = make_parts(server=server, kind=Unpaced)
    client = AsyncClient("demo/claude", parts=parts, limits=["1 usd/session", "0.02 usd/day"], max_tokens=100)

    async def many():
        return await asyncio.gather(*(client.send(PROMPT) for _ in range(200)), return_exceptions=True)

    assert {type(reply) for reply in run(many())} == {Reply, BudgetExceeded}
    with pytest.raises(BudgetExceeded):
        run(spend(client))
    entries = parts.ledger.entries()
    spent, most = sum(entry.nanousd for entry in entries), max(entry.charge.ceiling.nanousd for entry in entries)
    assert 20_000_000 - most < spent <= 20_000_000
    assert parts.ledger.open_entries() == ()


async def spend(client):
    while True:
        await client.send(PROMPT)


class Counting(Unpaced):
    """Parts that count how many calls are with the service at once, and hold them there until they are let go."""

    def provider(self, model, loop):
        self.inside, self.most, self.go = getattr(self, "inside", 0), getattr(self, "most", 0), asyncio.Event()
        provider = super().provider(model, loop)
        self.seen = Seen(provider, self)
        return self.seen

    def connected(self, model, loop):
        return getattr(self, "seen", None)


class Seen:
    """A provider whose calls are counted."""

    def __init__(self, provider, parts):
        self._provider, self._parts = provider, parts

    async def stream(self, request):
        self._parts.inside += 1
        self._parts.most = max(self._parts.most, self._parts.inside)
        try:
            await self._parts.go.wait()
            async for event in self._provider.stream(request):
                yield event
        finally:
            self._parts.inside -= 1


def test_while_nothing_is_known_of_the_limits_few_calls_go_before_the_first_reply(make_parts, server, run):
    parts = make_parts(server=server, kind=Counting)
    client = AsyncClient("demo/claude", parts=parts, max_tokens=5)

    async def many():
        tasks = [asyncio.create_task(client.send(f"{PROMPT} {number}")) for number in range(24)]
        while (
            getattr(parts, "most", 0) < FEW
            or len(parts.ledger.open_entries()) < FEW
            or (waiting := parts.gauge.snapshot((), (), ()).pause) is None
        ):
            await asyncio.sleep(0)
        early = parts.most
        stopped = tasks.pop()
        stopped.cancel()
        parts.go.set()
        replies = await asyncio.gather(*tasks)
        return early, waiting, replies, stopped

    early, waiting, replies, stopped = run(many())
    assert early == FEW
    assert waiting.reason == "the first calls are on their way, and their reply tells this model's rate limits"
    assert len(replies) == 23
    assert stopped.cancelled()
    assert len([entry for entry in parts.ledger.entries() if entry.quality == "exact"]) == 23
