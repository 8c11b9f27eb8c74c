"""Compacting a thread: how long planning takes, and how many of 100 facts survive, by each way.

The demo engine and the extract depend on the thread alone, so the numbers of facts are the same in every run.
"""

from __future__ import annotations

import random
import re
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace

from tokmagic import catalog, tokenizers
from tokmagic.config import load_settings
from tokmagic.conversation import Conversation
from tokmagic.core.compaction import Compacting, How, plan_compaction
from tokmagic.core.messages import Message, assistant, user
from tokmagic.parts import Parts
from tokmagic.server import start_server
from tokmagic.sync import Client

from .measure import ms, spread

TURNS, ROUNDS = 2_000, 15
NEEDLES, TALK = 100, 200
WORDS = re.findall(
    r"\w+",
    "the ship sails over a wide sea while wind blows and water moves around an old harbour where people wait for "
    "news of trade that comes with each tide from towns along this coast",
)
WAYS: tuple[How, ...] = ("server", "summary", "extract")


def prose(chance: random.Random, words: int) -> str:
    """Sentences of common words, none of which says anything."""
    sentences = (" ".join(chance.choices(WORDS, k=12)).capitalize() + "." for _ in range(words // 12))
    return " ".join(sentences)


def thread(turns: int, words: int) -> list[Message]:
    """Turns of prose; the first ``NEEDLES`` questions hold a fact each."""
    chance = random.Random(7)  # noqa: S311
    return [(user, assistant)[place % 2](_said(chance, place, words)) for place in range(turns)]


def _said(chance: random.Random, place: int, words: int) -> str:
    needle = [fact(place // 2)] if place % 2 == 0 and place // 2 < NEEDLES else []
    return " ".join([prose(chance, words // 2), *needle, prose(chance, words // 2)])


def fact(number: int) -> str:
    """The sentence of one fact."""
    return f"The crane on quay {number} lifts {1_000 + number * 37} kilograms."


def planning() -> Iterator[float]:
    """Seconds of planning, by a process that counted none of the thread yet."""
    messages = thread(TURNS, 120)
    for _ in range(ROUNDS):
        tokenizers.clear()
        counter = tokenizers.counter("o200k_base")
        counter.count("warm")
        began = time.perf_counter()
        plan_compaction(messages, counter, threshold=100_000, tokens=300_000)
        yield time.perf_counter() - began


def survivors(parts: Parts, model: str, how: How) -> tuple[int, int, int]:
    """How many facts a compacted thread has, and its tokens before and after."""
    talk = Conversation("needles", tuple(thread(TALK, 240)))
    Client(model, parts=parts).compact(talk, compact=Compacting(how=how, keep_recent=0))
    (record,) = talk.compactions
    said = "\n".join([talk.summary, *(message.text for message in talk.messages)])
    found = sum(fact(number) in said for number in range(NEEDLES))
    return found, record.tokens_before, record.tokens_after


def run() -> None:
    """Print both."""
    times = list(planning())
    print(f"planning a compaction of {TURNS:,} turns: {spread(times, ms)}")
    unlimited = [replace(model, rates=()) for model in catalog.demo_models().values()]
    with tempfile.TemporaryDirectory() as home, start_server(unlimited, tokenizers.counter) as server:
        parts = Parts(load_settings({"TOKMAGIC_HOME": home}), server=server)
        for how in WAYS:
            found, before, after = survivors(parts, "demo/claude", how)
            print(f"  {how:<8} {TALK} turns, {before:,} to {after:,} tokens: {found} of {NEEDLES} facts survive")
        parts.close()
