from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokmagic.codecs import WireError
from tokmagic.codecs.failures import failure
from tokmagic.codecs.registry import CODECS
from tokmagic.core.errors import (
    AuthenticationFailed,
    ContextLengthExceeded,
    MalformedReply,
    Overloaded,
    ProviderError,
    QuotaExceeded,
    RateLimited,
    RequestRejected,
    ServerFailed,
)


def anthropic(kind: str, message: str = "No.", **details: Any) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message, "details": details}, "request_id": "req_1"}


def openai(code: str | None, message: str = "No.", kind: str = "invalid_request_error") -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


TOO_LONG = "prompt is too long: 213462 tokens > 200000 maximum"
MAXIMUM = "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens."


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, anthropic("invalid_request_error"), RequestRejected),
        (400, anthropic("invalid_request_error", TOO_LONG), ContextLengthExceeded),
        (413, anthropic("request_too_large"), RequestRejected),
        (400, anthropic("invalid_request_error", "Your credit balance is too low to access the API."), QuotaExceeded),
        (400, anthropic("invalid_request_error", "You have reached your specified API usage limits."), QuotaExceeded),
        (429, anthropic("rate_limit_error", error_code="enforced_spend_limit_reached"), QuotaExceeded),
        (402, anthropic("billing_error"), QuotaExceeded),
        (401, anthropic("authentication_error"), AuthenticationFailed),
        (403, anthropic("permission_error"), AuthenticationFailed),
        (404, anthropic("not_found_error", "model: claude-0"), RequestRejected),
        (429, anthropic("rate_limit_error"), RateLimited),
        (500, anthropic("api_error"), ServerFailed),
        (504, anthropic("timeout_error"), ServerFailed),
        (503, anthropic("overloaded_error"), Overloaded),
        (529, anthropic("overloaded_error"), Overloaded),
        (200, anthropic("overloaded_error"), Overloaded),
        (None, anthropic("rate_limit_error"), RateLimited),
        (400, openai("context_length_exceeded", MAXIMUM), ContextLengthExceeded),
        (400, openai("invalid_request_error", MAXIMUM), ContextLengthExceeded),
        (400, openai("context_length_exceeded", MAXIMUM)["error"], ContextLengthExceeded),
        (401, openai("invalid_api_key"), AuthenticationFailed),
        (402, openai(None, "Insufficient Balance", "unknown_error"), QuotaExceeded),
        (404, openai("model_not_found"), RequestRejected),
        (429, openai("insufficient_quota", kind="insufficient_quota"), QuotaExceeded),
        (429, openai("rate_limit_exceeded", kind="requests"), RateLimited),
        (429, openai("rate_limit_exceeded", "Reduce the context window or slow down"), RateLimited),
        (500, openai(None, kind="server_error"), ServerFailed),
        (500, openai(None, "out of context window", kind="server_error"), ServerFailed),
        (502, "<html><head><title>Bad Gateway</title></head></html>", ServerFailed),
        (200, "<!DOCTYPE html><html></html>", MalformedReply),
        (503, openai(None, "The engine is currently overloaded, please try again later", "server_error"), Overloaded),
        (503, openai("slow_down", "Slow Down"), Overloaded),
        (503, b"upstream connect error", ServerFailed),
        (503, b"upstream overloaded", ServerFailed),
        (503, {"message": "no healthy upstream, overloaded"}, ServerFailed),
        (503, "<html><title>503 Service Overloaded</title></html>", ServerFailed),
        (503, openai(None, "Service unavailable.", "server_error"), ServerFailed),
        (529, {}, ServerFailed),
        (500, anthropic("overloaded_error"), ServerFailed),
        (408, b"", ServerFailed),
        (418, None, RequestRejected),
        (422, {"detail": [{"loc": ["body"]}]}, RequestRejected),
        (404, {"error": "model 'x' not found"}, RequestRejected),
        (200, {"nothing": "known"}, MalformedReply),
    ],
)
def test_a_refusal_has_its_own_class(status: int | None, body: Any, error: type[ProviderError]) -> None:
    found = failure(status, body, {})
    assert type(found) is error
    assert found.status == status
    assert str(found)


def test_the_codes_of_both_families_are_kept() -> None:
    assert (
        failure(429, anthropic("rate_limit_error", error_code="ramp_limit_exceeded"), {}).code == "ramp_limit_exceeded"
    )
    assert failure(400, anthropic("invalid_request_error"), {}).code == "invalid_request_error"
    assert failure(429, openai("insufficient_quota"), {}).code == "insufficient_quota"


def test_the_request_id_comes_from_the_headers_or_the_body() -> None:
    assert failure(500, "", {"Request-Id": "req_a"}).request_id == "req_a"
    assert failure(500, "", {"x-request-id": "req_b"}).request_id == "req_b"
    assert failure(500, anthropic("api_error"), {}).request_id == "req_1"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"Retry-After": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after-ms": "x", "retry-after": "3"}, 3.0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({}, None),
    ],
)
def test_the_wait_that_is_asked_for_is_read_in_seconds(headers: dict[str, str], seconds: float | None) -> None:
    assert failure(429, None, headers).retry_after == seconds


def test_a_message_is_one_line_without_keys_and_of_bounded_length() -> None:
    message = "Incorrect API key provided: sk-proj-abcdefghijklmnop.\nSee the docs. " + "x" * 1000
    shown = str(failure(401, openai("invalid_api_key", message), {}))
    assert "abcdefghijklmnop" not in shown
    assert "\n" not in shown
    assert len(shown) <= 300


def test_an_html_page_is_named_and_not_quoted() -> None:
    shown = str(failure(502, "\n<html><head><title>502 Bad\nGateway</title></head><body>lots</body></html>", {}))
    assert shown == "an HTML page instead of a reply: 502 Bad Gateway"


@pytest.mark.parametrize("protocol", ["messages", "chat"])
def test_an_error_survives_the_wire(protocol: Any) -> None:
    codec = CODECS[protocol]
    error = WireError(400, "invalid_request_error", "No such thing.", param="thing", code="no_thing")
    found = codec.decode_error(400, codec.encode_error(error, "req_9"), {})
    assert type(found) is RequestRejected
    assert "No such thing." in str(found)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["error", "type", "code", "message", "details", "error_code"]), inner)
    ),
)


@given(status=st.none() | st.integers(100, 600), body=JSON_VALUES | st.binary(), header=st.text())
def test_any_refusal_whatsoever_becomes_a_typed_error(status: int | None, body: Any, header: str) -> None:
    assert isinstance(failure(status, body, {"retry-after": header}), ProviderError)
