"""Compaction at a threshold, through the official SDKs: the summary comes first, then the answer that has read it."""

from __future__ import annotations

from typing import Any

import anthropic
import openai
import pytest

from tokmagic.server.seals import seal, unseal

BETA = "compact-2026-01-12"
SAIL = "The ships sail over the sea and the wind blows. "
CODE = "The harbour code of Kiel is QX77. "
LONG: Any = [
    {"role": "user", "content": CODE + SAIL * 4_600},
    {"role": "assistant", "content": "Noted."},
    {"role": "user", "content": "Which ship is the next?"},
]
SHORT: Any = [{"role": "user", "content": "Hello."}]
LOOK: Any = [{"name": "look", "input_schema": {"type": "object"}}]


def edit(value: Any = 50_000, **fields: Any) -> dict[str, Any]:
    return {"type": "compact_20260112", "trigger": {"type": "input_tokens", "value": value}, **fields}


def ask(sdk: anthropic.Anthropic, messages: Any = LONG, **fields: Any) -> Any:
    asked = {"betas": [BETA], "context_management": {"edits": [edit()]}, "max_tokens": 300, **fields}
    return sdk.beta.messages.create(model="claude", messages=messages, **asked)


def respond(sdk: openai.OpenAI, input: Any = LONG, threshold: Any = 1_000, **fields: Any) -> Any:
    managed: Any = [{"type": "compaction", "compact_threshold": threshold}]
    return sdk.responses.create(**{"model": "gpt", "input": input, "context_management": managed, **fields})


def test_a_long_conversation_is_answered_behind_its_summary_and_both_are_counted(
    claude_sdk: anthropic.Anthropic,
) -> None:
    reply = ask(claude_sdk)
    block, text = reply.content
    assert (block.type, text.type, reply.stop_reason) == ("compaction", "text", "end_turn")
    assert "QX77" in block.content
    assert "Your prompt has 5 words" in text.text
    compaction, message = reply.usage.iterations
    counted = claude_sdk.messages.count_tokens(model="claude", messages=LONG)
    assert (compaction.type, compaction.input_tokens) == ("compaction", counted.input_tokens)
    assert (message.type, message.input_tokens) == ("message", reply.usage.input_tokens)
    assert reply.usage.input_tokens < compaction.input_tokens // 5
    assert compaction.output_tokens > 20
    assert message.output_tokens == reply.usage.output_tokens


def test_it_streams_the_summary_first_and_is_then_the_same(claude_sdk: anthropic.Anthropic) -> None:
    managed: Any = {"edits": [edit()]}
    with claude_sdk.beta.messages.stream(
        model="claude", max_tokens=300, messages=LONG, betas=[BETA], context_management=managed
    ) as stream:
        kinds = [event.type for event in stream]
        streamed = stream.get_final_message()
    assert kinds.index("compaction") < kinds.index("text")
    whole = ask(claude_sdk)
    assert (streamed.content[0], streamed.usage.iterations) == (whole.content[0], whole.usage.iterations)
    assert streamed.content[1].text == whole.content[1].text


def test_a_short_conversation_is_answered_as_ever(claude_sdk: anthropic.Anthropic) -> None:
    reply = ask(claude_sdk, SHORT)
    assert [block.type for block in reply.content] == ["text"]
    assert reply.usage.iterations is None


def test_with_a_pause_only_the_summary_comes(claude_sdk: anthropic.Anthropic) -> None:
    reply = ask(claude_sdk, context_management={"edits": [edit(pause_after_compaction=True)]})
    assert ([block.type for block in reply.content], reply.stop_reason) == (["compaction"], "compaction")
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (0, 0)
    assert [step.type for step in reply.usage.iterations] == ["compaction"]


def test_its_own_instructions_are_followed(claude_sdk: anthropic.Anthropic) -> None:
    wished = ask(claude_sdk, context_management={"edits": [edit(instructions="Write 12 words.")]})
    assert wished.usage.iterations[0].output_tokens < ask(claude_sdk).usage.iterations[0].output_tokens


def test_what_stands_before_a_summary_is_ignored(claude_sdk: anthropic.Anthropic) -> None:
    block = ask(claude_sdk).content[0].to_dict()
    after: Any = [{"role": "assistant", "content": [block, {"type": "text", "text": "Soon."}]}, *SHORT]
    whole, alone = (
        claude_sdk.beta.messages.create(model="claude", max_tokens=300, messages=said)
        for said in ([*LONG, *after], after)
    )
    assert whole.usage.input_tokens == alone.usage.input_tokens < 20_000
    counted = claude_sdk.beta.messages.count_tokens(model="claude", messages=[*LONG, *after])
    assert counted.input_tokens == alone.usage.input_tokens


def test_a_block_without_a_summary_stands_for_nothing(claude_sdk: anthropic.Anthropic) -> None:
    block = {"type": "compaction", "content": None}
    said: Any = [{"role": "user", "content": SAIL * 20}, {"role": "assistant", "content": [block]}, *SHORT]
    reply = claude_sdk.beta.messages.create(model="claude", max_tokens=300, messages=said)
    assert reply.usage.input_tokens > 200


def test_what_a_summary_does_not_shorten_goes_on_as_it_was(claude_sdk: anthropic.Anthropic) -> None:
    reply = ask(claude_sdk, [{"role": "user", "content": CODE + SAIL * 4_600}])
    block, text = reply.content
    assert (block.content, text.type) == (None, "text")
    assert reply.usage.input_tokens == reply.usage.iterations[0].input_tokens


def test_an_open_call_of_a_tool_keeps_its_result(claude_sdk: anthropic.Anthropic) -> None:
    call: Any = {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "look", "input": {}}]}
    result: Any = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "A mast."}]}
    reply = ask(claude_sdk, [*LONG, call, result], tools=LOOK)
    assert reply.content[0].type == "compaction"
    assert "The look tool returned: A mast." in reply.content[1].text


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"betas": ["other"]}, "context_management: Extra inputs are not permitted"),
        ({"edits": [edit(49_999)]}, "edits.0.trigger.value: Input should be greater than or equal to 50000"),
        ({"edits": [edit("much")]}, "edits.0.trigger.value: Input should be a valid integer"),
        ({"edits": [edit(True)]}, "edits.0.trigger.value: Input should be a valid integer"),
        ({"edits": [edit(trigger={"type": "tool_uses", "value": 5})]}, "expected tags: 'input_tokens'"),
        ({"edits": [edit(trigger={"type": "input_tokens"})]}, "edits.0.trigger.value: Field required"),
        ({"edits": [edit(pause_after_compaction="yes")]}, "pause_after_compaction: Input should be a valid boolean"),
        ({"edits": [edit(instructions=5)]}, "edits.0.instructions: Input should be a valid string"),
        ({"edits": [edit(keep=5)]}, "edits.0.keep: Extra inputs are not permitted"),
        ({"edits": [edit(), edit()]}, "only one edit of type 'compact_20260112' is allowed"),
        ({"edits": [{"type": "clear_tool_uses_20250919"}]}, "edits.0: Input tag 'clear_tool_uses_20250919' found"),
        ({"edits": {}}, "context_management.edits: Input should be a valid list"),
        ({"compaction": {"type": "summarize"}, "betas": [BETA, "compact-2026-09-04"]}, "cannot be combined"),
    ],
)
def test_what_the_real_service_refuses_is_refused(
    claude_sdk: anthropic.Anthropic, fields: dict[str, Any], message: str
) -> None:
    given = {**fields, "context_management": {"edits": fields.get("edits", [edit()])}}
    given.pop("edits", None)
    with pytest.raises(anthropic.BadRequestError) as refused:
        ask(claude_sdk, SHORT, **given)
    assert message in str(refused.value)


def test_nothing_said_of_it_is_nothing_asked(claude_sdk: anthropic.Anthropic) -> None:
    reply = ask(claude_sdk, context_management={"edits": []})
    assert [block.type for block in reply.content] == ["text"]


def test_without_a_threshold_of_its_own_it_is_the_services(claude_sdk: anthropic.Anthropic) -> None:
    reply = ask(claude_sdk, context_management={"edits": [{"type": "compact_20260112"}]})
    assert [block.type for block in reply.content] == ["text"]


TALK: Any = [
    {"role": "user", "content": CODE + SAIL * 300},
    {"role": "assistant", "content": "Noted. " + SAIL * 100},
    {"role": "user", "content": "Which ship is the next?"},
]


def test_responses_give_an_item_before_the_answer_and_state_the_tokens_of_both(openai_sdk: openai.OpenAI) -> None:
    reply = respond(openai_sdk, TALK)
    item, message = reply.output
    assert (item.type, message.type, reply.status) == ("compaction", "message", "completed")
    assert "QX77" in (unseal(item.encrypted_content) or "")
    assert "Your prompt has 5 words" in reply.output_text
    read = openai_sdk.responses.input_tokens.count(model="gpt", input=TALK).input_tokens
    assert read < reply.usage.input_tokens < 2 * read


def test_responses_stream_the_item_as_a_whole(openai_sdk: openai.OpenAI) -> None:
    events = list(respond(openai_sdk, TALK, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type for event in events]
    added, compacting = kinds.index("response.output_item.added"), kinds.index("response.compaction.compacting")
    assert added < compacting < kinds.index("response.output_item.done") < kinds.index("response.output_text.delta")
    assert events[compacting].item_id == events[added].item.id
    assert [item.type for item in events[-1].response.output] == ["compaction", "message"]
    assert events[-1].response.output[0].encrypted_content


def test_responses_ignore_what_stands_before_the_item(openai_sdk: openai.OpenAI) -> None:
    output = [item.to_dict() for item in respond(openai_sdk, TALK).output]
    whole, alone = (
        openai_sdk.responses.create(model="gpt", input=said) for said in ([*TALK, *output, *SHORT], [*output, *SHORT])
    )
    assert whole.usage
    assert alone.usage
    assert whole.usage.input_tokens == alone.usage.input_tokens < 1_200


def test_a_short_input_is_answered_as_ever(openai_sdk: openai.OpenAI) -> None:
    assert [item.type for item in respond(openai_sdk, SHORT).output] == ["message"]
    long: Any = [{"role": "user", "content": SAIL * 300}]
    assert [item.type for item in respond(openai_sdk, long).output] == ["message"]


@pytest.mark.parametrize(
    ("managed", "param", "code"),
    [
        ([{"type": "compaction", "compact_threshold": 999}], "[0].compact_threshold", "integer_below_min_value"),
        ([{"type": "compaction", "compact_threshold": "1"}], "[0].compact_threshold", "invalid_type"),
        ([{"type": "clearing"}], "[0].type", "invalid_value"),
        ([{"compact_threshold": 2_000}], "[0].type", "missing_required_parameter"),
        ([{"type": "compaction", "keep": 1}], "[0].keep", "unknown_parameter"),
        ({"type": "compaction"}, "", "invalid_type"),
    ],
)
def test_what_openai_refuses_is_refused(openai_sdk: openai.OpenAI, managed: Any, param: str, code: str) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        openai_sdk.responses.create(model="gpt", input="Hi", context_management=managed)
    assert (refused.value.param, refused.value.code) == (f"context_management{param}", code)


def test_an_item_that_was_changed_is_refused(openai_sdk: openai.OpenAI) -> None:
    item: Any = {"type": "compaction", "encrypted_content": seal("All of it.")[:-4] + "AAAA"}
    with pytest.raises(openai.BadRequestError, match="could not be verified"):
        openai_sdk.responses.create(model="gpt", input=[item, *SHORT])
