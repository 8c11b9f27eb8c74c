"""What the demo engine does when it is asked, the same on all three protocols, through the official SDKs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import anthropic
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokmagic.core.messages import Extras, Message, Request, Text, Tool, ToolCall, ToolResult, user
from tokmagic.server.asks import asks_of
from tokmagic.server.script import script
from tokmagic.server.specimen import specimen

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "pages": {"type": "integer"}},
    "required": ["title", "pages"],
    "additionalProperties": False,
}
PARAMETERS = {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}}


@dataclass
class Heard:
    """What came back, from whichever protocol."""

    order: list[str] = field(default_factory=list)
    thought: str = ""
    text: str = ""
    calls: list[tuple[str, str, Any]] = field(default_factory=list)
    reason: str = ""
    turn: list[Any] = field(default_factory=list)


Ask = Callable[..., Heard]


def ask_claude(sdk: anthropic.Anthropic, turns: list[Any], most: int, **wishes: Any) -> Heard:
    fields: dict[str, Any] = {}
    if wishes.get("think"):
        fields["thinking"] = {"type": "enabled", "budget_tokens": 1_024}
    if wishes.get("schema"):
        fields["output_config"] = {"format": {"type": "json_schema", "schema": wishes["schema"]}}
    if wishes.get("tool"):
        fields["tools"] = [{"name": "add", "description": "Adds.", "input_schema": PARAMETERS}]
    with sdk.messages.stream(model="claude", max_tokens=most, messages=turns, **fields) as stream:
        final = stream.get_final_message()
    heard = Heard(reason={"end_turn": "end"}.get(str(final.stop_reason), str(final.stop_reason)))
    for block in final.content:
        heard.order.append({"thinking": "thought", "tool_use": "call"}.get(block.type, block.type))
        if block.type == "thinking":
            assert block.signature
            heard.thought = block.thinking
        elif block.type == "text":
            heard.text = block.text
        elif block.type == "tool_use":
            heard.calls.append((block.id, block.name, block.input))
    heard.turn = [{"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in final.content]}]
    heard.turn += [
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": "5"}]}
        for id, _, _ in heard.calls
    ]
    return heard


def ask_gpt(sdk: openai.OpenAI, turns: list[Any], most: int, **wishes: Any) -> Heard:
    fields: dict[str, Any] = {}
    if wishes.get("think"):
        fields = {"reasoning": {"effort": "low", "summary": "auto"}, "include": ["reasoning.encrypted_content"]}
    if wishes.get("schema"):
        fields["text"] = {"format": {"type": "json_schema", "name": "book", "schema": wishes["schema"]}}
    if wishes.get("tool"):
        fields["tools"] = [{"type": "function", "name": "add", "parameters": PARAMETERS, "strict": False}]
    *_, last = sdk.responses.create(model="gpt", max_output_tokens=most, input=turns, stream=True, **fields)
    assert last.type in ("response.completed", "response.incomplete")
    heard = Heard(reason="max_tokens" if last.type == "response.incomplete" else "end")
    for item in last.response.output:
        heard.order.append(
            {"reasoning": "thought", "message": "text", "function_call": "call"}.get(item.type, item.type)
        )
        if item.type == "reasoning":
            heard.thought = "".join(piece.text for piece in item.summary)
        elif item.type == "function_call":
            heard.calls.append((item.call_id, item.name, json.loads(item.arguments)))
    heard.text = last.response.output_text
    heard.reason = "tool_use" if heard.calls else heard.reason
    heard.turn = [item.model_dump(exclude_none=True) for item in last.response.output]
    heard.turn += [{"type": "function_call_output", "call_id": id, "output": "5"} for id, _, _ in heard.calls]
    return heard


def ask_chat(sdk: openai.OpenAI, turns: list[Any], most: int, **wishes: Any) -> Heard:
    fields: dict[str, Any] = {}
    if wishes.get("think"):
        fields["reasoning_effort"] = "low"
    if wishes.get("schema"):
        fields["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "book", "schema": wishes["schema"]},
        }
    if wishes.get("tool"):
        fields["tools"] = [{"type": "function", "function": {"name": "add", "parameters": PARAMETERS}}]
    with sdk.chat.completions.stream(model="chat", max_completion_tokens=most, messages=turns, **fields) as stream:
        chunks = [event.chunk for event in stream if event.type == "chunk"]
        choice = stream.current_completion_snapshot.choices[0]
    heard = Heard(reason={"length": "max_tokens", "tool_calls": "tool_use", "stop": "end"}[str(choice.finish_reason)])
    deltas = [chunk.choices[0].delta.to_dict() for chunk in chunks if chunk.choices]
    for delta in deltas:
        for name, kind in (("reasoning_content", "thought"), ("content", "text"), ("tool_calls", "call")):
            if delta.get(name) and (not heard.order or heard.order[-1] != kind):
                heard.order.append(kind)
    heard.thought = "".join(str(delta.get("reasoning_content") or "") for delta in deltas)
    heard.text = choice.message.content or ""
    calls = choice.message.tool_calls or []
    heard.calls = [(call.id, call.function.name, json.loads(call.function.arguments)) for call in calls]
    said = [
        {"id": call.id, "type": "function", "function": call.function.model_dump(include={"name", "arguments"})}
        for call in calls
    ]
    heard.turn = [{"role": "assistant", "content": heard.text or None, "tool_calls": said}]
    heard.turn += [{"role": "tool", "tool_call_id": id, "content": "5"} for id, _, _ in heard.calls]
    return heard


@pytest.fixture(params=["messages", "responses", "chat"])
def ask(request: pytest.FixtureRequest, claude_sdk: anthropic.Anthropic, openai_sdk: openai.OpenAI) -> Ask:
    """Ask the demo model of each protocol."""

    def asked(prompt: str, after: list[Any] | None = None, most: int = 2_000, **wishes: Any) -> Heard:
        turns = [{"role": "user", "content": prompt}, *(after or [])]
        if request.param == "messages":
            return ask_claude(claude_sdk, turns, most, **wishes)
        return (ask_gpt if request.param == "responses" else ask_chat)(openai_sdk, turns, most, **wishes)

    return asked


def test_it_thinks_first_when_reasoning_is_asked_for_and_only_then(ask: Ask) -> None:
    heard = ask("Why is the sky blue?", think=True)
    assert heard.order == ["thought", "text"]
    assert heard.thought.startswith("The prompt has 5 words in 1 line.")
    assert heard.text == ask("Why is the sky blue?").text
    assert ask("Why is the sky blue?").order == ["text"]


def test_thoughts_that_are_not_to_be_shown_are_signed_all_the_same(claude_sdk: anthropic.Anthropic) -> None:
    hidden: Any = {"type": "adaptive", "display": "omitted"}
    with claude_sdk.messages.stream(
        model="claude", max_tokens=500, messages=[{"role": "user", "content": "Why?"}], thinking=hidden
    ) as stream:
        final = stream.get_final_message()
    thought, said = final.content
    assert (thought.type, said.type) == ("thinking", "text")
    assert thought.thinking == ""
    assert thought.signature
    assert final.usage.output_tokens_details is not None
    assert final.usage.output_tokens_details.thinking_tokens > 0


def test_it_calls_a_tool_that_is_offered_when_the_prompt_says_so_and_uses_the_result(ask: Ask) -> None:
    prompt = "Please use the add tool with a=2 and b=3."
    heard = ask(prompt, tool=True)
    assert [(name, arguments) for _, name, arguments in heard.calls] == [("add", {"a": 2, "b": 3})]
    assert (heard.order, heard.reason) == (["call"], "tool_use")
    told = ask(prompt, after=heard.turn, tool=True)
    assert "The add tool returned: 5" in told.text
    assert (told.order, told.reason) == (["text"], "end")
    assert ask(prompt).calls == []
    assert ask("What is 2 and 3?", tool=True).calls == []


def test_it_thinks_before_it_calls_a_tool_and_its_thoughts_can_be_sent_back(ask: Ask) -> None:
    prompt = "use the add tool with a=2 and b=3"
    heard = ask(prompt, tool=True, think=True)
    assert heard.order == ["thought", "call"]
    assert "The add tool returned: 5" in ask(prompt, after=heard.turn, tool=True).text


def test_it_gives_json_for_a_schema(ask: Ask) -> None:
    heard = ask("A book about the sky.", schema=SCHEMA)
    assert json.loads(heard.text) == {"title": "A book about the sky.", "pages": 1}


def test_it_stops_at_its_bound_in_thought_and_in_speech(ask: Ask) -> None:
    cut = ask("Write 500 words about the sky.", most=40)
    assert cut.reason == "max_tokens"
    assert ask("Write 500 words about the sky.", most=4_000).text.startswith(cut.text)
    thinking = ask("Write 500 words about the sky.", most=16, think=True)
    assert (thinking.order, thinking.reason) == (["thought"], "max_tokens")


ADD = Tool("add", "", PARAMETERS)
LOOK_UP = Tool("look-up", "", {"type": "object", "properties": {"word": {"type": "string"}, "limit": {"enum": [5]}}})


def scripted(prompt: str, **body: Any) -> list[tuple[str, Any]]:
    request = Request("m", (user(prompt),), 100, tools=(ADD, LOOK_UP), extras=Extras(body=body))
    return [(call.name, json.loads(call.arguments)) for call in script(request).calls]


@pytest.mark.parametrize(
    ("prompt", "calls"),
    [
        ("use the add tool with a=2 and b=3", [("add", {"a": 2, "b": 3})]),
        ("Use the `add` tool with a=-2.5, b=1e3. Then tell me.", [("add", {"a": -2.5, "b": 1000.0})]),
        ("call the look-up tool with word=42", [("look-up", {"word": "42"})]),
        ('use the look-up tool with word="sun and moon"', [("look-up", {"word": "sun and moon"})]),
        ("use the look-up tool with word=sun and moon", [("look-up", {"word": "sun and moon"})]),
        ("use the look-up tool", [("look-up", {"word": "demo", "limit": 5})]),
        (
            "use the add tool with a=1 and b=1, and use the add tool with a=2 and b=2",
            [("add", {"a": 1, "b": 1}), ("add", {"a": 2, "b": 2})],
        ),
        ("use the subtract tool with a=1", []),
        ("a tool is useful", []),
    ],
)
def test_a_wish_for_a_tool_is_understood(prompt: str, calls: list[Any]) -> None:
    assert scripted(prompt) == calls


@pytest.mark.parametrize(
    ("choice", "calls"),
    [
        ({"tool_choice": "required"}, ["add"]),
        ({"tool_choice": {"type": "any"}}, ["add"]),
        ({"tool_choice": {"type": "tool", "name": "look-up"}}, ["look-up"]),
        ({"tool_choice": {"type": "function", "name": "look-up"}}, ["look-up"]),
        ({"tool_choice": {"type": "function", "function": {"name": "look-up"}}}, ["look-up"]),
        (
            {
                "tool_choice": {
                    "type": "allowed_tools",
                    "mode": "required",
                    "tools": [{"type": "function", "name": "look-up"}],
                }
            },
            ["look-up"],
        ),
        ({"tool_choice": "auto"}, []),
        ({}, []),
    ],
)
def test_a_tool_that_must_be_called_is_called(choice: dict[str, Any], calls: list[str]) -> None:
    assert [name for name, _ in scripted("Hello.", **choice)] == calls


@pytest.mark.parametrize("choice", [{"tool_choice": "none"}, {"tool_choice": {"type": "none"}}])
def test_a_tool_that_must_not_be_called_is_not(choice: dict[str, Any]) -> None:
    assert scripted("use the add tool with a=2 and b=3", **choice) == []


def test_only_one_call_is_made_where_calls_may_not_be_parallel() -> None:
    prompt = "use the add tool with a=1 and b=1, and use the add tool with a=2 and b=2"
    assert scripted(prompt, parallel_tool_calls=False) == [("add", {"a": 1, "b": 1})]
    alone = {"type": "auto", "disable_parallel_tool_use": True}
    assert scripted(prompt, tool_choice=alone) == [("add", {"a": 1, "b": 1})]


def test_a_call_that_was_answered_is_not_made_again() -> None:
    turns = (
        user("use the add tool with a=2 and b=3"),
        Message("assistant", (ToolCall("c", "add", "{}"),)),
        Message("user", (ToolResult("c", (Text("5"),)),)),
    )
    request = Request("m", turns, 100, tools=(ADD,), extras=Extras(body={"tool_choice": "required"}))
    assert script(request).calls == ()


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "format", "schema", "name", "tools", "mode", "effort"]), inner)
    ),
    max_leaves=8,
)


@settings(max_examples=150)
@given(
    name=st.sampled_from(["tool_choice", "text", "response_format", "output_config", "thinking", "reasoning"]),
    value=JSON_VALUES,
)
def test_whatever_stands_in_a_field_is_understood_or_left_alone(name: str, value: Any) -> None:
    asks_of(Request("m", (user("Hi"),), 16, tools=(ADD,), extras=Extras(body={name: value})))


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "text"),
        ({"type": "string", "format": "date"}, "1970-01-01"),
        ({"enum": ["red", "blue"]}, "red"),
        ({"const": 7}, 7),
        ({"type": "integer", "minimum": 3}, 3),
        ({"type": "number", "exclusiveMinimum": 3}, 4),
        ({"type": "integer", "maximum": -3}, -3),
        ({"type": ["null", "string"]}, None),
        ({"type": "boolean"}, True),
        ({"type": "array", "items": {"type": "integer"}}, [1]),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [1, 1]),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, 1),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "object", "properties": {"b": {"const": 1}}}}}, {"b": 1}),
        ({"properties": {"a": True}}, {"a": "text"}),
        ({"type": "array", "minItems": "many"}, ["text"]),
    ],
)
def test_a_specimen_is_of_its_schema(schema: dict[str, Any], value: Any) -> None:
    assert specimen(schema, "text") == value


def test_a_schema_that_refers_to_itself_ends() -> None:
    node = {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}}
    value = specimen(node, "text")
    for _ in range(4):
        value = value["next"]
    assert value == {"next": None}
    wide = {"type": "object", "properties": {name: {"$ref": "#"} for name in "abcd"}}
    assert len(json.dumps(specimen(wide, "text"))) < 20_000
