"""Scenarios of the SDKs' own runner tests that no other test here tells; docs/tools.md has the whole list."""

import asyncio
from contextvars import ContextVar

import pytest

from tests.scripted import ASK, add, calls, results, said, text_of
from tokmagic.core.errors import ConfigurationError
from tokmagic.core.messages import assistant, user
from tokmagic.sync import Client

ADD = ("add", '{"a": 2, "b": 3}')
WHOSE = ContextVar("whose", default="nobody's")


def test_a_compaction_asked_for_between_two_turns_keeps_the_open_call_for_its_result(parts):
    client = Client("demo/claude", parts=parts)
    thread = client.conversation("sums")
    for number in range(3):
        thread.messages += [user(f"The sum of day {number} was large. " * 200), assistant("Noted. " * 200)]
    run = client.run_tools(ASK, tools=[add], thread=thread)
    for reply in run:
        run.options["compact"] = "now" if reply.stop_reason == "tool_use" else "off"
    assert run.reply.receipt.compaction.replaced == 6
    assert "The add tool returned: 5" in run.reply.text


def test_what_one_run_said_is_all_that_another_needs_to_go_on(scripted):
    first = Client("demo/claude", parts=scripted(calls(ADD))).run_tools(ASK, tools=[add], max_iterations=1)
    first.until_done()
    parts = scripted(said("It is 5."))
    again = Client("demo/claude", parts=parts).run_tools(list(first.messages), tools=[add])
    assert again.until_done().text == "It is 5."
    assert [text_of(result) for result in results(parts.requests[0])] == ["5"]


def test_half_a_surrogate_in_a_tools_error_does_not_break_the_next_request(scripted):
    def look():
        raise ValueError("a broken \ud83d face")

    parts = scripted(calls(("look", "{}")), said())
    Client("demo/claude", parts=parts).run_tools(ASK, tools=[look]).until_done()
    assert text_of(results(parts.requests[-1])[0]) == "ValueError: a broken \ufffd face"


@pytest.mark.parametrize("field", ["tools", "messages", "input", "previous_response_id", "conversation", "stream"])
def test_what_the_run_itself_says_cannot_be_replaced_by_an_extra(scripted, field):
    with pytest.raises(ConfigurationError, match=f"extra_body cannot set {field}"):
        Client("demo/claude", parts=scripted()).run_tools(ASK, tools=[add], extra_body={field: None})


def test_what_a_call_sets_around_itself_is_not_seen_by_the_one_beside_it(scripted):
    seen = {}

    async def look(by: str) -> str:
        WHOSE.set(by)
        await asyncio.sleep(0)
        seen[by] = WHOSE.get()
        return by

    parts = scripted(calls(("look", '{"by": "Ahab"}'), ("look", '{"by": "Ishmael"}')), said())
    Client("demo/claude", parts=parts).run_tools(ASK, tools=[look]).until_done()
    assert seen == {"Ahab": "Ahab", "Ishmael": "Ishmael"}
    assert WHOSE.get() == "nobody's"
