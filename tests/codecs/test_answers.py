from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import anthropic.types
import anthropic.types.beta
import openai.types.chat
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from tokmagic.codecs.registry import CODECS
from tokmagic.codecs.sse import SSEDecoder
from tokmagic.core.errors import AuthenticationFailed, MalformedReply, Overloaded, QuotaExceeded, StreamBroken
from tokmagic.core.events import Finished
from tokmagic.core.messages import Compaction, Message, Reasoning, Request, Text, ToolCall, user
from tokmagic.core.replies import Answer
from tokmagic.core.usage import Usage

MESSAGES, CHAT = CODECS["messages"], CODECS["chat"]
CALLS = (ToolCall("c1", "f", '{"a":1}'), ToolCall("c2", "g", "{}"))
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)
REASONS = st.sampled_from(["end", "max_tokens", "tool_use", "refusal"])
COUNTS = st.integers(0, 10**7)
STATED = st.builds(Usage, st.integers(10**8, 10**9), COUNTS, COUNTS, st.just(0), st.integers(10**7, 10**8), COUNTS)


@given(text=TEXTS, usage=st.none() | STATED, reason=REASONS, thought=TEXTS, heard=COUNTS)
def test_an_answer_survives_the_wire(text: str, usage: Usage | None, reason: Any, thought: str, heard: int) -> None:
    signed = Answer((Reasoning(thought, "sig"), Text(text), *CALLS), usage, reason, "m", "id")
    assert MESSAGES.decode_answer(MESSAGES.encode_answer(signed)) == signed
    shown = Answer(
        (Reasoning(thought), Text(text), *CALLS), usage, reason, "m", "id", heard_tokens=heard if usage else 0
    )
    assert CHAT.decode_answer(CHAT.encode_answer(shown)) == shown


@given(heard=COUNTS)
def test_what_was_heard_is_stated_at_the_end_of_a_stream(heard: int) -> None:
    answer = Answer((Text("Hm."),), Usage(10**8, output_tokens=2), "end", "m", "id", heard_tokens=heard)
    encoder, decoder = CHAT.encoder("id", "m", 1), CHAT.decoder()
    wire = encoder.start(Usage(10**8)) + encoder.text("Hm.") + encoder.finish(answer)
    events = [event for kind, data in SSEDecoder().feed(wire) for event in decoder.feed(kind, data)]
    assert events[-1] == Finished(answer)


@given(text=TEXTS, usage=STATED, reason=REASONS)
def test_what_is_written_is_what_the_sdks_types_ask_for(text: str, usage: Usage, reason: Any) -> None:
    answer = Answer((Text(text), *CALLS), usage, reason, "m", "id")
    anthropic.types.Message.model_validate(MESSAGES.encode_answer(answer))
    openai.types.chat.ChatCompletion.model_validate(CHAT.encode_answer(answer, 1))
    event_type = TypeAdapter[Any](anthropic.types.RawMessageStreamEvent)
    for name, data in _stream("messages", answer):
        if name != "ping":
            assert event_type.validate_json(data).type == name
    *chunks, (_, last) = _stream("chat", answer)
    assert last == "[DONE]"
    for _, data in chunks:
        openai.types.chat.ChatCompletionChunk.model_validate_json(data)


def _stream(protocol: Any, answer: Answer) -> list[tuple[str, str]]:
    encoder = CODECS[protocol].encoder("id", "m", 1)
    stream = encoder.start(answer.usage or Usage()) + encoder.text(answer.text) + encoder.finish(answer)
    return SSEDecoder().feed(stream)


def test_cached_input_is_apart_on_anthropics_wire_and_together_in_core() -> None:
    usage = Usage(1000, 600, 100, 50, 7, 3)
    body = MESSAGES.encode_answer(Answer((Text("a"),), usage, "end"))["usage"]
    assert body["input_tokens"] == 250
    assert (body["cache_read_input_tokens"], body["cache_creation_input_tokens"]) == (600, 150)
    assert MESSAGES.decode_answer(_message(usage=body)).usage == usage


def test_cache_writes_without_a_breakdown_count_as_short_lived() -> None:
    stated = {"input_tokens": 1, "cache_creation_input_tokens": 5, "output_tokens": 2}
    assert MESSAGES.decode_answer(_message(usage=stated)).usage == Usage(6, 0, 5, 0, 2)


@pytest.mark.parametrize(
    ("usage", "served"),
    [
        ({"service_tier": "standard"}, ""),
        ({"service_tier": "batch"}, "batch"),
        ({"service_tier": "standard", "speed": "fast"}, "fast"),
        ({"service_tier": "standard", "speed": "standard", "inference_geo": "us"}, "us"),
        ({"inference_geo": "global", "service_tier": 5}, ""),
    ],
)
def test_anthropics_word_for_how_a_call_was_served_is_kept(usage: dict[str, Any], served: str) -> None:
    stated = {"input_tokens": 1, "output_tokens": 1, **usage}
    assert MESSAGES.decode_answer(_message(usage=stated)).served == served
    start = {"type": "message_start", "message": {"id": "i", "model": "m", "usage": stated}}
    end = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}}
    decoder = MESSAGES.decoder()
    for event in (start, end, {"type": "message_stop"}):
        list(decoder.feed(event["type"], json.dumps(event)))  # type: ignore[call-overload]
    assert decoder.partial().served == served


@pytest.mark.parametrize(("tier", "served"), [("default", ""), ("auto", ""), (None, ""), ("priority", "priority")])
def test_openais_word_for_how_a_call_was_served_is_kept(tier: str | None, served: str) -> None:
    body = CHAT.encode_answer(Answer((Text("a"),), Usage(1), "end", "m", "i")) | {"service_tier": tier}
    assert CHAT.decode_answer(body).served == served
    responses = CODECS["responses"]
    body = responses.encode_answer(Answer((Text("a"),), Usage(1), "end", "m", "i")) | {"service_tier": tier}
    assert responses.decode_answer(body).served == served
    decoder = CHAT.decoder()
    chunk = {"id": "i", "model": "m", "choices": [], "service_tier": tier}
    list(decoder.feed("", json.dumps(chunk)))
    list(decoder.feed("", json.dumps({"choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}]})))
    assert decoder.partial().served == served


def _message(**fields: Any) -> dict[str, Any]:
    blocks = [{"type": "text", "text": "Hi"}]
    return {"id": "i", "model": "m", "content": blocks, "stop_reason": "end_turn", "usage": None, **fields}


def _completion(finish_reason: str | None = "stop", **message: Any) -> dict[str, Any]:
    return {"id": "i", "model": "m", "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}]}


def test_unknown_blocks_of_an_answer_and_a_compaction_are_kept_whole_and_go_back_unchanged() -> None:
    block = {"type": "compaction", "content": "Sum.", "signature": "s", "new": [1]}
    body = _message(content=[{"type": "server_tool_use", "id": "x"}, block, {"type": "text", "text": "Hi"}])
    raw = '{"type":"compaction","content":"Sum.","signature":"s","new":[1]}'
    search = Reasoning(redacted='{"type":"server_tool_use","id":"x"}', provider="anthropic")
    parts = MESSAGES.decode_answer(body).parts
    assert parts == (search, Compaction("Sum.", "anthropic", raw), Text("Hi"))
    sent = MESSAGES.encode_request(Request("m", (user("Hi"), Message("assistant", parts)), 9))
    assert sent["messages"][1]["content"] == body["content"]


def test_a_block_of_which_not_all_could_be_read_is_left_out(
    read: Callable[[str, bytes], Any], stream_of: Callable[[str], bytes]
) -> None:
    stream = stream_of("messages_unknown").replace(b'"input_json_delta","partial_json"', b'"new_delta","new"')
    decoder, _ = read("messages", stream)
    assert decoder.partial().parts == (Text("Blue."),)


@pytest.mark.parametrize(
    ("message", "parts"),
    [
        ({"content": "Hi"}, (Text("Hi"),)),
        ({"content": None, "refusal": "No."}, (Text("No."),)),
        ({"content": [{"type": "thinking"}, {"type": "text", "text": "Hi"}]}, (Text("Hi"),)),
        ({"content": "Hi", "reasoning": "hm"}, (Reasoning("hm"), Text("Hi"))),
        ({"content": ""}, ()),
    ],
)
def test_a_chat_message_is_read_in_each_shape_services_send(message: dict[str, Any], parts: tuple[Any, ...]) -> None:
    assert CHAT.decode_answer(_completion(**message)).parts == parts


@pytest.mark.parametrize(
    "body",
    [None, "<html>", 7, [], {}, {"content": None}, _message(content=[{"text": "a"}]), _message(stop_reason=None)],
)
def test_a_success_that_is_no_message_is_malformed(body: Any) -> None:
    with pytest.raises(MalformedReply):
        MESSAGES.decode_answer(body)


def test_thoughts_that_only_the_total_counts_are_output() -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
    stated = {"prompt_tokens": 20, "completion_tokens": 198, "total_tokens": 623}
    usage = CHAT.decode_answer({"choices": [choice], "usage": stated}).usage
    assert usage == Usage(input_tokens=20, output_tokens=603, reasoning_tokens=405)


@pytest.mark.parametrize(
    "body",
    [None, "<html>", {}, {"choices": []}, {"choices": [{}]}, _completion(None, content="a"), _completion(content=5)],
)
def test_a_success_that_is_no_completion_is_malformed(body: Any) -> None:
    with pytest.raises(MalformedReply):
        CHAT.decode_answer(body)


def test_an_error_body_with_a_status_of_success_is_the_error_it_stands_for() -> None:
    with pytest.raises(Overloaded):
        MESSAGES.decode_answer({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
    with pytest.raises(QuotaExceeded):
        CHAT.decode_answer({"error": {"message": "No credit", "code": "insufficient_quota"}})
    with pytest.raises(AuthenticationFailed):
        CHAT.decode_answer({"error": {"message": "Bad key", "code": "invalid_api_key"}})
    with pytest.raises(StreamBroken):
        CHAT.decode_answer(_completion("insufficient_system_resource", content="half"))
