"""A text that is too long is split into calls that each fit, and nothing of it is lost between them."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.soak import share
from tokmagic.catalog import demo_models
from tokmagic.core.errors import RequestTooLarge
from tokmagic.core.messages import Message, Text, assistant, system, user
from tokmagic.core.planning import Wishes, plan_call
from tokmagic.core.splitting import split_call
from tokmagic.tokenizers import counter

SMALL = demo_models()["small"]
EXACT, ESTIMATE = counter("o200k_base"), counter("estimate")
ASKED = "Which animals live in the sea?"
LONG = "".join(f"Whale number {n} lives in the sea. " for n in range(4_000))
WISHES = Wishes(max_tokens=300)


def test_what_fits_or_is_no_one_long_text_is_not_split():
    for messages in ([user(ASKED)], [user(LONG), assistant("So?"), user(ASKED)], [assistant("So?")]):
        assert split_call(SMALL, tuple(messages), WISHES, EXACT) is None
    unbounded = replace(SMALL, context_window=None)
    assert split_call(unbounded, (user(LONG),), WISHES, EXACT) is None


@pytest.mark.parametrize("counted", [EXACT, ESTIMATE], ids=["exact", "estimate"])
def test_each_part_fits_uncut_and_together_they_are_the_text(counted):
    splitting = split_call(SMALL, (system("Be brief."), user(LONG)), WISHES, counted)
    assert "".join(splitting.parts) == LONG
    for number in range(len(splitting.parts)):
        messages = splitting.part(number)
        plan = plan_call(SMALL, messages, replace(WISHES, truncate="off", max_tokens=splitting.answer_tokens), counted)
        assert plan.input_tokens + plan.input_tokens.margin <= 8_192 - splitting.answer_tokens
        assert messages[0] == system("Be brief.")
        assert splitting.parts[number].strip("\n") in messages[1].text


def test_what_is_asked_is_shown_with_every_part_and_with_the_answers():
    for text in (f"{ASKED}\n\n{LONG}", f"{LONG}\n\n{ASKED}", f"{ASKED} {LONG}"):
        splitting = split_call(SMALL, (user(text),), WISHES, EXACT)
        middle = len(splitting.parts) // 2
        assert ASKED in splitting.part(middle)[0].text
        assert ASKED in splitting.combined(["whales"] * len(splitting.parts))[0].text


def test_what_stands_beside_the_text_stays_beside_every_part():
    message = Message("user", (Text(ASKED), Text(LONG)))
    splitting = split_call(SMALL, (message,), WISHES, EXACT)
    for messages in (splitting.part(1), splitting.combined(["whales"] * len(splitting.parts))):
        assert messages[0].parts[0] == Text(ASKED)
        assert "stands beside it" in messages[0].parts[1].text


def test_the_last_call_has_the_whole_conversation_and_never_cuts_the_answers():
    messages = (user(LONG[:9_000]), assistant("I see."), user(LONG))
    splitting = split_call(SMALL, messages, WISHES, EXACT)
    answers = [f"Answer {number}. " + "Whales. " * 100 for number in range(len(splitting.parts))]
    plan = plan_call(SMALL, splitting.combined(answers), WISHES, EXACT)
    assert splitting.again(answers) is None
    assert all(answer.strip() in plan.request.messages[-1].text for answer in answers)


def test_answers_that_do_not_get_shorter_are_refused():
    splitting = split_call(SMALL, (user(LONG),), WISHES, EXACT)
    with pytest.raises(RequestTooLarge, match="too many to be combined"):
        splitting.again([LONG] * len(splitting.parts))


@settings(max_examples=share(400, 25))
@given(
    room=st.integers(700, 5_000),
    max_tokens=st.integers(16, 400),
    size=st.integers(2_000, 120_000),
    counted=st.sampled_from([EXACT, ESTIMATE]),
)
def test_rounds_of_answers_at_their_bound_end_within_the_quote(room, max_tokens, size, counted):
    wishes = Wishes(max_tokens=max_tokens, max_input_tokens=room)
    splitting = split_call(SMALL, (user(LONG[:size]),), wishes, counted)
    if splitting is None:
        return
    quoted, calls = splitting.quote().calls, 1
    while splitting is not None:
        calls += len(splitting.parts)
        splitting = splitting.again([_text_of(splitting.answer_tokens, counted)] * len(splitting.parts))
    assert calls <= quoted


def _text_of(tokens, counted):
    text = LONG[: tokens * 3]
    assert counted.count(text) <= tokens
    return text
