"""Documents: a text is counted as one; of a PDF its pages are, and nothing but the window bounds it."""

import json
from base64 import b64encode

import pytest

from tokmagic.catalog import demo_models
from tokmagic.codecs import WireError
from tokmagic.codecs.registry import CODECS
from tokmagic.core.documents import PAGES, PER_PAGE, pages_of
from tokmagic.core.errors import RequestRejected
from tokmagic.core.messages import PLAIN, Document, Request, user
from tokmagic.core.planning import Wishes, plan_call
from tokmagic.core.tokens import count_request
from tokmagic.tokenizers import counter

COUNTER = counter("o200k_base")
PDF = b"%PDF-1.7\n1 0 obj<</Type /Pages /Kids[2 0 R] /Count 3>>\n2 0 obj<</Type/Page /Parent 1 0 R>>\n%%EOF"
PACKED = b"%PDF-1.7\nstream \x00\x01 endstream %%EOF"
PLAN = Document("Überblick: buy low.".encode(), PLAIN, "Plan")
PAPER = Document(PDF, title="Paper")
FAR = Document(url="https://example.org/a.pdf")


def encoded(protocol, *documents):
    return CODECS[protocol].encode_request(Request("m", (user("Sum up.", *documents),), 50))


def planned(document, model):
    return plan_call(model, (user("Sum up.", document),), Wishes(max_tokens=100), COUNTER)


def test_the_pages_of_a_pdf_are_counted_where_it_says_how_many():
    assert pages_of(PAPER) == 3
    assert pages_of(Document(PACKED)) == PAGES
    tokens = count_request([user("Sum up.", PAPER)], (), COUNTER) - count_request([user("Sum up.")], (), COUNTER)
    assert tokens == 3 * PER_PAGE


def test_only_the_window_bounds_a_pdf_and_its_own_text_a_text():
    model = demo_models()["claude"]
    assert planned(PAPER, model).charge.ceiling.input_tokens == model.context_window
    assert planned(PLAN, model).charge.ceiling.input_tokens < 500


@pytest.mark.parametrize("document", [PLAN, PAPER, FAR, Document(PDF)])
def test_a_document_survives_anthropics_wire(document):
    body = json.loads(json.dumps(encoded("messages", document)))
    (message,) = CODECS["messages"].decode_request(body).messages
    assert message.parts[0] == document


def test_openais_protocols_carry_a_pdf_as_a_file_and_a_text_as_text():
    data = "data:application/pdf;base64," + b64encode(PDF).decode()
    file = {"filename": "Paper", "file_data": data}
    (said,) = encoded("responses", PAPER, PLAN)["input"]
    assert said["content"][:2] == [
        {"type": "input_file", **file},
        {"type": "input_text", "text": "Plan\n\nÜberblick: buy low."},
    ]
    (said,) = encoded("chat", PAPER, PLAN)["messages"]
    assert said["content"][:2] == [
        {"type": "file", "file": file},
        {"type": "text", "text": "Plan\n\nÜberblick: buy low."},
    ]


def test_where_an_address_is_taken_it_is_sent_and_elsewhere_refused():
    (said,) = encoded("responses", FAR)["input"]
    assert said["content"][0] == {"type": "input_file", "file_url": FAR.url}
    with pytest.raises(RequestRejected, match="give its bytes"):
        encoded("chat", FAR)


@pytest.mark.parametrize(
    ("protocol", "document"),
    [("responses", PAPER), ("responses", Document(PDF)), ("responses", FAR), ("chat", PAPER), ("chat", Document(PDF))],
)
def test_a_pdf_survives_openais_wire(protocol, document):
    body = json.loads(json.dumps(encoded(protocol, document)))
    (message,) = CODECS[protocol].decode_request(body).messages
    assert message.parts[0] == document


def as_file(protocol, **fields):
    """A request whose user shows a file of these fields."""
    part = {"type": "input_file", **fields} if protocol == "responses" else {"type": "file", "file": fields}
    said = [{"role": "user", "content": [part]}]
    return {"model": "m", "input" if protocol == "responses" else "messages": said}


def url_of(kind, data):
    return f"data:{kind};base64,{b64encode(data).decode()}"


@pytest.mark.parametrize("kind", ["text/plain", "text/markdown;charset=utf-8", "application/json"])
def test_a_text_file_is_read_as_a_text_document(kind):
    body = as_file("responses", filename="plan.md", file_data=url_of(kind, PLAN.data))
    (message,) = CODECS["responses"].decode_request(body).messages
    assert message.parts == (Document(PLAN.data, PLAIN, "plan.md"),)
    assert count_request([message], (), COUNTER) < 20


@pytest.mark.parametrize(
    ("protocol", "fields", "where", "said"),
    [
        ("responses", {"file_id": "f"}, "file_id", "give the file as 'file_data'"),
        ("chat", {"file_id": "f"}, "file_id", "give the file as 'file_data'"),
        ("responses", {"filename": "a.pdf"}, "file_data", "Missing required parameter"),
        ("chat", {"file_data": url_of("application/pdf", PDF)}, "filename", "Missing required parameter"),
        ("chat", {"filename": "a", "file_data": url_of("text/plain", b"a")}, "file_data", "got unsupported MIME type"),
        ("responses", {"filename": "a", "file_data": url_of("video/mp4", b"a")}, "file_data", "unsupported MIME type"),
        ("responses", {"filename": "a", "file_data": "JVBERi0"}, "file_data", "a base64-encoded data URL"),
        ("chat", {"filename": "a", "file_data": "data:application/pdf;base64,?"}, "file_data", "base64-encoded"),
    ],
)
def test_the_server_refuses_a_file_that_it_cannot_read_and_names_the_field(protocol, fields, where, said):
    with pytest.raises(WireError, match=said) as refused:
        CODECS[protocol].decode_request(as_file(protocol, **fields))
    assert refused.value.status == 400
    assert refused.value.param.endswith(where)


def test_a_file_in_a_tools_output_is_refused_by_name():
    body = {
        "model": "m",
        "input": [
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_file", "file_url": FAR.url}]},
        ],
    }
    with pytest.raises(WireError, match="in messages only") as refused:
        CODECS["responses"].decode_request(body)
    assert refused.value.param == "input[1].output"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({"type": "base64", "media_type": "image/png", "data": ""}, "Input should be 'application/pdf'"),
        ({"type": "base64", "media_type": "application/pdf", "data": "?"}, "invalid base64"),
        ({"type": "file", "file_id": "f"}, "Input should be 'base64', 'text' or 'url'"),
    ],
)
def test_the_server_refuses_a_document_that_it_cannot_read(source, said):
    body = encoded("messages", PAPER)
    body["messages"][0]["content"][0]["source"] = source
    with pytest.raises(WireError, match=said):
        CODECS["messages"].decode_request(body)
