"""Whatever goes wrong with an answer, a call ends in one typed error or a right settle, and the book holds no less."""

import json
from contextlib import suppress
from dataclasses import replace
from functools import partial

import pytest

from tokmagic import catalog, tokenizers
from tokmagic.client import AsyncClient
from tokmagic.core.errors import (
    AuthenticationFailed,
    MalformedReply,
    Overloaded,
    ProviderError,
    RateLimited,
    ServerFailed,
    StreamBroken,
)
from tokmagic.core.events import Notice
from tokmagic.core.retries import RetryPolicy
from tokmagic.server import start_server
from tokmagic.server.faults import Fault, FaultPlan

MODELS = ("demo/claude", "demo/gpt", "demo/chat")
FIRST = (1,)
#: A fault, the error that a streamed call ends with, and how its attempts stand in the book.
FAULTS = {
    "late": (Fault("latency", seconds=0.01), None, ["settled"]),
    "429 with retry-after": (Fault("refuse", status=429, retry_after=0, nth=FIRST), None, ["released", "settled"]),
    "429 without": (Fault("refuse", status=429, nth=FIRST), None, ["released", "settled"]),
    "429 for ever": (Fault("refuse", status=429), RateLimited, ["released"] * 4),
    "429 that asks too much": (Fault("refuse", status=429, retry_after=3600), RateLimited, ["released"]),
    "500 once": (Fault("refuse", status=500, nth=FIRST), None, ["unsettled", "settled"]),
    "500 for ever": (Fault("refuse", status=500), ServerFailed, ["unsettled"] * 4),
    "529 once": (Fault("refuse", status=529, nth=FIRST), None, ["released", "settled"]),
    "529 for ever": (Fault("refuse", status=529), Overloaded, ["released"] * 4),
    "401": (Fault("refuse", status=401), AuthenticationFailed, ["released"]),
    "error in mid-stream": (Fault("error", after=9), StreamBroken, ["unsettled"]),
    "cut before the first event": (Fault("cut"), StreamBroken, ["unsettled"]),
    "cut in mid-stream": (Fault("cut", after=9), StreamBroken, ["unsettled"]),
    "ended in mid-stream": (Fault("end", after=9), StreamBroken, ["unsettled"]),
    "stalled": (Fault("stall", after=9), StreamBroken, ["unsettled"]),
    "dripping": (Fault("drip", after=9, seconds=0.01), StreamBroken, ["unsettled"]),
    "malformed": (Fault("malformed", after=9), ProviderError, ["unsettled"]),
    "a page": (Fault("html"), MalformedReply, ["unsettled"]),
    "usage unstated": (Fault("unstated"), None, ["settled"]),
}
IN_ONE_PIECE = {
    "cut": (Fault("cut"), StreamBroken),
    "stalled": (Fault("stall"), StreamBroken),
    "dripping": (Fault("drip", seconds=0.01), StreamBroken),
    "malformed": (Fault("malformed"), MalformedReply),
    "ended": (Fault("end"), MalformedReply),
    "a page": (Fault("html"), MalformedReply),
}


@pytest.fixture
def calls(make_parts, monkeypatch, runner):
    """One call for each fault, all to one server; of each its reply, its error, and its attempts in the book."""
    monkeypatch.setattr("tokmagic.corridor.passage.RetryPolicy", partial(RetryPolicy, base=0.0))
    known = set()
    models = [replace(model, rates=()) for model in catalog.demo_models().values()]

    def ask(parts, model, timeout, options):
        client = AsyncClient(model, parts=parts, timeout=timeout)
        reply = error = None
        try:
            reply = runner.run(client.send("Tell me of the sea.", max_tokens=60, **options))
        except ProviderError as caught:
            error = caught
        entries = sorted((e for e in parts.ledger.entries() if e.id not in known), key=lambda e: e.attempt)
        known.update(entry.id for entry in entries)
        return reply, error, entries

    def run(faults, model, **options):
        with start_server(models, tokenizers.counter, faults=FaultPlan(tuple(faults))) as server:
            parts = make_parts(server=server)
            silent = ("stall", "drip")
            ended = [ask(parts, model, 0.5 if fault.kind in silent else 20, options) for fault in faults]
            runner.run(parts.disconnect())
        return ended

    return run


@pytest.fixture
def call(calls):
    """One call to a server with a fault; its reply, its error, and its attempts in the book."""
    return lambda fault, model, **options: calls([fault], model, **options)[0]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", FAULTS)
def test_a_streamed_call_ends_in_a_typed_error_or_a_right_settle(name, model, call):
    fault, kind, states = FAULTS[name]
    reply, error, entries = call(fault, model)
    assert [entry.state for entry in entries] == states
    if kind is None:
        assert (error, bool(reply.text)) == (None, True)
    else:
        assert isinstance(error, kind)
        assert "\n" not in str(error)


@pytest.mark.parametrize(("kind", "said"), [("cut", 1), ("refuse", 0)])
def test_a_failed_call_says_what_stays_charged_and_how_that_is_given_back(make_parts, runner, kind, said):
    async def notices(client):
        seen = []
        with suppress(ProviderError):
            async with client.stream("Tell me of the sea.", max_tokens=60) as events:
                async for event in events:
                    seen.append(event)
        return [event.text for event in seen if isinstance(event, Notice)]

    fault = Fault(kind, after=9) if kind == "cut" else Fault(kind, status=401)
    with start_server(catalog.demo_models().values(), tokenizers.counter, faults=FaultPlan((fault,))) as server:
        parts = make_parts(server=server)
        told = runner.run(notices(AsyncClient("demo/claude", parts=parts)))
        (entry,) = parts.ledger.entries()
        runner.run(parts.disconnect())
    charge = f"so {entry.cost} stays charged: %tokens release {entry.id[:8]} gives it back"
    assert [charge in line for line in told] == [True] * said


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", IN_ONE_PIECE)
def test_a_call_for_an_answer_in_one_piece_ends_in_a_typed_error(name, model, call):
    fault, kind = IN_ONE_PIECE[name]
    _, error, entries = call(fault, model, stream=False)
    assert type(error) is kind
    assert [entry.state for entry in entries] == ["unsettled"]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("stream", [True, False])
def test_no_fault_makes_a_call_cheaper_than_it_was(stream, model, calls):
    kinds = ("latency", "error", "cut", "end", "stall", "malformed", "html", "unstated")
    faults = [Fault(kind, seconds=0, after=7, nth=(number,)) for number, kind in enumerate(kinds, 1)]
    (_, _, (whole,)), *faulty = calls(faults, model, stream=stream)
    for kind, (_, _, (entry,)) in zip(kinds[1:], faulty, strict=True):
        assert (entry.state != "released", entry.nanousd >= whole.nanousd) == (True, True), kind


@pytest.mark.parametrize("model", MODELS)
def test_an_answer_without_usage_is_booked_at_what_was_counted_and_says_so(model, call):
    exact, _, _ = call(Fault("latency", seconds=0), model)
    counted, _, (entry,) = call(Fault("unstated"), model)
    assert (exact.cost.quality, counted.cost.quality) == ("exact", "at least")
    assert counted.text == exact.text
    assert entry.usage.output_tokens >= exact.usage.output_tokens


def test_the_id_of_a_refused_request_is_kept(call):
    _, error, _ = call(Fault("refuse", status=401), "demo/claude")
    assert error.request_id.startswith("req_")
    assert json.dumps(str(error)).count(error.request_id) == 1
