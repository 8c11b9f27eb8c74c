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
from typing import Any, NamedTuple

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
    """A run of so many turns by each runner, and the same calls in a loop by hand, in turn."""
    ways = (lambda: ours(client), lambda: by_hand(client), lambda: theirs(sdk), lambda: theirs_by_hand(sdk))
    for way in ways:
        way()
    rounds = [[timed(way) for way in ways] for _ in range(ROUNDS)]
    run, hand, sdk_run, sdk_hand = ([way[place] for way in rounds] for place in range(4))
    print(f"a turn of client.run_tools:       {told(run)}; the same calls by hand {told(hand)}")
    print(f"       anthropic's tool_runner:   {told(sdk_run)}; the same calls by hand {told(sdk_hand)}")
    print(f"       turn with runner / by hand: {times(ratio(run, hand))}, the SDK's {times(ratio(sdk_run, sdk_hand))}")
    print(f"       turn in the book / the SDK's without one: {times(ratio(run, sdk_run))}")
    own, sdks = least(run) - least(hand), least(sdk_run) - least(sdk_hand)
    print(f"       processor time, least of {ROUNDS}: {ms(least(run))}, by hand {ms(least(hand))};", end=" ")
    print(f"the SDK's {ms(least(sdk_run))}, {ms(least(sdk_hand))}")
    print(f"       added by the runner: {ms(own)} a turn, by the SDK's {ms(sdks)}: {times(own / sdks)}")


def told(way: list[Took]) -> str:
    return spread([took.wall for took in way], ms)


def least(way: list[Took]) -> float:
    return min(took.processor for took in way)


def ours(client: Client) -> None:
    client.run_tools(PROMPT, tools=[add], stream=False).until_done()


def by_hand(client: Client) -> None:
    """The same calls without a runner, in a thread as the runner makes them."""
    thread, said = client.conversation(), user(PROMPT)
    while (reply := client.send(said, tools=OFFERED, stream=False, thread=thread)).tool_calls:
        results = (ToolResult(call.id, (Text(add(**json.loads(call.arguments))),)) for call in reply.tool_calls)
        said = Message("user", tuple(results))


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


class Took(NamedTuple):
    """Seconds of one turn: on the wall's clock, and of this process's processor time."""

    wall: float
    processor: float


def timed(way: Callable[[], None]) -> Took:
    began, used = time.perf_counter(), time.process_time()
    way()
    return Took((time.perf_counter() - began) / TURNS, (time.process_time() - used) / TURNS)


def ratio(ours: list[Took], other: list[Took]) -> float:
    return median(one.wall / two.wall for one, two in zip(ours, other, strict=True))


if __name__ == "__main__":
    sys.exit(serve(Loop()))
