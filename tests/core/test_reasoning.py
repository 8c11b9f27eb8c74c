"""How much to think is said in the terms each model knows, and leaves room for what is said."""

from dataclasses import replace

import pytest

from tokmagic.catalog import demo_models
from tokmagic.codecs.registry import CODECS
from tokmagic.core.errors import RequestRejected
from tokmagic.core.messages import EFFORTS, Request, user
from tokmagic.core.planning import Wishes, plan_call
from tokmagic.core.reasoning import budget_within, reasoning_of
from tokmagic.tokenizers import counter

MODEL = demo_models()["claude"]
BUDGETED = replace(MODEL, thinking_budget=True)


def encoded(protocol, reasoning, max_tokens=4_096):
    return CODECS[protocol].encode_request(Request("m", (user("x"),), max_tokens, reasoning=reasoning))


@pytest.mark.parametrize(
    ("model", "asked", "told"),
    [
        (BUDGETED, "low", 2_048),
        (BUDGETED, 5_000, 5_000),
        (BUDGETED, "off", "off"),
        (MODEL, "high", "high"),
        (MODEL, 1_024, "low"),
        (MODEL, 8_192, "medium"),
        (MODEL, 100_000, "high"),
        (MODEL, None, None),
    ],
)
def test_each_model_is_told_in_its_own_terms(model, asked, told):
    assert reasoning_of(model, asked) == told
    wishes = Wishes(max_tokens=4_096, reasoning=asked)
    assert plan_call(model, (user("hi"),), wishes, counter("o200k_base")).request.reasoning == told


@pytest.mark.parametrize("max_tokens", [1_025, 1_400, 4_096, 64_000])
def test_a_budget_is_below_the_bound_of_the_answer(max_tokens):
    within = budget_within(24_576, max_tokens)
    assert 1_024 <= within < max_tokens
    assert budget_within(24_576, 1_024) is None


def test_messages_are_told_a_budget_or_an_effort():
    assert encoded("messages", 2_048)["thinking"] == {"type": "enabled", "budget_tokens": 2_048}
    asked = encoded("messages", "medium")
    assert asked["thinking"]["type"] == "adaptive"
    assert asked["output_config"] == {"effort": "medium"}
    assert encoded("messages", "off")["thinking"] == {"type": "disabled"}
    assert "thinking" not in encoded("messages", None)


def test_an_answer_too_short_to_think_in_is_refused_with_the_way_out():
    with pytest.raises(RequestRejected, match="max_tokens is 500: raise it"):
        encoded("messages", 2_048, max_tokens=500)


@pytest.mark.parametrize("asked", [*EFFORTS, 2_048])
def test_openais_protocols_are_told_an_effort(asked):
    word = {"off": "none", 2_048: "low"}.get(asked, asked)
    responses = encoded("responses", asked)
    assert responses["reasoning"] == {"effort": word}
    assert responses["include"] == ["reasoning.encrypted_content"]
    assert encoded("chat", asked)["reasoning_effort"] == word
