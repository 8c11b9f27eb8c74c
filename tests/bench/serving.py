"""How many deltas a second the demo server keeps up, in its own process, to clients that only read."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2

from .calls import Server, server
from .measure import spread

PROMPT = "The sea is deep and blue, and whales live in it; rivers end there. Write 50,000 words."
DELTAS = 60_000
ROUNDS = 5
CLIENTS = 8
ROUTES: dict[str, tuple[dict[str, Any], bytes]] = {
    "/v1/messages": (
        {"model": "claude", "max_tokens": DELTAS, "messages": [{"role": "user", "content": PROMPT}]},
        b'"text_delta"',
    ),
    "/v1/responses": (
        {"model": "gpt", "max_output_tokens": DELTAS, "input": PROMPT},
        b'"response.output_text.delta"',
    ),
    "/v1/chat/completions": (
        {"model": "chat", "max_tokens": DELTAS, "messages": [{"role": "user", "content": PROMPT}]},
        b'"delta":{"content":',
    ),
}


def run() -> None:
    """Print the deltas a second of each protocol, to one client and to several at once."""
    with server() as running:
        for path in ROUTES:
            rates = [one(running, path) for _ in range(ROUNDS)]
            print(f"server, {path}: {spread(rates, _a_second)}")
        began = time.perf_counter()
        with ThreadPoolExecutor(CLIENTS) as pool:
            read = sum(pool.map(lambda _: deltas(running, "/v1/messages"), range(2 * CLIENTS)))
        rate = read / (time.perf_counter() - began)
        print(f"        {CLIENTS} clients at once: {_a_second(rate)} in all, {read:,} deltas")


def one(running: Server, path: str) -> float:
    """Deltas a second of one long answer."""
    began = time.perf_counter()
    return deltas(running, path) / (time.perf_counter() - began)


def deltas(running: Server, path: str) -> int:
    """Read one long answer; how many deltas it had."""
    body, mark = ROUTES[path]
    headers = {"authorization": f"Bearer {running.token}", "content-type": "application/json"}
    content = json.dumps({**body, "stream": True}).encode()
    with httpx2.Client(timeout=120) as client:
        reply = client.post(running.url + path, content=content, headers=headers)
    if reply.status_code != 200:
        raise RuntimeError(reply.text)
    return reply.content.count(mark)


def _a_second(rate: float) -> str:
    return f"{rate:,.0f} deltas/s"
