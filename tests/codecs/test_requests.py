from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming as MessagesParams
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming as ChatParams
from pydantic import TypeAdapter, ValidationError

from tokmagic.codecs import WireError
from tokmagic.codecs.anthropic_requests import NATIVE_TOOLS
from tokmagic.codecs.registry import CODECS
from tokmagic.core.messages import (
    MP3,
    WAV,
    Audio,
    Compaction,
    Extras,
    Image,
    Message,
    Reasoning,
    Request,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    assistant,
    system,
    user,
)

MESSAGES, CHAT = CODECS["messages"], CODECS["chat"]
MESSAGES_TYPE = TypeAdapter[Any](MessagesParams)
CHAT_TYPE = TypeAdapter[Any](ChatParams)
PNG = Image("image/png", b"\x89PNG not really")
LINK = Image(url="https://example.org/sky.png")
CALL, OTHER_CALL = ToolCall("t1", "now", '{"zone":"UTC"}'), ToolCall("t2", "now", "{}")
SEARCHED = (
    user("Time?"),
    Message("assistant", (Text("Looking."), CALL, OTHER_CALL)),
    Message("user", (ToolResult("t1", (Text("noon"),)), ToolResult("t2", (Text("broken"),)), Text("And?"))),
)
TOOL = Tool("now", "The time.", {"type": "object", "properties": {"zone": {"type": "string"}}})


def request(*messages: Message, **fields: Any) -> Request:
    return Request(model="m", messages=messages, max_tokens=16, **fields)


@pytest.mark.parametrize(("kind", "name"), NATIVE_TOOLS.items())
def test_a_tool_that_the_service_knows_is_sent_in_its_own_words(kind: str, name: str) -> None:
    said = request(user("Look."), tools=(Tool(name, native={"type": kind, "name": name}), TOOL), stream=False)
    body = MESSAGES.encode_request(said)
    MESSAGES_TYPE.validate_python(body)
    assert body["tools"][0] == {"type": kind, "name": name}
    assert MESSAGES.decode_request(body).tools == said.tools


@pytest.mark.parametrize(("kind", "name"), [("memory_20250818", "diary"), ("telescope_20260101", "telescope")])
def test_a_tool_that_the_service_does_not_know_is_refused(kind: str, name: str) -> None:
    body = MESSAGES.encode_request(request(user("Look."), tools=(Tool(name, native={"type": kind, "name": name}),)))
    with pytest.raises(WireError, match=r"should be 'memory'|does not match any"):
        MESSAGES.decode_request(body)


def messages_of(*messages: Message) -> Any:
    return MESSAGES.encode_request(request(*messages))["messages"]


def chat_of(*messages: Message) -> Any:
    return CHAT.encode_request(request(*messages))["messages"]


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda text: text.strip() == text)
IMAGES = st.builds(Image, st.sampled_from(["image/png", "image/webp"]), st.binary(min_size=1)) | st.just(LINK)
ARGUMENTS = st.dictionaries(TEXTS, st.integers() | TEXTS, max_size=2).map(
    lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":"))
)
TOOLS = st.lists(
    st.builds(Tool, st.sampled_from("abc"), TEXTS, st.just(TOOL.schema)), max_size=3, unique_by=lambda t: t.name
)


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """A conversation as both protocols take it: alternating roles, each call answered in the next turn."""
    turns = [Message("user", (*draw(st.lists(IMAGES, max_size=2)), Text(draw(TEXTS))))]
    for number in range(draw(st.integers(0, 3))):
        ids = [f"call_{number}_{place}" for place in range(draw(st.integers(0, 2)))]
        calls = tuple(ToolCall(id, draw(st.sampled_from("abc")), draw(ARGUMENTS)) for id in ids)
        turns.append(Message("assistant", (Text(draw(TEXTS)), *calls)))
        results = tuple(ToolResult(id, (Text(draw(TEXTS)),)) for id in ids)
        turns.append(Message("user", (*results, *draw(st.lists(IMAGES, max_size=1)), Text(draw(TEXTS)))))
    first = [system(draw(TEXTS))] if draw(st.booleans()) else []
    return Request(
        model=draw(TEXTS),
        messages=(*first, *turns),
        max_tokens=draw(st.integers(1, 10**6)),
        temperature=draw(st.none() | st.floats(0, 1)),
        stop=tuple(draw(st.lists(TEXTS, max_size=2))),
        tools=tuple(draw(TOOLS)),
        stream=draw(st.booleans()),
        cache=draw(st.booleans()),
    )


@pytest.mark.parametrize("codec", [MESSAGES, CHAT], ids=["messages", "chat"])
@settings(max_examples=80)
@given(sent=requests())
def test_a_request_survives_the_wire(codec: Any, sent: Request) -> None:
    wire = json.loads(json.dumps(codec.encode_request(sent)))
    received = codec.decode_request(wire)
    assert replace(received, extras=Extras()) == replace(sent, cache=sent.cache and codec is MESSAGES)


@settings(max_examples=40)
@given(sent=requests())
def test_a_request_is_what_the_sdks_types_ask_for(sent: Request) -> None:
    whole = replace(sent, stream=False, temperature=None)
    read_out(MESSAGES_TYPE.validate_python(MESSAGES.encode_request(whole)))
    read_out(CHAT_TYPE.validate_python(CHAT.encode_request(whole)))


def test_a_sound_is_what_the_sdks_types_ask_for() -> None:
    for media_type in (WAV, MP3):
        body = CHAT.encode_request(request(user("What is said?", Audio(b"RIFF", media_type)), stream=False))
        read_out(CHAT_TYPE.validate_python(body))
        body["messages"][0]["content"][0]["input_audio"]["format"] = "flac"
        with pytest.raises(ValidationError):
            read_out(CHAT_TYPE.validate_python(body))


def test_the_sdks_types_would_notice_a_wrong_block() -> None:
    body = MESSAGES.encode_request(request(user("a", PNG)))
    body["messages"][0]["content"][0]["source"].pop("data")
    with pytest.raises(ValidationError):
        read_out(MESSAGES_TYPE.validate_python(body))
    chat = CHAT.encode_request(request(user("a", PNG)))
    chat["messages"][0]["content"][0]["image_url"].pop("url")
    with pytest.raises(ValidationError):
        read_out(CHAT_TYPE.validate_python(chat))


def read_out(value: Any) -> None:
    """Walk through everything: pydantic checks an ``Iterable`` only while it is read."""
    if isinstance(value, dict):
        value = value.values()
    elif isinstance(value, str | bytes) or not isinstance(value, Iterable):
        return
    for item in value:
        read_out(item)


def test_consecutive_turns_of_a_role_become_one_and_blank_ones_are_not_sent() -> None:
    said = (user("One."), user("Two."), assistant("  \n"), Message("assistant", ()), user("Three."), assistant("Yes."))
    assert messages_of(*said) == [
        {"role": "user", "content": [{"type": "text", "text": text} for text in ("One.", "Two.", "Three.")]},
        {"role": "assistant", "content": [{"type": "text", "text": "Yes."}]},
    ]
    assert chat_of(*said) == [
        {"role": "user", "content": "One.\n\nTwo.\n\nThree."},
        {"role": "assistant", "content": "Yes."},
    ]


def test_texts_of_one_message_are_joined_without_loss() -> None:
    said = Message("user", (Text("a"), Text("\n"), Text("b"), PNG, Text(" ")))
    assert [block.get("text") for block in messages_of(said)[0]["content"]] == ["a\nb", None]
    assert chat_of(Message("user", (Text("a"), Text("\n"), Text("b"))))[0]["content"] == "a\nb"
    assert [part["type"] for part in chat_of(Message("user", (Text(" "), PNG)))[0]["content"]] == ["image_url"]


def test_what_an_error_shows_stands_behind_the_results_for_messages_which_takes_only_text_in_one() -> None:
    failed, fine = ToolResult("t1", (Text("dark"), PNG), is_error=True), ToolResult("t2", (PNG,))
    said = (user("Time?"), Message("assistant", (CALL, OTHER_CALL)), Message("user", (failed, fine, Text("And?"))))
    content = messages_of(*said)[-1]["content"]
    assert [block["type"] for block in content] == ["tool_result", "tool_result", "image", "text"]
    assert content[0] == {"type": "tool_result", "tool_use_id": "t1", "content": "dark", "is_error": True}
    assert [block["type"] for block in content[1]["content"]] == ["image"]
    content[0]["content"] = content[1]["content"]
    body = MESSAGES.encode_request(request(*said))
    body["messages"][-1]["content"] = content
    with pytest.raises(WireError, match="must be type 'text' if 'is_error' is true"):
        MESSAGES.decode_request(body)


def test_system_text_goes_where_each_protocol_wants_it() -> None:
    sent = request(system("Be brief."), system("Be kind."), user("Hi"))
    assert MESSAGES.encode_request(sent)["system"] == "Be brief.\n\nBe kind."
    assert "system" not in [turn["role"] for turn in MESSAGES.encode_request(sent)["messages"]]
    assert CHAT.encode_request(sent)["messages"][0] == {"role": "system", "content": "Be brief.\n\nBe kind."}


def test_a_final_assistant_turn_ends_without_whitespace_for_messages() -> None:
    assert messages_of(user("a"), assistant("The answer is \n"))[-1]["content"][-1]["text"] == "The answer is"


def test_tool_results_come_first_and_in_chat_each_is_a_message() -> None:
    mixed = (*SEARCHED[:2], Message("user", (Text("And?"), *SEARCHED[2].parts[:2])))
    assert [block["type"] for block in messages_of(*mixed)[-1]["content"]] == ["tool_result", "tool_result", "text"]
    assert chat_of(*mixed)[1:] == [
        {
            "role": "assistant",
            "content": "Looking.",
            "tool_calls": [
                {"id": "t1", "type": "function", "function": {"name": "now", "arguments": '{"zone":"UTC"}'}},
                {"id": "t2", "type": "function", "function": {"name": "now", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "t1", "content": "noon"},
        {"role": "tool", "tool_call_id": "t2", "content": "broken"},
        {"role": "user", "content": "And?"},
    ]


def test_an_image_in_a_result_goes_into_the_users_message_in_chat() -> None:
    shown = (*SEARCHED[:1], Message("assistant", (CALL,)), Message("user", (ToolResult("t1", (Text("see"), PNG)),)))
    result, picture = chat_of(*shown)[-2:]
    assert result["content"] == "see"
    assert picture["content"][0]["image_url"]["url"].startswith("data:image/png;base64,")
    assert [block["type"] for block in messages_of(*shown)[-1]["content"][0]["content"]] == ["text", "image"]


def test_a_failed_result_says_so_to_messages() -> None:
    failed = Message("user", (ToolResult("t1", (Text("no"),), is_error=True),))
    body = MESSAGES.encode_request(request(user("a"), Message("assistant", (CALL,)), failed))
    assert body["messages"][-1]["content"] == [
        {"type": "tool_result", "tool_use_id": "t1", "content": "no", "is_error": True}
    ]
    assert MESSAGES.decode_request(body).messages[-1] == failed


@pytest.mark.parametrize("arguments", ["", "{", "[1]", "NaN", '{"a": 1e999}', "[" * 100_000])
def test_arguments_that_are_no_object_still_make_a_request_that_can_be_sent(arguments: str) -> None:
    block = messages_of(user("a"), Message("assistant", (ToolCall("t", "f", arguments),)))[-1]["content"][0]
    assert block["input"] == ({"INVALID_JSON": arguments} if arguments else {})
    json.dumps(block, allow_nan=False)


def test_only_signed_reasoning_goes_back_to_anthropic_and_only_foreign_one_to_chat_beside_calls() -> None:
    signed, redacted, foreign = Reasoning("hm", signature="sig"), Reasoning(redacted="data"), Reasoning("hm")
    turn = Message("assistant", (signed, redacted, foreign, Text("So.")))
    assert messages_of(user("a"), turn)[-1]["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "redacted_thinking", "data": "data"},
        {"type": "text", "text": "So."},
    ]
    assert chat_of(user("a"), Message("assistant", (foreign, Text("So."))))[-1] == {
        "role": "assistant",
        "content": "So.",
    }
    assert chat_of(user("a"), Message("assistant", (foreign, CALL)))[-1]["reasoning_content"] == "hm"
    assert "reasoning_content" not in chat_of(user("a"), Message("assistant", (signed, CALL)))[-1]


def test_a_compaction_block_goes_back_unchanged_and_elsewhere_as_its_text() -> None:
    raw = '{"type":"compaction","content":"All of it.","signature":"c2ln","new_field":[1,{"a":null}]}'
    turn = Message("assistant", (Compaction("All of it.", "anthropic", raw), Text("Yes.")))
    sent = messages_of(user("Hi"), turn)[-1]["content"][0]
    assert json.dumps(sent, separators=(",", ":")) == raw
    assert chat_of(user("Hi"), turn)[-1]["content"] == "All of it.\n\nYes."
    assert messages_of(user("Hi"), Message("user", (Compaction("Ours."),)))[0]["content"][-1]["text"] == "Ours."


def test_a_service_that_reads_the_older_name_of_the_bound_gets_it() -> None:
    from tokmagic.codecs.chat import ChatCodec

    assert CHAT.encode_request(request(user("a")))["max_completion_tokens"] == 16
    older = ChatCodec("max_tokens").encode_request(request(user("a")))
    assert older["max_tokens"] == 16
    assert "max_completion_tokens" not in older
    assert CHAT.decode_request(older).max_tokens == 16


def test_what_core_has_no_name_for_is_kept_beside_the_request() -> None:
    body = {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "a"}], "top_p": 0.5}
    assert MESSAGES.decode_request(body).extras.body == {"top_p": 0.5}


GOOD = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
USE = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}
ANSWERED = {"type": "tool_result", "tool_use_id": "t1", "content": "x"}


def turns(*turns: tuple[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": None}, "model: Field required"),
        ({"max_tokens": None}, "max_tokens: Field required"),
        ({"max_tokens": "9"}, "max_tokens: Input should be a valid integer"),
        ({"max_tokens": True}, "max_tokens: Input should be a valid integer"),
        ({"max_tokens": 0}, "max_tokens: must be greater than or equal to 1"),
        ({"messages": "Hi"}, "messages: Input should be a valid list"),
        ({"messages": []}, "messages: at least one message is required"),
        ({"messages": [{"role": "user"}]}, "messages.0.content: Field required"),
        ({"temperature": 1.5}, "temperature: must be between 0 and 1"),
        ({"stream": "yes"}, "stream: Input should be a valid boolean"),
        ({"flavour": 1}, "flavour: Extra inputs are not permitted"),
        ({"tools": [{"name": "a b", "input_schema": {"type": "object"}}]}, "tools.0.name: String should match"),
        ({"tools": [{"name": "a", "input_schema": {}}]}, "tools.0.input_schema.type: Field required"),
        (turns(("assistant", "Hi")), 'messages: first message must use the "user" role'),
        (turns(("system", "Hi")), 'messages: Unexpected role "system"'),
        (turns(("user", "")), "messages.0: all messages must have non-empty content"),
        (turns(("user", " \n")), "messages: text content blocks must contain non-whitespace text"),
        (turns(("user", [{"type": "text", "text": ""}])), "messages: text content blocks must contain"),
        (turns(("user", "a"), ("assistant", "b ")), "messages: final assistant content cannot end with trailing"),
        (turns(("user", [USE])), "messages.0.content.0: Input tag 'tool_use'"),
        (turns(("user", [{"type": "audio"}])), "messages.0.content.0: Input tag 'audio'"),
        (turns(("user", "a"), ("assistant", [USE])), "messages.1: `tool_use` ids were found without"),
        (turns(("user", "a"), ("assistant", [USE]), ("user", "b")), "messages.1: `tool_use` ids were found without"),
        (turns(("user", [ANSWERED])), "messages.0.content.0: unexpected `tool_use_id` found"),
        (
            turns(("user", [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "%"}}])),
            "messages.0.content.0.source.data: invalid base64",
        ),
    ],
)
def test_messages_refuses_what_the_real_service_refuses(change: dict[str, Any], message: str) -> None:
    with pytest.raises(WireError) as raised:
        MESSAGES.decode_request({**GOOD, **change})
    assert raised.value.status == 400
    assert raised.value.kind == "invalid_request_error"
    assert raised.value.message.startswith(message)


TOOL_CALL = {"id": "t1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
ASKED = {"role": "assistant", "content": None, "tool_calls": [TOOL_CALL]}
ANSWER = {"role": "tool", "tool_call_id": "t1", "content": "x"}
HI = {"role": "user", "content": "Hi"}


def heard(**sound: str) -> dict[str, Any]:
    """The messages of a request with a sound of these fields."""
    return {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": sound}]}]}


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"model": None}, "model", "missing_required_parameter"),
        ({"messages": None}, "messages", "missing_required_parameter"),
        ({"messages": []}, "messages", "empty_array"),
        ({"messages": {"role": "user"}}, "messages", "invalid_type"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "missing_required_parameter"),
        ({"messages": [{"role": "king", "content": "a"}]}, "messages[0].role", "invalid_value"),
        ({"messages": [{"role": "assistant"}]}, "messages[0].content", "missing_required_parameter"),
        ({"max_tokens": "9"}, "max_tokens", "invalid_type"),
        ({"max_completion_tokens": 0}, "max_completion_tokens", "invalid_value"),
        ({"temperature": 3}, "temperature", "invalid_value"),
        ({"n": 2}, "n", "invalid_value"),
        ({"flavour": 1}, "flavour", "unknown_parameter"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop", "invalid_value"),
        ({"messages": [HI, ANSWER]}, "messages[1]", "invalid_value"),
        ({"messages": [HI, ASKED]}, "messages", None),
        ({"messages": [HI, ASKED, HI]}, "messages", None),
        ({"messages": [HI, ASKED, ANSWER, ANSWER]}, "messages[3]", "invalid_value"),
        (
            {"messages": [{"role": "user", "content": [{"type": "input_video"}]}]},
            "messages[0].content[0].type",
            "invalid_value",
        ),
        (heard(data="UklG"), "messages[0].content[0].input_audio.format", "missing_required_parameter"),
        (heard(data="UklG", format="flac"), "messages[0].content[0].input_audio.format", "invalid_value"),
        (heard(data="no base64", format="wav"), "messages[0].content[0].input_audio.data", "invalid_value"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:x,y"}}]}]},
            "messages[0].content[0].image_url.url",
            "invalid_value",
        ),
    ],
)
def test_chat_refuses_what_the_real_service_refuses_and_names_the_field(
    change: dict[str, Any], param: str, code: str | None
) -> None:
    with pytest.raises(WireError) as raised:
        CHAT.decode_request({"model": "m", "messages": [HI], **change})
    error = raised.value
    assert (error.status, error.kind, error.param, error.code) == (400, "invalid_request_error", param, code)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "type", "text", "source", "data", "tool_calls", "function", "url"]),
            inner,
        )
    ),
    max_leaves=10,
)


@pytest.mark.parametrize("codec", [MESSAGES, CHAT], ids=["messages", "chat"])
@settings(max_examples=100)
@given(field=st.sampled_from(["messages", "system", "tools", "stop", "stop_sequences", "model"]), value=JSON_VALUES)
def test_no_json_escapes_as_a_foreign_error(codec: Any, field: str, value: Any) -> None:
    with suppress(WireError):
        assert isinstance(codec.decode_request({**GOOD, field: value}), Request)


def test_a_base64_image_arrives_as_its_bytes() -> None:
    source = {"type": "base64", "media_type": "image/png", "data": b64encode(PNG.data).decode()}
    body = {**GOOD, **turns(("user", [{"type": "image", "source": source}]))}
    assert MESSAGES.decode_request(body).messages[0].parts == (PNG,)
