"""OpenAI's own SDK on the Responses routes."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

import httpx2
import openai
import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter

from tests.patience import PATIENCE
from tokmagic.codecs.sse import SSEDecoder
from tokmagic.core.counters import Counter
from tokmagic.core.documents import PER_PAGE
from tokmagic.core.messages import Request, Tool, assistant, system, user
from tokmagic.core.models import Model
from tokmagic.core.tokens import count_request
from tokmagic.server import EmbeddedServer, start_server
from tokmagic.server.engine import Piece
from tokmagic.server.script import answer_text
from tokmagic.tokenizers import counter

PROMPT = "Why is the sky blue? Blue light scatters more than red light.\nThe sky is full of scattered light. 🌌"
COUNTER = counter("o200k_base")
ANSWER = answer_text(Request("gpt", (user(PROMPT),), 500))
INPUT = int(count_request((user(PROMPT),), (), COUNTER))
EVENT = TypeAdapter[Any](ResponseStreamEvent)
ADD: Any = {
    "type": "function",
    "name": "add",
    "description": "Adds.",
    "parameters": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}},
    "strict": False,
}
THINK: Any = {"reasoning": {"effort": "low", "summary": "auto"}, "include": ["reasoning.encrypted_content"]}


def post(server: EmbeddedServer, path: str = "/v1/responses", headers: Any = (), **body: Any) -> httpx2.Response:
    sent = {"authorization": f"Bearer {server.token}", **dict(headers)}
    return httpx2.post(
        f"{server.url}{path}", json={"model": "gpt", "input": "Hi", **body}, headers=sent, timeout=PATIENCE
    )


def said_again(reply: Any) -> list[Any]:
    return [item.model_dump(exclude_none=True) for item in reply.output]


def test_a_response_is_whole_of_the_sdks_type_and_counted(server: EmbeddedServer, openai_sdk: openai.OpenAI) -> None:
    reply = openai_sdk.responses.create(model="gpt", input=PROMPT)
    assert reply.output_text == ANSWER
    assert (reply.status, reply.model, reply.error, reply.incomplete_details) == ("completed", "gpt", None, None)
    assert reply.usage is not None
    assert reply.usage.input_tokens == INPUT
    assert reply.usage.output_tokens == pytest.approx(COUNTER.count(ANSWER), abs=4)
    Response.model_validate(post(server, input=PROMPT).json())


def test_a_response_is_streamed_as_the_same_answer_numbered_and_under_one_id(server: EmbeddedServer) -> None:
    raw = post(server, input=PROMPT, stream=True, tools=[ADD], **THINK)
    events = [EVENT.validate_json(data) for _, data in SSEDecoder().feed(raw.content)]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type for event in events[:3]] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
    ]
    assert len({event.response.id for event in events if hasattr(event, "response")}) == 1
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == ANSWER
    whole = Response.model_validate(post(server, input=PROMPT, tools=[ADD], **THINK).json())
    same = {"usage", "status", "tools", "reasoning", "text", "truncation"}
    assert events[-1].response.model_dump(include=same) == whole.model_dump(include=same)


def test_the_stream_helper_of_the_sdk_reads_it(openai_sdk: openai.OpenAI) -> None:
    with openai_sdk.responses.stream(model="gpt", input=PROMPT, **THINK) as stream:
        said = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        final = stream.get_final_response()
    assert said == final.output_text == ANSWER
    assert [item.type for item in final.output] == ["reasoning", "message"]


class Person(BaseModel):
    name: str
    age: int
    nicknames: list[str]
    friend: Person | None


def test_the_parse_helper_of_the_sdk_gets_json_of_its_schema(openai_sdk: openai.OpenAI) -> None:
    parsed = openai_sdk.responses.parse(model="gpt", input="Describe Ada.", text_format=Person).output_parsed
    assert isinstance(parsed, Person)
    assert parsed.name == "Describe Ada."
    loose = openai_sdk.responses.create(model="gpt", input="Hi", text={"format": {"type": "json_object"}})
    assert json.loads(loose.output_text) == {}


def test_an_answer_ends_at_its_bound_and_says_why(openai_sdk: openai.OpenAI) -> None:
    reply = openai_sdk.responses.create(model="gpt", input=PROMPT, max_output_tokens=16)
    assert reply.status == "incomplete"
    assert reply.incomplete_details is not None
    assert reply.incomplete_details.reason == "max_output_tokens"
    assert reply.usage is not None
    assert reply.usage.output_tokens == 16
    events = list(openai_sdk.responses.create(model="gpt", input=PROMPT, max_output_tokens=16, stream=True))
    assert events[-1].type == "response.incomplete"


def test_thoughts_come_back_encrypted_and_are_taken_again_unless_they_were_changed(openai_sdk: openai.OpenAI) -> None:
    first = openai_sdk.responses.create(model="gpt", input=PROMPT, **THINK)
    assert first.usage is not None
    assert 0 < first.usage.output_tokens_details.reasoning_tokens < first.usage.output_tokens
    thought, said = said_again(first)
    assert thought["summary"][0]["text"]
    turns: Any = [{"role": "user", "content": PROMPT}, thought, said, {"role": "user", "content": "And at night?"}]
    assert "2 turns came before it" in openai_sdk.responses.create(model="gpt", input=turns).output_text
    thought["encrypted_content"] = thought["encrypted_content"][:-4] + "AAAA"
    with pytest.raises(openai.BadRequestError) as refused:
        openai_sdk.responses.create(model="gpt", input=turns)
    assert refused.value.code == "invalid_encrypted_content"
    del thought["encrypted_content"]
    with pytest.raises(openai.NotFoundError, match="not found"):
        openai_sdk.responses.create(model="gpt", input=turns)


def test_thoughts_are_shown_and_encrypted_only_to_those_who_ask(openai_sdk: openai.OpenAI) -> None:
    hidden = openai_sdk.responses.create(model="gpt", input=PROMPT, reasoning={"effort": "low"})
    assert said_again(hidden)[0]["summary"] == []
    assert "encrypted_content" not in said_again(hidden)[0]
    assert hidden.usage is not None
    assert hidden.usage.output_tokens_details.reasoning_tokens > 0
    none = openai_sdk.responses.create(model="gpt", input=PROMPT, reasoning={"effort": "none"})
    assert [item.type for item in none.output] == ["message"]


def test_a_tool_is_called_and_its_result_is_told(openai_sdk: openai.OpenAI) -> None:
    asked = {"role": "user", "content": "Please use the add tool with a=2 and b=3."}
    first = openai_sdk.responses.create(model="gpt", input=[asked], tools=[ADD])  # type: ignore[list-item]
    (call,) = said_again(first)
    assert (call["type"], call["name"], json.loads(call["arguments"])) == ("function_call", "add", {"a": 2, "b": 3})
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": "5"}
    turns: Any = [asked, call, result]
    second = openai_sdk.responses.create(model="gpt", input=turns, tools=[ADD])
    assert "The add tool returned: 5" in second.output_text


def test_input_may_hold_images_instructions_and_lists(openai_sdk: openai.OpenAI) -> None:
    pixel = "data:image/png;base64,iVBORw0KGgo="
    content: Any = [
        {"type": "input_text", "text": PROMPT},
        {"type": "input_image", "detail": "auto", "image_url": pixel},
    ]
    reply = openai_sdk.responses.create(
        model="gpt", instructions="Be brief.", input=[{"role": "user", "content": content}]
    )
    assert "The system text has 2 words: “Be brief.”." in reply.output_text
    assert reply.instructions == "Be brief."


def test_a_pdf_is_taken_by_both_protocols_and_counted_by_its_pages(openai_sdk: openai.OpenAI) -> None:
    pdf = b"%PDF-1.7 1 0 obj<</Type/Pages/Count 3>> %%EOF"
    fields = {"filename": "paper.pdf", "file_data": f"data:application/pdf;base64,{b64encode(pdf).decode()}"}
    said: Any = [{"type": "input_text", "text": PROMPT}, {"type": "input_file", **fields}]
    told = openai_sdk.responses.create(model="gpt", input=[{"role": "user", "content": said}])
    content: Any = [{"type": "text", "text": PROMPT}, {"type": "file", "file": fields}]
    also = openai_sdk.chat.completions.create(model="chat", messages=[{"role": "user", "content": content}])
    assert "scatters" in told.output_text
    assert told.usage is not None
    assert also.usage is not None
    assert [tokens // PER_PAGE for tokens in (told.usage.input_tokens, also.usage.prompt_tokens)] == [3, 3]


@pytest.mark.parametrize(
    ("change", "status", "param", "code"),
    [
        ({"previous_response_id": "resp_1"}, 400, "previous_response_id", "previous_response_not_found"),
        ({"conversation": {"id": "conv_1"}}, 404, "conversation", None),
        ({"prompt": {"id": "pmpt_1"}}, 404, "prompt", None),
        ({"background": True}, 400, "background", "unsupported_parameter"),
        ({"max_output_tokens": 15}, 400, "max_output_tokens", "integer_below_min_value"),
        ({"max_output_tokens": 64_001}, 400, "max_output_tokens", "invalid_value"),
        ({"tools": [{"type": "web_search"}]}, 400, "tools[0].type", "invalid_value"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, 404, "input", None),
        ({"model": "gpt-9"}, 404, None, "model_not_found"),
        ({"stop": "x"}, 400, "stop", "unknown_parameter"),
    ],
)
def test_what_is_not_supported_is_refused_in_the_apis_shape_and_named(
    change: dict[str, Any], status: int, param: str | None, code: str | None, server: EmbeddedServer
) -> None:
    reply = post(server, **change)
    error = reply.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (reply.status_code, error["type"], error["param"], error["code"]) == (
        status,
        "invalid_request_error",
        param,
        code,
    )


def test_the_sdk_raises_its_own_error_for_what_is_not_stored(openai_sdk: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        openai_sdk.responses.create(model="gpt", input="Hi", previous_response_id="resp_123")
    assert (refused.value.param, refused.value.code) == ("previous_response_id", "previous_response_not_found")
    assert "resp_123" in str(refused.value)


def test_settings_without_effect_are_named_in_a_header_and_in_the_log(
    server: EmbeddedServer, caplog: pytest.LogCaptureFixture
) -> None:
    reply = post(server, metadata={"a": "b"}, user="u", store=True, top_p=1, temperature=0.5, extra=None)
    assert reply.status_code == 400, "an unknown field is refused even where it is null"
    reply = post(server, metadata={"a": "b"}, user="u", store=True, top_p=1, temperature=0.5, seed=7)
    assert reply.headers["x-tokmagic-ignored"] == "metadata, store, user"
    assert "metadata, store, user" in caplog.text
    assert reply.json()["metadata"] == {"a": "b"}
    assert "x-tokmagic-ignored" not in post(server, text={"format": {"type": "text"}}, store=False).headers


@pytest.mark.parametrize("header", ["x-client-request-id", "X-Request-Id"])
def test_a_request_id_is_taken_over_and_returned_whatever_becomes_of_the_request(
    header: str, server: EmbeddedServer
) -> None:
    assert post(server, headers={header: "mine-1"}).headers["x-request-id"] == "mine-1"
    assert post(server, headers={header: "mine-1"}, model="none").headers["x-request-id"] == "mine-1"
    assert post(server, headers={header: "mine-1"}, stream=True).headers["x-request-id"] == "mine-1"
    assert post(server, headers={header: "x" * 200}).headers["x-request-id"].startswith("req_")


LONG: Any = [
    {"role": role, "content": f"{number}: {PROMPT * 6}"} for number in range(8) for role in ("user", "assistant")
]


def test_input_beyond_the_window_is_refused_or_loses_its_oldest_items(openai_sdk: openai.OpenAI) -> None:
    turns: Any = [*LONG, {"role": "user", "content": "Still there?"}]
    with pytest.raises(openai.BadRequestError) as refused:
        openai_sdk.responses.create(model="small-gpt", input=turns, max_output_tokens=100)
    assert (refused.value.code, refused.value.param) == ("context_length_exceeded", "input")
    reply = openai_sdk.responses.create(model="small-gpt", input=turns, max_output_tokens=100, truncation="auto")
    assert reply.usage is not None
    assert 400 < reply.usage.input_tokens <= 900
    assert "- Still there?" in reply.output_text
    assert reply.truncation == "auto"


def test_a_call_and_its_output_are_dropped_together(openai_sdk: openai.OpenAI) -> None:
    call = {"type": "function_call", "call_id": "c1", "name": "add", "arguments": "{}"}
    result = {"type": "function_call_output", "call_id": "c1", "output": "word " * 900}
    turns: Any = [{"role": "user", "content": "Add."}, call, result, {"role": "user", "content": "Still there?"}]
    reply = openai_sdk.responses.create(model="small-gpt", input=turns, max_output_tokens=100, truncation="auto")
    assert "- Still there?" in reply.output_text
    assert reply.usage is not None
    assert reply.usage.input_tokens < 100


def test_what_cannot_be_dropped_is_refused_although_dropping_is_allowed(openai_sdk: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="context window"):
        openai_sdk.responses.create(model="small-gpt", input="word " * 2_000, truncation="auto")


def test_tokens_are_counted_as_a_call_counts_them(openai_sdk: openai.OpenAI) -> None:
    turns: Any = [
        {"role": "user", "content": PROMPT},
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": "Sure?"},
    ]
    fields: dict[str, Any] = {"model": "gpt", "input": turns, "instructions": "Be brief.", "tools": [ADD]}
    counted = openai_sdk.responses.input_tokens.count(**fields)
    whole = openai_sdk.responses.create(**fields)
    messages = (system("Be brief."), user(PROMPT), assistant("Yes."), user("Sure?"))
    expected = count_request(messages, (Tool("add", "Adds.", ADD["parameters"]),), COUNTER)
    assert whole.usage is not None
    assert counted.input_tokens == whole.usage.input_tokens == expected
    assert counted.object == "response.input_tokens"


def test_a_compaction_keeps_what_the_user_said_and_stands_for_the_rest(openai_sdk: openai.OpenAI) -> None:
    turns: Any = [{"role": "user", "content": PROMPT}, {"role": "assistant", "content": "Rayleigh scattering."}]
    raw = openai_sdk.responses.with_raw_response.compact(model="gpt", input=turns)
    compacted = raw.parse()
    assert compacted.object == "response.compaction"
    assert compacted.usage.input_tokens > INPUT
    assert compacted.usage.output_tokens > 0
    said, item = json.loads(raw.text)["output"]
    assert (said["role"], said["content"]) == ("user", [{"type": "input_text", "text": PROMPT}])
    assert item["type"] == "compaction"
    follow: Any = [said, item, {"role": "user", "content": "And at night?"}]
    reply = openai_sdk.responses.create(model="gpt", input=follow)
    assert "- And at night?" in reply.output_text
    assert reply.usage is not None
    assert reply.usage.input_tokens > INPUT + 20
    item["encrypted_content"] = "gAAAA"
    with pytest.raises(openai.BadRequestError) as refused:
        openai_sdk.responses.create(model="gpt", input=follow)
    assert refused.value.code == "invalid_encrypted_content"


def test_a_compaction_takes_from_the_minutes_limits(limited: Any, limited_gpt: Callable[..., Model]) -> None:
    server = limited.start(limited_gpt("2 requests/minute", "100k tokens/minute"))
    first = post(server, "/v1/responses/compact")
    assert first.headers["x-ratelimit-remaining-requests"] == "1"
    assert post(server, "/v1/responses/input_tokens").status_code == 200
    assert post(server).status_code == 200
    refused = post(server, "/v1/responses/compact")
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert float(refused.headers["retry-after-ms"]) > 0


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/responses/compact"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_hangs_up_ends_the_generation_at_once(
    path: str, stream: bool, endless: Any, limited_gpt: Callable[..., Model]
) -> None:
    body: dict[str, Any] = {"model": "gpt", "input": "Hi"} | ({"stream": stream} if path == "/v1/responses" else {})
    with start_server([limited_gpt()], counter, engine=endless) as server:
        with endless.asked_by_one_who_goes(server, path, body) as client:
            assert not body.get("stream") or client.getresponse().read(1)
        assert endless.ended.wait(PATIENCE)


class Failing:
    """An engine that breaks behind its first words."""

    async def generate(self, request: Request, counter: Counter) -> AsyncGenerator[Sequence[Piece]]:
        yield [Piece("Well", 1)]
        raise RuntimeError("the engine broke")


def test_an_engine_that_breaks_ends_the_stream_with_an_error_and_a_failed_response(
    limited_gpt: Callable[..., Model],
) -> None:
    with start_server([limited_gpt()], counter, engine=Failing()) as server:
        streamed = post(server, stream=True)
        whole = post(server)
    events = [EVENT.validate_json(data) for _, data in SSEDecoder().feed(streamed.content)]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    error, failed = events[-2:]
    assert (error.type, failed.type) == ("error", "response.failed")
    assert (failed.response.status, failed.response.error.code) == ("failed", "server_error")
    assert whole.status_code == 500
