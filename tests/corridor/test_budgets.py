"""A budget from its first call to its end: answers grow shorter, the reader is warned, and past it nothing is sent."""

from dataclasses import replace
from datetime import datetime

import pytest

from tokmagic import Client, catalog, tokenizers
from tokmagic.core.errors import BudgetExceeded
from tokmagic.core.events import Notice
from tokmagic.core.snapshot import rows
from tokmagic.core.words import parse_limit
from tokmagic.server import start_server

PROMPT = "Tell me about rivers."


class Greedy:
    """A tokenizer that finds a hundred tokens where the client's finds one."""

    def __init__(self, name):
        self._plain = tokenizers.counter(name)

    def __getattr__(self, name):
        return getattr(self._plain, name)

    def count(self, text):
        return 100 * self._plain.count(text)


@pytest.fixture
def greedy():
    """A server that charges more than the client can know."""
    models = [replace(model, rates=()) for model in catalog.demo_models().values()]
    with start_server(models, Greedy) as running:
        yield running


def call(client, **options):
    """The reply of a call, and the notes it gave."""
    with client.stream(PROMPT, **options) as stream:
        notes = [event.text for event in stream if isinstance(event, Notice)]
    return stream.reply, notes


def spent_until_refused(client, most=60, **options):
    """The replies and notes of calls, one after the other, until one is refused."""
    done = []
    for _ in range(most):
        try:
            done.append(call(client, **options))
        except BudgetExceeded:
            return done
    raise AssertionError(f"none of {most} calls was refused")


@pytest.mark.parametrize("words", ["0.007 usd/session", "700 tokens/session", "600 output_tokens/session"])
def test_answers_grow_shorter_towards_the_end_of_a_budget_and_never_pass_it(parts, words):
    client = Client("demo/claude", parts=parts, limits=[words])
    done = spent_until_refused(client, max_tokens=400)
    bounds = [reply.receipt.max_tokens for reply, _ in done]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[0] == 400
    assert 200 <= bounds[-1] < 400
    lowered = [(reply, notes) for reply, notes in done if reply.receipt.lowered_from is not None]
    for reply, notes in lowered:
        assert reply.receipt.lowered_from == 400
        assert f"max_tokens lowered from 400 to {reply.receipt.max_tokens}: more is not left." in notes
        assert f"max_tokens lowered: 400 → {reply.receipt.max_tokens}" in reply.receipt.badges
    assert lowered
    (level,) = [level for level in client.snapshot().levels if level.account.limit == client.limits[0]]
    assert level.spent <= level.account.limit.amount
    assert level.held == 0


def test_a_budget_warns_once_when_its_share_is_used(parts):
    client = Client("demo/claude", parts=parts, limits=["0.02 usd/session, warn at 25 %"])
    said = [note for _, notes in spent_until_refused(client, max_tokens=50) for note in notes if "used (" in note]
    assert len(said) == 1
    assert "play of $0.02/session used (2" in said[0]


def test_a_call_that_takes_more_than_was_held_is_booked_told_of_and_closes_its_budget(make_parts, greedy):
    parts = make_parts(server=greedy)
    client = Client("demo/claude", parts=parts, limits=[parse_limit("80 input_tokens/session")])
    reply, notes = call(client, max_tokens=20)
    assert reply.usage.input_tokens > 80
    assert any("more than the" in note and "budgets it passed are closed" in note for note in notes)
    assert client.history()[0].used.ceiling.input_tokens == reply.usage.input_tokens
    (row,) = [row for row in rows(client.snapshot()) if row.label == "80 input tokens/session"]
    assert (row.tone, row.text.startswith("passed by ")) == ("bad", True)
    with pytest.raises(BudgetExceeded, match=r"80 input tokens/session has 0 input tokens left"):
        client.send("x", max_tokens=1)


@pytest.mark.parametrize("limits", [["9 usd/session"], ["9 usd/call"], ["9 usd/total by user", "9 usd/session for *"]])
def test_no_limit_of_a_client_or_a_call_lifts_one_of_the_configuration(make_parts, server, monkeypatch, limits):
    monkeypatch.setenv("TOKMAGIC_LIMITS", "0.0001 usd/session; 0.5 usd/call")
    client = Client("demo/claude", parts=make_parts(server=server), limits=limits)
    for given in (limits, []):
        with pytest.raises(BudgetExceeded, match=r"\$0\.0001/session has"):
            client.send(PROMPT, limits=given)
    assert client.history() == ()


@pytest.mark.parametrize(
    ("words", "way_out"),
    [
        ("10 input_tokens/session", "Send less, or raise the limit."),
        ("50 tokens/session", "Send less, or raise the limit."),
        ("0.0001 usd/day", "Send less, or raise the limit."),
        ("200 tokens/session", "Lower max_tokens or send less."),
        ("0 requests/session", "Raise the limit."),
        ("0 usd/day", "Raise the limit."),
    ],
)
def test_a_refusal_names_the_way_out_that_helps(parts, words, way_out):
    with pytest.raises(BudgetExceeded) as refused:
        Client("demo/claude", parts=parts, limits=[words]).send(PROMPT)
    assert str(refused.value).endswith(f"nothing was sent. {way_out}")


def test_a_call_that_no_window_lets_pass_is_not_told_to_wait_for_the_next(parts):
    client = Client("demo/claude", parts=parts, limits=["300 tokens/day"])
    spent_until_refused(client, max_tokens=150)
    with pytest.raises(BudgetExceeded, match=r"Send less, or raise the limit\.$"):
        client.send("word " * 400, max_tokens=150)


def test_a_refusal_says_when_the_limit_opens_again(make_parts, server):
    at = 1_800_000_600.0
    client = Client("demo/claude", parts=make_parts(server=server, clock=lambda: at), limits=["1 requests/hour"])
    client.send(PROMPT)
    with pytest.raises(BudgetExceeded) as refused:
        client.send("Another.")
    assert str(refused.value) == (
        "1 requests/hour has 0 requests left and this call can take 1 request: nothing was sent. "
        f"It opens again in {60 - datetime.fromtimestamp(at).minute} min."
    )
