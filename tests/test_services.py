"""Services through the whole corridor: keys, deployments and models at their end, against a scripted service."""

import json
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from tests.providers.conftest import reply, scripted
from tokmagic.client import AsyncClient
from tokmagic.config import load_settings
from tokmagic.core.errors import AuthenticationFailed, BudgetExceeded, ConfigurationError, RequestRejected
from tokmagic.parts import Parts

ANSWER = {
    "id": "c1", "object": "chat.completion", "model": "gpt-4o-2024-08-06", "created": 1,
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13},
}  # fmt: skip
GONE = {"type": "error", "error": {"type": "not_found_error", "message": "model: claude-2.1"}, "request_id": "req_7"}


@asynccontextmanager
async def at_a_script(name, answer, **fields):
    """Parts whose service of that name answers so, and what it saw."""
    async with scripted(answer) as (url, seen):
        settings = load_settings()
        services = {**settings.services, name: replace(settings.services[name], base_url=url, **fields)}
        parts = Parts(replace(settings, services=services))
        try:
            yield parts, seen
        finally:
            await parts.disconnect()
            parts.close()


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A notebook's folder of its own."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def test_a_deployment_is_called_by_its_name_and_priced_as_its_model(runner, folder):
    (folder / ".env").write_text("AZURE_OPENAI_API_KEY=0123456789abcdef\n")

    async def go():
        async with at_a_script("azure", reply(json.dumps(ANSWER)), deployments={"team": "gpt-4o"}) as (parts, seen):
            client = AsyncClient("azure/team", parts=parts, limits=["1 usd/day"])
            return await client.send("hello", stream=False), seen

    answered, seen = runner.run(go())
    assert seen[0][0].startswith(b"POST /openai/deployments/team/chat/completions?api-version=")
    assert b"0123456789abcdef" in seen[0][0]
    assert (answered.text, answered.cost.nanousd, answered.cost.quality) == ("hi", 9 * 2_500 + 4 * 10_000, "exact")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_model_at_its_end_says_until_when_it_was_served(runner, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-0123456789")

    async def go():
        async with at_a_script("anthropic", reply(json.dumps(GONE), status=404)) as (parts, _):
            with pytest.raises(RequestRejected) as failed:
                await AsyncClient("anthropic/claude-2.1", parts=parts).send("hello")
            return failed.value, parts.ledger.entries()

    error, entries = runner.run(go())
    assert "anthropic/claude-2.1 is served until 2025-07-21 only" in str(error)
    assert "req_7" in str(error)
    assert "\n" not in str(error)
    assert [entry.state for entry in entries] == ["released"]


def test_a_wrong_key_costs_nothing_and_names_its_variable(runner, monkeypatch):
    monkeypatch.setenv("GROQ_API_KEY", "gsk_0123456789abcdef")
    refused = {"error": {"message": "Invalid API Key gsk_0123456789abcdef", "code": "invalid_api_key"}}

    async def go():
        async with at_a_script("groq", reply(json.dumps(refused), status=401)) as (parts, _):
            with pytest.raises(
                AuthenticationFailed, match=r"\[key hidden\]\. Check the key in GROQ_API_KEY\."
            ) as failed:
                await AsyncClient("groq/llama-3.3-70b-versatile", parts=parts).send("hello")
            return str(failed.value), parts.ledger.entries()

    said, entries = runner.run(go())
    assert "0123456789" not in said
    assert [entry.state for entry in entries] == ["released"]


def test_a_key_of_another_provider_is_not_sent(runner, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "gsk_0123456789abcdef")

    async def go():
        parts = Parts(load_settings())
        try:
            with pytest.raises(ConfigurationError, match="ANTHROPIC_API_KEY holds a key of groq: nothing was sent"):
                await AsyncClient("anthropic/claude-sonnet-5-5", parts=parts).send("hello")
            return parts.ledger.entries()
        finally:
            parts.close()

    assert runner.run(go()) == ()


def test_a_services_own_tools_are_sent_and_booked_at_least_and_a_budget_refuses_them(runner, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-0123456789")
    said = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-5-5", "stop_reason": "end_turn",
        "stop_sequence": None, "content": [{"type": "text", "text": "hi"}],
        "usage": {"input_tokens": 9, "output_tokens": 4},
    }  # fmt: skip
    search = {"type": "web_search_20250305", "name": "web_search"}

    async def go():
        async with at_a_script("anthropic", reply(json.dumps(said))) as (parts, seen):
            client = AsyncClient("anthropic/claude-sonnet-5-5", parts=parts, server_tools=[search], stream=False)
            answered = await client.send("hello", limits=["9 requests/day"])
            with pytest.raises(BudgetExceeded, match="the server tool web_search can cost more"):
                await client.send("hello", limits=["1 usd/day"])
            return answered, seen

    answered, seen = runner.run(go())
    assert [json.loads(body)["tools"] for _, body in seen] == [[search]]
    assert answered.cost.quality == "at least"


def test_a_thread_marks_what_it_will_share_once_it_is_long_enough_and_pays_less_for_it(runner, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-0123456789")
    said = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-5-5", "stop_reason": "end_turn",
        "stop_sequence": None, "content": [{"type": "text", "text": "hi"}],
        "usage": {"input_tokens": 10, "cache_read_input_tokens": 2_000, "output_tokens": 4},
    }  # fmt: skip

    async def go():
        async with at_a_script("anthropic", reply(json.dumps(said))) as (parts, seen):
            client = AsyncClient("anthropic/claude-sonnet-5-5", parts=parts, stream=False)
            thread = client.conversation("talk")
            replies = [await client.send(text, thread=thread) for text in ("short", "long " * 3_000)]
            return replies, seen, parts.model("anthropic/claude-sonnet-5-5")

    replies, seen, model = runner.run(go())
    assert [b"cache_control" in body for _, body in seen] == [False, True]
    rates = model.price.rates(2_010)
    assert replies[1].cost.nanousd == -(-(10 * rates.input + 2_000 * rates.cache_read + 4 * rates.output) // 10**6)
