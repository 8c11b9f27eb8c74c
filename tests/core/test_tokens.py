"""Counts say how good they are, add up, and never pass their bound."""

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokmagic.core.counters import PLAIN_CHAT, Chat, ModelCounter, Threads
from tokmagic.core.images import Tiles
from tokmagic.core.messages import (
    Compaction,
    Image,
    Message,
    Reasoning,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    assistant,
    system,
    user,
)
from tokmagic.core.tokens import (
    PER_IMAGE,
    PER_MESSAGE,
    REPLY_PRIMING,
    TokenCount,
    bound_request,
    count_message,
    count_request,
    count_text,
)
from tokmagic.tokenizers import counter

EXACT = counter("o200k_base")
ESTIMATE = counter("estimate")
IMAGE = Image("image/png", b"\x89PNG")
PARTS = [
    Text("Hello there"),
    IMAGE,
    Reasoning("Let me think", "c2lnbmF0dXJl", "b3BhcXVl"),
    ToolCall("call_1", "look", '{"at":"the sky"}'),
    ToolResult("call_1", (Text("It is blue"), IMAGE)),
    Compaction("So far: nothing.", "anthropic", '{"type":"compaction"}'),
    Compaction("", "openai", '{"type":"compaction"}'),
]
KINDS = ["text", "image", "reasoning", "tool call", "tool result", "summary", "opaque summary"]


def test_a_count_is_a_number_that_says_how_good_it_is():
    count = count_text("one two three", EXACT)
    assert count == 3
    assert (count.exact, count.margin, count.tokenizer) == (True, 0, "o200k_base")
    assert f"{count} of {count:,}" == "3 of 3"
    assert repr(count) == "TokenCount(3, exact, o200k_base)"


def test_an_estimate_states_its_margin():
    count = count_text("one two three four five six", ESTIMATE)
    assert not count.exact
    assert 0 < count.margin < count
    assert count.tokenizer == "estimate"
    assert f"±{count.margin}" in repr(count)


def test_a_count_survives_pickling():
    count = TokenCount(1_200, exact=False, margin=30, tokenizer="estimate")
    again = pickle.loads(pickle.dumps(count))  # noqa: S301
    assert (again, again.exact, again.margin, again.tokenizer) == (1_200, False, 30, "estimate")


def test_a_request_is_its_messages_and_the_opening_of_the_reply():
    messages = [system("Be brief."), user("one two three"), assistant("four")]
    expected = 3 * PER_MESSAGE + 3 + 3 + 1 + REPLY_PRIMING
    assert count_request(messages, (), EXACT) == expected
    assert count_request(messages, (), EXACT).exact


def test_tools_are_counted_as_compact_json_and_make_the_count_inexact():
    tool = Tool("look", "Look up", {"type": "object", "properties": {}})
    plain, offered = count_request([user("hi")], (), EXACT), count_request([user("hi")], [tool], EXACT)
    schema = '{"name":"look","description":"Look up","parameters":{"type":"object","properties":{}}}'
    assert offered - plain == EXACT.count(schema) + PER_MESSAGE
    assert not offered.exact
    assert offered.margin > 0


@pytest.mark.parametrize("counted", [EXACT, ESTIMATE], ids=["exact", "estimate"])
@pytest.mark.parametrize("part", PARTS, ids=KINDS)
def test_every_kind_of_part_is_counted_and_bounded(part, counted):
    without = count_request([user("hi")], (), counted)
    message = Message("assistant", (part,))
    whole = count_request([user("hi"), message], (), counted)
    assert whole - without == count_message(message, counted) > PER_MESSAGE
    assert bound_request([user("hi"), message], (), counted) > whole
    assert whole.exact == (counted is EXACT and isinstance(part, Text))


def test_an_image_takes_a_fixed_number_of_tokens_and_a_result_counts_what_is_in_it():
    assert count_message(Message("user", (IMAGE,)), EXACT) == PER_MESSAGE + PER_IMAGE
    result = ToolResult("call_1", (Text("one two"), IMAGE))
    assert count_message(Message("user", (result,)), EXACT) == PER_MESSAGE + PER_IMAGE + 2 + EXACT.count("call_1")


@settings(max_examples=200)
@given(st.lists(st.text(max_size=50), min_size=1, max_size=4))
def test_no_tokenizer_counts_more_than_the_bound_of_the_estimate(texts):
    messages = [user(text) for text in texts]
    bound = bound_request(messages, (), ESTIMATE)
    assert all(count_request(messages, (), counter(name)) < bound for name in ("o200k_base", "cl100k_base", "estimate"))


def test_offering_tools_raises_the_bound_by_more_than_their_text():
    tool = Tool("look")
    extra = bound_request([user("hi")], [tool], ESTIMATE) - bound_request([user("hi")], (), ESTIMATE)
    assert extra > 1_000


def test_a_conversation_that_grew_is_counted_where_it_is_new_and_counts_the_same():
    counted, fresh = ModelCounter(EXACT, PLAIN_CHAT), ModelCounter(EXACT, PLAIN_CHAT)
    asked = []
    counted.count = lambda text: asked.append(text) or EXACT.count(text)
    messages = [user(f"question {number}") for number in range(20)]
    for length in range(1, 21):
        fresh.threads.clear()
        assert count_request(messages[:length], (), counted) == count_request(messages[:length], (), fresh)
    assert asked.count("question 19") == asked.count("question 12") == 1


def test_a_conversation_that_was_changed_at_its_start_is_counted_anew():
    messages = [user("one two three")] * 20
    before = count_request(messages, (), EXACT)
    assert count_request([user("one"), *messages[1:]], (), EXACT) == before - 2
    assert count_request(messages[:12], (), EXACT) == 12 * (3 + PER_MESSAGE) + REPLY_PRIMING


def test_only_so_many_conversations_are_remembered():
    threads = Threads()
    for number in range(50):
        threads.tally(tuple(user(f"{number}") for _ in range(10)), lambda message: (1, 0))
    assert len(threads._known) == Threads.MOST
    threads.clear()
    assert not threads._known


def test_a_template_read_off_counts_around_each_role_and_is_not_exact():
    counted = ModelCounter(EXACT, Chat(system=0, user=1, assistant=2, opening=3, published=False))
    count = count_request([system("one"), user("one"), assistant("one")], (), counted)
    assert count == 3 + 0 + 1 + 2 + 3
    assert not count.exact
    assert count.loose == 6
    assert count.margin == 3


def test_an_image_is_counted_by_the_rule_of_its_model():
    large = Image(data=b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR" + (1_024).to_bytes(4, "big") * 2)
    counted = ModelCounter(EXACT, Chat(images=Tiles(85, 170)))
    assert count_message(Message("user", (large,)), counted) == PER_MESSAGE + 765
