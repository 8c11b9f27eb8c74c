"""2,000 messages of 1.75 million tokens made to fit into 100,000, beside the naive loop, LangChain and LiteLLM.

LangChain counts with ``tiktoken``, as its documentation shows.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median

from tokmagic import tokenizers
from tokmagic.core.fitting import fit
from tokmagic.core.messages import Message, assistant, user
from tokmagic.tokenizers.packed import encoding

from .load import PEER
from .measure import in_turn, ms, spread
from .offline import cache_dir

MESSAGES, TOKENS, ROOM = 2_000, 1_750_000, 100_000
#: So many messages each has fitted before, that its memory is warm.
WARM = 100
PEER_PROGRAM = """
import json, sys, time
import tiktoken
said, room = json.load(open(sys.argv[2])), int(sys.argv[3])
if sys.argv[1] == "langchain":
    from langchain_core.messages import AIMessage, HumanMessage, trim_messages
    encoding = tiktoken.get_encoding("o200k_base")
    messages = [(HumanMessage, AIMessage)[n % 2](text) for n, text in enumerate(said)]
    def count(messages):
        return sum(len(encoding.encode(message.content, disallowed_special=())) + 4 for message in messages)
    def trim():
        return trim_messages(messages, max_tokens=room, token_counter=count, strategy="last")
else:
    from litellm.utils import trim_messages
    messages = [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(said)]
    def trim():
        return trim_messages([dict(message) for message in messages], model="gpt-4o", max_tokens=room, trim_ratio=1)
messages, whole = messages[:int(sys.argv[4])], messages
trim()
messages = whole
began = time.perf_counter()
kept = trim()
print(time.perf_counter() - began, len(kept))
"""


def conversation() -> list[Message]:
    """Messages of words from our own sources, in an order of chance."""
    words = [word for path in sorted(Path("tokmagic").rglob("*.py")) for word in path.read_text().split(" ") if word]
    sample = " ".join(words)
    size = round(TOKENS / MESSAGES / (len(encoding("o200k_base").encode_ordinary(sample)) / len(words)))
    chance = random.Random(20)  # noqa: S311
    texts = (" ".join(chance.choices(words, k=size)) for _ in range(MESSAGES))
    return [(user, assistant)[number % 2](text) for number, text in enumerate(texts)]


def ours(messages: list[Message], room: int) -> float:
    """Seconds of a fit by a process that counted none of it yet."""
    counter = tokenizers.counter("o200k_base")
    fit(messages[:WARM], room, counter)
    tokenizers.clear()
    return _seconds(lambda: fit(messages, room, counter))


def naive(messages: list[Message], room: int) -> float:
    """Seconds of counting every message and dropping the oldest until the rest fits."""

    def loop() -> int:
        encode = encoding("o200k_base").encode_ordinary
        counts = [len(encode(message.text)) + 4 for message in messages]
        total, dropped = sum(counts), 0
        while total > room:
            total -= counts[dropped]
            dropped += 1
        return dropped

    return _seconds(loop)


def peer(name: str, messages: Iterable[Message], room: int) -> float:
    """Seconds of a peer's trimming, in a process and an environment of its own."""
    env = {**os.environ, "TIKTOKEN_CACHE_DIR": str(cache_dir()), "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump([message.text for message in messages], file)
        file.flush()
        command = [os.environ[PEER], "-c", PEER_PROGRAM, name, file.name, str(room), str(WARM)]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-2])


def run() -> None:
    """Print ours and each peer's in turn, and the ratios."""
    messages = conversation()
    pair = in_turn("naive", lambda: ours(messages, ROOM), lambda: naive(messages, ROOM), 9)
    print(f"fit {MESSAGES:,} messages into {ROOM:,}: {spread(pair.ours, ms)}")
    print(f"  count all, drop the oldest:    {spread(pair.peer, ms)}, {median(pair.ratios):.1f} times ours")
    if not Path(os.environ.get(PEER, "")).is_file():
        print(f"  no peers to compare with; {PEER} names no Python")
        return
    pair = in_turn("langchain", lambda: ours(messages, ROOM), lambda: peer("langchain", messages, ROOM), 3, warm=0)
    print(f"  LangChain's trim_messages:     {spread(pair.peer, ms)}, {median(pair.ratios):.0f} times ours")
    pair = in_turn("litellm", lambda: ours(messages, ROOM), lambda: peer("litellm", messages, ROOM), 1, warm=0)
    print(f"  LiteLLM's, {ms(pair.peer[0])}, {pair.ratios[0]:,.0f} times ours ({ms(pair.ours[0])});", end=" ")
    print("minutes where no message it shortens fills the rest")


def _seconds(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began
