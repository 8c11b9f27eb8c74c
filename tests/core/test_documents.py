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
