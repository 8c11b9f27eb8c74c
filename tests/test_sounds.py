"""Sounds through a client: bounded by the window, sent where they are taken, and free where they are not."""

from __future__ import annotations

import pytest

import tokmagic as tm
from tokmagic.core.errors import RequestRejected
from tokmagic.core.messages import user
from tokmagic.parts import Parts
from tokmagic.sync import Client

ASKED = user("What is said?", tm.Audio(b"RIFF\0\0\0\0WAVE" + bytes(32_000)))


def test_a_quote_is_bound_by_the_window_and_the_reply_by_what_was_read(parts: Parts) -> None:
    client = Client("demo/chat", parts=parts, max_tokens=100)
    window = parts.model("demo/chat").context_window
    assert window is not None
    assert client.quote([ASKED]).ceiling.nanousd == window * 2_000 + 100 * 8_000
    reply = client.send([ASKED])
    assert reply.cost.nanousd == reply.usage.input_tokens * 2_000 + reply.usage.output_tokens * 8_000
    assert reply.cost.quality == "exact"


def test_a_budget_that_a_whole_window_of_it_would_pass_refuses_it(parts: Parts) -> None:
    client = Client("demo/chat", parts=parts, max_tokens=100, limits=["0.30 usd/day"])
    assert client.send("What is said?").text
    with pytest.raises(tm.BudgetExceeded):
        client.send([ASKED])


@pytest.mark.parametrize("model", ["demo/claude", "demo/gpt"])
def test_where_no_sound_is_taken_nothing_is_paid_and_the_next_in_the_chain_is_asked(model: str, parts: Parts) -> None:
    with pytest.raises(RequestRejected, match="takes no sound"):
        Client(model, parts=parts).send([ASKED])
    (entry,) = parts.ledger.entries()
    assert (entry.state, entry.nanousd or 0) == ("released", 0)
    assert Client([model, "demo/chat"], parts=parts).send([ASKED]).receipt.model == "demo/chat"
