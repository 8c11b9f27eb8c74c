"""Many guarded calls at once, of a service whose limits nobody told: they wait, learn and pace as the corridor's do."""

import asyncio
import contextlib
import threading
from dataclasses import replace

import anthropic
import openai
import pytest

from tokmagic import catalog, tokenizers
from tokmagic.client import AsyncClient
from tokmagic.core.events import Waiting
from tokmagic.core.words import parse_limit
from tokmagic.guarding.doors import Door
from tokmagic.parts import Parts
from tokmagic.queues.bells import LoopBell, ThreadBell
from tokmagic.queues.gate import FEW
from tokmagic.server import start_server

ASK = {"model": "claude", "max_tokens": 50, "messages": [{"role": "user", "content": "Tell me about rivers."}]}
#: What the service lets pass in a minute, and how many calls come at once.
PASS, MANY = 10, 30
#: A wait that no reply ends sooner, in seconds.
LONG = 1.0


class Unpaced(Parts):
    """Parts that know no limits of their models."""

    def model(self, name):
        return replace(super().model(name), rates=())


class EnoughError(Exception):
    """The book asks for a long wait."""


class Hasty(ThreadBell):
    """Waits for a reply, but not for the next minute."""

    def sleep(self, seconds):
        if LONG < seconds < float("inf"):
            raise EnoughError
        super().sleep(seconds)


class HastyTask(LoopBell):
    """The same in an event loop."""

    async def sleep(self, seconds):
        if LONG < seconds < float("inf"):
            raise EnoughError
        await super().sleep(seconds)


@pytest.fixture
def strict():
    """A server that lets few calls pass in a minute, and says so with each reply."""
    limit = parse_limit(f"{PASS} requests/minute", source="provider")
    models = [replace(model, rates=(limit,)) for model in catalog.demo_models().values()]
    with start_server(models, tokenizers.counter) as running:
        yield running


@pytest.fixture
def unpaced(make_parts, strict):
    return make_parts(server=strict, kind=Unpaced)


def door(parts):
    return Door(parts, provider="demo", bell=Hasty, bell_async=HastyTask)


def in_threads(act):
    """Do it in many threads at once."""
    ready = threading.Barrier(MANY)

    def work():
        ready.wait()
        with contextlib.suppress(EnoughError, anthropic.APIError, openai.APIError):
            act()

    threads = [threading.Thread(target=work) for _ in range(MANY)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def outcomes(parts):
    """How many calls were answered, and how many refused for their rate."""
    states = [entry.state for entry in parts.ledger.entries(most=1000)]
    assert len(states) == states.count("settled") + states.count("released")
    return states.count("settled"), states.count("released")


def through_the_corridor(parts, server, runner):
    client = AsyncClient("demo/claude", parts=parts, max_tokens=50)

    async def call():
        async with client.stream("Tell me about rivers.") as events:
            async for event in events:
                if isinstance(event, Waiting) and event.seconds > LONG:
                    return

    async def storm():
        await asyncio.gather(*(call() for _ in range(MANY)))

    runner.run(storm())


def by_threads(parts, server, runner, stream=False):
    plain = anthropic.Anthropic(base_url=server.url, api_key=server.token, max_retries=0)
    with door(parts).guarded(plain) as client:
        in_threads(lambda: drained(client.messages.create(**ASK, stream=stream)))


def drained(reply):
    return reply if isinstance(reply, anthropic.types.Message) else list(reply)


def by_streaming_threads(parts, server, runner):
    by_threads(parts, server, runner, stream=True)


def by_tasks(parts, server, runner):
    async def call(client):
        with contextlib.suppress(EnoughError, openai.APIError):
            async for _ in await client.responses.create(model="gpt", max_output_tokens=50, input="Hello", stream=True):
                pass

    async def storm():
        plain = openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key=server.token, max_retries=0)
        async with door(parts).guarded(plain) as client:
            await asyncio.gather(*(call(client) for _ in range(MANY)))

    runner.run(storm())


@pytest.mark.parametrize("storm", [through_the_corridor, by_threads, by_streaming_threads, by_tasks])
def test_a_storm_of_calls_learns_a_hidden_limit_uses_it_and_never_hits_it(unpaced, strict, runner, storm):
    storm(unpaced, strict, runner)
    answered, refused = outcomes(unpaced)
    assert refused == 0
    assert answered > PASS - FEW
