"""A silent engine is covered by signs of life, and a client that hangs up meanwhile still ends it at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import httpx2
import pytest

from tests.patience import PATIENCE
from tokmagic.server import start_server
from tokmagic.server.waiting import with_signs
from tokmagic.tokenizers import counter

BODIES: dict[str, dict[str, Any]] = {
    "/v1/messages": {"model": "claude", "max_tokens": 50, "messages": [{"role": "user", "content": "Hi"}]},
    "/v1/responses": {"model": "gpt", "input": "Hi"},
    "/v1/chat/completions": {"model": "chat", "messages": [{"role": "user", "content": "Hi"}]},
}


@pytest.mark.parametrize("path", BODIES)
def test_signs_of_life_come_while_the_engine_is_silent_and_the_client_may_go_then(
    path: str, endless: Any, limited_claude: Any, limited_gpt: Any, limited_chat: Any
) -> None:
    models = [limited_claude(), limited_gpt(), limited_chat()]
    with (
        start_server(models, counter, engine=endless, keep_alive=0.001) as server,
        httpx2.Client(timeout=PATIENCE) as client,
    ):
        body, headers = {**BODIES[path], "stream": True}, {"x-api-key": server.token}
        with client.stream("POST", server.url + path, json=body, headers=headers) as reply:
            seen, chunks = b"", reply.iter_raw()
            while seen.partition(b"three")[2].count(b"\n\n") < 10:
                seen += next(chunks)
            assert not endless.ended.is_set()
        assert endless.ended.wait(PATIENCE)
    signs = set(seen.partition(b"three")[2].split(b"\n\n")[1:-1])
    assert signs <= {b": keep-alive", b'event: ping\ndata: {"type":"ping"}'}


async def numbers(ready: asyncio.Event, ended: list[str]) -> AsyncGenerator[int]:
    try:
        yield 1
        await ready.wait()
        yield 2
    finally:
        ended.append("ended")


def test_nothing_that_the_source_says_is_lost_behind_a_silence() -> None:
    async def read() -> list[int | None]:
        ready, found = asyncio.Event(), list[int | None]()
        async for item in with_signs(numbers(ready, []), 0.001):
            found.append(item)
            if found.count(None) == 3:
                ready.set()
        return found

    found = asyncio.run(read())
    assert [item for item in found if item is not None] == [1, 2]
    assert found.index(2) > found.index(None)


def test_leaving_in_a_silence_ends_the_source_before_it_is_closed() -> None:
    async def leave() -> list[str]:
        ended: list[str] = []
        async with aclosing(numbers(asyncio.Event(), ended)) as source, aclosing(with_signs(source, 0.001)) as heard:
            async for item in heard:
                if item is None:
                    break
        return ended

    assert asyncio.run(leave()) == ["ended"]


def test_what_breaks_the_source_breaks_the_reading() -> None:
    async def broken() -> AsyncGenerator[int]:
        yield 1
        raise RuntimeError("broke")

    async def read() -> None:
        async for _ in with_signs(broken(), 1):
            pass

    with pytest.raises(RuntimeError, match="broke"):
        asyncio.run(read())
