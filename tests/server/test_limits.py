from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from tests.patience import PATIENCE
from tokmagic.codecs.failures import failure
from tokmagic.core.counters import Counter
from tokmagic.core.errors import RateLimited
from tokmagic.core.messages import Request
from tokmagic.core.models import Model
from tokmagic.server import EmbeddedServer, start_server
from tokmagic.server.engine import Piece
from tokmagic.tokenizers import counter

HI: Any = [{"role": "user", "content": "Hi"}]


def send(server: EmbeddedServer, path: str = "/v1/messages", **fields: Any) -> httpx2.Response:
    body = {"model": "claude" if path == "/v1/messages" else "chat", "max_tokens": 10, "messages": HI, **fields}
    return httpx2.post(f"{server.url}{path}", json=body, headers={"x-api-key": server.token}, timeout=PATIENCE)


def test_requests_of_a_minute_run_out_and_come_back(limited: Any, limited_claude: Callable[..., Model]) -> None:
    server = limited.start(limited_claude("3 requests/minute"))
    statuses = [send(server).status_code for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
    refused = send(server)
    assert refused.headers["retry-after"] == "20"
    assert refused.headers["anthropic-ratelimit-requests-remaining"] == "0"
    assert refused.headers["anthropic-ratelimit-requests-reset"] == "2026-09-21T14:14:20Z"
    limited.now += 19.9
    assert send(server).status_code == 429
    limited.now += 0.2
    assert send(server).status_code == 200


def test_the_sdks_raise_their_rate_limit_errors(
    limited: Any, limited_claude: Callable[..., Model], limited_chat: Callable[..., Model]
) -> None:
    server = limited.start(limited_claude("1 requests/minute"), limited_chat("1 requests/minute"))
    with anthropic.Anthropic(base_url=server.url, api_key=server.token, max_retries=0) as client:
        client.messages.create(model="claude", max_tokens=5, messages=HI)
        with pytest.raises(anthropic.RateLimitError) as theirs:
            client.messages.create(model="claude", max_tokens=5, messages=HI)
    assert theirs.value.type == "rate_limit_error"
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=server.token, max_retries=0) as other:
        other.chat.completions.create(model="chat", max_tokens=5, messages=HI)
        with pytest.raises(openai.RateLimitError) as ours:
            other.chat.completions.create(model="chat", max_tokens=5, messages=HI)
    assert ours.value.code == "rate_limit_exceeded"
    assert ours.value.response.headers["retry-after-ms"] == "60000"


def test_a_refusal_tells_our_own_client_how_long_to_wait(limited: Any, limited_claude: Callable[..., Model]) -> None:
    server = limited.start(limited_claude("1 requests/minute"))
    send(server)
    refused = send(server)
    error = failure(refused.status_code, refused.json(), refused.headers)
    assert type(error) is RateLimited
    assert error.retry_after == 60.0


def test_anthropics_output_counts_what_is_produced_and_not_the_bound(
    limited: Any, limited_claude: Callable[..., Model]
) -> None:
    server = limited.start(limited_claude("100k output_tokens/minute", "100k input_tokens/minute"))
    first = send(server, max_tokens=60_000)
    produced, read = first.json()["usage"]["output_tokens"], first.json()["usage"]["input_tokens"]
    assert produced < 100
    second = send(server, max_tokens=1)
    states = {name.removeprefix("anthropic-ratelimit-"): value for name, value in second.headers.items()}
    assert states["output-tokens-limit"] == "100000"
    assert states["output-tokens-remaining"] == str(round(100_000 - produced - 1, -3))
    assert states["input-tokens-remaining"] == str(round(100_000 - read - second.json()["usage"]["input_tokens"], -3))
    assert states["tokens-remaining"] == states["output-tokens-remaining"]


def test_an_exhausted_output_limit_refuses_the_next_call(limited: Any, limited_claude: Callable[..., Model]) -> None:
    server = limited.start(limited_claude("40 output_tokens/minute"))
    assert send(server, max_tokens=300, messages=[{"role": "user", "content": "Write 900 words."}]).status_code == 200
    refused = send(server)
    assert refused.status_code == 429
    assert "output tokens per minute" in refused.json()["error"]["message"]


def test_openais_tokens_count_the_bound_that_was_sent(limited: Any, limited_chat: Callable[..., Model]) -> None:
    server = limited.start(limited_chat("1000 tokens/minute", "60 requests/minute"))
    path = "/v1/chat/completions"
    first = send(server, path, max_tokens=900)
    assert first.headers["x-ratelimit-limit-tokens"] == "1000"
    assert first.headers["x-ratelimit-remaining-tokens"] == "100"
    assert first.headers["x-ratelimit-reset-tokens"] == "54s"
    assert first.headers["x-ratelimit-reset-requests"] == "1s"
    refused = send(server, path, max_tokens=200)
    assert refused.status_code == 429
    assert refused.json()["error"]["type"] == "tokens"
    assert "Limit 1000, Used 900, Requested 200. Please try again in 6s." in refused.json()["error"]["message"]
    assert send(server, path, max_tokens=100).status_code == 200


def test_a_refusal_takes_nothing(limited: Any, limited_chat: Callable[..., Model]) -> None:
    server = limited.start(limited_chat("1000 tokens/minute", "5 requests/minute"))
    path = "/v1/chat/completions"
    assert send(server, path, max_tokens=2000).status_code == 429
    assert send(server, path, messages=[]).status_code == 400
    assert send(server, path, max_tokens=10).headers["x-ratelimit-remaining-requests"] == "4"


def test_each_model_has_limits_of_its_own(limited: Any, limited_claude: Callable[..., Model]) -> None:
    other = Model(
        "demo", "other", "messages", 1_000, 100, "o200k_base", rates=limited_claude("1 requests/minute").rates
    )
    server = limited.start(limited_claude("1 requests/minute"), other)
    assert [send(server, model=name).status_code for name in ("claude", "other", "claude")] == [200, 200, 429]


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions"])
def test_a_client_that_hangs_up_ends_the_generation_at_once(
    path: str, endless: Any, limited_claude: Callable[..., Model], limited_chat: Callable[..., Model]
) -> None:
    models = [limited_claude("100k output_tokens/minute"), limited_chat()]
    with start_server(models, counter, engine=endless) as server, httpx2.Client(timeout=PATIENCE) as client:
        body = {"model": "claude" if "messages" in path else "chat", "max_tokens": 9, "messages": HI, "stream": True}
        with client.stream("POST", f"{server.url}{path}", json=body, headers={"x-api-key": server.token}) as reply:
            seen = b""
            for chunk in reply.iter_raw():
                seen += chunk
                if b"three" in seen:
                    assert not endless.ended.is_set()
                    break
        assert endless.ended.wait(PATIENCE)


def test_a_client_that_gives_up_on_a_whole_reply_ends_the_generation_too(
    endless: Any, limited_claude: Callable[..., Model]
) -> None:
    with start_server([limited_claude()], counter, engine=endless) as server:
        body = {"model": "claude", "max_tokens": 9, "messages": HI}
        with endless.asked_by_one_who_goes(server, "/v1/messages", body):
            assert not endless.ended.is_set()
        assert endless.ended.wait(PATIENCE)


def test_a_hung_up_answer_is_charged_for_what_was_produced(endless: Any, limited_claude: Callable[..., Model]) -> None:
    model = limited_claude("3 output_tokens/minute")
    with (
        start_server([model], counter, engine=endless, clock=lambda: 0.0) as server,
        httpx2.Client(timeout=PATIENCE) as client,
    ):
        body = {"model": "claude", "max_tokens": 9, "messages": HI, "stream": True}
        with client.stream(
            "POST", f"{server.url}/v1/messages", json=body, headers={"x-api-key": server.token}
        ) as reply:
            seen = b""
            for chunk in reply.iter_raw():
                seen += chunk
                if b"three" in seen:
                    break
        assert endless.ended.wait(PATIENCE)
        assert send(server).status_code == 429


def test_a_request_that_is_too_large_is_told_the_limits_too(
    limited: Any, limited_claude: Callable[..., Model], limited_chat: Callable[..., Model]
) -> None:
    server = limited.start(limited_claude("5 requests/minute"), limited_chat("5 requests/minute"))
    assert send(server, max_tokens=10**6).headers["anthropic-ratelimit-requests-remaining"] == "5"
    assert send(server, "/v1/chat/completions", max_tokens=10**6).headers["x-ratelimit-remaining-requests"] == "5"


class Failing:
    """An engine that breaks behind its first words."""

    async def generate(self, request: Request, counter: Counter) -> AsyncGenerator[Sequence[Piece]]:
        yield [Piece("Well", 1)]
        raise RuntimeError("the engine broke")


def test_an_engine_that_breaks_never_looks_like_a_whole_answer(limited_claude: Callable[..., Model]) -> None:
    with start_server([limited_claude()], counter, engine=Failing()) as server:
        streamed = send(server, stream=True)
        whole = send(server)
    assert "event: error" in streamed.text
    assert "message_stop" not in streamed.text
    assert (whole.status_code, whole.json()["error"]["type"]) == (500, "api_error")


def test_closing_the_server_ends_a_running_answer(endless: Any, limited_claude: Callable[..., Model]) -> None:
    with start_server([limited_claude()], counter, engine=endless) as server, httpx2.Client(timeout=PATIENCE) as client:
        body = {"model": "claude", "max_tokens": 9, "messages": HI, "stream": True}
        with client.stream(
            "POST", f"{server.url}/v1/messages", json=body, headers={"x-api-key": server.token}
        ) as reply:
            assert reply.status_code == 200
            server.close()
            with pytest.raises(httpx2.TransportError):
                reply.read()
    assert endless.ended.wait(PATIENCE)


class Bursting:
    """An engine that lets a minute pass between its two batches."""

    def __init__(self, clock: Any) -> None:
        self._clock = clock

    async def generate(self, request: Request, counter: Counter) -> AsyncGenerator[Sequence[Piece]]:
        yield [Piece("one ", 4_000)]
        self._clock.now += 60
        yield [Piece("two", 3_000)]


def test_output_counts_when_it_is_produced_and_what_refilled_before_does_not_pay_for_it(
    limited: Any, limited_claude: Callable[..., Model]
) -> None:
    model = limited_claude("8k output_tokens/minute", "50 requests/minute")
    with start_server([model], counter, engine=Bursting(limited), clock=lambda: limited.now) as server:
        send(server, max_tokens=10_000)
        stated = send(server, max_tokens=1).headers["anthropic-ratelimit-output-tokens-remaining"]
    assert stated == "5000"
