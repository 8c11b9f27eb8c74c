"""No history with open calls goes out as it is, whatever was left unanswered where."""

from __future__ import annotations

import random

from tests.soak import share
from tokmagic.codecs.registry import CODECS
from tokmagic.core.messages import Message, Request, Text, Tool, ToolCall, ToolResult, assistant, user
from tokmagic.core.toolcalls import closed, last_calls, not_run, open_calls, parted, with_results

TOOL = Tool("look", "Look.", {"type": "object", "properties": {}})


def calling(*ids: str) -> Message:
    return Message("assistant", tuple(ToolCall(id, "look") for id in ids))


def answering(*ids: str) -> Message:
    return Message("user", tuple(ToolResult(id, (Text("seen"),)) for id in ids))


def some_history(chance: random.Random) -> list[Message]:
    """A conversation in which some calls were answered, late results and all, and some were not."""
    messages = [user("Look.")]
    for number in range(chance.randint(1, 6)):
        ids = [f"call_{number % 4}_{place}" for place in range(chance.randint(1, 3))]
        messages.append(calling(*ids))
        answered = [id for id in ids if chance.random() < 0.6]
        if answered:
            messages.append(answering(*answered))
        if chance.random() < 0.4:
            messages.append(user("And?"))
        if chance.random() < 0.3:
            messages.append(assistant("Well."))
    return [*messages, user("Go on.")]


def test_every_closed_history_is_taken_by_every_service() -> None:
    for seed in range(share(100_000, 1_000)):
        messages = closed(some_history(random.Random(seed)))  # noqa: S311
        assert open_calls(messages) == []
        request = Request("claude", messages, 100, tools=(TOOL,))
        for codec in CODECS.values():
            codec.decode_request(codec.encode_request(request))


def test_the_calls_of_the_last_turn_are_left_for_those_who_run_them() -> None:
    messages = (user("Look."), calling("a"))
    assert closed(messages) == messages
    assert closed((*messages, user("Go on."))) == (*messages, *answered("a"), user("Go on."))


def test_calls_of_earlier_turns_are_left_for_good() -> None:
    assert last_calls([user("Look."), calling("a"), calling("b", "c"), answering("b")]) == (ToolCall("c", "look"),)
    assert last_calls([user("Look."), calling("a"), assistant("Well.")]) == ()
    assert last_calls([user("Look.")]) == ()


def test_the_calls_of_the_last_answer_are_those_that_are_open_in_the_whole_history() -> None:
    for seed in range(200):
        messages = some_history(random.Random(seed))  # noqa: S311
        last = max(place for place, message in enumerate(messages) if message.role == "assistant")
        assert last_calls(messages) == tuple(call for place, call in open_calls(messages) if place == last)


def answered(*ids: str) -> list[Message]:
    return [Message("user", tuple(not_run([ToolCall(id, "look") for id in ids], "the turn ended before it.")))]


def test_a_history_without_open_calls_stays_the_same() -> None:
    messages = (user("Look."), calling("a", "b"), answering("b", "a"), assistant("Seen."))
    assert closed(messages) == messages
    assert closed(()) == ()


def test_an_id_that_is_used_again_is_another_call() -> None:
    messages = (user("Look."), calling("a"), user("And?"), calling("a"), answering("a"), user("Go on."))
    assert [place for place, _ in open_calls(messages)] == [1]
    assert closed(messages) == (*messages[:2], *answered("a"), *messages[2:])


def test_results_stand_right_behind_the_last_answer() -> None:
    messages = [user("Look."), calling("a"), answering("a"), calling("a", "b"), user("Go on.")]
    results = [ToolResult("a", (Text("1"),)), ToolResult("b", (Text("2"),))]
    assert [call.id for call in last_calls(messages)] == ["a", "b"]
    assert with_results(messages, results) == [*messages[:4], Message("user", tuple(results)), messages[4]]
    assert with_results(messages, []) == messages


def test_what_is_said_stands_behind_the_last_answer() -> None:
    assert parted([user("Look.")]) == ([], (user("Look."),))
    assert parted([user("Look."), assistant("Seen.")]) == ([user("Look."), assistant("Seen.")], ())
    assert parted([assistant("Seen."), answering("a"), user("?")]) == (
        [assistant("Seen.")],
        (answering("a"), user("?")),
    )
