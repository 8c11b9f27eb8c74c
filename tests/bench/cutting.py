"""Cutting 1.75 million tokens to 100,000, texts without split points, and chunking, beside tiktoken and the peers.

Times are the processor's, so that other work on the machine does not count. Encoding everything is what the peers do at
least once. LiteLLM and LangChain run in an environment of their own.
"""

from __future__ import annotations

import os
import random
import subprocess
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from statistics import median

from tokmagic.core.chunking import chunk
from tokmagic.core.truncation import STRATEGIES, truncate
from tokmagic.tokenizers.bpe import BpeCounter
from tokmagic.tokenizers.packed import encoding

from .counting import FAST, NAME, TOKENS, VENDORED, prose, without_fast
from .load import PEER
from .measure import in_turn, ms, spread
from .offline import cache_dir

KEPT, CHUNK, CHARACTERS = 100_000, 500, 8_000_000
#: What tiktoken cannot encode at all.
PANICS = {"spaces"}
PEER_PROGRAM = """
import sys, time
how, most, text = sys.argv[1], int(sys.argv[2]), sys.stdin.read()
if how == "LiteLLM":
    from litellm.utils import trim_messages
    def cut(text):
        return trim_messages([{"role": "user", "content": text}], model="gpt-4o", max_tokens=most)[0]["content"]
elif how == "LangChain":
    import tiktoken
    from langchain_core.messages import HumanMessage, trim_messages
    from langchain_text_splitters import TokenTextSplitter
    encoding = tiktoken.get_encoding("o200k_base")
    split = TokenTextSplitter(encoding_name="o200k_base", chunk_size=1_000, chunk_overlap=0).split_text
    def count(messages):
        return sum(len(encoding.encode(message.content, disallowed_special=())) for message in messages)
    def cut(text):
        said = [HumanMessage(text)]
        return trim_messages(
            said, max_tokens=most, token_counter=count, strategy="first", allow_partial=True, text_splitter=split
        )[0].content
else:
    from langchain_text_splitters import RecursiveCharacterTextSplitter
    splitter = RecursiveCharacterTextSplitter.from_tiktoken_encoder("o200k_base", chunk_size=most, chunk_overlap=0)
    cut = splitter.split_text
cut(text[: 20 * most])
began = time.process_time()
left = cut(text)
took = time.process_time() - began
import tiktoken
texts = [left] if isinstance(left, str) else left
encode = tiktoken.get_encoding("o200k_base").encode_ordinary
print(took, len(texts), max(len(encode(one)) for one in texts))
"""


def run() -> None:
    """Print all; our cuts once with the vendored encoder and once with the faster one."""
    text = prose(TOKENS)
    with without_fast():
        cuts(text, VENDORED)
        hard_texts()
        chunks(text)
    cuts(text, FAST)
    peers(text)


def timed(what: Callable[[], object]) -> float:
    """Seconds of the processor it takes; one thread does it all."""
    began = time.process_time()
    what()
    return time.process_time() - began


def cuts(text: str, how: str) -> None:
    """Every strategy, by a counter that remembers nothing, and its memory beyond the text."""
    counter = BpeCounter(NAME)
    encode = encoding(NAME).encode_ordinary
    total = len(encode(text))
    for _ in range(2):  # the faster one is loaded by a process that has counted 16 million characters
        counter.clear()
        counter.count(text)
    for strategy in STRATEGIES:

        def ours(strategy: str = strategy) -> float:
            counter.clear()
            return timed(lambda: truncate(text, KEPT, strategy, counter))

        pair = in_turn(strategy, ours, lambda: timed(lambda: encode(text)), 7)
        tokens = len(encode(truncate(text, KEPT, strategy, counter).text))
        print(
            f"{total:,} tokens cut to {KEPT:,}, {strategy}, {how}: {spread(pair.ours, ms)}; {tokens:,} left; "
            f"encode-all {ms(median(pair.peer))}, ratio {median(pair.ratios):.1f}x; {memory(text, strategy):.2f} MB"
        )


def memory(text: str, strategy: str) -> float:
    """The most a cut holds beyond the text, in MB, as Python's allocator knows it."""
    counter = BpeCounter(NAME)
    tracemalloc.start()
    truncate(text, KEPT, strategy, counter)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak / 1e6


def hard_texts() -> None:
    """Eight megabytes with few split points or none: counted, and cut to 100,000 tokens and to nine tenths."""
    dice = random.Random(1)  # noqa: S311 - repeatable data
    letters = "abcdefghijklmnopqrstuvwxyz"
    texts = {
        "one letter": "x" * CHARACTERS,
        "spaces": " " * CHARACTERS,
        "line ends": "\n" * CHARACTERS,
        "random letters": "".join(dice.choices(letters, k=CHARACTERS)),
        "mixed case": "".join(dice.choices(letters + letters.upper(), k=CHARACTERS)),
        "base64": "".join(dice.choices(letters + letters.upper() + "0123456789+/", k=CHARACTERS)),
        "digits": "".join(dice.choices("0123456789", k=CHARACTERS)),
        "Chinese": "".join(dice.choices("的一是不了人我在有他这为之大来以个中上们", k=CHARACTERS // 3)),
        "emoji": "".join(dice.choices("😀😂🚀🎉👍", k=CHARACTERS // 4)),
        "flags": "🇩🇪🇫🇷" * (CHARACTERS // 16),
        "apostrophes": "a'" * (CHARACTERS // 2),
        "accents": "e\u0301" * (CHARACTERS // 3),
    }
    counter, encode = BpeCounter(NAME), encoding(NAME).encode_ordinary
    for name, text in texts.items():
        counter.clear()
        counted = timed(lambda text=text: counter.count(text))
        total = counter.count(text)
        worst = 0.0
        for most in (min(KEPT, total // 2), total * 9 // 10):
            for strategy in ("end", "start"):
                counter.clear()
                worst = max(
                    worst, timed(lambda t=text, m=most, s=strategy, n=total: truncate(t, m, s, counter, total=n))
                )
        if name in PANICS:
            print(f"8 MB of {name}: counted {ms(counted)}, cut {ms(worst)} at worst; tiktoken panics")
            continue
        peer = timed(lambda text=text: encode(text))
        print(
            f"8 MB of {name}: counted {ms(counted)}, cut {ms(worst)} at worst; tiktoken {ms(peer)}; "
            f"{counted / peer:.2f} and {worst / peer:.2f} of that"
        )


def chunks(text: str) -> None:
    """Chunks of the whole text."""
    counter, encode = BpeCounter(NAME), encoding(NAME).encode_ordinary

    def ours() -> float:
        counter.clear()
        return timed(lambda: chunk(text, CHUNK, counter))

    pair = in_turn("chunk", ours, lambda: timed(lambda: encode(text)), 5)
    found = chunk(text, CHUNK, counter)
    assert "".join(found) == text
    print(
        f"chunks of {CHUNK}: {spread(pair.ours, ms)}, {len(found):,} of them; encode-all {ms(median(pair.peer))}, "
        f"ours takes {1 / median(pair.ratios):.2f} of that"
    )


def peers(text: str) -> None:
    """The peers' own ways."""
    python = os.environ.get(PEER, "")
    if not Path(python).is_file():
        print(f"cutting: no peer to compare with; {PEER} names no Python")
        return
    environment = {**os.environ, "TIKTOKEN_CACHE_DIR": str(cache_dir()), "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    for how, most in (("LiteLLM", KEPT), ("LangChain", KEPT), ("LangChain's recursive splitter", CHUNK)):
        command = [python, "-c", PEER_PROGRAM, how, str(most)]
        done = subprocess.run(command, input=text, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"{how}: failed, {done.stderr.strip().splitlines()[-1]}")
            continue
        seconds, number, largest = done.stdout.split()[-3:]
        ours = median(_ours(text, most) for _ in range(5))
        print(
            f"{how}, to {most:,}: {ms(float(seconds))}; {int(number):,} texts, the largest {int(largest):,} tokens; "
            f"ours with {FAST} {ms(ours)}, ratio {float(seconds) / ours:.1f}x",
            flush=True,
        )


def _ours(text: str, most: int) -> float:
    """Seconds of the same by us: a cut of the end, or chunks."""
    counter = BpeCounter(NAME)
    return timed(lambda: truncate(text, most, "end", counter) if most == KEPT else chunk(text, most, counter))
