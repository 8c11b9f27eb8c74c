"""A provider is asked for a count only where it decides something, and never twice."""

from dataclasses import replace

import pytest

from tokmagic.core.asking import Answers, answered, margin_matters
from tokmagic.core.calibration import Calibration
from tokmagic.core.messages import Extras, Image, Message, Request, Text, Tool, user
from tokmagic.core.tokens import TokenCount

ABOUT_1000 = TokenCount(1_000, exact=False, margin=350, tokenizer="estimate", loose=1_000)
REQUEST = Request("m", (user("hello"),), 50)


@pytest.mark.parametrize(
    ("room", "matters"), [(None, False), (5_000, False), (1_350, False), (1_349, True), (650, True), (649, False)]
)
def test_a_margin_matters_where_the_count_may_fit_and_may_not(room, matters):
    assert margin_matters(ABOUT_1000, room) is matters


def test_an_exact_count_is_never_asked_for():
    assert not margin_matters(TokenCount(1_000), 1_000)
    assert not margin_matters(TokenCount(1_000), 999)


def test_an_answer_is_exact_and_still_teaches():
    count = answered(ABOUT_1000, 1_200)
    assert (count, count.exact, count.margin, count.tokenizer) == (1_200, True, 0, "provider")
    assert Calibration().learn(count, 1_200) == Calibration().learn(ABOUT_1000, 1_200) != Calibration()


@pytest.mark.parametrize(
    "other",
    [
        {"model": "n"},
        {"messages": (user("Hello"),)},
        {"messages": (Message("assistant", (Text("hello"),)),)},
        {"messages": (user("hello", Image("image/png", b"1")),)},
        {"tools": (Tool("look"),)},
        {"extras": Extras(body={"thinking": {"type": "enabled"}})},
    ],
)
def test_an_answer_is_remembered_for_the_same_content_only(other):
    answers = Answers()
    answers.keep(REQUEST, 9)
    assert answers.recall(replace(REQUEST, max_tokens=7, temperature=0.5, stream=False)) == 9
    assert answers.recall(replace(REQUEST, **other)) is None


def test_the_memory_of_answers_is_bounded_and_can_be_emptied():
    answers = Answers(most=3)
    for number in range(5):
        answers.keep(replace(REQUEST, model=f"m{number}"), number)
    assert [answers.recall(replace(REQUEST, model=f"m{number}")) for number in range(5)] == [None, None, 2, 3, 4]
    answers.clear()
    assert answers.recall(replace(REQUEST, model="m4")) is None
