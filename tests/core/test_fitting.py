"""A conversation that was made to fit is valid, fits, and says what it lost."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokmagic.core.errors import ConfigurationError, RequestTooLarge
from tokmagic.core.exchanges import is_question
from tokmagic.core.fitting import fit
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
from tokmagic.core.tokens import count_request
from tokmagic.core.truncation import STRATEGIES
from tokmagic.tokenizers import counter

EXACT = counter("o200k_base")
ESTIMATE = counter("estimate")
WORDS = "word " * 300


def called(*ids):
    return Message("assistant", tuple(ToolCall(id, "look", '{"at": 1}') for id in ids))


def answered(*ids, text="seen"):
    return Message("user", tuple(ToolResult(id, (Text(text),)) for id in ids))


def pinned(message):
    return Message(message.role, message.parts, pinned=True)


def numbers(messages, counter=EXACT):
    return count_request(messages, (), counter)


def assert_valid(messages):
    turns = [message for message in messages if message.role != "system"]
    assert is_question(turns[0])
    open_calls = set()
    for turn in turns:
        results = {part.call_id for part in turn.parts if isinstance(part, ToolResult)}
        assert results == open_calls
        open_calls = {part.id for part in turn.parts if isinstance(part, ToolCall)}


def test_what_fits_is_left_as_it_is():
    messages = (system("Be brief."), user("Hello"), assistant("Hi"), user("Bye"))
    fitted = fit(messages, numbers(messages), EXACT)
    assert fitted.messages == messages
    assert fitted.cuts == fitted.truncated == ()
    assert fitted.dropped == 0
    assert fitted.tokens == numbers(messages)


def test_the_oldest_turns_leave_first_and_the_cut_says_how_many_and_how_much():
    messages = [system("s"), *[user("question"), assistant("answer")] * 20, user("last")]
    fitted = fit(messages, numbers(messages) - 1, EXACT)
    assert fitted.messages == (messages[0], *messages[3:])
    (cut,) = fitted.cuts
    assert (cut.kind, cut.what, cut.tokens) == ("dropped turns", "the 2 oldest turns", 10)
    assert fitted.dropped == 2


def test_recent_turns_stay_and_long_texts_are_cut_instead():
    messages = [user("old"), assistant("old"), user(WORDS), assistant("a"), user("last")]
    fitted = fit(messages, 300, EXACT, keep_recent=3, strategy="end")
    assert fitted.dropped == 2
    assert [message.role for message in fitted.messages] == ["user", "assistant", "user"]
    assert fitted.tokens == 300
    assert fitted.cuts[1].what.startswith("the end of an earlier message, ")


def test_recent_turns_leave_when_cutting_texts_is_not_enough():
    messages = [user("a"), assistant(WORDS), user("b"), assistant(WORDS), user("last")]
    fitted = fit(messages, 100, EXACT)
    assert fitted.messages == (user("last"),)
    assert fitted.dropped == 4


def test_a_system_text_and_a_pinned_message_stay_with_the_exchange_they_are_in():
    messages = [system("s"), user("old"), pinned(assistant("keep this")), user(WORDS), assistant("b"), user("last")]
    fitted = fit(messages, 60, EXACT, keep_recent=0)
    assert fitted.messages == (*messages[:3], user("last"))
    assert fitted.cuts[0].what == "2 older turns"


def test_a_tool_call_and_its_results_leave_together():
    rounds = [m for n in range(12) for m in (called(f"x{n}", f"y{n}"), answered(f"x{n}", f"y{n}", text=WORDS))]
    messages = [user("question"), *rounds]
    fitted = fit(messages, 1_500, EXACT, keep_recent=2)
    assert fitted.messages[0] == user("question")
    assert fitted.messages[-2:] == tuple(messages[-2:])
    assert fitted.dropped % 2 == 0
    assert_valid(fitted.messages)


def test_old_tool_results_are_shortened_before_any_turn_is_dropped_the_oldest_most():
    rounds = [m for n in range(6) for m in (called(f"x{n}"), answered(f"x{n}", text=f"{n} {WORDS * 4}"))]
    messages = [user("question"), *rounds, assistant("answer"), user("last")]
    fitted = fit(messages, 4_000, EXACT, keep_recent=3, strategy="end")
    kept = [EXACT.count(m.parts[0].parts[0].text) for m in fitted.messages if isinstance(m.parts[0], ToolResult)]
    assert fitted.dropped == 0
    assert kept[:3] == [256] * 3
    assert 256 < kept[3] < kept[4] == kept[5] == EXACT.count("5 " + WORDS * 4)
    (cut,) = fitted.cuts
    assert cut.what.startswith("the end of 4 tools' results, ")
    assert_valid(fitted.messages)


def test_the_thinking_of_earlier_answers_goes_first_and_that_of_the_running_one_stays():
    thought = Reasoning("thinking " * 100, "c2lnbmVk")
    old = Message("assistant", (thought, Text("Hi")))
    running = Message("assistant", (thought, *called("a").parts))
    messages = [user("Hello"), old, user("last"), running, answered("a")]
    fitted = fit(messages, numbers(messages) - 1, EXACT)
    assert fitted.messages == (messages[0], assistant("Hi"), *messages[2:])
    (cut,) = fitted.cuts
    assert (cut.kind, cut.tokens) == ("dropped thinking", numbers(messages) - fitted.tokens)


def test_a_summary_of_earlier_turns_stays():
    summary = Message("user", (Compaction("They spoke of the sea."),))
    fitted = fit([summary, user(WORDS), assistant("b"), user("last")], 40, EXACT, keep_recent=0)
    assert fitted.messages == (summary, user("last"))


def test_of_what_is_far_too_long_only_samples_are_counted_and_the_loss_says_so():
    seen = []

    class Counting(type(EXACT)):
        def count(self, text):
            seen.append(len(text))
            return EXACT.count(text)

    text = "The quick brown fox jumps over it. " * 40_000
    messages = [*[user("question " + text[:7_000]), assistant(text[:7_000])] * 50, user(text)]
    fitted = fit(messages, 1_000, Counting("o200k_base"))
    total, lost = numbers(messages), sum(cut.tokens for cut in fitted.cuts)
    assert not any(cut.exact for cut in fitted.cuts)
    assert abs(fitted.tokens + lost - total) < total // 20
    assert sum(seen) < 100_000
    assert [cut.loss for cut in fitted.cuts] == [f"about −{cut.tokens:,} tokens" for cut in fitted.cuts]


def test_an_unanswered_call_keeps_its_place_at_the_end():
    messages = [user(WORDS), called("a"), answered("a", text=WORDS)]
    fitted = fit(messages, 100, EXACT, strategy="end")
    assert [message.role for message in fitted.messages] == ["user", "assistant", "user"]
    assert len(fitted.truncated) == 2
    assert {cut.what.split(",")[0] for cut in fitted.cuts} == {
        "the end of an earlier message",
        "the end of a tool's result",
    }


@pytest.mark.parametrize("counted", [EXACT, ESTIMATE], ids=["exact", "estimate"])
def test_one_long_message_is_cut_to_the_last_token_and_keeps_the_instruction_at_its_start(counted):
    message = user("Summarise this report in ten words. " + "The quick brown fox jumps over it. " * 3_000)
    fitted = fit([message], 1_000, counted, strategy="end")
    assert fitted.messages[0].text.startswith("Summarise this report in ten words. ")
    assert 998 <= fitted.tokens <= 1_000
    (cut,) = fitted.cuts
    total = counted.count(message.text)
    assert cut.tokens == total - counted.count(fitted.messages[0].text)
    assert cut.what == f"the end of your message, {total:,} tokens long"


def test_the_middle_is_cut_and_the_gap_is_marked_unless_another_strategy_is_asked_for():
    fitted = fit([user("Read this. " + WORDS + "Now sum it up.")], 100, EXACT)
    assert re.fullmatch(r"Read this\. .*characters cut.* Now sum it up\.", fitted.messages[0].text, re.DOTALL)
    assert fitted.cuts[0].what.startswith("the middle of your message, ")
    assert 98 <= fitted.tokens <= 100


def test_the_start_is_cut_when_asked_to():
    fitted = fit([user(WORDS + "Now do it.")], 50, EXACT, strategy="start")
    assert fitted.messages[0].text.endswith("Now do it.")
    assert fitted.tokens == 50


def test_the_longest_text_is_cut_first_and_the_others_stay_whole():
    parts = (Text("short one"), Text(WORDS), Image(url="https://example.org/a.png"), Text("short two"))
    fitted = fit([Message("user", parts)], 1_800, EXACT, strategy="end")
    assert fitted.messages[0].parts[0] == parts[0]
    assert fitted.messages[0].parts[2:] == parts[2:]
    assert fitted.tokens == 1_800


def test_tools_take_room_too():
    tool = Tool("look", "Look at something. " * 20, {"type": "object", "properties": {}})
    with_tools = fit([user(WORDS)], 200, EXACT, tools=[tool])
    assert count_request(with_tools.messages, [tool], EXACT) == 200
    assert with_tools.tokens == 200


def test_off_refuses_with_the_numbers():
    taken = int(numbers([user(WORDS)]))
    with pytest.raises(RequestTooLarge, match=rf"takes {taken} tokens and 100 are allowed") as caught:
        fit([user(WORDS)], 100, EXACT, strategy="off")
    assert (caught.value.tokens, caught.value.allowed) == (taken, 100)


@pytest.mark.parametrize(
    ("messages", "largest"),
    [
        ([system(WORDS), user("hi")], r"the system text \(305 tokens\)"),
        ([pinned(user(WORDS))], r"pinned messages \(305 tokens\)"),
        ([user("hi"), called("a"), answered("a")], r"the last question and turn \(23 tokens\)"),
    ],
    ids=["system", "pinned", "surroundings"],
)
def test_what_must_stay_and_does_not_fit_is_refused_with_what_it_is(messages, largest):
    with pytest.raises(RequestTooLarge, match=rf"and 8 are allowed: \d+ must go. Most of it is {largest}") as caught:
        fit(messages, 8, EXACT)
    least = caught.value.tokens
    assert fit(messages, least, EXACT).tokens == least


def test_a_text_is_never_cut_to_nothing():
    with pytest.raises(RequestTooLarge):
        fit([user("👨‍👩‍👧 " * 50)], 8, EXACT)


def test_unusable_options_are_refused():
    with pytest.raises(ConfigurationError, match="use one of end, start"):
        fit([user("hi")], 100, EXACT, strategy="sideways")
    with pytest.raises(ConfigurationError, match="keep_recent"):
        fit([user("hi")], 100, EXACT, keep_recent=-1)


TEXTS = st.one_of(
    st.text(min_size=1, max_size=40), st.sampled_from([WORDS, "Привет мир " * 60, "😀🇩🇪" * 40, "x = 1\n"])
)


@st.composite
def conversations(draw):
    messages = [system(draw(TEXTS))] if draw(st.booleans()) else []
    for n in range(draw(st.integers(1, 8))):
        messages.append(user(draw(TEXTS)))
        for round in range(draw(st.integers(0, 2))):
            ids = [f"call{n}.{round}.{k}" for k in range(draw(st.integers(1, 2)))]
            messages += [called(*ids), answered(*ids, text=draw(TEXTS))]
        messages.append(assistant(draw(TEXTS)))
    messages.append(user(draw(TEXTS)))
    return [pinned(m) if m.role == "user" and draw(st.integers(0, 9)) == 0 else m for m in messages]


@settings(max_examples=150)
@given(
    messages=conversations(),
    share=st.floats(0.02, 1.1),
    keep_recent=st.integers(0, 12),
    strategy=st.sampled_from(sorted(STRATEGIES)),
    counted=st.sampled_from([EXACT, ESTIMATE]),
)
def test_whatever_is_fitted_fits_is_valid_adds_up_and_stays_the_same(messages, share, keep_recent, strategy, counted):
    total = numbers(messages, counted)
    allowed = int(total * share)
    try:
        fitted = fit(messages, allowed, counted, keep_recent=keep_recent, strategy=strategy)
    except RequestTooLarge:
        assert allowed < 40 or any(m.role == "system" or m.pinned for m in messages)
        return
    assert fitted.tokens == numbers(fitted.messages, counted) <= allowed
    assert_valid(fitted.messages)
    assert fitted.tokens + sum(cut.tokens for cut in fitted.cuts) == total
    assert len(messages) - fitted.dropped == len(fitted.messages)
    assert [m for m in messages if m.role == "system" or m.pinned] == [
        m for m in fitted.messages if m.role == "system" or m.pinned
    ]
    places = iter(messages)
    assert all(any(_is_part_of(left, whole, strategy) for whole in places) for left in fitted.messages)
    assert (
        fit(fitted.messages, allowed, counted, keep_recent=keep_recent, strategy=strategy).messages == fitted.messages
    )


def _is_part_of(left, whole, strategy):
    return left.role == whole.role and all(
        new == old or not isinstance(new, Text) or (isinstance(old, Text) and _is_cut_of(new.text, old.text, strategy))
        for new, old in zip(left.parts, whole.parts, strict=False)
    )


def _is_cut_of(new, old, strategy):
    return strategy in ("middle", "smart") or new in old
