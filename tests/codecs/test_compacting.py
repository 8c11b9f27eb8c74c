"""Compaction at a threshold on the wire: the field goes out, the block or item comes in and goes back byte for byte."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.types.beta.message_create_params import MessageCreateParamsNonStreaming as MessagesParams
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming as ResponsesParams
from pydantic import TypeAdapter

from tokmagic.codecs.registry import CODECS
from tokmagic.codecs.sse import SSEDecoder
from tokmagic.core.events import Finished
from tokmagic.core.messages import CompactAt, Compaction, Message, Request, Text, assistant, user
from tokmagic.core.models import Protocol
from tokmagic.core.replies import Answer
from tokmagic.core.usage import Usage

TYPES: dict[str, Any] = {"messages": TypeAdapter(MessagesParams), "responses": TypeAdapter(ResponsesParams)}
BLOCKS = {
    "messages": Compaction(
        "They sailed.",
        "anthropic",
        '{"type":"compaction","content":"They sailed.","encrypted_content":null,"signature":"c2ln","tool_changes":[]}',
    ),
    "responses": Compaction(
        "", "openai", '{"id":"cmp_1","type":"compaction","encrypted_content":"b3BhcXVl","created_by":"me"}'
    ),
}
ASKED = {
    "messages": (CompactAt(50_000), CompactAt(150_000, "Be brief."), CompactAt(60_000, pause=True)),
    "responses": (CompactAt(1_000), CompactAt(200_000)),
}
CASES = [(protocol, asked) for protocol, all_asked in ASKED.items() for asked in all_asked]


@pytest.mark.parametrize(("protocol", "asked"), CASES)
def test_what_is_asked_survives_the_wire_and_is_what_the_sdk_takes(protocol: Protocol, asked: CompactAt) -> None:
    request = Request("m", (user("Sail?"),), 16, stream=False, compact_at=asked)
    body = CODECS[protocol].encode_request(request)
    TYPES[protocol].validate_python(body)
    read = CODECS[protocol].decode_request(body)
    assert read.compact_at == asked
    assert "context_management" not in read.extras.body


@pytest.mark.parametrize("protocol", ["messages", "responses", "chat"])
def test_nothing_is_said_of_it_where_nothing_is_asked(protocol: Protocol) -> None:
    assert "context_management" not in CODECS[protocol].encode_request(Request("m", (user("Sail?"),), 16))


@pytest.mark.parametrize("protocol", ["messages", "responses"])
def test_a_summary_goes_back_byte_for_byte_before_what_was_answered_behind_it(protocol: Protocol) -> None:
    block = BLOCKS[protocol]
    said = (Message("assistant", (block,)), assistant("Soon."), user("When?"))
    body = CODECS[protocol].encode_request(Request("m", said, 16))
    sent = body["messages"][0]["content"] if protocol == "messages" else body["input"]
    assert json.dumps(sent[0], separators=(",", ":")) == block.raw
    assert "Soon." in json.dumps(sent[1])


@pytest.mark.parametrize("protocol", ["messages", "responses"])
@pytest.mark.parametrize("compacting", [Usage(), Usage(60_000, output_tokens=900)])
def test_an_answer_with_a_summary_survives_the_wire_whole_and_streamed(protocol: Protocol, compacting: Usage) -> None:
    stated = compacting if protocol == "messages" else Usage()
    usage = Usage(500, 100, output_tokens=7, reasoning_tokens=2) + compacting
    answer = Answer((BLOCKS[protocol], Text("Soon.")), usage, "end", "m", "resp_1", compacting=stated)
    codec = CODECS[protocol]
    assert codec.decode_answer(codec.encode_answer(answer)) == answer
    encoder, decoder = codec.encoder("resp_1", "m"), codec.decoder()
    wire = encoder.start(Usage(60_000)) + encoder.compacted(BLOCKS[protocol]) + encoder.text("Soon.")
    events = [
        event for kind, data in SSEDecoder().feed(wire + encoder.finish(answer)) for event in decoder.feed(kind, data)
    ]
    assert events[-1] == Finished(answer)


def test_what_summaries_used_is_stated_apart_and_counted_once() -> None:
    answer = Answer(usage=Usage(560, output_tokens=47), stop_reason="end", compacting=Usage(500, output_tokens=40))
    usage = CODECS["messages"].encode_answer(answer)["usage"]
    assert (usage["input_tokens"], usage["output_tokens"]) == (60, 7)
    steps = [(step["type"], step["input_tokens"], step["output_tokens"]) for step in usage["iterations"]]
    assert steps == [("compaction", 500, 40), ("message", 60, 7)]
