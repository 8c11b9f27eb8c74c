"""Both SDKs over real HTTP: replies become events, and each way to fail becomes its own error, the key never shown."""

import asyncio
import itertools
import json
import socket
from contextlib import aclosing

import pytest

from tokmagic.core.errors import (
    AuthenticationFailed,
    ConnectionFailed,
    ContextLengthExceeded,
    MalformedReply,
    Overloaded,
    ProviderError,
    QuotaExceeded,
    RateLimited,
    RequestRejected,
    ServerFailed,
    StreamBroken,
)
from tokmagic.core.events import Finished, Started, TextDelta
from tokmagic.core.messages import Extras, Request, user
from tokmagic.core.models import Service
from tokmagic.core.rates import RateState
from tokmagic.core.redaction import Secret
from tokmagic.providers.registry import PROVIDERS, services

from .conftest import KEY, events, reply, served

PROTOCOLS = ("messages", "responses", "chat")


def sse(name, **data):
    return f"event: {name}\ndata: {json.dumps({'type': name, **data})}\n\n"


def chunk(**data):
    return (
        f"data: {json.dumps({'id': 'c1', 'object': 'chat.completion.chunk', 'model': 'm', 'created': 1, **data})}\n\n"
    )


START = sse(
    "message_start",
    message={
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": None,
        "stop_sequence": None, "usage": {"input_tokens": 9, "output_tokens": 1},
    },
)  # fmt: skip
OPEN = sse("content_block_start", index=0, content_block={"type": "text", "text": ""})
HI = sse("content_block_delta", index=0, delta={"type": "text_delta", "text": "hi"})
END = (
    sse("content_block_stop", index=0)
    + sse("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={"output_tokens": 4})
    + sse("message_stop")
)
CHAT_HI = chunk(choices=[{"index": 0, "delta": {"role": "assistant", "content": "hi"}, "finish_reason": None}])
CHAT_END = (
    chunk(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
    + chunk(choices=[], usage={"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13})
    + "data: [DONE]\n\n"
)
MESSAGE = {
    "id": "msg_1", "type": "message", "role": "assistant", "status": "completed",
    "content": [{"type": "output_text", "text": "hi", "annotations": []}],
}  # fmt: skip
RESPONSE = {"id": "resp_1", "object": "response", "model": "m", "created_at": 1, "status": "in_progress", "output": []}
RESPONSES_HI = (
    sse("response.created", sequence_number=0, response=RESPONSE)
    + sse("response.output_item.added", sequence_number=1, output_index=0, item={**MESSAGE, "content": []})
    + sse("response.output_text.delta", sequence_number=2, output_index=0, content_index=0, delta="hi")
)
RESPONSES_USAGE = {"input_tokens": 9, "output_tokens": 4, "total_tokens": 13}
RESPONSES_WHOLE = {**RESPONSE, "status": "completed", "output": [MESSAGE], "usage": RESPONSES_USAGE}
RESPONSES_END = sse("response.completed", sequence_number=3, response=RESPONSES_WHOLE)
WHOLE = {
    "messages": (START, OPEN, HI, END),
    "responses": (RESPONSES_HI, RESPONSES_END),
    "chat": (CHAT_HI, CHAT_END),
}
CUT = {"messages": (START, OPEN, HI), "responses": (RESPONSES_HI,), "chat": (CHAT_HI,)}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_streamed_reply_becomes_its_events(exchange, protocol):
    found, seen = exchange(protocol, events(*WHOLE[protocol]))
    assert [event.text for event in found if isinstance(event, TextDelta)] == ["hi"]
    answer = found[-1].answer
    assert (answer.text, answer.stop_reason) == ("hi", "end")
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (9, 4)
    body = json.loads(seen[0][1])
    assert (body["model"], body["stream"]) == ("m", True)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_request_is_sent_once_however_it_fails(exchange, protocol):
    async def go():
        async with served(protocol, reply("{}", status=500)) as (provider, seen):
            with pytest.raises(ServerFailed):
                [event async for event in provider.stream(Request("m", (user("x"),), 5))]
            await asyncio.sleep(0)
            return len(seen)

    assert asyncio.run(go()) == 1


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_extras_reach_the_wire(exchange, protocol):
    extras = Extras(headers={"x-mine": "1"}, query={"tier": "a"}, body={"seed": 7})
    _, seen = exchange(protocol, events(*WHOLE[protocol]), extras=extras)
    head, body = seen[0]
    assert b"x-mine: 1" in head.lower()
    assert b"tier=a" in head
    assert json.loads(body)["seed"] == 7


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_stream_that_ends_early_is_broken_and_not_an_answer(exchange, protocol):
    with pytest.raises(StreamBroken, match="before it was complete"):
        exchange(protocol, events(*CUT[protocol]))


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(("seconds", "said"), [(121.0, "nothing but keep-alives for 120 s"), (119.0, "before it was")])
def test_keep_alives_alone_do_not_keep_a_reply_alive(exchange, protocol, seconds, said):
    times = itertools.chain([0.0], itertools.repeat(seconds))
    with pytest.raises(StreamBroken, match=said):
        exchange(protocol, events(": still here\n\n"), clock=times.__next__)


def test_an_error_in_mid_stream_is_an_error(exchange):
    error = sse("error", error={"type": "overloaded_error", "message": "Overloaded"})
    with pytest.raises(ProviderError, match=r"test: .*[Oo]verloaded") as failed:
        exchange("messages", events(START, OPEN, HI, error))
    assert failed.value.may_have_run


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("stream", [True, False])
def test_a_page_of_html_is_no_reply(exchange, protocol, stream):
    with pytest.raises(MalformedReply):
        exchange(protocol, reply("<html>Sign in</html>", kind="text/html"), stream=stream)


ERRORS = [
    (401, {}, AuthenticationFailed),
    (402, {}, QuotaExceeded),
    (404, {}, RequestRejected),
    (413, {}, RequestRejected),
    (429, {}, RateLimited),
    (500, {}, ServerFailed),
    (503, {}, ServerFailed),
    (503, {"message": "The engine is currently overloaded"}, Overloaded),
    (529, {"type": "overloaded_error"}, Overloaded),
    (429, {"type": "insufficient_quota", "code": "insufficient_quota"}, QuotaExceeded),
    (400, {"code": "context_length_exceeded"}, ContextLengthExceeded),
    (400, {"message": "prompt is too long: 9 tokens > 8 maximum"}, ContextLengthExceeded),
]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(("status", "error", "kind"), ERRORS)
def test_each_refusal_is_an_error_of_its_kind(exchange, protocol, status, error, kind):
    body = json.dumps({"type": "error", "error": {"type": "some_error", "message": f"no, {KEY}!", **error}})
    headers = "request-id: req_7\r\nx-request-id: req_7\r\nretry-after: 3\r\n"
    with pytest.raises(kind) as failed:
        exchange(protocol, reply(body, status=status, headers=headers))
    refused = failed.value
    assert type(refused) is kind
    assert (refused.status, refused.provider, refused.request_id) == (status, "test", "req_7")
    assert KEY not in str(refused)
    assert "\n" not in str(refused)
    if kind is RateLimited:
        assert refused.retry_after == 3.0


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_nobody_listening_means_that_it_did_not_run(protocol):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    async def go():
        provider = PROVIDERS[protocol](Service("test", protocol, base_url=f"http://127.0.0.1:{port}"), Secret(KEY), 5.0)
        try:
            return [event async for event in provider.stream(Request("m", (user("x"),), 5))]
        finally:
            await provider.aclose()

    with pytest.raises(ConnectionFailed, match="reachable") as failed:
        asyncio.run(go())
    assert not failed.value.may_have_run


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_connection_that_drops_before_the_reply_may_have_run(exchange, protocol):
    with pytest.raises(StreamBroken) as failed:
        exchange(protocol, b"")
    assert failed.value.may_have_run


def test_an_unstreamed_reply_is_the_same_answer(exchange):
    body = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
        "stop_sequence": None, "content": [{"type": "text", "text": "hi"}],
        "usage": {"input_tokens": 9, "output_tokens": 4},
    }  # fmt: skip
    found, seen = exchange("messages", reply(json.dumps(body)), stream=False)
    assert [type(event) for event in found] == [Started, TextDelta, Finished]
    assert found[-1].answer.usage.output_tokens == 4
    assert not json.loads(seen[0][1]).get("stream")


async def answered(protocol, serve, times):
    """The last events of so many requests to a service that serves its connections so; and how many there were."""
    ended = []

    async def connection(reader, writer):
        ended.append(asyncio.current_task())
        try:
            await serve(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(connection, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    provider = PROVIDERS[protocol](Service("test", protocol, base_url=url), Secret(KEY), 5.0)
    last = []
    for _ in range(times):
        async with aclosing(provider.stream(Request("m", (user("x"),), 5))) as found:
            async for event in found:
                if isinstance(event, Finished):
                    last.append(event)
                    break
    await provider.aclose()
    server.close()
    await asyncio.gather(*ended, return_exceptions=True)
    return last, len(ended)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_connection_that_served_a_stream_serves_the_next(protocol):
    async def serve(reader, writer):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0]))
            body = "".join(WHOLE[protocol]).encode()
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
            writer.write(b"%x\r\n%s\r\n" % (len(body), body))
            await writer.drain()
            await asyncio.sleep(0)
            writer.write(b"0\r\n\r\n")

    last, connections = asyncio.run(answered(protocol, serve, 3))
    assert (len(last), connections) == (3, 1)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_service_that_never_hangs_up_holds_no_complete_reply_back(protocol):
    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
        writer.write(head + "".join(WHOLE[protocol]).encode())
        await reader.read()

    last, connections = asyncio.run(answered(protocol, serve, 2))
    assert (len(last), connections) == (2, 2)


def test_a_stop_sequence_that_a_protocol_does_not_know_is_refused_before_it_is_sent(exchange):
    with pytest.raises(RequestRejected, match="The Responses protocol has no stop sequences") as failed:
        exchange("responses", events(*WHOLE["responses"]), stop=("END",))
    assert not failed.value.may_have_run


def test_an_unstreamed_response_is_the_same_answer(exchange):
    found, seen = exchange("responses", reply(json.dumps(RESPONSES_WHOLE)), stream=False)
    assert [type(event) for event in found] == [Started, TextDelta, Finished]
    assert found[-1].answer.usage.output_tokens == 4
    assert json.loads(seen[0][1])["store"] is False


@pytest.mark.parametrize("protocol", ["messages", "chat"])
@pytest.mark.parametrize("stop", [("\ud800",), (b"bytes",)])
def test_whatever_an_sdk_raises_is_one_line_of_ours(exchange, protocol, stop):
    with pytest.raises(StreamBroken, match="failed in its SDK") as failed:
        exchange(protocol, events(*WHOLE[protocol]), stop=stop)
    assert "\n" not in str(failed.value)


def test_a_reply_nested_beyond_reason_is_one_line_of_ours(exchange):
    with pytest.raises(StreamBroken, match="RecursionError"):
        exchange("messages", reply("[" * 200_000), stream=False)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_no_part_of_a_key_is_left_where_a_message_is_shortened(exchange, protocol):
    body = json.dumps({"error": {"type": "some_error", "message": "x" * 288 + KEY}})
    with pytest.raises(RequestRejected) as failed:
        exchange(protocol, reply(body, status=400))
    assert KEY[:8] not in str(failed.value)
    with pytest.raises(MalformedReply) as failed:
        exchange(protocol, reply("x" * 68 + KEY), stream=False)
    assert KEY[:8] not in str(failed.value)


@pytest.mark.parametrize(("stream", "bounded"), [(True, True), (False, False)])
def test_only_a_stream_may_not_be_silent_for_long(stream, bounded):
    async def go():
        async with served("messages", reply("{}", status=500)) as (provider, seen):
            with pytest.raises(ServerFailed):
                [event async for event in provider.stream(Request("m", (user("x"),), 5, stream=stream))]
            return seen[0][0]

    assert (b"x-stainless-read-timeout: " in asyncio.run(go())) is bounded


def test_every_service_speaks_a_protocol_there_is_a_provider_for():
    for found in services().values():
        assert found.protocol in PROVIDERS
        assert found.base_url.startswith(("https://", "http://localhost:")) or not found.base_url
        assert found.key_variable.endswith("_API_KEY") or found.open


RATES = "x-ratelimit-limit-requests: 50\r\nx-ratelimit-remaining-requests: 49\r\n"


@pytest.mark.parametrize("stream", [True, False])
def test_the_limits_a_reply_states_come_with_its_beginning(exchange, stream):
    answer = {
        "id": "c1", "object": "chat.completion", "model": "m", "created": 1,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
    }  # fmt: skip
    body = CHAT_HI + CHAT_END if stream else json.dumps(answer)
    kind = "text/event-stream" if stream else "application/json"
    came, _ = exchange("chat", reply(body, kind=kind, headers=RATES), stream=stream)
    (started,) = (event for event in came if isinstance(event, Started))
    assert started.rates == (RateState("requests", 50, 49),)


def test_a_refusal_carries_the_limits_it_states(exchange):
    refused = reply('{"error": {"message": "slow down"}}', status=429, headers=RATES + "retry-after: 3\r\n")
    with pytest.raises(RateLimited) as raised:
        exchange("chat", refused)
    assert raised.value.rates == (RateState("requests", 50, 49),)


def test_openai_is_reached_by_responses_and_compatible_services_by_chat():
    assert services()["openai"].protocol == "responses"
    assert {services()[name].protocol for name in ("deepseek", "groq", "ollama", "openrouter")} == {"chat"}
