"""Batches over the real SDKs: taken in, worked off, matched by id, as strict as the real services."""

import json
import time

import anthropic
import openai
import pytest

from tests.patience import PATIENCE


def messages_row(id, text, **more):
    return {"custom_id": id, "params": {"model": "claude", "max_tokens": 50, "messages": [_said(text)], **more}}


def _said(text):
    return {"role": "user", "content": text}


def until(read, ended):
    deadline = time.monotonic() + PATIENCE
    while not ended(batch := read()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return batch


def ended_messages(sdk, id):
    return until(lambda: sdk.messages.batches.retrieve(id), lambda batch: batch.processing_status == "ended")


def ended_openai(sdk, id):
    return until(lambda: sdk.batches.retrieve(id), lambda batch: batch.status in ("completed", "cancelled", "failed"))


def openai_file(sdk, rows, url="/v1/responses"):
    lines = [json.dumps({"custom_id": id, "method": "POST", "url": url, "body": body}) for id, body in rows]
    return sdk.files.create(file=("rows.jsonl", "\n".join(lines).encode()), purpose="batch")


def start(sdk, file, endpoint="/v1/responses"):
    return sdk.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window="24h")


def test_message_batches_answer_every_row_as_a_call_of_its_own_would_be(claude_sdk):
    batch = claude_sdk.messages.batches.create(requests=[messages_row(f"r-{n}", f"Number {n}?") for n in range(5)])
    assert batch.processing_status == "in_progress"
    batch = ended_messages(claude_sdk, batch.id)
    assert batch.request_counts.succeeded == 5
    results = {line.custom_id: line.result for line in claude_sdk.messages.batches.results(batch.id)}
    assert list(results) == [f"r-{n}" for n in range(5)]
    for n in range(5):
        alone = claude_sdk.messages.create(model="claude", max_tokens=50, messages=[_said(f"Number {n}?")])
        assert results[f"r-{n}"].message.content[0].text == alone.content[0].text
        assert results[f"r-{n}"].message.usage.output_tokens == alone.usage.output_tokens
        assert results[f"r-{n}"].message.usage.service_tier == "batch"


def test_a_row_that_is_refused_fails_alone(claude_sdk):
    rows = [
        messages_row("good", "Hello?"),
        messages_row("bad", "Hello?", model="nobody"),
        messages_row("long", "x", max_tokens=10**7),
    ]
    batch = ended_messages(claude_sdk, claude_sdk.messages.batches.create(requests=rows).id)
    assert (batch.request_counts.succeeded, batch.request_counts.errored) == (1, 2)
    results = {line.custom_id: line.result for line in claude_sdk.messages.batches.results(batch.id)}
    assert results["bad"].error.error.type == "not_found_error"
    assert results["long"].error.error.type == "invalid_request_error"


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "at least one"),
        ([messages_row("a b", "x")], "custom_id"),
        ([messages_row("a", "x"), messages_row("a", "y")], "unique"),
        ([{"custom_id": "a"}], "params"),
        ([messages_row("a", "x", stream=True)], "not streamed"),
    ],
)
def test_a_message_batch_that_is_none_is_refused(claude_sdk, rows, said):
    with pytest.raises(anthropic.BadRequestError, match=said):
        claude_sdk.messages.batches.create(requests=rows)


def test_a_message_batch_that_nobody_knows_is_not_found(claude_sdk):
    with pytest.raises(anthropic.NotFoundError):
        claude_sdk.messages.batches.retrieve("msgbatch_none")


def test_a_message_batch_can_be_listed_cancelled_and_deleted(claude_sdk):
    rows = [messages_row(f"r{n}", f"Number {n}?") for n in range(1_000)]
    batch = claude_sdk.messages.batches.create(requests=rows)
    claude_sdk.messages.batches.cancel(batch.id)
    counts = ended_messages(claude_sdk, batch.id).request_counts
    assert counts.succeeded + counts.canceled == 1_000
    assert counts.canceled > 0
    kinds = [line.result.type for line in claude_sdk.messages.batches.results(batch.id)]
    assert kinds == ["succeeded"] * counts.succeeded + ["canceled"] * counts.canceled
    assert batch.id in [known.id for known in claude_sdk.messages.batches.list()]
    claude_sdk.messages.batches.delete(batch.id)
    with pytest.raises(anthropic.NotFoundError):
        claude_sdk.messages.batches.retrieve(batch.id)


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        ("/v1/responses", {"model": "gpt", "input": "Hello?", "max_output_tokens": 50}),
        ("/v1/chat/completions", {"model": "chat", "messages": [_said("Hello?")], "max_tokens": 50}),
    ],
)
def test_an_openai_batch_is_a_file_of_rows_and_its_results_are_two(openai_sdk, endpoint, body):
    file = openai_file(openai_sdk, [("good", body), ("bad", {**body, "model": "nobody"})], endpoint)
    batch = ended_openai(openai_sdk, start(openai_sdk, file, endpoint).id)
    assert (batch.status, batch.request_counts.completed, batch.request_counts.failed) == ("completed", 1, 1)
    (good,) = [json.loads(line) for line in openai_sdk.files.content(batch.output_file_id).text.splitlines()]
    (bad,) = [json.loads(line) for line in openai_sdk.files.content(batch.error_file_id).text.splitlines()]
    assert (good["custom_id"], good["response"]["status_code"]) == ("good", 200)
    assert (bad["custom_id"], bad["response"]["status_code"]) == ("bad", 404)
    assert good["response"]["body"]["usage"]["total_tokens"] > 0
    assert "nobody" in bad["response"]["body"]["error"]["message"]


def test_a_file_is_kept_byte_for_byte_and_can_be_deleted(openai_sdk):
    data = '{"a": "Ä\\r\\n--x"}\r\n\n'.encode() * 3
    file = openai_sdk.files.create(file=("rows.jsonl", data), purpose="batch")
    assert openai_sdk.files.content(file.id).content == data
    assert openai_sdk.files.retrieve(file.id).bytes == len(data)
    assert openai_sdk.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError):
        openai_sdk.files.content(file.id)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "Line 1 is not a JSON object"),
        ('{"custom_id": "a"}', "lacks custom_id or body"),
        ('{"custom_id": "a", "method": "POST", "url": "/v1/embeddings", "body": {}}', "no POST to /v1/responses"),
        ("", "has 0 requests"),
        ('{"custom_id": "a", "method": "POST", "url": "/v1/responses", "body": {}}\n' * 2, "unique"),
    ],
)
def test_an_openai_batch_that_is_none_is_refused(openai_sdk, line, said):
    file = openai_sdk.files.create(file=("rows.jsonl", line.encode() or b"\n"), purpose="batch")
    with pytest.raises(openai.BadRequestError, match=said):
        start(openai_sdk, file)


def test_an_openai_batch_can_be_cancelled_and_is_listed(openai_sdk):
    body = {"model": "gpt", "input": "Hello?", "max_output_tokens": 50}
    batch = start(openai_sdk, openai_file(openai_sdk, [(f"r{n}", body) for n in range(1_000)]))
    openai_sdk.batches.cancel(batch.id)
    batch = ended_openai(openai_sdk, batch.id)
    assert batch.status == "cancelled"
    assert batch.request_counts.completed < 1_000
    assert batch.id in [known.id for known in openai_sdk.batches.list()]


def test_only_a_file_for_batches_is_taken(openai_sdk):
    with pytest.raises(openai.BadRequestError, match="purpose"):
        openai_sdk.files.create(file=("rows.jsonl", b"{}"), purpose="fine-tune")
