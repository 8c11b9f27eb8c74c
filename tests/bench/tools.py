"""One turn of a run of tools, against the Anthropic SDK's own runner on the same server in its own process.

Both run the same tool the same number of times; ours reserves, settles and keeps each turn in the book meanwhile.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import anthropic

from tokmagic.config import load_settings
from tokmagic.core.counters import Counter
from tokmagic.core.messages import Message, Request, Text, ToolCall, ToolResult, user
from tokmagic.functions import described
from tokmagic.server.engine import Called, Output, Piece
from tokmagic.sync import Client

from .calls import Unpaced, server
from .measure import ms, spread, times
from .serve import serve

TURNS, ROUNDS = 20, 15
PROMPT = "Add, and add again."
ASKED: dict[str, Any] = {"model": "claude", "max_tokens": 100, "messages": [{"role": "user", "content": PROMPT}]}


class Loop:
    """Calls the tool until it has its results, then says that it is done."""

    async def generate(self, request: Request, counter: Counter) -> AsyncGenerator[Sequence[Output]]:
        done = sum(isinstance(part, ToolResult) for turn in request.turns for part in turn.parts)
        if done < TURNS - 1:
            yield (Called(ToolCall(f"call_{done}", "add", '{"a":1,"b":2}'), 12),)
        else:
            yield (Piece("Done.", 2),)


def add(a: int, b: int) -> str:
    """Add two numbers."""
    return str(a + b)


OFFERED = described([add])
THEIRS = anthropic.beta_tool(add)


def run() -> None:
    """Print the time of a turn, and what the runner adds to it."""
    with server("tests.bench.tools") as running, tempfile.TemporaryDirectory() as home:
        settings = replace(load_settings({"TOKMAGIC_HOME": home}), ledger=str(Path(home) / "book.sqlite"))
        parts = Unpaced(settings, server=running)
        sdk = anthropic.Anthropic(api_key=running.token, base_url=running.url, max_retries=0)
        client = Client("demo/claude", parts=parts, limits=["5 usd/day"], max_tokens=100)
        turns(client, sdk)
        parts.close()


def turns(client: Client, sdk: anthropic.Anthropic) -> None:
    """A run of so many turns by each runner, and the same calls in a loop by hand."""
    ways = (lambda: ours(client), lambda: by_hand(client), lambda: theirs(sdk), lambda: theirs_by_hand(sdk))
    for way in ways:
        way()
    rounds = [[timed(way) / TURNS for way in ways] for _ in range(ROUNDS)]
    run, hand, sdk_run, sdk_hand = ([way[place] for way in rounds] for place in range(4))
    added = [one - other for one, other in zip(run, hand, strict=True)]
    sdk_added = [one - other for one, other in zip(sdk_run, sdk_hand, strict=True)]
    print(f"a turn of client.run_tools:      {spread(run, ms)}; the same calls by hand {spread(hand, ms)}")
    print(f"       anthropic's tool_runner:  {spread(sdk_run, ms)}; the same calls by hand {spread(sdk_hand, ms)}")
    print(f"       added by the runner:      {ms(median(added))} a turn, the SDK's adds {ms(median(sdk_added))}")
    print(f"       turn with runner / by hand: {times(ratio(run, hand))}, the SDK's {times(ratio(sdk_run, sdk_hand))}")
    print(f"       turn in the book / the SDK's without one: {times(ratio(run, sdk_run))}")


def ours(client: Client) -> None:
    client.run_tools(PROMPT, tools=[add], stream=False).until_done()


def by_hand(client: Client) -> None:
    """The same calls without a runner."""
    said = [user(PROMPT)]
    while (reply := client.send(said, tools=OFFERED, stream=False)).tool_calls:
        results = tuple(ToolResult(call.id, (Text(add(**json.loads(call.arguments))),)) for call in reply.tool_calls)
        said += [reply.message, Message("user", results)]


def theirs(sdk: anthropic.Anthropic) -> None:
    sdk.beta.messages.tool_runner(**ASKED, tools=[THEIRS], thread=False).until_done()  # type: ignore[call-overload]


def theirs_by_hand(sdk: anthropic.Anthropic) -> None:
    """The same calls without a runner."""
    messages = list(ASKED["messages"])
    while True:
        reply = sdk.beta.messages.create(**{**ASKED, "messages": messages}, tools=[THEIRS.to_dict()])
        called = [block for block in reply.content if block.type == "tool_use"]
        if not called:
            return
        results = [{"type": "tool_result", "tool_use_id": one.id, "content": add(**one.input)} for one in called]
        messages += [{"role": "assistant", "content": reply.content}, {"role": "user", "content": results}]


def timed(way: Callable[[], None]) -> float:
    began = time.perf_counter()
    way()
    return time.perf_counter() - began


def ratio(ours: list[float], other: list[float]) -> float:
    return median(one / two for one, two in zip(ours, other, strict=True))


if __name__ == "__main__":
    sys.exit(serve(Loop()))
