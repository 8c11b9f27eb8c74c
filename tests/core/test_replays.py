"""Replies as text and back, and the key under which they are kept: equal for what is the same call, and only then."""

from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.soak import share
from tokmagic.core import replays
from tokmagic.core.messages import (
    Compaction,
    Extras,
    Image,
    Message,
    Part,
    Reasoning,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    assistant,
    system,
    user,
)
from tokmagic.core.money import Cost
from tokmagic.core.planning import Wishes
from tokmagic.core.replays import as_text, from_text, replay_key, replayed, worth_keeping
from tokmagic.core.replies import Answer, CompactionRecord, Cut, Receipt, Reply
from tokmagic.core.usage import Usage

texts = st.text(max_size=20)
parts = st.one_of(
    st.builds(Text, texts),
    st.builds(Image, texts, st.binary(max_size=20), texts),
    st.builds(Reasoning, texts, texts, texts, texts),
    st.builds(ToolCall, texts, texts, texts),
    st.builds(ToolResult, texts, st.lists(st.builds(Text, texts), max_size=2).map(tuple), st.booleans()),
    st.builds(Compaction, texts, texts, texts),
)
answers = st.builds(
    Answer,
    st.lists(parts, max_size=4).map(tuple),
    st.none() | st.builds(Usage, *[st.integers(0, 10**9)] * 6),
    st.sampled_from(["end", "max_tokens", "tool_use"]),
    texts,
    texts,
    texts,
)
receipts = st.builds(
    Receipt,
    texts,
    texts,
    st.builds(Usage, *[st.integers(0, 10**9)] * 6),
    st.builds(Cost, st.none() | st.integers(0, 10**15)),
    cuts=st.lists(st.builds(Cut, st.just("truncated text"), texts, st.integers(0, 10**6)), max_size=2).map(tuple),
    lowered_from=st.none() | st.integers(1, 10**6),
)
REPLY = Reply(Answer((Text("Yes."),), Usage(10, output_tokens=2), "end"), Receipt("c1", "m", Usage(10), Cost(5)))
SAID = (system("Be brief."), user("Why?"))


@given(answer=answers, receipt=receipts)
@settings(max_examples=share(20_000, 100))
def test_a_kept_reply_is_read_as_it_was_written(answer, receipt):
    reply = Reply(answer, receipt)
    assert from_text(as_text(reply)) == reply


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", '{"_": "Reply"}', '{"_": "Nobody"}', '{"a": 1}', '{"_": "Text", "text": "x"}']
)
def test_what_is_no_reply_is_none(text):
    assert from_text(text) is None


def test_every_part_and_a_record_of_a_compaction_can_be_kept():
    assert {kind.__name__ for kind in get_args(Part)} <= set(replays._KINDS)
    record = CompactionRecord("summary", "too long", 100, 10, 4, 2, cost=Cost(7), summary="In short.")
    reply = replace(REPLY, receipt=replace(REPLY.receipt, compaction=record))
    assert from_text(as_text(reply)) == reply


def test_a_replay_used_nothing_and_names_the_call_it_comes_from():
    again = replayed(REPLY, "c2", 0.5)
    assert (again.receipt.call, again.receipt.replay_of, again.receipt.replayed) == ("c2", "c1", True)
    assert (again.usage, again.cost, again.receipt.attempts) == (Usage(), Cost(0, "exact"), 0)
    assert again.answer == REPLY.answer


@pytest.mark.parametrize(
    ("reason", "lowered", "kept"),
    [
        ("end", None, True),
        ("tool_use", None, True),
        ("refusal", None, True),
        ("max_tokens", None, True),
        ("max_tokens", 500, False),
        ("end", 500, True),
        ("interrupted", None, False),
        ("unknown", None, False),
        ("pause", None, False),
    ],
)
def test_what_a_moment_made_of_an_answer_is_not_kept(reason, lowered, kept):
    receipt = replace(REPLY.receipt, stop_reason=reason, lowered_from=lowered)
    assert worth_keeping(replace(REPLY, receipt=receipt)) is kept


def key(models=("a/b",), said=SAID, **wishes):
    return replay_key(models, said, Wishes(**wishes))


def test_the_same_call_has_the_same_key_whatever_the_order_of_names():
    tool = Tool("t", "d", {"type": "object", "required": ["x"]})
    other = Tool("t", "d", {"required": ["x"], "type": "object"})
    assert key(tools=(tool,), extras=Extras(body={"a": 1, "b": [2]})) == key(
        tools=(other,), extras=Extras(body={"b": [2], "a": 1})
    )
    assert key(stream=False) == key(stream=True)


def test_every_difference_makes_another_key():
    keys = [
        key(),
        key(models=("a/c",)),
        key(models=("a/b", "a/c")),
        key(said=SAID[1:]),
        key(said=(system("Be brief.Why?"),)),
        key(said=(*SAID, assistant("x"))),
        key(said=(SAID[0], replace(SAID[1], pinned=True))),
        key(said=(SAID[0], Message("user", (Text("Why?"), Image("image/png", b"1"))))),
        key(said=(SAID[0], Message("user", (Text("Why?"), Image("image/png", b"2"))))),
        key(temperature=0.0),
        key(temperature=1.0),
        key(max_tokens=5),
        key(default_max_tokens=5),
        key(max_input_tokens=5),
        key(keep_recent=5),
        key(truncate="end"),
        key(stop=("x",)),
        key(tools=(Tool("t"),)),
        key(tools=(Tool("t", schema={"type": "object"}),)),
        key(extras=Extras(body={"x": 1})),
        key(extras=Extras(headers={"x": "1"})),
        key(extras=Extras(query={"x": "1"})),
        key(extended_output=True),
    ]
    assert len(set(keys)) == len(keys)
