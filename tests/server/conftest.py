from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection

import anthropic
import openai
import pytest

from tests.endless import Endless
from tests.patience import PATIENCE
from tokmagic.core.models import Model
from tokmagic.core.words import parse_limit
from tokmagic.server import EmbeddedServer, start_server
from tokmagic.tokenizers import counter

O200K = "o200k_base"


def claude(*rates: str) -> Model:
    limits = tuple(parse_limit(words, source="provider") for words in rates)
    return Model("demo", "claude", "messages", 200_000, 64_000, O200K, rates=limits)


def chat(*rates: str) -> Model:
    limits = tuple(parse_limit(words, source="provider") for words in rates)
    return Model("demo", "chat", "chat", 200_000, 64_000, O200K, rates=limits)


def gpt(*rates: str) -> Model:
    limits = tuple(parse_limit(words, source="provider") for words in rates)
    return Model("demo", "gpt", "responses", 200_000, 64_000, O200K, rates=limits)


SMALL_GPT = Model("demo", "small-gpt", "responses", 1_000, 500, O200K)
SMALL = Model("demo", "small", "messages", 8_192, 4_096, O200K)


@pytest.fixture(scope="session")
def server() -> Iterator[EmbeddedServer]:
    """A server without limits that a test could meet."""
    with start_server([claude(), chat(), SMALL, gpt(), SMALL_GPT], counter) as running:
        yield running


@pytest.fixture(scope="session")
def claude_sdk(server: EmbeddedServer) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=server.url, api_key=server.token, max_retries=0) as client:
        yield client


@pytest.fixture(scope="session")
def openai_sdk(server: EmbeddedServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=server.token, max_retries=0) as client:
        yield client


@dataclass
class Limited:
    """A server of its own, with limits and a clock that stands still until it is moved."""

    now: float = 1_790_000_000.0
    servers: list[EmbeddedServer] = field(default_factory=list)

    def start(self, *models: Model) -> EmbeddedServer:
        self.servers.append(start_server(models, counter, clock=lambda: self.now))
        return self.servers[-1]


@pytest.fixture
def limited() -> Iterator[Limited]:
    made = Limited()
    yield made
    for running in made.servers:
        running.close()


@pytest.fixture
def limited_claude() -> Callable[..., Model]:
    return claude


@pytest.fixture
def limited_chat() -> Callable[..., Model]:
    return chat


@pytest.fixture
def limited_gpt() -> Callable[..., Model]:
    return gpt


class Leaving(Endless):
    """The same, with a client that does not wait for its end."""

    @contextmanager
    def asked_by_one_who_goes(self, server: EmbeddedServer, path: str, body: object) -> Iterator[HTTPConnection]:
        """A client for which it works, and which hangs up behind the block."""
        headers = {"authorization": f"Bearer {server.token}", "content-type": "application/json"}
        client = HTTPConnection(server.url.removeprefix("http://"), timeout=PATIENCE)
        with closing(client):
            client.request("POST", path, json.dumps(body), headers)
            assert self.begun.wait(PATIENCE)
            yield client


@pytest.fixture
def endless() -> Leaving:
    return Leaving()
