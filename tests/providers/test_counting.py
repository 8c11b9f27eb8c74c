"""A service that counts is asked through its SDK, and says what we count for it ourselves."""

import asyncio
import json

import pytest

from tokmagic.core.errors import ConnectionFailed, MalformedReply, RateLimited
from tokmagic.core.messages import Extras, Message, Request, Text, Tool, assistant, system, user
from tokmagic.core.models import Service
from tokmagic.core.redaction import Secret
from tokmagic.core.tokens import count_request
from tokmagic.providers.registry import PROVIDERS
from tokmagic.tokenizers import counter

from .conftest import KEY, reply, served

TOOL = Tool("look", "Look up", {"type": "object", "properties": {"at": {"type": "string"}}})
SAID = (system("Be brief."), user("How blue is the sky?"), assistant("Very."), Message("user", (Text("Why?"),)))


def counted(protocol, request, *, answer=None, embedded=None):
    async def by_script():
        async with served(protocol, answer) as (provider, seen):
            return await provider.count_tokens(request), seen

    async def by_server():
        at = Service("demo", protocol, base_url=embedded.url, embedded=True)
        provider = PROVIDERS[protocol](at, Secret(embedded.token), 10.0)
        try:
            return await provider.count_tokens(request), None
        finally:
            await provider.aclose()

    return asyncio.run(by_script() if embedded is None else by_server())


@pytest.mark.parametrize("tools", [(), (TOOL,)])
def test_the_embedded_server_counts_what_the_client_counts(server, tools):
    request = Request("claude", SAID, 50, temperature=0.5, stop=("x",), tools=tools)
    tokens, _ = counted("messages", request, embedded=server)
    assert tokens == count_request(SAID, tools, counter("o200k_base"))


def test_only_what_bears_on_the_count_is_sent():
    request = Request("m", SAID, 50, stop=("x",), tools=(TOOL,), extras=Extras({"x-mine": "1"}, {}, {"top_k": 3}))
    tokens, seen = counted("messages", request, answer=reply('{"input_tokens": 21}'))
    head, body = seen[0]
    assert tokens == 21
    assert head.startswith(b"POST /v1/messages/count_tokens")
    assert b"x-mine: 1" in head.lower()
    assert set(json.loads(body)) == {"model", "messages", "system", "tools"}


def test_responses_are_counted_by_their_own_endpoint():
    request = Request("m", SAID, 50, tools=(TOOL,))
    answer = reply('{"object": "response.input_tokens", "input_tokens": 33}')
    tokens, seen = counted("responses", request, answer=answer)
    head, body = seen[0]
    assert tokens == 33
    assert head.startswith(b"POST /responses/input_tokens")
    assert {"model", "input", "instructions", "tools"} == set(json.loads(body))


def test_a_service_that_does_not_count_is_not_asked():
    assert counted("chat", Request("m", SAID, 50), answer=reply("{}")) == (None, [])


def test_a_refusal_and_nonsense_are_errors_of_ours():
    with pytest.raises(RateLimited) as refused:
        counted("messages", Request("m", SAID, 50), answer=reply(f'{{"error": {{"message": "{KEY}"}}}}', status=429))
    assert KEY not in str(refused.value)
    for protocol in ("messages", "responses"):
        with pytest.raises(MalformedReply, match="no count"):
            counted(protocol, Request("m", SAID, 50), answer=reply("{}"))


def test_nobody_listening_is_an_error_of_ours():
    async def go():
        provider = PROVIDERS["messages"](Service("test", "messages", base_url="http://127.0.0.1:9"), Secret(KEY), 5.0)
        try:
            return await provider.count_tokens(Request("m", SAID, 50))
        finally:
            await provider.aclose()

    with pytest.raises(ConnectionFailed):
        asyncio.run(go())
