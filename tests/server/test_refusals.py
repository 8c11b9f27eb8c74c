from __future__ import annotations

import json
import socket
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from tests.patience import PATIENCE
from tokmagic.codecs.failures import failure
from tokmagic.core.errors import AuthenticationFailed, ContextLengthExceeded, ProviderError, RequestRejected
from tokmagic.server import EmbeddedServer, start_server
from tokmagic.server.door import Door
from tokmagic.tokenizers import counter

HI: Any = [{"role": "user", "content": "Hi"}]
LONG: Any = [{"role": "user", "content": "word " * 9_000}]
MESSAGE = {"model": "claude", "max_tokens": 9, "messages": HI}


def post(server: EmbeddedServer, path: str = "/v1/messages", **options: Any) -> httpx2.Response:
    headers = {"x-api-key": server.token, **options.pop("headers", {})}
    if "content" not in options:
        options.setdefault("json", MESSAGE)
    return httpx2.post(f"{server.url}{path}", headers=headers, timeout=PATIENCE, **options)


def test_an_unknown_model_and_one_of_the_other_protocol_are_not_found(
    claude_sdk: anthropic.Anthropic, openai_sdk: openai.OpenAI
) -> None:
    for name in ("gpt-x", "chat"):
        with pytest.raises(anthropic.NotFoundError, match=rf"model: {name}\. Served here: claude, small\."):
            claude_sdk.messages.create(model=name, max_tokens=5, messages=HI)
    for name in ("gpt-x", "claude"):
        with pytest.raises(openai.NotFoundError) as missing:
            openai_sdk.chat.completions.create(model=name, messages=HI)
        assert missing.value.code == "model_not_found"
        assert "Served here: chat." in str(missing.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"messages": LONG}, "prompt is too long: 9"),
        ({"max_tokens": 4_097}, "max_tokens: 4097 > 4096, which is the maximum allowed"),
        ({"messages": [{"role": "user", "content": "word " * 5_000}], "max_tokens": 4_000}, "exceed context limit"),
        ({"messages": []}, "messages: at least one message is required"),
        ({"messages": [{"role": "assistant", "content": "Hi"}]}, "first message must use"),
    ],
)
def test_messages_refuses_in_the_real_words(
    claude_sdk: anthropic.Anthropic, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(anthropic.BadRequestError) as refused:
        claude_sdk.messages.create(**{"model": "small", "max_tokens": 100, "messages": HI, **fields})
    assert message in str(refused.value.api_message)
    assert refused.value.type == "invalid_request_error"
    assert refused.value.body["request_id"] == refused.value.request_id  # type: ignore[index]


def test_chat_refuses_in_the_real_words(openai_sdk: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as too_long:
        openai_sdk.chat.completions.create(
            model="chat", messages=[{"role": "user", "content": "word " * 150_000}], max_tokens=60_000
        )
    assert too_long.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError) as too_much:
        openai_sdk.chat.completions.create(model="chat", messages=HI, max_completion_tokens=64_001)
    assert too_much.value.param == "max_tokens"
    wrong: Any = "many"
    with pytest.raises(openai.BadRequestError) as untyped:
        openai_sdk.chat.completions.create(model="chat", messages=HI, max_tokens=wrong)
    assert (untyped.value.param, untyped.value.code) == ("max_tokens", "invalid_type")


def test_a_wrong_token_is_refused_in_each_familys_shape(server: EmbeddedServer) -> None:
    with (
        anthropic.Anthropic(base_url=server.url, api_key="wrong", max_retries=0) as client,
        pytest.raises(anthropic.AuthenticationError) as theirs,
    ):
        client.messages.create(model="claude", max_tokens=5, messages=HI)
    assert theirs.value.type == "authentication_error"
    with (
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="wrong", max_retries=0) as other,
        pytest.raises(openai.AuthenticationError) as ours,
    ):
        other.chat.completions.create(model="chat", messages=HI)
    assert ours.value.code == "invalid_api_key"


@pytest.mark.parametrize("headers", [{"x-api-key": "TOKEN"}, {"authorization": "Bearer TOKEN"}])
def test_either_header_may_carry_the_token(server: EmbeddedServer, headers: dict[str, str]) -> None:
    sent = {name: value.replace("TOKEN", server.token) for name, value in headers.items()}
    assert httpx2.post(f"{server.url}/v1/messages", json=MESSAGE, headers=sent, timeout=PATIENCE).status_code == 200
    assert httpx2.post(f"{server.url}/v1/messages", json=MESSAGE, timeout=PATIENCE).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "127.0.0.1:1"},
        {"host": "localhost"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
    ],
)
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions", "/v1/models"])
def test_a_foreign_host_or_origin_is_forbidden_even_with_the_token(
    server: EmbeddedServer, headers: dict[str, str], path: str
) -> None:
    reply = post(server, path, headers=headers)
    assert reply.status_code == 403
    assert reply.headers.get("request-id", reply.headers.get("x-request-id", "")).startswith("req_")
    assert not [name for name in reply.headers if name.startswith("access-control")]


def test_a_preflight_is_not_answered_with_permission(server: EmbeddedServer) -> None:
    headers = {"origin": server.url, "access-control-request-method": "POST"}
    reply = httpx2.request("OPTIONS", f"{server.url}/v1/messages", headers=headers, timeout=PATIENCE)
    assert reply.status_code == 401
    assert not [name for name in reply.headers if name.startswith("access-control")]


def test_only_json_is_read(server: EmbeddedServer) -> None:
    assert post(server, content=b"model=claude", headers={"content-type": "text/plain"}).status_code == 415
    half = json.dumps({**MESSAGE, "messages": [{"role": "user", "content": "\ud800"}]}).encode()
    for body in (b"{", b"[]", b'{"model": NaN}', b"\xff", half, b"[" * 100_000):
        reply = post(server, content=body, headers={"content-type": "application/json"})
        assert (reply.status_code, reply.json()["error"]["type"]) == (400, "invalid_request_error")


def test_a_body_that_is_too_large_is_refused_announced_or_not() -> None:
    with start_server([], counter, door=Door(max_body=1_000)) as server:
        assert post(server, content=b" " * 1_001, headers={"content-type": "application/json"}).status_code == 413
        unannounced = post(server, content=iter([b" " * 600] * 4), headers={"content-type": "application/json"})
        assert (unannounced.status_code, unannounced.json()["error"]["type"]) == (413, "request_too_large")


def test_other_paths_and_methods_are_not_found(server: EmbeddedServer) -> None:
    assert post(server, "/v1/complete").json()["error"]["type"] == "not_found_error"
    headers = {"x-api-key": server.token}
    assert httpx2.get(f"{server.url}/v1/messages", headers=headers, timeout=PATIENCE).status_code == 404


@pytest.mark.parametrize(
    ("path", "body", "error"),
    [
        ("/v1/messages", {**MESSAGE, "model": "small", "messages": LONG}, ContextLengthExceeded),
        ("/v1/messages", {**MESSAGE, "model": "small", "max_tokens": 10**6}, RequestRejected),
        ("/v1/messages", {**MESSAGE, "model": "nothing"}, RequestRejected),
        ("/v1/chat/completions", {"model": "chat", "messages": []}, RequestRejected),
        (
            "/v1/chat/completions",
            {"model": "chat", "messages": [{"role": "user", "content": "word " * 200_001}]},
            ContextLengthExceeded,
        ),
    ],
)
def test_a_refusal_means_the_same_to_our_own_client(
    server: EmbeddedServer, path: str, body: dict[str, Any], error: type[ProviderError]
) -> None:
    reply = post(server, path, json=body)
    found = failure(reply.status_code, reply.content, reply.headers)
    assert type(found) is error
    assert found.request_id
    assert type(failure(401, post(server, headers={"x-api-key": "no"}).content, {})) is AuthenticationFailed


def test_a_closed_server_answers_no_more_and_closing_twice_is_nothing() -> None:
    server = start_server([], counter)
    server.close()
    server.close()
    with pytest.raises(httpx2.ConnectError):
        post(server)


def test_the_server_listens_on_loopback_only_and_sends_small_packets_without_delay() -> None:
    with Door().listen() as listener:
        assert listener.getsockname()[0] == "127.0.0.1"
        assert listener.proto == socket.IPPROTO_TCP


def test_the_token_does_not_show(server: EmbeddedServer) -> None:
    assert server.token not in repr(server)
    assert len(server.token) > 24
