from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from anthropic.types.beta import BetaRawMessageStreamEvent
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from tokmagic.codecs import StreamDecoder, WireError
from tokmagic.codecs.registry import CODECS
from tokmagic.codecs.sse import SSEDecoder
from tokmagic.core.errors import (
    MalformedReply,
    Overloaded,
    ProviderError,
    RateLimited,
    ServerFailed,
    StreamBroken,
)
from tokmagic.core.events import Finished, ReasoningDelta, Started, StreamEvent, TextDelta, ToolCallDelta
from tokmagic.core.messages import Compaction, Reasoning, Text, ToolCall
from tokmagic.core.replies import Answer
from tokmagic.core.usage import Usage

from .conftest import protocol_of

PROTOCOLS = ("messages", "responses", "chat")
EVENT_TYPES: dict[str, Any] = {
    "messages": BetaRawMessageStreamEvent,
    "responses": ResponseStreamEvent,
    "chat": ChatCompletionChunk,
}
FIXTURE_BYTES = {path.stem: path.read_bytes() for path in (Path(__file__).parent / "fixtures").glob("*.sse")}
Read = Callable[[str, bytes], tuple[StreamDecoder, list[StreamEvent]]]

ANSWERS = {
    "messages_text": Answer(
        parts=(Text("The sky is blau – «青» 🌌\n\nEnd."),),
        usage=Usage(2572, 2000, 60, 40, 21),
        stop_reason="end",
        model="claude-sonnet-5-5",
        id="msg_01AbC",
    ),
    "messages_thinking_tools": Answer(
        parts=(
            Reasoning("Two cities, two calls.", signature="EqoBCkgIARABGAIiQL2UoU0b1OHYi+=="),
            Reasoning(redacted="EmwKAhgBEgy3va3pzix"),
            Text("I look both up."),
            ToolCall("toolu_01A", "get_weather", '{"city": "Paris"}'),
            ToolCall("toolu_01B", "now", "{}"),
        ),
        usage=Usage(input_tokens=50, output_tokens=118, reasoning_tokens=31),
        stop_reason="tool_use",
        model="claude-sonnet-5-5",
        id="msg_02",
    ),
    "messages_compaction": Answer(
        parts=(
            Compaction(
                "They spoke of the sky.",
                "anthropic",
                '{"type":"compaction","content":"They spoke of the sky.",'
                '"encrypted_content":"b3BhcXVl","signature":"c2lnbmVk"}',
            ),
            Text("So: blue."),
        ),
        usage=Usage(input_tokens=180_300, output_tokens=3505),
        stop_reason="end",
        model="claude-sonnet-5-5",
        id="msg_03",
        compacting=Usage(input_tokens=180_000, output_tokens=3500),
    ),
    "messages_unknown": Answer(
        parts=(
            Reasoning(
                redacted='{"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{"query":"sky"}}',
                provider="anthropic",
            ),
            Text("Blue."),
        ),
        usage=Usage(9, output_tokens=3),
        stop_reason="unknown",
        model="claude-sonnet-5-5",
        id="msg_04",
    ),
    "chat_text": Answer(
        parts=(Text("The sky is blau – «青» 🌌\n"),),
        usage=Usage(2006, 1920, 0, 0, 300, 192),
        stop_reason="max_tokens",
        model="gpt-6-sol",
        id="chatcmpl-1",
    ),
    "chat_tools": Answer(
        parts=(ToolCall("call_a", "get_weather", '{"city": "Paris"}'), ToolCall("call_b", "now", "{}")),
        usage=None,
        stop_reason="tool_use",
        model="gpt-6-sol",
        id="chatcmpl-2",
    ),
    "chat_reasoning": Answer(
        parts=(Reasoning("Rayleigh, of course."), Text("Scattering.")),
        usage=Usage(19, 16, 0, 0, 40, 30),
        stop_reason="end",
        model="deepseek-v4-pro",
        id="ds-1",
    ),
    "chat_no_usage": Answer((Text("Hi"),), None, "end", "llama", "ol-1"),
    "responses_text": Answer(
        parts=(Text("The sky is blau – «青» 🌌\n"),),
        usage=Usage(2006, 1920, 60, 0, 300, 192),
        stop_reason="max_tokens",
        model="gpt-6-sol",
        id="resp_01text",
    ),
    "responses_tools": Answer(
        parts=(
            Reasoning(
                "**Two cities**\n\nTwo calls.",
                redacted='{"id":"rs_02","type":"reasoning","encrypted_content":"gAAAAABoüXk0==","summary":['
                '{"type":"summary_text","text":"**Two cities**"},{"type":"summary_text","text":"Two calls."}]}',
                provider="openai",
            ),
            Text("I look both up."),
            ToolCall("call_a", "get_weather", '{"city": "Paris"}'),
            ToolCall("call_b", "now", "{}"),
        ),
        usage=Usage(input_tokens=50, output_tokens=118, reasoning_tokens=31),
        stop_reason="tool_use",
        model="gpt-6-sol",
        id="resp_02tools",
    ),
    "responses_refusal": Answer((Text("I can't help."),), Usage(9, output_tokens=6), "refusal", "gpt-6-sol", "resp_03"),
    "responses_unknown": Answer(
        parts=(
            Compaction("", "openai", '{"id":"cmp_04","type":"compaction","encrypted_content":"b3BhcXVl"}'),
            Reasoning(
                redacted='{"id":"ws_04","type":"web_search_call","status":"completed",'
                '"action":{"type":"search","query":"sky","queries":["sky"]}}',
                provider="openai",
            ),
            Text("Blue."),
        ),
        usage=Usage(input_tokens=180_300, output_tokens=3505),
        stop_reason="end",
        model="gpt-6-sol",
        id="resp_04",
    ),
    "responses_open": Answer((Reasoning("Rayleigh, of course."), Text("Scattering.")), None, "end", "qwen", "resp_05"),
}


def outcome(read: Read, name: str, stream: bytes) -> Answer | None:
    """The finished answer, or None for a stream that is incomplete or refused by a typed error."""
    try:
        decoder, events = read(name, stream)
    except ProviderError:
        return None
    finished = [event.answer for event in events if isinstance(event, Finished)]
    assert decoder.complete == bool(finished)
    if finished:
        assert isinstance(events[-1], Finished)
    assert isinstance(decoder.partial(), Answer)
    return finished[0] if finished else None


def test_a_recorded_stream_is_folded_to_its_answer(recorded: tuple[str, bytes], read: Read) -> None:
    name, stream = recorded
    decoder, events = read(name, stream)
    answer = ANSWERS[name]
    assert decoder.complete
    assert events[-1] == Finished(answer)
    assert isinstance(events[0], Started)
    assert (events[0].id, events[0].model) == (answer.id, answer.model)
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == answer.text
    thought = "".join(part.text for part in answer.parts if isinstance(part, Reasoning))
    assert "".join(event.text for event in events if isinstance(event, ReasoningDelta)) == thought


@pytest.mark.parametrize("name", ["messages_thinking_tools", "chat_tools", "responses_tools"])
def test_parallel_tool_calls_are_told_apart_while_they_arrive(
    name: str, read: Read, stream_of: Callable[[str], bytes]
) -> None:
    _, events = read(name, stream_of(name))
    calls: dict[int, list[str]] = {}
    for event in events:
        if isinstance(event, ToolCallDelta):
            found = calls.setdefault(event.index, ["", "", ""])
            found[0] += event.id
            found[1] += event.name
            found[2] += event.arguments
    expected = [part for part in ANSWERS[name].parts if isinstance(part, ToolCall)]
    assert [ToolCall(id, called, text or "{}") for id, called, text in calls.values()] == expected


def test_the_recorded_streams_are_what_the_sdks_types_describe(recorded: tuple[str, bytes]) -> None:
    name, stream = recorded
    described = TypeAdapter[Any](EVENT_TYPES[protocol_of(name)])
    for kind, data in SSEDecoder().feed(stream):
        if kind not in ("ping", "weather_report", "response.weather_report") and data != "[DONE]":
            described.validate_json(data.replace("a_reason_of_next_year", "end_turn"))


def test_every_cut_ends_incomplete_or_with_the_whole_answer(recorded: tuple[str, bytes], read: Read) -> None:
    name, stream = recorded
    for cut in range(len(stream)):
        assert outcome(read, name, stream[:cut]) in (None, ANSWERS[name])


def test_a_messages_stream_cut_before_its_stop_is_incomplete_and_keeps_what_came(
    read: Read, stream_of: Callable[[str], bytes]
) -> None:
    stream = stream_of("messages_text")
    decoder, _ = read("messages", stream[: stream.index(b"event: message_delta")])
    assert not decoder.complete
    assert decoder.partial().text == "The sky is blau – «青» 🌌\n\nEnd."
    assert decoder.partial().stop_reason == "unknown"


def test_the_placeholder_output_of_message_start_is_not_taken_for_the_truth(
    read: Read, stream_of: Callable[[str], bytes]
) -> None:
    stream = stream_of("messages_text")
    decoder, events = read("messages", stream[: stream.index(b"event: content_block_start")])
    assert events == [Started("msg_01AbC", "claude-sonnet-5-5", Usage(2572, 2000, 60, 40, 0))]
    assert decoder.partial().usage == Usage(2572, 2000, 60, 40, 0)


def test_a_reply_that_never_states_its_output_has_no_usage(read: Read, stream_of: Callable[[str], bytes]) -> None:
    stream = stream_of("messages_unknown").replace(b',"usage":{"output_tokens":3}', b"")
    _, events = read("messages", stream)
    assert isinstance(events[-1], Finished)
    assert events[-1].answer.usage is None


@pytest.mark.parametrize(
    ("name", "cut"), [("messages_thinking_tools", b"ris"), ("chat_tools", b"Paris"), ("responses_tools", b"Par")]
)
def test_a_tool_call_that_did_not_arrive_whole_is_not_in_the_partial_answer(
    name: str, cut: bytes, read: Read, stream_of: Callable[[str], bytes]
) -> None:
    stream = stream_of(name)
    decoder, _ = read(name, stream[: stream.index(cut)])
    assert not [part for part in decoder.partial().parts if isinstance(part, ToolCall)]


def test_a_chat_stream_whose_finish_reason_stays_null_is_incomplete(
    read: Read, stream_of: Callable[[str], bytes]
) -> None:
    decoder, events = read("chat", stream_of("chat_no_usage").replace(b'"stop"', b"null"))
    assert not decoder.complete
    assert not [event for event in events if isinstance(event, Finished)]
    assert decoder.partial().text == "Hi"


@pytest.mark.parametrize("lost", ["event: message_delta", "event: content_block_stop", "event: message_start"])
def test_an_end_without_what_must_come_before_it_is_malformed(
    lost: str, read: Read, stream_of: Callable[[str], bytes]
) -> None:
    events = stream_of("messages_text").decode().split("\n\n")
    stream = "\n\n".join(event for event in events if not event.startswith(lost)).encode()
    with pytest.raises(MalformedReply):
        read("messages", stream)


def test_usage_that_comes_with_every_chunk_does_not_end_the_reply_early(
    read: Read, stream_of: Callable[[str], bytes]
) -> None:
    running = b'"finish_reason":null}],"usage":{"prompt_tokens":5,"completion_tokens":1}}'
    final = b'"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":9}}'
    stream = stream_of("chat_no_usage").replace(b'"finish_reason":null}]}', running)
    _, events = read("chat", stream.replace(b'"finish_reason":"stop"}]}', final))
    assert events[-1] == Finished(Answer((Text("Hi"),), Usage(5, output_tokens=9), "end", "llama", "ol-1"))


@pytest.mark.parametrize("reason", [b"insufficient_system_resource", b"error"])
def test_a_service_that_gives_up_in_mid_reply_breaks_the_stream(
    reason: bytes, read: Read, stream_of: Callable[[str], bytes]
) -> None:
    with pytest.raises(StreamBroken) as raised:
        read("chat", stream_of("chat_no_usage").replace(b'"stop"', b'"' + reason + b'"'))
    assert raised.value.code == reason.decode()


OVERLOADED = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
RATE = b'data: {"error":{"message":"Slow down","type":"server_error","param":null,"code":"rate_limit_exceeded"}}\n\n'

GAVE_UP = (
    b'event: error\ndata: {"type":"error","sequence_number":9,"code":"server_error","message":"Oops","param":null}\n\n'
)
FAILED = (
    b'data: {"type":"response.failed","sequence_number":9,"response":{"id":"r","status":"failed","output":[],'
    b'"error":{"code":"rate_limit_exceeded","message":"Slow down"}}}\n\n'
)


@pytest.mark.parametrize(
    ("name", "error", "first", "code"),
    [
        ("messages_text", OVERLOADED, Overloaded, "overloaded_error"),
        ("messages_text", OVERLOADED.replace(b"overloaded_error", b"api_error"), ServerFailed, "api_error"),
        ("chat_text", RATE, RateLimited, "rate_limit_exceeded"),
        ("chat_text", b"event: error\n" + RATE, RateLimited, "rate_limit_exceeded"),
        ("responses_text", GAVE_UP, ServerFailed, "server_error"),
        ("responses_text", FAILED, RateLimited, "rate_limit_exceeded"),
        ("responses_text", RATE.replace(b'{"error', b'{"type":"error","error'), RateLimited, "rate_limit_exceeded"),
    ],
)
def test_an_error_event_is_typed_before_the_reply_and_breaks_it_afterwards(
    name: str, error: bytes, first: type[ProviderError], code: str, read: Read, stream_of: Callable[[str], bytes]
) -> None:
    with pytest.raises(first) as early:
        read(name, error)
    assert early.value.code == code
    stream = stream_of(name)
    with pytest.raises(StreamBroken) as late:
        read(name, stream[: stream.index(b"\n\n") + 2] + error)
    assert late.value.code == code
    assert late.value.may_have_run


@pytest.mark.parametrize("name", ["messages", "chat", "responses"])
@pytest.mark.parametrize(
    "data",
    [
        "{",
        "",
        "7",
        "null",
        '["x"]',
        '{"type":[],"choices":5}',
        '{"type":"content_block_delta","choices":[{}]}',
        '{"choices":[{"delta":{"content":"\\ud800"}}]}',
    ],
)
def test_data_that_is_no_event_is_a_malformed_reply(name: str, data: str, read: Read) -> None:
    data = data.replace("content_block_delta", "response.output_text.delta") if name == "responses" else data
    stream = f"data: {data}\n\n".encode()
    with pytest.raises(MalformedReply):
        read(name, stream)


@pytest.mark.parametrize("wrong", ["-1", "1.5", '"7"', "true"])
def test_a_number_of_tokens_that_is_none_is_a_malformed_reply(
    wrong: str, read: Read, stream_of: Callable[[str], bytes]
) -> None:
    stated = [("messages_text", "output_tokens", "21"), ("chat_text", "completion_tokens", "300")]
    for name, field, value in [*stated, ("responses_text", "output_tokens", "300")]:
        stream = stream_of(name).replace(f'"{field}":{value}'.encode(), f'"{field}":{wrong}'.encode())
        with pytest.raises(MalformedReply, match=field):
            read(name, stream)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_mutation_of_the_bytes_escapes_as_a_foreign_error(data: st.DataObject, read: Read) -> None:
    name = data.draw(st.sampled_from(sorted(ANSWERS)))
    stream = bytearray(FIXTURE_BYTES[name])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(stream) - 1))
        match data.draw(st.sampled_from(["flip", "drop", "repeat"])):
            case "flip":
                stream[place] = data.draw(st.integers(0, 255))
            case "drop":
                del stream[place : place + data.draw(st.integers(1, 200))]
            case _:
                stream[place:place] = stream[place : place + data.draw(st.integers(1, 200))]
        stream = stream or bytearray(b"x")
    outcome(read, name, bytes(stream))


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "index", "delta", "text", "usage", "message", "content_block", "item", "output"]),
            inner,
        )
    ),
    max_leaves=8,
)


@settings(max_examples=200)
@given(data=st.data())
def test_no_event_with_a_replaced_field_escapes_as_a_foreign_error(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(ANSWERS)))
    decoder = CODECS[protocol_of(name)].decoder()
    events = [(kind, text) for kind, text in SSEDecoder().feed(FIXTURE_BYTES[name]) if text != "[DONE]"]
    target = data.draw(st.integers(0, len(events) - 1))
    body = json.loads(events[target][1])
    holder: Any = body
    while True:
        key = data.draw(st.sampled_from(sorted(holder) if isinstance(holder, dict) else list(range(len(holder)))))
        if not (isinstance(holder[key], dict | list) and holder[key] and data.draw(st.booleans())):
            break
        holder = holder[key]
    holder[key] = data.draw(JSON_VALUES)
    events[target] = (events[target][0], json.dumps(body))
    try:
        for kind, text in events:
            list(decoder.feed(kind, text))
        decoder.partial()
    except ProviderError:
        pass


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_error_that_the_encoder_writes_in_mid_stream_is_read_as_a_broken_stream(protocol: Any, read: Read) -> None:
    encoder = CODECS[protocol].encoder("id", "model")
    failed = encoder.fail(WireError(529, "overloaded_error", "Overloaded"))
    with pytest.raises(StreamBroken, match="Overloaded"):
        read(protocol, encoder.start(Usage(3)) + encoder.text("a") + failed)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@given(
    pieces=st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), max_size=6),
    calls=st.lists(st.builds(ToolCall, st.just("c1"), st.just("f"), st.just('{"a": 1}')), max_size=2),
    reason=st.sampled_from(["end", "max_tokens", "tool_use", "refusal"]),
    usage=st.builds(Usage, st.integers(9, 99), st.integers(0, 4), st.integers(0, 4), st.just(0), st.integers(1, 99)),
)
def test_a_written_stream_is_read_as_the_same_answer(
    protocol: Any, pieces: list[str], calls: list[ToolCall], reason: Any, usage: Usage
) -> None:
    text = "".join(pieces)
    if protocol == "responses" and reason in ("end", "tool_use"):
        reason = "tool_use" if calls else "end"
    answer = Answer((*((Text(text),) if text else ()), *calls), usage, reason, "demo", "id")
    encoder, decoder = CODECS[protocol].encoder("id", "demo", 1), CODECS[protocol].decoder()
    stream = encoder.start(usage) + b"".join(map(encoder.text, pieces)) + encoder.finish(answer)
    events = [event for kind, data in SSEDecoder().feed(stream) for event in decoder.feed(kind, data)]
    assert events[-1] == Finished(answer)
