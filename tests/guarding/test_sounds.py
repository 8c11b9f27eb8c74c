"""The calls of a guarded client with sound in them: read like our own, and bounded at the price of sound."""

from __future__ import annotations

from typing import Any

import pytest

from tokmagic.codecs.sent import read_sent
from tokmagic.core.errors import BudgetExceeded
from tokmagic.core.words import parse_limit
from tokmagic.guarding.desks import Asked, Call, Desk
from tokmagic.parts import Parts
from tokmagic.queues.bells import ThreadBell

PATH = "/v1/chat/completions"


def body(name: str, model: str = "gpt-audio") -> dict[str, Any]:
    sound = {"type": "input_audio", "input_audio": {"data": "UklG", "format": name}}
    said = [{"role": "user", "content": [sound, {"type": "text", "text": "What is said?"}]}]
    return {"model": model, "max_tokens": 10, "messages": said}


def refused(parts: Parts, asked: dict[str, Any]) -> BudgetExceeded:
    """What a budget of a dollar says of it."""
    attempt = Call(Desk(parts, "openai", limits=[parse_limit("1 usd/day")])).attempt(Asked("POST", PATH, asked))
    assert attempt is not None
    with pytest.raises(BudgetExceeded) as error:
        attempt.ask(ThreadBell())
    return error.value


def test_a_sound_is_bound_by_the_window_at_its_own_price(parts: Parts) -> None:
    model = parts.model("openai/gpt-audio")
    assert model.price is not None
    assert model.context_window is not None
    (card,) = {rates for _, rates in model.price.tiers}
    assert card.audio is not None
    assert card.audio > card.input
    assert refused(parts, body("wav")).needed == (model.context_window * card.audio + 10 * card.output) // 10**6


def test_a_sound_for_a_model_without_a_price_for_it_is_refused_by_a_budget(parts: Parts) -> None:
    error = refused(parts, body("wav", "gpt-4o"))
    assert error.needed is None
    assert "openai/gpt-4o has no known price for sound, so $1.00/day cannot be kept" in str(error)
    assert 'audio = "30.00"' in str(error)


@pytest.mark.parametrize(("name", "named"), [("wav", ()), ("flac", ("a sound that is not read here",))])
def test_a_sound_is_read_or_named_as_unbounded(name: str, named: tuple[str, ...]) -> None:
    sent = read_sent("POST", PATH, body(name))
    assert (sent.request is None, sent.unbounded) == (bool(named), named)


@pytest.mark.parametrize("content", [None, "It said so."])
def test_a_sound_that_the_service_has_kept_of_an_answer_is_named_as_unbounded(content: str | None) -> None:
    spoken = {"role": "assistant", "content": content, "audio": {"id": "audio_1"}}
    asked = body("wav")
    sent = read_sent("POST", PATH, {**asked, "messages": [spoken, *asked["messages"]]})
    assert sent.unbounded == ("a sound that is not read here",)


def test_a_tool_that_has_an_argument_for_sound_holds_none() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"properties": {"audio": {}}}}}
    older = [{"role": "function", "name": "f", "content": "done"}]
    sent = read_sent("POST", PATH, {**body("wav"), "messages": older, "tools": [tool]})
    assert (sent.request, sent.unbounded) == (None, ())


def test_an_answer_in_anything_but_words_is_named_as_unbounded() -> None:
    assert read_sent("POST", PATH, {**body("wav"), "modalities": ["text", "image"]}).unbounded == ("modalities",)
    assert read_sent("POST", PATH, {**body("wav"), "modalities": ["text"]}).unbounded == ()
