"""Counting: a thread that grows, a stream, a request, and 1.75 million tokens, against tiktoken doing all of it."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from tokmagic.core.counters import ModelCounter
from tokmagic.core.events import Planned, TextDelta
from tokmagic.core.messages import Message, Tool, assistant, user
from tokmagic.core.settling import Outcome
from tokmagic.core.tokens import count_request
from tokmagic.gauge import Gauge
from tokmagic.tokenizers import clear, encodings
from tokmagic.tokenizers.bpe import BpeCounter
from tokmagic.tokenizers.packed import encoding

from .measure import ms, spread, times

NAME = "o200k_base"
VENDORED, FAST = "tiktoken's encoder", "tokmagic[fast]"
TURNS, DELTAS, TOKENS = 1_000, 20_000, 1_750_000


def run() -> None:
    """Print all; a thread and a long text once with the vendored encoder and once with the faster one."""
    thread()
    stream()
    request()
    for how in (VENDORED, FAST):
        whole(how)


@contextmanager
def without_fast() -> Iterator[None]:
    """The faster counter hidden."""
    hidden = sys.modules.get("gigatoken")
    sys.modules["gigatoken"] = None  # type: ignore[assignment]
    encodings.plain_count.cache_clear()
    try:
        yield
    finally:
        del sys.modules["gigatoken"]
        if hidden is not None:
            sys.modules["gigatoken"] = hidden
        encodings.plain_count.cache_clear()


def prose(tokens: int, seed: int = 0) -> str:
    """Sentences of the words of this project, about so many tokens."""
    sources = sorted(Path(__file__).parents[2].joinpath("tokmagic", "core").glob("*.py"))
    words = sorted({word for source in sources for word in source.read_text("utf-8").split() if word.isalpha()})
    dice = random.Random(seed)  # noqa: S311 - repeatable data
    return " ".join(dice.choices([*words, "and.", "so,", "The"], k=tokens * 9 // 10))


def conversation() -> list[Message]:
    """A question of 10 to 60 words and an answer of 30 to 200, a thousand times."""
    dice, said = random.Random(1), prose(200_000).split(" ")  # noqa: S311 - repeatable data
    sizes = (size for _ in range(TURNS) for size in (dice.randrange(10, 60), dice.randrange(30, 200)))
    messages, place = [], 0
    for number, size in enumerate(sizes):
        text = " ".join(said[place : place + size])
        messages.append(assistant(text) if number % 2 else user(text))
        place += size
    return messages


def naive(messages: list[Message]) -> int:
    """What the publisher's own recipe does: encode every role and every text again."""
    encode = encoding(NAME).encode
    return 3 + sum(3 + len(encode(message.role)) + len(encode(message.text)) for message in messages)


def thread() -> None:
    """A thread of 1,000 turns, counted after every turn; the recount takes half a minute, so it is done once."""
    messages = conversation()
    peer = after_every_turn(messages, naive)
    print(f"thread of {TURNS:,} turns, recounted after every turn with tiktoken: {ms(peer)}")
    with without_fast():
        vendored = [after_every_turn(messages, fresh_counter()) for _ in range(3)]
    fast = [after_every_turn(messages, fresh_counter()) for _ in range(3)]
    for how, ours in ((VENDORED, vendored), (FAST, fast)):
        print(f"          counted with {how}: {spread(ours, ms)}, ratio {times(peer / median(ours))}")


def fresh_counter() -> Callable[[list[Message]], int]:
    """A request's count by a counter that has seen nothing yet, its vocabulary loaded."""
    counter = BpeCounter(NAME)
    counter.count("warm")
    return lambda messages: int(count_request(messages, (), counter))


def after_every_turn(messages: list[Message], count: Callable[[list[Message]], int]) -> float:
    """Seconds to count the thread after each of its turns."""
    began = time.perf_counter()
    for length in range(2, len(messages) + 1, 2):
        tokens = count(messages[:length])
    ended = time.perf_counter()
    assert tokens == naive(messages)
    return ended - began


def stream() -> None:
    """What a running stream costs to count: every delta noted and shown, the answer counted at its end."""
    deltas = [TextDelta(word + " ") for word in prose(DELTAS).split(" ")]
    rounds = []
    for _ in range(5):
        gauge, outcome, counter = Gauge("bench", time.time), Outcome(), BpeCounter(NAME)
        gauge.observe("call", "cell", Planned("demo/claude", 10, DELTAS, None, True), None)
        counter.count("warm")
        began = time.perf_counter()
        for delta in deltas:
            outcome.take(delta)
            gauge.observe("call", "cell", delta, None)
        counter.count("".join(outcome.said))
        rounds.append((time.perf_counter() - began) / len(deltas))
    print(f"stream, counted:                    {spread(rounds, lambda seconds: f'{seconds * 1e6:.2f} us')} a delta")


def request() -> None:
    """A request of 100 messages and 5 tools: counted for the first time, again, and with one message more."""
    messages = tuple(conversation()[:100])
    tools = [Tool(f"tool_{number}", "Look things up.", {"type": "object", "properties": {}}) for number in range(5)]
    plain = BpeCounter(NAME)
    plain.count("warm")

    def first() -> float:
        clear()
        plain.clear()
        return timed(messages, plain)

    def again() -> float:
        return timed(messages, plain)

    def known_texts() -> float:
        return timed(messages, ModelCounter(plain, plain.chat))

    def timed(messages: tuple[Message, ...], counter: BpeCounter | ModelCounter) -> float:
        began = time.perf_counter()
        count_request(messages, tools, counter)
        return time.perf_counter() - began

    for what, take in (("for the first time", first), ("its texts known", known_texts), ("again", again)):
        print(f"request of 100 messages, {what}: {spread([take() for _ in range(20)], ms)}")


WHOLE = """
import resource, sys, time
from tests.bench.counting import FAST, NAME
from tokmagic.tokenizers.bpe import BpeCounter
from tokmagic.tokenizers.packed import encoding
how, text = sys.argv[1], sys.stdin.read()
if how != FAST:
    sys.modules["gigatoken"] = None
count = BpeCounter(NAME)._count if how != "encode-all" else lambda text: len(encoding(NAME).encode(text))
count(text[:100_000])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
times = []
for _ in range(3):
    began = time.perf_counter()
    tokens = count(text)
    times.append(time.perf_counter() - began)
print(tokens, min(times), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak)
"""


def whole(how: str) -> None:
    """About 1.75 million tokens in one text, each way in a process of its own; the memory is beyond the text itself."""

    text = prose(TOKENS)

    def measured(how: str) -> tuple[int, float, float]:
        command = [sys.executable, "-c", WHOLE, how]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
        tokens, seconds, kilobytes = done.stdout.split()
        return int(tokens), float(seconds), int(kilobytes) / 1_024

    tokens, seconds, megabytes = measured(how)
    same, peer, heavy = measured("encode-all")
    assert tokens == same
    print(f"{tokens:,} tokens counted, {how}: {ms(seconds)}, {megabytes:.1f} MB")
    print(f"          encoded with tiktoken: {ms(peer)}, {heavy:.1f} MB; ratio {times(peer / seconds)}")
