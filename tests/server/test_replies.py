from __future__ import annotations

import subprocess
import sys
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from tests.patience import PATIENCE
from tokmagic.core.messages import Request, Tool, system, user
from tokmagic.core.tokens import count_request
from tokmagic.server import EmbeddedServer
from tokmagic.server.script import answer_text
from tokmagic.tokenizers import counter

PROMPT = "Why is the sky blue? Blue light scatters more than red light.\nThe sky is full of scattered light. 🌌"
ANSWER = answer_text(Request("claude", (user(PROMPT),), 500))
COUNTER = counter("o200k_base")
INPUT = int(count_request((user(PROMPT),), (), COUNTER))


def asked(prompt: str = PROMPT, **fields: Any) -> dict[str, Any]:
    return {"model": "claude", "max_tokens": 500, "messages": [{"role": "user", "content": prompt}], **fields}


def test_a_message_is_answered_whole(claude_sdk: anthropic.Anthropic) -> None:
    reply = claude_sdk.messages.create(**asked())
    assert reply.content[0].to_dict()["text"] == ANSWER
    assert (reply.model, reply.role, reply.stop_reason) == ("claude", "assistant", "end_turn")
    assert reply.usage.input_tokens == INPUT
    assert reply.usage.output_tokens == pytest.approx(COUNTER.count(ANSWER), abs=4)


def test_a_message_is_streamed_as_the_same_answer(claude_sdk: anthropic.Anthropic) -> None:
    with claude_sdk.messages.stream(**asked()) as stream:
        pieces = list(stream.text_stream)
        final = stream.get_final_message()
    assert "".join(pieces) == ANSWER
    assert len(pieces) == final.usage.output_tokens
    assert final.usage.input_tokens == INPUT
    assert final.stop_reason == "end_turn"


def test_a_chat_is_answered_whole_and_streamed(openai_sdk: openai.OpenAI) -> None:
    messages: Any = [{"role": "user", "content": PROMPT}]
    reply = openai_sdk.chat.completions.create(model="chat", messages=messages)
    assert reply.choices[0].message.content == ANSWER
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage is not None
    assert reply.usage.prompt_tokens == INPUT
    stream = openai_sdk.chat.completions.create(
        model="chat", messages=messages, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    said = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(said) == ANSWER
    assert chunks[-1].usage == reply.usage


def test_a_chat_stream_states_its_usage_only_to_those_who_ask(openai_sdk: openai.OpenAI) -> None:
    stream = openai_sdk.chat.completions.create(
        model="chat", messages=[{"role": "user", "content": PROMPT}], stream=True
    )
    assert [chunk.usage for chunk in stream if chunk.usage] == []


def test_the_chat_stream_helper_of_the_sdk_reads_it(openai_sdk: openai.OpenAI) -> None:
    with openai_sdk.chat.completions.stream(model="chat", messages=[{"role": "user", "content": PROMPT}]) as stream:
        stream.until_done()
        assert stream.get_final_completion().choices[0].message.content == ANSWER


def test_an_answer_ends_at_its_bound(claude_sdk: anthropic.Anthropic, openai_sdk: openai.OpenAI) -> None:
    reply = claude_sdk.messages.create(**asked(max_tokens=7))
    assert (reply.stop_reason, reply.usage.output_tokens) == ("max_tokens", 7)
    assert ANSWER.startswith(reply.content[0].to_dict()["text"])
    cut = openai_sdk.chat.completions.create(
        model="chat", max_completion_tokens=7, messages=[{"role": "user", "content": PROMPT}]
    )
    assert cut.choices[0].finish_reason == "length"


def test_a_stop_sequence_ends_the_answer_before_it(claude_sdk: anthropic.Anthropic) -> None:
    with claude_sdk.messages.stream(**asked(stop_sequences=["is at work; this"])) as stream:
        final = stream.get_final_message()
    assert final.stop_reason == "stop_sequence"
    assert final.content[0].to_dict()["text"] == "*Demo engine: no model "
    unmet = claude_sdk.messages.create(**asked(stop_sequences=["blue?x", "🌌🌌"]))
    assert unmet.content[0].to_dict()["text"] == ANSWER


def test_a_long_answer_is_written_when_it_is_asked_for(claude_sdk: anthropic.Anthropic) -> None:
    with claude_sdk.messages.stream(**asked("Write 30,000 words about the sky.", max_tokens=20_000)) as stream:
        final = stream.get_final_message()
    assert (final.stop_reason, final.usage.output_tokens) == ("max_tokens", 20_000)


def test_tokens_are_counted_as_a_call_counts_them(claude_sdk: anthropic.Anthropic) -> None:
    tool: Any = {"name": "now", "description": "The time.", "input_schema": {"type": "object", "properties": {}}}
    fields: dict[str, Any] = asked(system="Be brief.", tools=[tool])
    whole = claude_sdk.messages.create(**fields)
    del fields["max_tokens"]
    counted = claude_sdk.messages.count_tokens(**fields)
    expected = count_request(
        (system("Be brief."), user(PROMPT)), (Tool("now", "The time.", tool["input_schema"]),), COUNTER
    )
    assert counted.input_tokens == whole.usage.input_tokens == expected


def test_the_models_are_listed_in_the_shape_of_who_asks(
    claude_sdk: anthropic.Anthropic, openai_sdk: openai.OpenAI
) -> None:
    theirs = {model.id: model for model in claude_sdk.models.list()}
    assert list(theirs) == ["claude", "chat", "small", "gpt", "small-gpt"]
    assert (theirs["small"].max_input_tokens, theirs["small"].max_tokens) == (8_192, 4_096)
    assert [model.id for model in openai_sdk.models.list()] == ["claude", "chat", "small", "gpt", "small-gpt"]


def test_a_model_is_described_in_the_shape_of_who_asks(
    claude_sdk: anthropic.Anthropic, openai_sdk: openai.OpenAI
) -> None:
    assert claude_sdk.models.retrieve("small").max_tokens == 4_096
    assert openai_sdk.models.retrieve("gpt").owned_by == "demo"
    with pytest.raises(anthropic.NotFoundError, match="model: none"):
        claude_sdk.models.retrieve("none")
    with pytest.raises(openai.NotFoundError) as missing:
        openai_sdk.models.retrieve("none")
    assert missing.value.code == "model_not_found"


def test_every_reply_carries_its_request_id(claude_sdk: anthropic.Anthropic, openai_sdk: openai.OpenAI) -> None:
    first, second = (claude_sdk.messages.create(**asked()) for _ in range(2))
    assert first._request_id
    assert first._request_id != second._request_id
    reply = openai_sdk.chat.completions.create(model="chat", messages=[{"role": "user", "content": "Hi"}])
    assert reply._request_id


def test_a_stream_pings_and_every_event_is_named_after_its_type(server: EmbeddedServer) -> None:
    headers = {"x-api-key": server.token}
    raw = httpx2.post(f"{server.url}/v1/messages", json=asked(stream=True), headers=headers, timeout=PATIENCE)
    assert raw.headers["content-type"].startswith("text/event-stream")
    assert "event: ping" in raw.text
    assert raw.text.startswith("event: message_start\n")
    assert raw.text.endswith('event: message_stop\ndata: {"type":"message_stop"}\n\n')


def test_importing_the_package_brings_no_web_framework() -> None:
    code = "import sys, tokmagic.server; print([n for n in ('starlette', 'uvicorn', 'anyio') if n in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
