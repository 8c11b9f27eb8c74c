"""A summary without a model: what it keeps, how long it is, and that it never changes."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tokmagic.core.extracting import extract
from tokmagic.core.messages import Compaction, Image, Message, Text, ToolCall, ToolResult, assistant, user
from tokmagic.core.summarising import SUMMARY_HEAD, headed
from tokmagic.tokenizers import counter

COUNTER = counter("o200k_base")
SMALL_TALK = "The ships sail and the wind blows over the sea. " * 20


def thread(facts):
    return [said for fact in facts for said in (user(f"{SMALL_TALK}{fact} {SMALL_TALK}"), assistant(SMALL_TALK))]


def test_what_is_said_once_is_kept_and_what_is_said_again_and_again_is_said_once():
    facts = [f"The code of harbour {number} is QX{number * 37}." for number in range(50)]
    summary = extract(thread(facts), 1_500, COUNTER.count)
    assert [fact for fact in facts if fact not in summary] == []
    assert summary.count("The ships sail and the wind blows over the sea.") <= 2


def test_decisions_stay_before_chatter():
    said = [user("we walk along the shore and look at birds"), assistant("we decided to never use the old key again")]
    summary = extract(said, 20, COUNTER.count)
    assert "decided" in summary
    assert "birds" not in summary


def test_what_it_is_asked_to_keep_stays():
    said = [
        user(f"{word} are found in the garden behind the house.") for word in ("roses", "tulips", "lilies", "ferns")
    ]
    for word in ("tulips", "ferns"):
        summary = extract(said, 30, COUNTER.count, focus=f"what about the {word}?")
        assert word in summary


def test_an_earlier_summary_goes_into_the_next_one():
    first = extract(thread(["The gate opens at 06:45."]), 300, COUNTER.count)
    second = extract(
        [Message("user", (Compaction(headed(first)),)), *thread(["The gate closes at 22:15."])], 300, COUNTER.count
    )
    assert "The gate opens at 06:45." in second
    assert "The gate closes at 22:15." in second
    assert SUMMARY_HEAD not in second


def test_tools_are_told_and_images_are_not():
    said = [
        user("Look.", Image("image/png", b"x")),
        Message("assistant", (ToolCall("1", "look_up", '{"at": 7}'),)),
        Message("user", (ToolResult("1", (Text("Found 42 ships."),)),)),
    ]
    summary = extract(said, 200, COUNTER.count)
    assert 'assistant: called look_up with {"at": 7}' in summary
    assert "tool: Found 42 ships." in summary


def test_a_long_line_is_taken_apart_and_loses_nothing():
    words = [f"w{number}x" for number in range(400)]
    summary = extract([user(" ".join(words))], 5_000, COUNTER.count)
    assert [word for word in words if word not in summary] == []
    family = "👩‍👩‍👧"
    lines = extract([user(family * 300)], 50_000, COUNTER.count).split("\n")
    assert lines
    assert not any(line.removeprefix("- user: ").replace(family, "") for line in lines)


@settings(max_examples=60)
@given(st.lists(st.text(max_size=400), max_size=6), st.integers(1, 200))
def test_it_is_never_longer_than_asked_and_always_the_same(texts, most):
    messages = [user(text) for text in texts]
    summary = extract(messages, most, COUNTER.count)
    assert COUNTER.count(summary) <= most
    assert extract(messages, most, COUNTER.count) == summary
