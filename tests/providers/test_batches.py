"""Batches through the real SDKs: rows by id; a row refused is its result, a batch refused is a typed error."""

import asyncio
from dataclasses import replace

import pytest

from tokmagic.core.batches import BatchStatus
from tokmagic.core.errors import AuthenticationFailed, ConnectionFailed, MalformedReply, ProviderError, RequestRejected
from tokmagic.core.messages import Extras, Request, user
from tokmagic.core.models import Service
from tokmagic.core.redaction import Secret
from tokmagic.providers.registry import PROVIDERS

MODEL = {"messages": "claude", "responses": "gpt"}


@pytest.fixture(params=MODEL)
def protocol(request):
    return request.param


def request(protocol, text="Hello?", **fields):
    return Request(**{"model": MODEL[protocol], "messages": (user(text),), "max_tokens": 50, **fields})


async def ended(batches, id):
    while not (status := await batches.status(id)).over:
        await asyncio.sleep(0.01)
    return status, {row: result async for row, result in batches.results(id)}


@pytest.fixture
def go(server, protocol, runner):
    """Run a coroutine function over the batches of the embedded server."""

    def run(act, url=server.url, token=server.token):
        async def work():
            base = url if protocol == "messages" else f"{url}/v1"
            service = Service("test", protocol, base_url=base, embedded=True)
            provider = PROVIDERS[protocol](service, Secret(token), 10.0)
            try:
                return await act(provider.batches())
            finally:
                await provider.aclose()

        return runner.run(work())

    return run


def test_rows_come_back_under_their_ids(go, protocol):
    async def act(batches):
        rows = {f"row-{n}": request(protocol, f"Number {n}?", stream=True) for n in range(4)}
        return await ended(batches, await batches.submit(rows))

    status, results = go(act)
    assert status == BatchStatus("ended", 4, 4, 0)
    assert set(results) == {f"row-{n}" for n in range(4)}
    assert {answer.served for answer in results.values()} == {"batch"}
    assert all("Number" in answer.text or answer.text for answer in results.values())
    assert all(answer.usage.output_tokens > 0 for answer in results.values())


def test_a_row_that_is_refused_has_its_error_as_its_result(go, protocol):
    async def act(batches):
        rows = {"good": request(protocol), "bad": request(protocol, model="nobody")}
        return await ended(batches, await batches.submit(rows))

    status, results = go(act)
    assert (status.succeeded, status.failed) == (1, 1)
    assert isinstance(results["bad"], RequestRejected)
    assert "nobody" in str(results["bad"])
    assert results["bad"].provider == "test"
    assert results["good"].text


def test_what_a_caller_adds_to_the_body_goes_with_every_row(go, protocol):
    async def act(batches):
        extras = Extras(
            body={"thinking": {"type": "enabled", "budget_tokens": 1024}}
            if protocol == "messages"
            else {"reasoning": {"effort": "low"}}
        )
        rows = {"a": request(protocol, extras=extras, max_tokens=2_000)}
        return await ended(batches, await batches.submit(rows))

    _, results = go(act)
    assert results["a"].usage.reasoning_tokens > 0


def test_a_batch_nobody_knows_is_refused(go):
    for method in ("status", "cancel"):
        with pytest.raises(RequestRejected):
            go(lambda batches, method=method: getattr(batches, method)("msgbatch_none"))


def test_a_wrong_key_is_one_typed_line_without_the_key(go, protocol):
    with pytest.raises(AuthenticationFailed) as caught:
        go(lambda batches: batches.submit({"a": request(protocol)}), token="sk-wrong-0123456789")
    assert "sk-wrong" not in str(caught.value)


def test_no_connection_says_that_nothing_ran(go, protocol):
    with pytest.raises(ConnectionFailed):
        go(lambda batches: batches.submit({"a": request(protocol)}), url="http://127.0.0.1:9")


def test_a_reply_in_a_row_that_is_none_is_its_error_and_may_have_run(go):
    async def act(batches):
        return batches.transport.answered({"type": "nonsense"}), batches.transport.answered("<html>")

    for result in go(act):
        assert isinstance(result, MalformedReply)
        assert result.may_have_run


def test_a_row_that_was_left_out_says_why(go, protocol):
    async def act(batches):
        said = {"type": "expired"} if protocol == "messages" else {"error": {"message": "expired"}}
        return batches._result(said)

    error = go(act)
    assert isinstance(error, ProviderError)
    assert str(error) == "test did not answer this row of the batch (expired); it cost nothing."
    assert not error.may_have_run


def test_a_service_that_only_speaks_chat_has_none(runner):
    async def act():
        provider = PROVIDERS["chat"](Service("test", "chat", base_url="http://127.0.0.1:9"), Secret("k"), 10.0)
        found = provider.batches()
        await replace(provider).aclose()
        return found

    assert runner.run(act()) is None
