"""A scripted HTTP service: each connection is answered with the bytes a test lays out, then closed."""

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from tokmagic.core.messages import Request, user
from tokmagic.core.models import Service
from tokmagic.core.redaction import Secret
from tokmagic.providers.registry import PROVIDERS

KEY = "sk-test-0123456789abcdef"


def reply(body, *, status=200, kind="application/json", headers=""):
    data = body.encode()
    return (
        f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {len(data)}\r\n{headers}\r\n".encode() + data
    )


def events(*lines):
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
    return head + "".join(lines).encode()


@asynccontextmanager
async def scripted(answer):
    seen = []

    async def serve(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        fields = {line.split(b":")[0].lower(): line.split(b":", 1)[1].strip() for line in head.split(b"\r\n")[1:-2]}
        body = await reader.readexactly(int(fields.get(b"content-length", b"0")))
        seen.append((head, body))
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", seen
    finally:
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def served(protocol, answer, path="", **fields):
    async with scripted(answer) as (url, seen):
        provider = PROVIDERS[protocol](Service("test", protocol, base_url=url + path, **fields), Secret(KEY), 10.0)
        try:
            yield provider, seen
        finally:
            await provider.aclose()


@pytest.fixture
def exchange():
    """Send one request to a service that answers so; the events, and what the service saw."""

    def run(protocol, answer, *, stream=True, path="", clock=time.monotonic, service=None, **request):
        async def go():
            async with served(protocol, answer, path, **(service or {})) as (provider, seen):
                asked = Request("m", (user("hello"),), 50, stream=stream, **request)
                return [event async for event in replace(provider, clock=clock).stream(asked)], seen

        return asyncio.run(go())

    return run
