"""One call and one long stream through the corridor, against the raw SDK on the same server in its own process."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import anthropic
import openai

from tokmagic.config import load_settings
from tokmagic.core.events import TextDelta
from tokmagic.core.models import Model
from tokmagic.parts import Parts
from tokmagic.sync import Client

from .measure import in_turn, ms, spread

PROMPT = "The sea is deep. The sea is blue. Whales live in the sea."
LONG = PROMPT + " Rivers end there, ships cross it, storms cool it." * 200 + " Write about 4000 words."
DELTAS = 5_000


@dataclass
class Server:
    """The server of another process."""

    url: str
    token: str

    def close(self) -> None:
        """It is stopped by whoever started it."""


class Unpaced(Parts):
    """Parts whose models have no limits a minute, so that no call waits for one."""

    def model(self, name: str) -> Model:
        return replace(super().model(name), rates=())


@contextmanager
def server(module: str = "tests.bench.serve") -> Iterator[Server]:
    """The embedded server in a process of its own, as the module starts it."""
    command = [sys.executable, "-m", module]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Server(*process.stdout.readline().split())
    finally:
        process.stdin.close()
        process.wait(10)


def run() -> None:
    """Print the added cost of a call, of a first token and of a delta."""
    with server() as running, tempfile.TemporaryDirectory() as home:
        settings = replace(load_settings({"TOKMAGIC_HOME": home}), ledger=str(Path(home) / "book.sqlite"))
        parts = Unpaced(settings, server=running)
        claude = anthropic.Anthropic(api_key=running.token, base_url=running.url, max_retries=0)
        chat = openai.OpenAI(api_key=running.token, base_url=f"{running.url}/v1", max_retries=0)
        calls(Client("demo/claude", parts=parts), claude)
        first_tokens(Client("demo/claude", parts=parts), claude)
        streams(Client("demo/claude", parts=parts, limits=["5 usd/day"]), claude)
        chat_streams(Client("demo/chat", parts=parts), chat)
        parts.close()


def calls(client: Client, sdk: anthropic.Anthropic) -> None:
    """One short call."""

    def ours() -> float:
        began = time.perf_counter()
        client.send(PROMPT, max_tokens=20, stream=False)
        return time.perf_counter() - began

    def raw() -> float:
        began = time.perf_counter()
        sdk.messages.create(model="claude", max_tokens=20, messages=[{"role": "user", "content": PROMPT}])
        return time.perf_counter() - began

    pair = in_turn("one call", ours, raw, 200, warm=10)
    print(f"one call, tm.Client:          {spread(pair.ours, ms)}")
    print(f"          anthropic SDK:      {spread(pair.peer, ms)}")
    print(f"          added per call:     {ms(pair.extra)}")


def first_tokens(client: Client, sdk: anthropic.Anthropic) -> None:
    """The first token of a stream."""

    def ours() -> float:
        began = time.perf_counter()
        with client.stream(PROMPT, max_tokens=20) as stream:
            came = [time.perf_counter() for event in stream if isinstance(event, TextDelta)]
        return came[0] - began

    def raw() -> float:
        began = time.perf_counter()
        asked = [{"role": "user", "content": PROMPT}]
        with sdk.messages.stream(model="claude", max_tokens=20, messages=asked) as stream:  # type: ignore[arg-type]
            came = [time.perf_counter() for _ in stream.text_stream]
        return came[0] - began

    pair = in_turn("first token", ours, raw, 200, warm=10)
    print(f"first token, tm.Client:       {spread(pair.ours, ms)}")
    print(f"          anthropic SDK:      {spread(pair.peer, ms)}")
    print(f"          later by:           {ms(pair.extra)}")


def streams(client: Client, sdk: anthropic.Anthropic) -> None:
    """One stream of thousands of deltas, whole."""
    asked = {"model": "claude", "max_tokens": DELTAS, "messages": [{"role": "user", "content": LONG}]}

    def raw() -> float:
        began = time.perf_counter()
        with sdk.messages.stream(**asked) as stream:  # type: ignore[arg-type]
            for _ in stream.text_stream:
                pass
        return time.perf_counter() - began

    _show("Messages", client, raw)


def chat_streams(client: Client, sdk: openai.OpenAI) -> None:
    """The same over Chat Completions."""
    asked = {"model": "chat", "max_tokens": DELTAS, "messages": [{"role": "user", "content": LONG}]}

    def raw() -> float:
        began = time.perf_counter()
        with sdk.chat.completions.create(**asked, stream=True) as stream:  # type: ignore[call-overload]
            for _ in stream:
                pass
        return time.perf_counter() - began

    _show("Chat", client, raw)


def _show(name: str, client: Client, raw: object) -> None:
    tokens = [0]

    def ours() -> float:
        began = time.perf_counter()
        with client.stream(LONG, max_tokens=DELTAS) as stream:
            for event in stream:
                if isinstance(event, TextDelta):
                    pass
        tokens[0] = stream.reply.usage.output_tokens if stream.reply else 0
        return time.perf_counter() - began

    pair = in_turn(name, ours, raw, 7)  # type: ignore[arg-type]
    added = pair.extra / max(1, tokens[0])
    print(f"stream of {tokens[0]:,} deltas, {name}: tm.Client {spread(pair.ours, ms)}")
    print(f"          the SDK's own stream: {spread(pair.peer, ms)}")
    print(f"          ratio SDK / ours {median(pair.ratios):.2f}, added per delta: {added * 1e6:+.1f} us")
