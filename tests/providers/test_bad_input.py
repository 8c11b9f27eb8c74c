"""What goes wrong with a key, an address or a model's name ends as one typed line that says where to look."""

import json

import pytest

from tokmagic.core.errors import (
    AuthenticationFailed,
    MalformedReply,
    Overloaded,
    ProviderError,
    RateLimited,
    RequestRejected,
    ServerFailed,
    StreamBroken,
)

from .conftest import KEY, events, reply
from .test_transport import HI, OPEN, PROTOCOLS, START, sse

ID = "request-id: req_7\r\nx-request-id: req_7\r\n"
PAGE = "<!doctype html><html><head><title>Corporate\nproxy</title></head><body>Sign in</body></html>"


def failed(exchange, protocol, answer, kind=ProviderError, **options):
    with pytest.raises(kind) as raised:
        exchange(protocol, answer, **options)
    said = str(raised.value)
    assert "\n" not in said
    assert KEY not in said
    return raised.value, said


def refusal(protocol, message, code, status):
    if protocol == "messages":
        body = {"type": "error", "error": {"type": code, "message": message}, "request_id": "req_7"}
    else:
        body = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}
    return reply(json.dumps(body), status=status, headers=ID)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_wrong_key_names_the_variable_that_holds_it(exchange, protocol):
    answer = refusal(protocol, f"Incorrect API key provided: {KEY}.", "invalid_api_key", 401)
    error, said = failed(exchange, protocol, answer, AuthenticationFailed, service={"key_variable": "MY_KEY"})
    assert "Check the key in MY_KEY." in said
    assert error.request_id == "req_7"


def test_googles_refusal_of_a_key_is_one_though_it_is_a_list_with_another_status(exchange):
    body = [{"error": {"code": 400, "message": "API key not valid. Pass another.", "status": "INVALID_ARGUMENT"}}]
    answer = reply(json.dumps(body), status=400)
    _, said = failed(exchange, "chat", answer, AuthenticationFailed, service={"key_variable": "GEMINI_API_KEY"})
    assert said == "test: API key not valid. Pass another. Check the key in GEMINI_API_KEY."


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("status", [200, 403, 404, 502])
@pytest.mark.parametrize("stream", [True, False])
def test_a_proxys_page_is_told_as_one_with_the_address_it_came_from(exchange, protocol, status, stream):
    answer = reply(PAGE, status=status, kind="text/html", headers=ID)
    kind = {200: MalformedReply, 403: AuthenticationFailed, 404: RequestRejected, 502: ServerFailed}[status]
    options = {"stream": stream, "service": {"key_variable": "MY_KEY"}}
    error, said = failed(exchange, protocol, answer, kind, **options)
    assert "an HTML page instead of a reply: Corporate proxy. Is http://127.0.0.1:" in said
    assert "the right address" in said
    assert "MY_KEY" not in said
    assert error.request_id == "req_7"


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("body", ['{"detail":"Not Found"}', "404 page not found", ""])
def test_a_route_that_is_not_there_questions_the_address(exchange, protocol, body):
    _, said = failed(exchange, protocol, reply(body, status=404), RequestRejected, path="/wrong")
    assert "/wrong" in said
    assert "the right address" in said


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_model_that_is_not_there_does_not_question_the_address(exchange, protocol):
    error, said = failed(exchange, protocol, refusal(protocol, "model: claude-2.1", "not_found_error", 404))
    assert "address" not in said
    assert (error.status, error.request_id) == (404, "req_7")


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("rate_limit_error", RateLimited),
        ("overloaded_error", Overloaded),
        ("authentication_error", AuthenticationFailed),
        ("server_error", ServerFailed),
    ],
)
def test_a_success_over_an_error_is_that_error_with_its_request_id(exchange, protocol, stream, word, kind):
    error, said = failed(exchange, protocol, refusal(protocol, f"no, {KEY}", word, 200), kind, stream=stream)
    assert error.request_id == "req_7"
    assert "no, [key hidden]" in said


def test_a_reply_that_breaks_off_keeps_its_request_id(exchange):
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nrequest-id: req_7\r\nconnection: close\r\n\r\n"
    broken = sse("error", error={"type": "overloaded_error", "message": "Overloaded"})
    for end in ("", broken):
        error, _ = failed(exchange, "messages", head + "".join((START, OPEN, HI, end)).encode(), StreamBroken)
        assert error.request_id == "req_7"
    cut = head.replace(b"connection: close", b"content-length: 99999")
    error, said = failed(exchange, "messages", cut + "".join((START, OPEN, HI)).encode(), StreamBroken)
    assert error.request_id == "req_7"
    assert "lost in the reply" in said


def test_a_stream_without_an_id_has_none(exchange):
    error, _ = failed(exchange, "messages", events(START), StreamBroken)
    assert error.request_id is None
