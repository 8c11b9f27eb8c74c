"""What only Responses has: items, statuses, encrypted thoughts, compactions, numbered events."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import Response, ResponseStreamEvent
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming
from pydantic import TypeAdapter, ValidationError

from tokmagic.codecs import WireError
from tokmagic.codecs.registry import CODECS
from tokmagic.codecs.responses import ResponsesCodec
from tokmagic.codecs.sse import SSEDecoder
from tokmagic.core.errors import MalformedReply, ProviderError, RateLimited, RequestRejected, ServerFailed, StreamBroken
from tokmagic.core.events import Finished, ReasoningDelta, StreamEvent, TextDelta
from tokmagic.core.messages import (
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
from tokmagic.core.replies import Answer
from tokmagic.core.usage import Usage

from .test_requests import read_out, requests

RESPONSES = CODECS["responses"]
PARAMS = TypeAdapter[Any](ResponseCreateParamsNonStreaming)
EVENT = TypeAdapter[Any](ResponseStreamEvent)
THOUGHT = '{"id":"rs_1","type":"reasoning","summary":[],"encrypted_content":"gAAAA+/=ü","new_field":[1,null]}'
SEALED = Reasoning(redacted=THOUGHT, provider="openai")
SEARCH = Reasoning(redacted='{"id":"ws_1","type":"web_search_call","status":"completed"}', provider="openai")
SUMMARY = Compaction("", "openai", '{"id":"cmp_1","type":"compaction","encrypted_content":"b3BhcXVl"}')
CALL = ToolCall("call_1", "now", '{"zone": "UTC"}')
PNG = Image("image/png", b"\x89PNG not really")


def request(*messages: Message, **fields: Any) -> Request:
    return Request(**{"model": "gpt-4.1", "messages": messages, "max_tokens": 16, **fields})


def items_of(*messages: Message) -> Any:
    return RESPONSES.encode_request(request(*messages))["input"]


@settings(max_examples=80)
@given(sent=requests(), bound=st.integers(16, 10**6))
def test_a_request_survives_the_wire_and_is_what_the_sdks_types_ask_for(sent: Request, bound: int) -> None:
    sent = replace(sent, stop=(), max_tokens=bound, cache=False)
    wire = json.loads(json.dumps(RESPONSES.encode_request(sent)))
    assert replace(RESPONSES.decode_request(wire), extras=Extras()) == sent
    read_out(PARAMS.validate_python(wire | {"stream": False}))


def test_the_sdks_types_would_notice_a_wrong_item() -> None:
    body = RESPONSES.encode_request(request(user("a", PNG), stream=False))
    del body["input"][0]["content"][0]["type"]
    with pytest.raises(ValidationError):
        read_out(PARAMS.validate_python(body))


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
COUNTS = st.integers(0, 10**7)
USAGES = st.builds(Usage, st.integers(10**8, 10**9), COUNTS, COUNTS, st.just(0), st.integers(10**7, 10**8), COUNTS)
ENDS = st.sampled_from(["end", "max_tokens", "refusal"])


@given(text=TEXTS, thought=TEXTS, usage=st.none() | USAGES, reason=ENDS, calls=st.booleans(), sealed=st.booleans())
def test_an_answer_survives_the_wire_whole(
    text: str, thought: str, usage: Usage | None, reason: Any, calls: bool, sealed: bool
) -> None:
    reasoning = SEALED if sealed else Reasoning(thought)
    parts = (SUMMARY, reasoning, SEARCH, Text(text), *((CALL,) if calls else ()))
    answer = Answer(parts, usage, "tool_use" if calls and reason == "end" else reason, "gpt", "resp_1")
    body = json.loads(json.dumps(RESPONSES.encode_answer(answer, 7)))
    assert RESPONSES.decode_answer(body) == answer
    plain = replace(answer, parts=tuple(part for part in parts if part is not SEARCH))
    Response.model_validate(RESPONSES.encode_answer(plain, 7))


@given(thoughts=st.lists(TEXTS, max_size=3), said=st.lists(TEXTS, max_size=3), usage=USAGES, reason=ENDS)
def test_a_written_stream_is_numbered_without_a_gap_and_of_the_sdks_types(
    thoughts: list[str], said: list[str], usage: Usage, reason: Any
) -> None:
    thought, text = "".join(thoughts), "".join(said)
    parts = (*((Reasoning(thought),) if thoughts else ()), *((Text(text),) if text else ()), CALL)
    answer = Answer(parts, usage, "tool_use" if reason == "end" else reason, "gpt", "resp_1")
    encoder = RESPONSES.encoder("resp_1", "gpt", 7)
    stream = encoder.start(usage) + b"".join(map(encoder.reasoning, thoughts))
    stream += encoder.reasoned(Reasoning(thought)) if thoughts else b""
    stream += b"".join(map(encoder.text, said)) + encoder.finish(answer)
    found = SSEDecoder().feed(stream)
    events = [EVENT.validate_json(data) for _, data in found]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type for event in events] == [kind for kind, _ in found]
    assert fold(stream)[-1] == Finished(answer)
    assert events[-1].response.to_dict() == Response.model_validate(RESPONSES.encode_answer(answer, 7)).to_dict()


def fold(stream: bytes) -> list[StreamEvent]:
    decoder = RESPONSES.decoder()
    return [event for kind, data in SSEDecoder().feed(stream) for event in decoder.feed(kind, data)]


def test_an_item_is_opened_filled_and_closed_before_the_next_one_opens() -> None:
    encoder = RESPONSES.encoder("resp_1", "gpt")
    answer = Answer((Reasoning("hm"), Text("Hi"), CALL), Usage(1), "tool_use", "gpt", "resp_1")
    stream = encoder.start(Usage(1)) + encoder.reasoning("hm") + encoder.reasoned(Reasoning("hm", "c2ln"))
    kinds = [kind.removeprefix("response.") for kind, _ in SSEDecoder().feed(stream + encoder.text("Hi"))]
    kinds += [kind.removeprefix("response.") for kind, _ in SSEDecoder().feed(encoder.finish(answer))]
    thought = ["reasoning_summary_part.added", "reasoning_summary_text.delta", "reasoning_summary_text.done"]
    said = ["content_part.added", "output_text.delta", "output_text.done", "content_part.done"]
    called = ["function_call_arguments.delta", "function_call_arguments.done"]
    opened, closed = "output_item.added", "output_item.done"
    assert kinds == [
        "created", "in_progress",
        opened, *thought, "reasoning_summary_part.done", closed,
        opened, *said, closed,
        opened, *called, closed,
        "completed",
    ]  # fmt: skip


def test_a_signed_thought_is_written_with_its_encrypted_content_and_an_unseen_one_without_a_summary() -> None:
    encoder = RESPONSES.encoder("resp_1", "gpt")
    data = [json.loads(data) for _, data in SSEDecoder().feed(encoder.reasoned(Reasoning("", "c2ln")))]
    assert [event["type"] for event in data] == ["response.output_item.added", "response.output_item.done"]
    assert data[-1]["item"]["summary"] == []
    assert data[-1]["item"]["encrypted_content"] == "c2ln"


def test_what_was_thought_goes_back_byte_for_byte_and_only_to_its_family() -> None:
    turn = Message("assistant", (SEALED, SUMMARY, SEARCH, Reasoning("hm", "anthropic's signature"), Text("So."), CALL))
    result = Message("user", (ToolResult("call_1", (Text("noon"),)),))
    items = items_of(user("a"), turn, result)
    raws = [json.dumps(item, ensure_ascii=False, separators=(",", ":")) for item in items[1:4]]
    assert raws == [THOUGHT, SUMMARY.raw, SEARCH.redacted]
    assert items[4:] == [
        {"type": "message", "role": "assistant", "content": "So."},
        {"type": "function_call", "call_id": "call_1", "name": "now", "arguments": '{"zone": "UTC"}'},
        {"type": "function_call_output", "call_id": "call_1", "output": "noon"},
    ]
    elsewhere = CODECS["messages"].encode_request(request(user("a"), Message("assistant", (SEALED, Text("So.")))))
    assert elsewhere["messages"][1]["content"] == [{"type": "text", "text": "So."}]
    chat = CODECS["chat"].encode_request(
        request(user("a"), Message("assistant", (replace(SEALED, text="hm"), CALL)), result)
    )
    assert "reasoning_content" not in chat["messages"][1]


def test_a_summary_of_our_own_or_of_another_family_is_sent_as_its_text() -> None:
    said = items_of(Message("user", (Compaction("Ours."), Text("Go on."))))
    assert [piece["text"] for piece in said[0]["content"]] == ["Ours.", "Go on."]
    theirs = items_of(user("a"), Message("assistant", (Compaction("Theirs.", "anthropic", "{}"),)))
    assert theirs[1] == {"type": "message", "role": "assistant", "content": "Theirs."}


def test_system_text_becomes_instructions_and_images_of_a_result_stay_in_it() -> None:
    body = RESPONSES.encode_request(request(system("Be brief."), system("Be kind."), user("Hi")))
    assert body["instructions"] == "Be brief.\n\nBe kind."
    assert body["input"] == [{"type": "message", "role": "user", "content": "Hi"}]
    shown = items_of(
        user("a"), Message("assistant", (CALL,)), Message("user", (ToolResult("call_1", (Text("see"), PNG)),))
    )
    assert [piece["type"] for piece in shown[-1]["output"]] == ["input_text", "input_image"]


@pytest.mark.parametrize(
    ("model", "thinks"),
    [
        ("gpt-6-sol", True),
        ("gpt-5-mini", True),
        ("o4-mini", True),
        ("gpt-5.1-codex", True),
        ("gpt-5-chat-latest", False),
        ("gpt-4.1", False),
        ("gpt-4o", False),
        ("my-deployment", False),
    ],
)
def test_nothing_is_stored_and_only_models_that_think_are_asked_for_their_thoughts(model: str, thinks: bool) -> None:
    body = RESPONSES.encode_request(request(user("a"), model=model))
    assert body["store"] is False
    assert body.get("include") == (["reasoning.encrypted_content"] if thinks else None)


def test_a_model_of_another_name_is_asked_for_its_thoughts_where_the_caller_has_it_think() -> None:
    asked = request(user("a"), model="my-deployment", extras=Extras(body={"reasoning": {"effort": "low"}}))
    assert RESPONSES.encode_request(asked)["include"] == ["reasoning.encrypted_content"]


@given(sealed=st.booleans(), summed=st.booleans(), called=st.booleans(), said=TEXTS.filter(str.strip))
def test_thoughts_and_compactions_survive_the_wire_of_a_request(
    sealed: bool, summed: bool, called: bool, said: str
) -> None:
    thoughts = (*((SUMMARY,) if summed else ()), *((SEALED,) if sealed else ()))
    calls: tuple[Message, ...] = (Message("assistant", (*thoughts, Text(said), *((CALL,) if called else ()))),)
    results = (ToolResult("call_1", (Text("noon"), PNG)),) if called else ()
    sent = request(user("a", PNG), *calls, Message("user", (*results, Text("And?"))), stream=False)
    assert replace(RESPONSES.decode_request(RESPONSES.encode_request(sent)), extras=Extras()) == sent


def test_stop_sequences_are_refused_because_the_protocol_has_none() -> None:
    with pytest.raises(RequestRejected, match="no stop sequences"):
        RESPONSES.encode_request(request(user("a"), stop=("END",)))


def test_a_tool_is_offered_without_strictness_that_its_schema_may_not_bear() -> None:
    tool = Tool("now", "The time.", {"type": "object", "properties": {"zone": {"type": "string"}}})
    body = RESPONSES.encode_request(request(user("a"), tools=(tool,)))
    assert body["tools"][0]["strict"] is False
    assert RESPONSES.decode_request(body).tools == (tool,)


def test_a_reply_states_the_settings_of_its_request_again() -> None:
    codec = ResponsesCodec({"temperature": 0.5, "instructions": "Be brief."})
    body = codec.encode_answer(Answer((Text("Hi"),), Usage(1), "end", "gpt", "resp_1"), 7)
    assert (body["temperature"], body["instructions"], body["truncation"]) == (0.5, "Be brief.", "disabled")


def reply(status: str = "completed", **fields: Any) -> dict[str, Any]:
    return {"id": "r", "model": "m", "status": status, "output": [], "usage": None, **fields}


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (reply("failed", error={"code": "server_error", "message": "Oops"}), ServerFailed),
        (reply("failed", error={"code": "rate_limit_exceeded", "message": "Slow down"}), RateLimited),
        (reply("failed", error={"code": "bio_policy", "message": "No."}), StreamBroken),
        (reply("failed"), StreamBroken),
        (reply("cancelled"), StreamBroken),
        (reply("queued"), MalformedReply),
        (reply("in_progress"), MalformedReply),
        (reply(status=7), MalformedReply),  # type: ignore[arg-type]
        (reply(output=[{"type": "message"}]), MalformedReply),
        (reply(output=[{"type": "message", "content": [{"type": "output_text"}]}]), MalformedReply),
        (reply(output={}), MalformedReply),
        (reply(usage={"input_tokens": -1, "output_tokens": 1}), MalformedReply),
        ({}, MalformedReply),
        (None, MalformedReply),
        ("<html>", MalformedReply),
    ],
)
def test_a_success_that_is_no_finished_response_is_an_error(body: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        RESPONSES.decode_answer(body)


@pytest.mark.parametrize(("reason", "means"), [("max_output_tokens", "max_tokens"), ("steered", "unknown")])
def test_an_incomplete_response_says_why(reason: str, means: str) -> None:
    assert RESPONSES.decode_answer(reply("incomplete", incomplete_details={"reason": reason})).stop_reason == means


def test_a_last_event_alone_is_the_whole_answer_and_one_without_items_that_were_opened_is_malformed() -> None:
    item = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]}
    end = json.dumps({"type": "response.completed", "response": reply(output=[item])})
    assert fold(f"data: {end}\n\n".encode())[-1] == Finished(Answer((Text("Hi"),), None, "end", "m", "r"))
    opened = json.dumps({"type": "response.output_item.added", "output_index": 0, "item": item})
    bare = json.dumps({"type": "response.completed", "response": reply()})
    with pytest.raises(MalformedReply):
        fold(f"data: {opened}\n\ndata: {bare}\n\n".encode())


def test_what_arrived_of_an_item_counts_before_it_is_done() -> None:
    decoder = RESPONSES.decoder()
    encoder = RESPONSES.encoder("resp_1", "gpt")
    stream = encoder.start(Usage(1)) + encoder.reasoning("hm") + encoder.reasoned(Reasoning("hm")) + encoder.text("So")
    events = [event for kind, data in SSEDecoder().feed(stream) for event in decoder.feed(kind, data)]
    assert events[1:] == [ReasoningDelta("hm"), TextDelta("So")]
    assert not decoder.complete
    assert decoder.partial() == Answer((Reasoning("hm"), Text("So")), None, "unknown", "gpt", "resp_1")


HI = {"role": "user", "content": "Hi"}
ASKED = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
ANSWERED = {"type": "function_call_output", "call_id": "c1", "output": "x"}
FORMAT = {"format": {"type": "json_schema", "name": "a"}}


@pytest.mark.parametrize(
    ("change", "status", "param", "code"),
    [
        ({"model": None}, 400, "model", "missing_required_parameter"),
        ({"input": None}, 400, "input", "missing_required_parameter"),
        ({"input": ""}, 400, "input", "missing_required_parameter"),
        ({"input": []}, 400, "input", "missing_required_parameter"),
        ({"input": 7}, 400, "input", "invalid_type"),
        ({"input": ["Hi"]}, 400, "input[0]", "invalid_type"),
        ({"input": [{"role": "king", "content": "a"}]}, 400, "input[0].role", "invalid_value"),
        ({"input": [{"role": "user"}]}, 400, "input[0].content", "missing_required_parameter"),
        ({"input": [{"role": "user", "content": []}]}, 400, "input[0].content", "invalid_value"),
        (
            {"input": [{"role": "user", "content": [{"type": "output_text", "text": "a"}]}]},
            400, "input[0].content[0].type", "invalid_value",
        ),
        (
            {"input": [{"role": "assistant", "content": [{"type": "input_text", "text": "a"}]}]},
            400, "input[0].content[0].type", "invalid_value",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]},
            400, "input[0].content[0].file_id", "invalid_value",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
            400, "input[0].content[0].file_id", "invalid_value",
        ),
        ({"input": [{"type": "computer_call"}]}, 400, "input[0].type", "invalid_value"),
        ({"input": [HI, ANSWERED]}, 400, "input", None),
        ({"input": [HI, ASKED]}, 400, "input", None),
        ({"input": [HI, ASKED, ANSWERED, ANSWERED]}, 400, "input", None),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, 404, "input", None),
        ({"input": [HI, {"type": "reasoning", "id": "rs_1", "summary": []}]}, 404, "input", None),
        ({"max_output_tokens": 15}, 400, "max_output_tokens", "integer_below_min_value"),
        ({"max_output_tokens": "9"}, 400, "max_output_tokens", "invalid_type"),
        ({"temperature": 3}, 400, "temperature", "invalid_value"),
        ({"stop": ["a"]}, 400, "stop", "unknown_parameter"),
        ({"max_tokens": 16}, 400, "max_tokens", "unknown_parameter"),
        ({"truncation": "middle"}, 400, "truncation", "invalid_value"),
        ({"text": {"format": {"type": "yaml"}}}, 400, "text.format.type", "invalid_value"),
        ({"text": FORMAT}, 400, "text.format.schema", "missing_required_parameter"),
        ({"include": "all"}, 400, "include", "invalid_type"),
        ({"tools": [{"type": "web_search"}]}, 400, "tools[0].type", "invalid_value"),
        ({"tools": [{"type": "function", "name": "a b"}]}, 400, "tools[0].name", "invalid_value"),
    ],
)  # fmt: skip
def test_what_the_real_service_refuses_is_refused_and_named(
    change: dict[str, Any], status: int, param: str, code: str | None
) -> None:
    with pytest.raises(WireError) as raised:
        RESPONSES.decode_request({"model": "m", "input": "Hi", **change})
    error = raised.value
    assert (error.status, error.kind, error.param, error.code) == (status, "invalid_request_error", param, code)


@pytest.mark.parametrize(
    "given",
    [
        "Hi",
        [HI],
        [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}],
        [{"type": "input_text", "text": "Hi"}],
    ],
)
def test_input_may_be_a_string_items_or_a_list_of_content(given: Any) -> None:
    assert RESPONSES.decode_request({"model": "m", "input": given}).messages == (user("Hi"),)


def test_a_developers_message_is_system_text_and_a_refusal_was_said() -> None:
    items = [
        {"role": "developer", "content": "Be brief."},
        HI,
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
    ]
    found = RESPONSES.decode_request({"model": "m", "input": items, "instructions": "Be kind."}).messages
    assert found == (system("Be kind."), system("Be brief."), user("Hi"), assistant("No."))


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["role", "content", "type", "text", "summary", "format", "call_id", "output", "image_url", "id"]
            ),
            inner
            | st.sampled_from(["message", "reasoning", "function_call", "function_call_output", "output_text", "user"]),
        )
    ),
    max_leaves=10,
)


@settings(max_examples=200)
@given(field=st.sampled_from(["input", "instructions", "tools", "text", "include", "reasoning"]), value=JSON_VALUES)
def test_no_json_of_a_request_escapes_as_a_foreign_error(field: str, value: Any) -> None:
    with suppress(WireError):
        assert isinstance(RESPONSES.decode_request({"model": "m", "input": "Hi", field: value}), Request)


@settings(max_examples=200)
@given(
    field=st.sampled_from(["output", "usage", "status", "incomplete_details", "error", "id"]),
    value=JSON_VALUES | st.lists(JSON_VALUES, max_size=2),
)
def test_no_json_of_a_reply_escapes_as_a_foreign_error(field: str, value: Any) -> None:
    with suppress(ProviderError):
        assert isinstance(RESPONSES.decode_answer(reply() | {field: value}), Answer)


def test_a_compaction_is_read_as_its_sealed_item_alone() -> None:
    item = {"id": "cmp_1", "type": "compaction", "encrypted_content": "b3BhcXVl"}
    said = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}
    body: dict[str, Any] = {
        "id": "resp_1",
        "object": "response.compaction",
        "created_at": 1,
        "output": [said, item],
        "usage": {"input_tokens": 900, "output_tokens": 90, "total_tokens": 990},
    }
    answer = ResponsesCodec().decode_answer(body)
    assert answer.parts == (SUMMARY,)
    assert (answer.stop_reason, answer.usage) == ("compaction", Usage(900, output_tokens=90))
    with pytest.raises(MalformedReply, match="no compaction"):
        ResponsesCodec().decode_answer(body | {"output": "nothing"})
