"""The promises under load: real processes, real refusals, real failures, and keys that never show."""

import json
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from IPython.core.ultratb import VerboseTB

from tokmagic import catalog, tokenizers
from tokmagic.core.accounts import account_of
from tokmagic.core.errors import (
    AuthenticationFailed,
    Interrupted,
    ProviderError,
    RateLimited,
    ServerFailed,
    StreamBroken,
)
from tokmagic.core.events import Notice, Retrying, TextDelta
from tokmagic.core.limits import Limit
from tokmagic.core.retries import RetryPolicy
from tokmagic.core.words import parse_limit
from tokmagic.ledgers.sqlite import SQLiteLedger
from tokmagic.parts import Parts
from tokmagic.server import start_server
from tokmagic.sync import Client

PROMPT = "The sea is deep. The sea is blue. Whales live in the sea."
CLAUDE = "anthropic/claude-sonnet-5-5"
KEY = "sk-ant-0123456789abcdef-never-shown"
CAP = 40_000_000

SPENDERS = """
import os, sys
import anthropic  # it and the tokenizer once, before the children
import tokmagic as tm

def spend():
    client, calls = tm.Client("demo/claude", max_tokens=100), 0
    os.read(ready, 1)
    try:
        while True:
            client.send("The sea is deep. The sea is blue. Whales live in the sea.")
            calls += 1
    except tm.BudgetExceeded as refused:
        os.write(1, f"{calls} {refused.needed}\\n".encode())  # at once, so that no line comes between

tm.count("Whales", model="demo/claude")
ready, go = os.pipe()
children = []
for _ in range(8):
    children.append(os.fork())
    if not children[-1]:
        os.close(go)
        sys.exit(spend())
os.close(go)
assert [os.waitpid(child, 0)[1] for child in children] == [0] * 8
"""


def test_eight_processes_spend_one_day_to_within_a_call_of_its_end_and_never_past_it(tmp_path):
    environ = {**os.environ, "TOKMAGIC_HOME": str(tmp_path), "TOKMAGIC_LIMITS": "0.04 usd/day"}
    environ["TOKMAGIC_DEMO_PACE"] = "0"
    done = subprocess.run(
        [sys.executable, "-c", SPENDERS], env=environ, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.stderr, done.returncode) == ("", 0)
    calls, ceilings = zip(*(map(int, said.split()) for said in done.stdout.splitlines()), strict=True)
    assert len(calls) == 8
    ledger = SQLiteLedger(tmp_path / "book.sqlite")
    entries = ledger.entries()
    spent = sum(entry.nanousd for entry in entries)
    assert CAP - max(ceilings) < spent <= CAP
    assert (len(entries), {entry.state for entry in entries}) == (sum(calls), {"settled"})
    assert len({entry.session for entry in entries}) > 1
    user = {"user": entries[0].user}
    (level,) = ledger.levels(
        [account_of(parse_limit("0.04 usd/day"), True, user, datetime.fromtimestamp(entries[0].at).astimezone())]
    )
    assert (level.spent, level.held) == (spent, 0)
    ledger.close()


class Unpaced(Parts):
    """Parts whose models have no limits a minute, so that the service has to say so."""

    def model(self, name):
        return replace(super().model(name), rates=())


@pytest.fixture
def unpaced(make_parts):
    made = []

    def make(**options):
        made.append(make_parts(kind=Unpaced, **options))
        return made[-1]

    return make


def test_a_call_that_the_service_turns_away_waits_as_told_and_comes_through(unpaced):
    rates = (parse_limit("6000 input_tokens/minute"),)
    tight = [replace(model, rates=rates) for model in catalog.demo_models().values()]
    frozen = [1_800_000_000.0]
    with start_server(tight, tokenizers.counter, clock=lambda: frozen[0]) as server:
        parts = unpaced(server=server)
        client = Client("demo/claude", parts=parts, max_tokens=5)
        client.send("word " * 5_985)
        with client.stream(PROMPT) as stream:
            for event in stream:
                if isinstance(event, Retrying):
                    told = event
                    frozen[0] += 1.0
    released, settled = sorted(parts.ledger.entries(most=2), key=lambda entry: entry.attempt)
    assert told.attempt == 1
    assert "input tokens" in released.error
    assert (released.state, released.nanousd, settled.state) == ("released", 0, "settled")
    assert released.call == settled.call
    assert stream.reply.receipt.attempts == 2
    assert stream.reply.receipt.waited > 0
    assert stream.reply.cost.quality == "exact"
    assert parts.ledger.totals()[0].cost.nanousd == sum(e.nanousd for e in parts.ledger.entries())


def message(text="deep"):
    return {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
        "stop_sequence": None, "content": [{"type": "text", "text": text}],
        "usage": {"input_tokens": 9, "output_tokens": 4},
    }  # fmt: skip


def failure(text):
    return {"type": "error", "error": {"type": "some_error", "message": text}}


@contextmanager
def scripted(answers, retry_after, stated):
    """A service that gives these answers, ``(status, body)``, one a request, and states these headers with each.

    A body of bytes is a stream of events.
    """
    left = list(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["content-length"]))
            status, body = left.pop(0)
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in {"retry-after": retry_after, **stated}.items():
                self.send_header(name, value)
            self.send_header("content-type", "text/event-stream" if data is body else "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as service:
        threading.Thread(target=service.serve_forever, args=(0.01,)).start()
        yield f"http://127.0.0.1:{service.server_port}"
        service.shutdown()


@pytest.fixture
def claude(make_parts, monkeypatch):
    """A client of the real model's service, which answers by a script; it pauses only as long as it is told to."""
    monkeypatch.setattr("tokmagic.corridor.passage.RetryPolicy", partial(RetryPolicy, base=0.0))

    @contextmanager
    def open_client(*answers, retry_after="0", stated=None, **options):
        with scripted(answers, retry_after, stated or {}) as url:
            monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
            monkeypatch.setenv("ANTHROPIC_BASE_URL", url)
            yield Client(CLAUDE, parts=make_parts(), max_tokens=50, **options)

    return open_client


def test_a_call_that_is_turned_away_for_too_long_fails_and_costs_nothing(claude):
    with claude((200, message()), (429, failure("too much")), retry_after="3600") as client:
        client.send(PROMPT, stream=False)
        with pytest.raises(RateLimited) as refused:
            client.send(PROMPT, stream=False)
        released, settled = client.history()
    assert refused.value.retry_after == 3_600.0
    assert (released.state, released.nanousd, settled.state) == ("released", 0, "settled")


def test_a_failed_attempt_that_may_have_run_stays_at_its_ceiling_beside_the_one_that_came_through(claude):
    with claude((500, failure("oops")), (200, message())) as client:
        reply = client.send(PROMPT, stream=False)
        settled, failed = client.history()
    assert (failed.state, failed.attempt) == ("unsettled", 1)
    assert (settled.state, settled.attempt, settled.quality) == ("settled", 2, "exact")
    assert failed.nanousd == failed.charge.ceiling.nanousd > settled.nanousd > 0
    assert reply.cost.nanousd == failed.nanousd + settled.nanousd
    assert (reply.cost.quality, reply.receipt.attempts) == ("estimated", 2)


def test_a_service_that_always_fails_is_asked_no_more_than_the_budget_can_pay(claude):
    with claude(*[(500, failure("oops"))] * 4, limits=["0.01 usd/session"]) as client:
        with pytest.raises(ServerFailed, match="oops"):
            client.send(PROMPT, limits=["1 usd/session"])
        entries = client.history()
    assert [entry.state for entry in entries] == ["unsettled"] * 4
    assert sum(entry.nanousd for entry in entries) <= 10_000_000


def test_a_limit_per_call_bounds_all_attempts_of_a_call_together(claude):
    with claude((500, failure("oops")), (200, {"input_tokens": 14}), (200, message())) as client:
        most = client.quote(PROMPT, max_tokens=600).ceiling.nanousd
        limit = Limit(most * 16 // 10, "nanousd", "call", "session", "refuse")
        with client.stream(PROMPT, limits=[limit], stream=False, max_tokens=600) as stream:
            told = [event.text for event in stream if isinstance(event, Notice)]
        settled, failed = client.history()
    assert failed.state == "unsettled"
    assert failed.nanousd + settled.charge.ceiling.nanousd <= limit.amount
    assert 250 < stream.reply.receipt.max_tokens < 600
    assert stream.reply.receipt.lowered_from == 600
    charged, lowered = told
    assert charged.startswith("It may have run, so ")
    assert lowered == f"max_tokens lowered from 600 to {stream.reply.receipt.max_tokens}: more is not left."


@pytest.mark.parametrize(
    "stated",
    [
        {"limit": "1", "remaining": "1"},
        {"limit": "8", "remaining": "0", "reset": "1e300"},
        {"limit": "-5", "remaining": "-1"},
        {"limit": "9" * 40, "remaining": "9" * 40},
        {"limit": "0", "remaining": "0"},
        {"limit": "nan", "remaining": "inf", "reset": "soon"},
    ],
)
def test_a_limit_that_the_very_call_refutes_which_states_it_stops_no_other(claude, stated):
    headers = {f"anthropic-ratelimit-input-tokens-{name}": value for name, value in stated.items()}
    with claude((200, message()), (200, message()), stated=headers) as client:
        for _ in range(2):
            assert client.send(PROMPT, stream=False).receipt.waited == 0


BEGUN = b"".join(
    f"event: {body['type']}\ndata: {json.dumps(body)}\n\n".encode()
    for body in (
        {"type": "message_start", "message": {**message(), "content": [], "stop_reason": None}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "The sea"}},
    )
)


def test_a_chain_asks_no_other_model_where_an_answer_has_begun(claude):
    with claude((200, BEGUN)) as client:
        with pytest.raises(StreamBroken), client.stream(PROMPT, model=[CLAUDE, "demo/claude"]) as stream:
            assert "".join(event.text for event in stream if isinstance(event, TextDelta)) == "The sea"
        (entry,) = client.history()
    assert (entry.state, entry.model, entry.nanousd) == ("unsettled", CLAUDE, entry.charge.ceiling.nanousd)
    assert (stream.reply.text, stream.reply.cost) == ("The sea", entry.cost)


def test_a_chain_pays_for_the_models_that_failed_and_names_them(claude):
    with claude((500, failure("oops")), (402, failure("no credit"))) as client:
        reply = client.send(PROMPT, model=f"{CLAUDE}, demo/claude")
        entries = client.history()
    assert [(entry.model, entry.state) for entry in reversed(entries)] == [
        (CLAUDE, "unsettled"),
        (CLAUDE, "released"),
        ("demo/claude", "settled"),
    ]
    assert reply.receipt.instead_of == (CLAUDE,)
    assert reply.cost.nanousd == sum(entry.nanousd for entry in entries if not entry.play)
    assert not reply.cost.play


def test_a_stop_between_two_attempts_shows_what_the_first_may_have_cost(claude):
    def stopped(client):
        with client.stream(PROMPT) as events:
            for event in events:
                if isinstance(event, Retrying):
                    raise KeyboardInterrupt

    with claude((500, failure("oops")), retry_after="20") as client:
        with pytest.raises(Interrupted) as told:
            stopped(client)
        (entry,) = client.history()
    assert told.value.reply.cost == entry.cost
    assert told.value.reply.stopped
    assert "before anything was sent" not in str(told.value)


def test_a_key_never_shows_in_an_error_its_traceback_or_the_book(claude, tmp_path):
    with claude((401, failure(f"the key {KEY} is wrong; Bearer {KEY}")), (200, KEY)) as client:
        for stream, kind in ((True, AuthenticationFailed), (False, ProviderError)):
            with pytest.raises(kind) as failed:
                client.send(PROMPT, stream=stream)
            verbose = VerboseTB(theme_name="nocolor").text(failed.type, failed.value, failed.tb)
            assert "corridor" in verbose
            shown = (str(failed.value), repr(failed.value), repr(failed.value.args), verbose)
            assert [text for text in shown if KEY in text] == []
            assert "\n" not in str(failed.value)
        shown = repr(client.history()) + repr(client.snapshot()) + repr(vars(client))
    files = [file for file in (tmp_path / "home").iterdir() if file.is_file()]
    assert KEY not in shown
    assert any(file.stat().st_size for file in files)
    assert [file for file in files if KEY[:12].encode() in file.read_bytes()] == []
