"""Raw SDK clients under the book, against the embedded server: the real SDKs, sync and async, streamed and retried."""

import asyncio
import contextlib
import gc
import gzip
import itertools
import json
import random
import signal
import socket
import sqlite3
import threading
import time
from contextvars import ContextVar
from dataclasses import replace
from itertools import islice

import anthropic
import httpx
import httpx2
import openai
import pytest

import tokmagic as tm
from tests.corridor.test_budgets import Greedy
from tests.corridor.test_passage import stop_at_every_step
from tests.patience import PATIENCE
from tests.soak import share
from tokmagic import catalog, hooks, reports, tokenizers
from tokmagic.codecs.overheard import Overheard
from tokmagic.codecs.registry import CODECS
from tokmagic.codecs.sent import read_sent
from tokmagic.core.errors import StreamBroken
from tokmagic.core.models import Model
from tokmagic.core.settling import Outcome
from tokmagic.core.words import parse_limit
from tokmagic.guarding.attempts import Attempt
from tokmagic.guarding.clients import guard, guard_every_client, guards_every_client, release_every_client
from tokmagic.guarding.doors import Door
from tokmagic.queues.bells import LoopBell, ThreadBell
from tokmagic.server import start_server

HELLO = [{"role": "user", "content": "Tell me about rivers."}]
KEY = "sk-test-0000000000000000"


class Faulty(httpx2.BaseTransport):
    """The real transport, after it answered the first requests with these statuses."""

    def __init__(self, *statuses, error=None):
        self.statuses = list(statuses)
        self.real = httpx2.HTTPTransport()
        self.sent = 0
        self.error = error

    def handle_request(self, request):
        self.sent += 1
        if self.error is not None:
            raise self.error
        if self.statuses:
            body = {"type": "error", "error": {"type": "api_error", "message": "injected"}}
            return httpx2.Response(self.statuses.pop(0), json=body, headers={"retry-after-ms": "1"})
        return self.real.handle_request(request)

    def close(self):
        self.real.close()


class Clients:
    """SDK clients of the embedded server, guarded by the book of one test."""

    def __init__(self, server, parts):
        self.server, self.parts = server, parts
        self.opened = []

    def guarded(self, client, **options):
        copy = guard(client, provider="demo", parts=self.parts, **options)
        self.opened += [copy, client]
        return copy

    def anthropic(self, *limits, transport=None, **options):
        http = httpx2.Client(transport=transport or Faulty())
        client = anthropic.Anthropic(base_url=self.server.url, api_key=self.server.token, http_client=http, **options)
        return self.guarded(client, limits=limits)

    def openai(self, *limits, transport=None, **options):
        http = httpx2.Client(transport=transport or Faulty())
        url = f"{self.server.url}/v1"
        client = openai.OpenAI(base_url=url, api_key=self.server.token, http_client=http, **options)
        return self.guarded(client, limits=limits)

    @property
    def entries(self):
        return self.parts.ledger.entries()


def say(client, **options):
    """One whole answer of either SDK, and its usage in and out."""
    if isinstance(client, anthropic.Anthropic):
        said = client.messages.create(model="claude", max_tokens=50, messages=HELLO, **options)
        return said.content[0].text, said.usage.input_tokens, said.usage.output_tokens
    said = client.chat.completions.create(model="chat", max_tokens=50, messages=HELLO, **options)
    return said.choices[0].message.content, said.usage.prompt_tokens, said.usage.completion_tokens


def streamed(client):
    """A stream of either SDK, with its usage."""
    if isinstance(client, anthropic.Anthropic):
        return client.messages.create(model="claude", max_tokens=50, messages=HELLO, stream=True)
    usage = {"include_usage": True}
    return client.chat.completions.create(
        model="chat", max_tokens=50, messages=HELLO, stream=True, stream_options=usage
    )


def said_in(event):
    """What one event of a stream of either SDK says."""
    if hasattr(event, "choices"):
        return (event.choices[0].delta.content or "") if event.choices else ""
    return event.delta.text if event.type == "content_block_delta" else ""


@pytest.fixture
def clients(server, parts):
    made = Clients(server, parts)
    yield made
    for client in made.opened:
        client.close()


@pytest.fixture(params=["anthropic", "openai"])
def make(clients, request):
    return getattr(clients, request.param)


def test_a_call_is_settled_at_the_usage_its_reply_states(make, clients):
    text, read, written = say(make())
    assert text
    (entry,) = clients.entries
    assert (entry.state, entry.quality, entry.attempt, entry.kind) == ("settled", "exact", 1, "call")
    assert (entry.usage.input_tokens, entry.usage.output_tokens) == (read, written)
    assert entry.nanousd > 0


def test_a_stream_reaches_its_reader_unchanged_and_is_settled_exactly(make, clients):
    client = make()
    text, read, written = say(client)
    with streamed(client) as events:
        assert "".join(map(said_in, events)) == text
    entry = clients.entries[0]
    assert (entry.state, entry.quality) == ("settled", "exact")
    assert (entry.usage.input_tokens, entry.usage.output_tokens) == (read, written)
    assert entry.first_token is not None


def test_a_stream_left_half_way_is_settled_at_least_at_what_had_come(make, clients):
    with streamed(make()) as events:
        for _, _ in zip(range(4), events, strict=False):
            pass
    (entry,) = clients.entries
    assert (entry.state, entry.quality) == ("settled", "at least")
    assert entry.usage.input_tokens > 0


def test_the_sdks_own_helpers_for_streams_are_booked_too(clients):
    options = {"model": "claude", "max_tokens": 50, "messages": HELLO}
    with clients.anthropic().messages.stream(**options) as stream:
        final = stream.get_final_message()
    with clients.openai().responses.stream(model="gpt", max_output_tokens=50, input="Hello") as stream:
        written = [event for event in stream if event.type in ("response.completed", "response.incomplete")]
    gpt, claude = clients.entries
    assert (claude.model, claude.usage.output_tokens) == ("demo/claude", final.usage.output_tokens)
    assert (gpt.model, gpt.usage.output_tokens) == ("demo/gpt", written[0].response.usage.output_tokens)


def test_a_stream_nobody_closed_is_settled_when_it_is_forgotten(make, clients):
    stream = streamed(make())
    next(iter(stream))
    del stream
    gc.collect()
    assert [(entry.state, entry.quality) for entry in clients.entries] == [("settled", "at least")]


def test_what_is_read_raw_is_settled_too(clients):
    client = clients.openai()
    raw = client.chat.completions.with_raw_response.create(model="chat", max_tokens=50, messages=HELLO)
    with client.chat.completions.with_streaming_response.create(model="chat", max_tokens=50, messages=HELLO) as reply:
        body = reply.read()
    written = raw.parse().usage.completion_tokens
    assert json.loads(body)["usage"]["completion_tokens"] == written
    found = [(entry.state, entry.quality, entry.usage.output_tokens) for entry in clients.entries]
    assert found == [("settled", "exact", written)] * 2


@pytest.mark.parametrize("limit", ["0.000001 usd/day", "20 tokens/session"])
def test_what_a_budget_does_not_allow_is_never_sent(make, clients, limit):
    transport = Faulty()
    client = make(limit, transport=transport)
    for call in (say, streamed):
        with pytest.raises(tm.BudgetExceeded, match="nothing was sent"):
            call(client)
    assert transport.sent == 0
    assert clients.entries == ()


def test_every_retry_of_the_sdk_is_an_attempt_in_the_book(make, clients):
    transport = Faulty(429, 500)
    assert say(make(transport=transport, max_retries=2))[0]
    assert transport.sent == 3
    entries = sorted(clients.entries, key=lambda entry: entry.attempt)
    assert [(entry.attempt, entry.state) for entry in entries] == [
        (1, "released"), (2, "unsettled"), (3, "settled"),
    ]  # fmt: skip
    assert len({entry.call for entry in entries}) == 1
    assert entries[1].nanousd == entries[1].charge.ceiling.nanousd


def test_a_limit_per_call_bounds_the_attempts_of_one_call_together_and_each_call_anew(make, clients):
    say(make())
    ceiling = clients.entries[0].charge.ceiling.nanousd
    transport = Faulty(500, 500, 500)
    client = make(f"{2.5 * ceiling / 1e9:.9f} usd/call", transport=transport, max_retries=8)
    with pytest.raises(tm.BudgetExceeded, match=r"/call has .* left and this call can take"):
        say(client)
    assert transport.sent == 2
    assert say(client)[0]
    assert [row.calls for row in reports.usage_table(clients.parts, None, None)] == [3]


def test_the_receipt_of_a_retried_call_is_of_all_its_attempts(make, clients):
    say(make(transport=Faulty(500)))
    (cell,) = clients.parts.gauge.snapshot((), (), ()).cells
    receipt = cell.receipt
    assert receipt.attempts == 2
    assert receipt.cost.nanousd == sum(entry.nanousd for entry in clients.entries)


def test_an_attempt_that_may_have_run_is_told_of_with_the_way_to_give_it_back(make, clients, caplog):
    with caplog.at_level("WARNING", "tokmagic"):
        say(make(transport=Faulty(500)))
    unsettled = clients.entries[1]
    assert f"stays charged: %tokens release {unsettled.id[:8]} gives it back" in caplog.text


def test_retries_end_where_the_budget_does(make, clients):
    say(make())
    (first,) = clients.entries
    budget = first.nanousd + 3 * first.charge.ceiling.nanousd
    transport = Faulty(*[500] * 9)
    client = make(f"{budget / 1e9:.9f} usd/day", transport=transport, max_retries=8)
    with pytest.raises(tm.BudgetExceeded):
        say(client)
    assert transport.sent == 3


def test_a_connection_that_never_was_costs_nothing_and_one_that_broke_may_have_run(make, clients):
    for error, state in ((httpx2.ConnectError("no"), "released"), (httpx2.ReadTimeout("silence"), "unsettled")):
        with pytest.raises((anthropic.APIConnectionError, openai.APIConnectionError)):
            say(make(transport=Faulty(error=error), max_retries=0))
        assert clients.entries[0].state == state


@pytest.mark.parametrize("sdk", [anthropic.Anthropic, openai.OpenAI])
def test_a_port_where_nobody_listens_costs_nothing(parts, sdk):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
        failure = (anthropic.APIConnectionError, openai.APIConnectionError)
        with sdk(base_url=address, api_key=KEY, max_retries=0) as plain, pytest.raises(failure):
            say(guard(plain, provider="demo", parts=parts))
    assert [entry.state for entry in parts.ledger.entries()] == ["released"]


def test_a_refusal_of_the_service_costs_nothing_and_is_raised_as_the_sdk_raises_it(make, clients):
    with pytest.raises((anthropic.BadRequestError, openai.BadRequestError)):
        say(make(), extra_body={"temperature": 9})
    assert [entry.state for entry in clients.entries] == ["released"]


def test_it_waits_its_turn_in_the_callers_thread_and_says_so(clients, make_parts, server, around):
    now, slept = [1_800_000_000.0], []
    parts = make_parts(server=server, clock=lambda: now[0])

    class Bell(ThreadBell):
        def sleep(self, seconds):
            slept.append((seconds, parts.gauge.snapshot((), (), ()).pause))
            now[0] += seconds

    pulses = []
    around(pulse=lambda: pulses.append(parts.gauge.snapshot((), (), ()).pause is not None))
    door = Door(parts, [parse_limit("2 requests/minute")], provider="demo", bell=Bell)
    http = httpx2.Client(transport=Faulty())
    plain = openai.OpenAI(base_url=f"{server.url}/v1", api_key=server.token, http_client=http)
    with door.guarded(plain) as client:
        for _ in range(3):
            say(client)
    assert [seconds for seconds, _ in slept[:2]] == pytest.approx([15, 7.5], abs=1)
    assert sum(seconds for seconds, _ in slept) == pytest.approx(30, abs=1)
    assert "2 requests/minute" in slept[0][1].reason
    assert parts.ledger.entries()[0].waited == pytest.approx(sum(seconds for seconds, _ in slept))
    assert True in pulses
    assert pulses[-1] is False


def test_what_the_attempts_of_a_call_waited_adds_up_to_what_the_call_did(make_parts, server):
    now = [1_800_000_000.0]
    parts, transport = make_parts(server=server, clock=lambda: now[0]), Faulty()

    class Bell(ThreadBell):
        def sleep(self, seconds):
            now[0] += seconds

    door = Door(parts, [parse_limit("1 requests/minute")], provider="demo", bell=Bell)
    http = httpx2.Client(transport=transport)
    with door.guarded(openai.OpenAI(base_url=f"{server.url}/v1", api_key=server.token, http_client=http)) as client:
        say(client)
        transport.statuses = [500]
        say(client)
    receipt = parts.gauge.snapshot((), (), ()).cells[-1].receipt
    assert (receipt.attempts, receipt.waited) == (2, pytest.approx(120, abs=1))
    assert [entry.waited for entry in parts.ledger.entries()] == pytest.approx([60, 60, 0], abs=1)


@pytest.mark.parametrize("call", [say, lambda client: list(streamed(client))], ids=["whole", "streamed"])
def test_the_limits_that_a_reply_states_are_known_to_all_who_share_the_book(parts, call):
    rates = [parse_limit("7 requests/minute for demo/chat", source="provider")]
    models = [replace(catalog.demo_models()["chat"], rates=tuple(rates))]
    with start_server(models, tokenizers.counter) as server:
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key=server.token)
        with guard(client, provider="demo", parts=parts) as guarded:
            call(guarded)
    found = parts.learning.limits(parts.model("demo/chat"), parts.ledger.entries()[0].key)
    assert 7 in {limit.amount for limit in found if limit.unit == "requests"}


def test_a_guarded_call_that_fills_a_budget_says_so_where_everyone_looks(clients, caplog):
    say(clients.openai())
    (first,) = clients.entries
    budget = first.nanousd + 2 * first.charge.ceiling.nanousd
    percent = 150 * first.nanousd // budget
    with caplog.at_level("WARNING", "tokmagic"):
        say(clients.openai(f"{budget / 1e9:.9f} usd/day, warn at {percent} %"))
    assert "a guarded call of demo/chat: " in caplog.text
    (notice,) = clients.parts.gauge.snapshot((), (), ()).notices
    assert notice.text in caplog.text


def test_a_wait_that_is_interrupted_gives_up_its_place_and_sends_nothing(clients, make_parts, server):
    parts = make_parts(server=server)

    class Interrupted(ThreadBell):
        def sleep(self, seconds):
            raise KeyboardInterrupt

    door = Door(parts, [parse_limit("1 requests/minute")], provider="demo", bell=Interrupted)
    transport = Faulty()
    plain = openai.OpenAI(
        base_url=f"{server.url}/v1", api_key=server.token, http_client=httpx2.Client(transport=transport)
    )
    with door.guarded(plain) as client:
        say(client)
        with pytest.raises(KeyboardInterrupt):
            say(client)
    assert transport.sent == 1
    assert len(parts.ledger.entries()) == 1


@pytest.mark.parametrize("sdk", ["anthropic", "openai"])
def test_eight_threads_never_pass_a_budget(clients, sdk):
    make = getattr(clients, sdk)
    say(make())
    worst, paid = clients.entries[0].charge.ceiling.nanousd, clients.entries[0].nanousd
    budget = paid + 5 * worst
    client, refused = make(f"{budget / 1e9:.9f} usd/day"), []

    def work():
        for _ in range(4):
            try:
                say(client)
            except tm.BudgetExceeded as error:
                refused.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spent = sum(entry.nanousd for entry in clients.entries)
    assert refused
    assert budget - worst - paid < spent <= budget


class Weather(Faulty):
    """The real transport, with failures by chance, none of which an SDK or the book would pause for."""

    def __init__(self, chance, retries):
        super().__init__()
        self.chance = chance
        self.breaks = 0.35 if not retries else 0.0

    def handle_request(self, request):
        luck = self.chance.random()
        self.statuses = [self.chance.choice((400, 500, 529))] if luck < 0.25 else []
        broken = self.chance.choice((httpx2.ConnectError, httpx2.ReadTimeout, httpx2.RemoteProtocolError))
        self.error = broken("injected") if 0.25 < luck < self.breaks else None
        return super().handle_request(request)


@pytest.mark.parametrize("seed", range(share(2_000, 12)))
def test_whatever_happens_no_hold_is_left_and_no_budget_is_passed(clients, seed):
    chance = random.Random(seed)  # noqa: S311
    budget = chance.randint(1_000_000, 12_000_000)
    make, retries = getattr(clients, chance.choice(("anthropic", "openai"))), chance.randint(0, 2)
    client = make(f"{budget / 1e9:.9f} usd/day", transport=Weather(chance, retries), max_retries=retries)
    for _ in range(6):
        with contextlib.suppress(tm.BudgetExceeded, anthropic.APIError, openai.APIError):
            if chance.random() < 0.5:
                say(client)
                continue
            with streamed(client) as events:
                list(islice(events, chance.randint(0, 80)))
    entries = clients.entries
    assert "held" not in {entry.state for entry in entries}
    assert sum(entry.nanousd for entry in entries) <= budget
    assert all(entry.nanousd <= entry.charge.ceiling.nanousd for entry in entries)


ASYNCHRONOUS = {"anthropic": (anthropic.AsyncAnthropic, "", "claude"), "openai": (openai.AsyncOpenAI, "/v1", "chat")}


@pytest.mark.parametrize("sdk", ASYNCHRONOUS)
def test_asynchronous_clients_obey_the_same_book(server, parts, runner, sdk):
    kind, path, model = ASYNCHRONOUS[sdk]
    options = {"model": model, "max_tokens": 50, "messages": HELLO}

    def create(client, **more):
        return (client.messages if sdk == "anthropic" else client.chat.completions).create(**options, **more)

    async def calls():
        plain = kind(base_url=server.url + path, api_key=server.token)
        async with guard(plain, provider="demo", parts=parts) as client:
            await create(client)
            async for _ in await create(client, stream=True):
                pass
            stream = await create(client, stream=True)
            await anext(aiter(stream))
            await stream.close()
            with pytest.raises(tm.BudgetExceeded):
                await create(guard(client, provider="demo", parts=parts, limits=["1 tokens/session"]))

    runner.run(calls())
    left, streamed, whole = parts.ledger.entries()
    assert (whole.state, whole.quality) == ("settled", "exact")
    assert streamed.usage.input_tokens == whole.usage.input_tokens
    assert (left.state, left.quality) == ("settled", "at least")


def test_an_asynchronous_wait_lets_the_loop_go_on_and_cancelling_it_sends_nothing(server, parts, runner):
    asleep, transport = asyncio.Event(), httpx2.AsyncHTTPTransport()

    class Bell(LoopBell):
        async def sleep(self, seconds):
            asleep.set()
            await super().sleep(seconds)

    async def calls():
        door = Door(parts, [parse_limit("1 requests/minute")], provider="demo", bell_async=Bell)
        url, http = f"{server.url}/v1", httpx2.AsyncClient(transport=transport)
        async with door.guarded(openai.AsyncOpenAI(base_url=url, api_key=server.token, http_client=http)) as client:
            options = {"model": "chat", "max_tokens": 50, "messages": HELLO}
            await client.chat.completions.create(**options)
            second = asyncio.create_task(client.chat.completions.create(**options))
            await asleep.wait()
            second.cancel()
            with pytest.raises(asyncio.CancelledError):
                await second

    runner.run(calls())
    assert [entry.state for entry in parts.ledger.entries()] == ["settled"]


@pytest.mark.parametrize("sdk", ASYNCHRONOUS)
def test_the_retries_of_an_asynchronous_client_are_attempts_of_one_call_each(parts, server, runner, sdk):
    kind, path, model = ASYNCHRONOUS[sdk]

    class Failing(httpx2.AsyncHTTPTransport):
        asked = 0

        async def handle_async_request(self, request):
            self.asked += 1
            if self.asked <= 2:
                return httpx2.Response(500, json={"error": {"message": "injected"}}, headers={"retry-after-ms": "1"})
            return await super().handle_async_request(request)

    async def calls():
        http = httpx2.AsyncClient(transport=Failing())
        plain = kind(base_url=server.url + path, api_key=server.token, http_client=http)
        async with guard(plain, provider="demo", parts=parts) as client:
            ask = client.messages if sdk == "anthropic" else client.chat.completions
            options = {"model": model, "max_tokens": 50, "messages": HELLO}
            await asyncio.gather(ask.create(**options), ask.create(**options))

    runner.run(calls())
    attempts = {}
    for entry in parts.ledger.entries():
        attempts.setdefault(entry.call, []).append((entry.attempt, entry.state))
    assert sorted(map(sorted, attempts.values())) in (
        [[(1, "settled")], [(1, "unsettled"), (2, "unsettled"), (3, "settled")]],
        [[(1, "unsettled"), (2, "settled")]] * 2,
    )


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_a_stream_stands_for_what_its_start_states_as_soon_as_it_is_read(make_parts, runner, asynchronous):
    with start_server(catalog.demo_models().values(), Greedy) as server:
        read_the_start(make_parts(server=server), server, runner, asynchronous)


def read_the_start(parts, server, runner, asynchronous):
    options = {"model": "claude", "max_tokens": 900, "messages": HELLO, "stream": True}
    seen = []

    def look():
        with sqlite3.connect(parts.settings.home / "book.sqlite") as db:
            rows = db.execute("SELECT expected FROM holds JOIN accounts ON key = account WHERE unit = 'input_tokens'")
            seen.extend(amount for (amount,) in rows)

    async def asynchronously():
        plain = anthropic.AsyncAnthropic(base_url=server.url, api_key=server.token)
        async with (
            guard(plain, provider="demo", parts=parts) as client,
            await client.messages.create(**options) as said,
        ):
            look()
            await anext(aiter(said))
            look()

    if asynchronous:
        runner.run(asynchronously())
    else:
        plain = anthropic.Anthropic(base_url=server.url, api_key=server.token)
        with guard(plain, provider="demo", parts=parts) as client, client.messages.create(**options) as said:
            look()
            next(iter(said))
            look()
    (entry,) = parts.ledger.entries()
    assert 0 < 2 * seen[0] < seen[1] == entry.usage.input_tokens


def test_an_interrupt_while_the_book_is_written_comes_when_that_is_done(make, clients):
    def interrupt(entry):
        signal.raise_signal(signal.SIGINT)

    forget = hooks.on_entry(interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            say(make())
    finally:
        forget()
    assert [(entry.state, entry.quality) for entry in clients.entries] == [("settled", "exact")]
    (cell,) = clients.parts.gauge.snapshot((), (), ()).cells
    assert cell.receipt.model.startswith("demo/")


def test_a_call_that_nothing_holds_up_has_not_waited_however_slow_the_machine_is(make_parts, server):
    seconds = itertools.count(1_800_000_000)
    parts = make_parts(server=server, clock=lambda: float(next(seconds)))
    plain = openai.OpenAI(base_url=f"{server.url}/v1", api_key=server.token)
    with guard(plain, provider="demo", parts=parts) as client:
        say(client)
    assert parts.ledger.entries()[0].waited == 0


def test_an_interrupt_at_any_moment_leaves_no_hold_and_no_place(make_parts, server):
    left = [0]

    def clock():
        left[0] -= 1
        if left[0] == 0:
            signal.raise_signal(signal.SIGINT)
        return time.time()

    parts = make_parts(server=server, clock=clock)
    ended, moment = False, 0
    with anthropic.Anthropic(base_url=server.url, api_key=server.token) as plain:
        client = guard(plain, provider="demo", parts=parts)
        while not ended:
            moment += 1
            with contextlib.suppress(KeyboardInterrupt):
                left[0] = moment
                with streamed(client) as events:
                    list(events)
                ended = left[0] > 0
            left[0] = 0
            assert parts.ledger.open_entries() == ()
            assert parts.gauge.snapshot((), (), ()).running == ()
            with sqlite3.connect(parts.settings.home / "book.sqlite") as db:
                assert db.execute("SELECT count(*) FROM tickets").fetchone() == (0,)
    assert moment > 8


def test_a_cancellation_at_any_moment_leaves_no_hold_and_charges_nothing_that_was_not_sent(parts, server, runner):
    class Counting(httpx2.AsyncHTTPTransport):
        sent = 0

        async def handle_async_request(self, request):
            self.sent += 1
            return await super().handle_async_request(request)

    transport = Counting()
    url, http = f"{server.url}/v1", httpx2.AsyncClient(transport=transport)
    client = guard(
        openai.AsyncOpenAI(base_url=url, api_key=server.token, http_client=http), provider="demo", parts=parts
    )

    async def call():
        await client.chat.completions.create(model="chat", max_tokens=9, messages=HELLO)

    assert stop_at_every_step(parts, runner.run, call) > 4
    states = [entry.state for entry in parts.ledger.entries()]
    assert "released" in states
    assert 0 < len(states) - states.count("released") <= transport.sent
    runner.run(client.close())


def test_a_call_that_is_cancelled_while_its_start_is_booked_gives_its_connection_back(
    parts, server, runner, monkeypatch
):
    transport, asked, cancelled = httpx2.AsyncHTTPTransport(), [], threading.Event()

    def tell(attempt):
        asked[-1].get_loop().call_soon_threadsafe(lambda: (asked[-1].cancel(), cancelled.set()))
        assert cancelled.wait(PATIENCE)

    monkeypatch.setattr(Attempt, "has_news", lambda attempt: True)
    monkeypatch.setattr(Attempt, "tell", tell)
    plain = openai.AsyncOpenAI(
        base_url=f"{server.url}/v1", api_key=server.token, http_client=httpx2.AsyncClient(transport=transport)
    )
    client = guard(plain, provider="demo", parts=parts)

    async def call():
        asked.append(asyncio.current_task())
        await client.chat.completions.create(model="chat", max_tokens=9, messages=HELLO, stream=True)

    with pytest.raises(asyncio.CancelledError):
        runner.run(call())
    assert [connection.info() for connection in transport._pool.connections if not connection.is_closed()] == []
    assert parts.ledger.open_entries() == ()
    runner.run(client.close())


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_a_reply_is_read_as_it_passes_by_in_any_cut_and_encoding(encoding, size):
    answer = {"id": "m", "model": "x", "content": [{"type": "text", "text": "é"}], "stop_reason": "end_turn"}
    plain = json.dumps({**answer, "usage": {"input_tokens": 3, "output_tokens": 2}}).encode()
    wire = gzip.compress(plain) if encoding == "gzip" else plain
    outcome = Outcome()
    reply = Overheard(CODECS["messages"], outcome, 200, {"content-encoding": encoding})
    for start in range(0, len(wire), size):
        reply.feed(wire[start : start + size])
    reply.end(None)
    assert reply.failure() is None
    assert outcome.answer.usage.output_tokens == 2


@pytest.mark.parametrize("body", [b"<html>", b"{}", b"\xff", b""])
def test_a_reply_that_is_none_may_have_run(body):
    reply = Overheard(CODECS["messages"], Outcome(), 200, {})
    reply.feed(body)
    reply.end(None)
    assert reply.failure().may_have_run


def test_bytes_that_are_not_in_their_encoding_never_reach_the_reader_as_an_error():
    outcome = Outcome()
    reply = Overheard(CODECS["messages"], outcome, 200, {"content-encoding": "gzip"})
    reply.feed(b"plain")
    assert isinstance(outcome.error, StreamBroken)


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("GET", "/v1/models", "free"),
        ("POST", "/v1/messages/count_tokens?beta=true", "free"),
        ("POST", "/v1/responses/input_tokens", "free"),
        ("POST", "/v1/messages?beta=true", "call"),
        ("POST", "/v1/chat/completions", "call"),
        ("POST", "/v1/responses", "call"),
        ("POST", "/v1/embeddings", "other"),
        ("POST", "/v1/messages/batches", "other"),
    ],
)
def test_a_path_says_whether_it_is_a_call(method, path, kind):
    assert read_sent(method, path, {"model": "x"}).kind == kind


BODY = {"model": "x", "max_tokens": 10, "messages": HELLO}


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "the tool web_search_20250305"),
        ({"mcp_servers": [{"url": "x"}]}, "mcp_servers"),
        ({"service_tier": "priority"}, "service_tier"),
    ],
)
def test_what_could_cost_more_than_it_says_is_named(more, named):
    assert read_sent("POST", "/v1/messages", BODY | more).unbounded == (named,)


@pytest.mark.parametrize(
    "more",
    [{"service_tier": "auto"}, {"tools": [{"name": "f", "input_schema": {"type": "object"}}]}, {"mcp_servers": None}],
)
def test_what_costs_no_more_than_it_says_is_bounded(more):
    sent = read_sent("POST", "/v1/messages", BODY | more)
    assert sent.unbounded == ()
    assert sent.max_tokens == 10


def test_several_answers_may_each_be_as_long_as_the_bound():
    sent = read_sent("POST", "/v1/chat/completions", {"model": "x", "n": 3, "max_tokens": 10, "messages": HELLO})
    assert sent.max_tokens == sent.request.max_tokens == 30


def test_what_our_codec_does_not_read_is_bounded_by_the_window(clients):
    client = clients.openai()
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="chat", max_tokens=50, messages=HELLO, extra_body={"new_field": 1})
    (entry,) = clients.entries
    assert entry.charge.ceiling.input_tokens == clients.parts.model("demo/chat").context_window


def test_what_is_free_passes_and_what_no_bound_covers_is_refused_under_a_hard_limit_only(clients):
    client = clients.openai("5 usd/day")
    assert client.models.list().data
    assert clients.entries == ()
    with pytest.raises(tm.BudgetExceeded, match="POST /v1/embeddings can cost more"):
        client.embeddings.create(model="e", input="x")
    with pytest.raises(openai.NotFoundError):
        clients.openai("5 requests/minute").embeddings.create(model="e", input="x")
    assert [(entry.model, entry.state) for entry in clients.entries] == [("demo/e", "released")]


def test_a_model_without_a_price_is_refused_under_a_money_limit(clients):
    with pytest.raises(tm.BudgetExceeded, match="no known price"):
        clients.openai("5 usd/day").chat.completions.create(model="unknown", max_tokens=5, messages=HELLO)


def test_the_given_client_stays_as_it_was_and_a_guarded_one_is_not_booked_twice(server, parts):
    with anthropic.Anthropic(base_url=server.url, api_key=server.token) as plain:
        again = guard(guard(plain, provider="demo", parts=parts), provider="demo", parts=parts)
        say(plain)
        assert parts.ledger.entries() == ()
        say(again.with_options(timeout=60))
        assert len(parts.ledger.entries()) == 1


@pytest.mark.parametrize(
    ("client", "service"),
    [
        (lambda: anthropic.Anthropic(api_key=KEY), "anthropic"),
        (lambda: openai.OpenAI(api_key=KEY), "openai"),
        (lambda: openai.OpenAI(api_key=KEY, base_url="https://api.deepseek.com"), "deepseek"),
        (lambda: anthropic.Anthropic(api_key=KEY, base_url="https://api.deepseek.com/anthropic"), "deepseek"),
    ],
)
def test_the_service_is_found_by_the_clients_address(parts, client, service):
    with client() as plain:
        assert Door(parts).desk(plain).service == service


def test_clients_with_one_key_share_its_limits_and_those_with_another_do_not(parts, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    ours = parts.scopes(Model("openai", "x", "chat"), "")["key"]
    for key, shared in ((KEY, True), (KEY[::-1], False)):
        with openai.OpenAI(api_key=key) as plain:
            fingerprint = Door(parts).desk(plain).key
        assert (fingerprint == ours) is shared
        assert key not in fingerprint


def test_a_deployment_on_azure_is_booked_under_the_service_that_is_named(clients):
    transport = Faulty(500)
    azure = openai.AzureOpenAI(
        azure_endpoint="https://x.openai.azure.com",
        api_key=KEY,
        api_version="1",
        max_retries=0,
        http_client=httpx2.Client(transport=transport),
    )
    with pytest.raises(openai.InternalServerError):
        say(clients.guarded(azure))
    assert [(entry.model, entry.state) for entry in clients.entries] == [("demo/chat", "unsettled")]


def test_what_cannot_be_guarded_is_refused_with_the_way_out(parts):
    with openai.OpenAI(api_key=KEY, base_url="https://nowhere.example") as client:
        with pytest.raises(
            tm.ConfigurationError,
            match=r'No service is known at nowhere.example: .* provider="openai"\) or %tokens guard on openai;',
        ):
            guard(client, parts=parts)
        assert guard(client, provider="openai", parts=parts)
    with (
        openai.OpenAI(api_key=KEY, http_client=httpx.Client()) as client,
        pytest.raises(tm.ConfigurationError, match=r"attempts cannot be booked: make it with http_client=openai\."),
    ):
        guard(client, parts=parts)
    with (
        openai.OpenAI(api_key=KEY) as client,
        pytest.raises(
            tm.ConfigurationError, match=r"No service is named 'opnai': use one of anthropic, openai, .*demo\."
        ),
    ):
        guard(client, provider="opnai", parts=parts)
    with pytest.raises(tm.ConfigurationError, match="str cannot be guarded"):
        guard("no client", parts=parts)


def test_a_client_guarded_by_hand_obeys_the_notebook_it_is_called_in_and_is_booked_there(make, clients, around):
    limits = [parse_limit("2 requests/session")]
    client = make()
    say(client)
    around(name=lambda: "tea.ipynb", cell=lambda: "cell 3", limits=lambda: limits)
    say(client)
    with pytest.raises(tm.BudgetExceeded, match="2 requests/session has 0 requests left"):
        say(client)
    assert [(entry.notebook, entry.cell) for entry in clients.entries] == [
        ("tea.ipynb", "cell 3"),
        (clients.parts.epoch, ""),
    ]


@pytest.mark.parametrize("sdk", ["anthropic", "openai"])
def test_a_call_of_an_asynchronous_client_belongs_to_the_cell_of_the_task_that_makes_it(
    server, parts, around, runner, sdk
):
    cell = ContextVar("cell", default="another")
    around(cell=cell.get)

    async def call():
        cell.set("cell 3")
        address = server.url if sdk == "anthropic" else f"{server.url}/v1"
        kind = anthropic.AsyncAnthropic if sdk == "anthropic" else openai.AsyncOpenAI
        async with guard(kind(base_url=address, api_key=server.token), provider="demo", parts=parts) as client:
            if sdk == "anthropic":
                await client.messages.create(model="claude", max_tokens=50, messages=HELLO)
            else:
                await client.chat.completions.create(model="chat", max_tokens=50, messages=HELLO)

    runner.run(call())
    assert [entry.cell for entry in parts.ledger.entries()] == ["cell 3"]


def test_a_guarded_client_that_a_tool_calls_obeys_the_limits_of_the_run(clients):
    client = clients.openai()
    refused = []

    def add(a: int, b: int) -> int:
        """Add."""
        try:
            say(client)
        except tm.BudgetExceeded as error:
            refused.append(str(error))
        return a + b

    asked = tm.Client("demo/claude", parts=clients.parts)
    asked.run_tools("use the add tool with a=2 and b=3", tools=[add], limits=["1 requests/call"]).until_done()
    assert len(clients.entries) == 1
    assert "1 requests/call" in refused[0]


@pytest.fixture
def everywhere(parts, around):
    around(cell=lambda: "cell 7")
    guard_every_client(Door(parts, provider="demo"))
    yield parts
    release_every_client()


def test_every_client_made_afterwards_is_guarded_and_none_after_it_ended(server, everywhere):
    url, key = server.url, server.token
    with (
        anthropic.Anthropic(base_url=url, api_key=key) as claude,
        openai.OpenAI(base_url=f"{url}/v1", api_key=key) as gpt,
    ):
        say(claude)
        say(gpt.with_options(timeout=60))
        say(claude.with_options(timeout=60))
        assert [entry.cell for entry in everywhere.ledger.entries()] == ["cell 7"] * 3
        release_every_client()
        assert not guards_every_client()
        say(claude)
        assert len(everywhere.ledger.entries()) == 4
    with anthropic.Anthropic(base_url=url, api_key=key) as plain:
        say(plain)
    assert len(everywhere.ledger.entries()) == 4


def test_guarding_every_client_twice_books_once_and_is_undone_at_once(server, everywhere):
    guard_every_client(Door(everywhere, [parse_limit("1 requests/session")], provider="demo"))
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=server.token) as client:
        say(client)
        with pytest.raises(tm.BudgetExceeded):
            say(client)
    assert len(everywhere.ledger.entries()) == 1
    release_every_client()
    assert not guards_every_client()
    assert "construct" not in openai.OpenAI.__init__.__qualname__


def test_calls_of_our_own_are_booked_once_while_every_client_is_guarded(everywhere):
    tm.Client("demo/claude", parts=everywhere).send("Hello")
    assert len(everywhere.ledger.entries()) == 1
