"""Compaction on demand, through the official SDK: one signed block, which stands for what was sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anthropic
import pytest

from tokmagic.core.models import Model

BETA = "compact-2026-09-04"
SUMMARISE: Any = {"type": "summarize"}
TALK: Any = [
    {"role": "user", "content": "The harbour code of Kiel is QX77. " + "Ships sail the sea. " * 40},
    {"role": "assistant", "content": "Noted." + " The wind blows." * 40},
]


def compact(sdk: anthropic.Anthropic, **fields: Any) -> Any:
    asked = {"model": "claude", "max_tokens": 900, "messages": TALK, "compaction": SUMMARISE, **fields}
    return sdk.beta.messages.create(betas=asked.pop("betas", [BETA]), **asked)


def test_the_answer_is_one_signed_block_with_its_usage(claude_sdk: anthropic.Anthropic) -> None:
    reply = compact(claude_sdk)
    (block,) = reply.content
    assert (block.type, reply.stop_reason) == ("compaction", "compaction")
    assert "QX77" in block.content
    assert block.signature
    counted = claude_sdk.messages.count_tokens(model="claude", messages=TALK)
    assert reply.usage.input_tokens == counted.input_tokens
    assert reply.usage.output_tokens > 20


def test_it_streams_and_is_then_the_same(claude_sdk: anthropic.Anthropic) -> None:
    with claude_sdk.beta.messages.stream(
        model="claude", max_tokens=900, messages=TALK, compaction=SUMMARISE, betas=[BETA]
    ) as stream:
        streamed = stream.get_final_message()
    assert streamed.content == compact(claude_sdk).content
    assert streamed.stop_reason == "compaction"


def test_the_block_goes_first_and_stands_for_the_turns(claude_sdk: anthropic.Anthropic) -> None:
    block = compact(claude_sdk).content[0].to_dict()
    turns: Any = [{"role": "assistant", "content": [block]}, {"role": "user", "content": "And now?"}]
    reply = claude_sdk.messages.create(model="claude", max_tokens=300, messages=turns)
    assert reply.stop_reason == "end_turn"
    again = compact(claude_sdk, messages=[*turns, {"role": "assistant", "content": "Sail on."}])
    assert "QX77" in again.content[0].content


def test_a_block_that_was_changed_is_refused(claude_sdk: anthropic.Anthropic) -> None:
    block = compact(claude_sdk).content[0].to_dict()
    turns: Any = [{"role": "assistant", "content": [{**block, "content": "Lies."}]}, {"role": "user", "content": "So?"}]
    with pytest.raises(anthropic.BadRequestError, match="Invalid `signature`"):
        claude_sdk.messages.create(model="claude", max_tokens=300, messages=turns)


def test_its_own_instructions_are_followed(claude_sdk: anthropic.Anthropic) -> None:
    asked = {"type": "summarize", "instructions": "Write 20 words."}
    short = compact(claude_sdk, compaction=asked)
    assert short.usage.output_tokens < compact(claude_sdk).usage.output_tokens


def test_a_summary_that_is_cut_off_is_no_block_to_send_back(claude_sdk: anthropic.Anthropic) -> None:
    reply = compact(claude_sdk, max_tokens=5)
    assert reply.stop_reason == "max_tokens"
    assert reply.content[0].content is None


CALL: Any = {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "look", "input": {}}]}
LOOK: Any = [{"name": "look", "input_schema": {"type": "object"}}]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"betas": ["other"]}, "compaction: Extra inputs are not permitted"),
        ({"compaction": {"type": "shorten"}}, "compaction.type: Input should be 'summarize'"),
        ({"compaction": {"type": "summarize", "trigger": 1}}, "compaction.trigger: Extra inputs are not permitted"),
        ({"stop_sequences": ["x"]}, "cannot be combined with `stop_sequences`"),
        ({"tools": LOOK, "tool_choice": {"type": "any"}}, "forces a tool"),
        ({"context_management": {"edits": []}}, "cannot be combined with `context_management`"),
        ({"messages": [*TALK, {"role": "user", "content": "Look."}, CALL], "tools": LOOK}, "without `tool_result`"),
    ],
)
def test_what_the_real_service_refuses_is_refused(
    claude_sdk: anthropic.Anthropic, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(anthropic.BadRequestError) as refused:
        compact(claude_sdk, **fields)
    assert message in str(refused.value)


def test_it_takes_from_the_minutes_limits(limited: Any, limited_claude: Callable[..., Model]) -> None:
    server = limited.start(limited_claude("1 requests/minute"))
    with anthropic.Anthropic(base_url=server.url, api_key=server.token, max_retries=0) as sdk:
        compact(sdk)
        with pytest.raises(anthropic.RateLimitError):
            compact(sdk)
