"""The tool runner over the embedded server and, for replies that it never gives, over a scripted service."""

import asyncio
import json
import logging
import os
import signal
import threading
from base64 import b64encode
from collections import namedtuple
from dataclasses import dataclass
from typing import get_args

import pytest

from tests.patience import PATIENCE
from tests.scripted import ASK, MODELS, PIXEL, add, calls, lambda_named, results, said, text_of
from tokmagic.catalog import demo_models
from tokmagic.client import AsyncClient
from tokmagic.conversation import Conversation
from tokmagic.core.errors import BudgetExceeded, ConfigurationError, Interrupted, MalformedReply, QuotaExceeded
from tokmagic.core.events import Completed, Notice, TextDelta, ToolFinished, ToolStarted
from tokmagic.core.messages import Audio, Image, Message, Text, Tool, ToolCall, ToolResult, assistant, user
from tokmagic.core.replies import StopReason
from tokmagic.core.toolcalls import STEPS, closed
from tokmagic.functions import mcp_tools
from tokmagic.results import ToolError
from tokmagic.sync import Client


async def subtract(a: int, b: int) -> int:
    """Subtract."""
    return a - b


@pytest.fixture(params=["sync", "async"])
def every(request, runner):
    """All replies of a run, by either face."""

    def every(parts, prompt=ASK, model="demo/claude", **options):
        if request.param == "sync":
            return list(Client(model, parts=parts).run_tools(prompt, **options))

        async def collect():
            return [reply async for reply in AsyncClient(model, parts=parts).run_tools(prompt, **options)]

        return runner.run(collect())

    return every


@pytest.mark.parametrize("model", MODELS)
def test_a_tool_is_run_and_its_result_is_told(parts, every, model):
    first, last = every(parts, model=model, tools=[add])
    assert first.stop_reason == "tool_use"
    assert [(call.name, json.loads(call.arguments)) for call in first.tool_calls] == [("add", {"a": 2, "b": 3})]
    assert "The add tool returned: 5" in last.text
    assert last.stop_reason == "end"
    assert [entry.state for entry in parts.ledger.entries()] == ["settled", "settled"]


def test_a_model_that_calls_nothing_is_done_at_once(parts, every):
    (reply,) = every(parts, "The sea is deep.", tools=[add])
    assert "sea" in reply.text


def test_until_done_returns_the_last_reply_and_again_when_asked_again(parts, runner):
    run = Client("demo/claude", parts=parts).run_tools(ASK, tools=[add])
    assert "returned: 5" in run.until_done().text
    assert run.until_done() is run.reply

    async def last():
        return await AsyncClient("demo/claude", parts=parts).run_tools(ASK, tools=[add]).until_done()

    assert "returned: 5" in runner.run(last()).text


def test_a_run_that_was_left_goes_on_where_it_was(parts):
    run = Client("demo/claude", parts=parts).run_tools(ASK, tools=[add])
    for reply in run:
        assert reply.tool_calls
        break
    assert "returned: 5" in run.until_done().text
    assert len(parts.ledger.entries()) == 2


def test_parallel_calls_run_together_each_once_with_results_in_order(scripted, every):
    met, order = asyncio.Event(), []

    async def waits() -> str:
        order.append("waits")
        await met.wait()
        return "first"

    async def frees() -> str:
        order.append("frees")
        met.set()
        return "second"

    parts = scripted(calls(("waits", "{}"), ("frees", "{}"), ("add", '{"a":1,"b":1}')), said())
    every(parts, tools=[waits, frees, add])
    assert [text_of(result) for result in results(parts.requests[1])] == ["first", "second", "2"]
    assert [result.call_id for result in results(parts.requests[1])] == ["call_0", "call_1", "call_2"]
    assert sorted(order) == ["frees", "waits"]


def test_synchronous_tools_run_on_the_callers_thread_and_asynchronous_ones_in_the_loop(scripted):
    threads = {}

    def here() -> None:
        threads["here"] = threading.current_thread()

    async def there() -> None:
        threads["there"] = threading.current_thread()

    Client("demo/claude", parts=scripted(calls(("here", "{}"), ("there", "{}")), said())).run_tools(
        "Go.", tools=[here, there]
    ).until_done()
    assert threads["here"] is threading.current_thread()
    assert threads["there"] is not threading.current_thread()


def test_a_synchronous_tool_does_not_hold_up_the_loop_of_an_asynchronous_client(scripted, runner):
    release = threading.Event()

    def waits() -> str:
        return "freed" if release.wait(PATIENCE) else "stuck"

    async def go():
        run = AsyncClient("demo/claude", parts=parts).run_tools("Go.", tools=[waits])
        task = asyncio.ensure_future(run.until_done())
        while len(parts.requests) < 1:
            await asyncio.sleep(0)
        release.set()
        return await task

    parts = scripted(calls(("waits", "{}")), said())
    runner.run(go())
    assert text_of(results(parts.requests[1])[0]) == "freed"


@pytest.mark.parametrize(
    ("name", "arguments", "told", "logged"),
    [
        ("missing", "{}", "There is no tool missing. There are: fails, add.", "that there is not: missing"),
        ("fails", "{}", "RuntimeError: out of order", "the tool fails failed"),
        ("add", '{"a": 1}', "The arguments do not fit. b: Missing required argument.", "arguments that do not fit"),
        ("add", '{"a": "x", "b": 1}', "a: Input should be a valid integer", "arguments that do not fit"),
        ("add", '{"a": 1', "The arguments are no JSON", "arguments that do not fit"),
        ("add", '{"a": NaN, "b": 1}', "NaN is no JSON number", "arguments that do not fit"),
        ("add", "[1, 2]", "The arguments are a JSON object, not list.", "arguments that do not fit"),
    ],
)
def test_what_goes_wrong_with_a_call_is_told_to_the_model_and_the_loop_goes_on(
    scripted, every, caplog, name, arguments, told, logged
):
    def fails() -> None:
        raise RuntimeError("out of order")

    parts = scripted(calls((name, arguments), ("add", '{"a":1,"b":1}')), said())
    with caplog.at_level(logging.WARNING, "tokmagic"):
        replies = every(parts, tools=[fails, add])
    wrong, right = results(parts.requests[1])
    assert wrong.is_error
    assert told in text_of(wrong)
    assert (right.is_error, text_of(right)) == (False, "2")
    assert logged in caplog.text
    assert replies[-1].text == "Done."


def test_the_traceback_of_a_tool_is_in_the_log_and_not_told_to_the_model(scripted, every, caplog):
    def fails() -> None:
        raise ValueError("no \ud800 such thing")

    parts = scripted(calls(("fails", "{}")), said())
    with caplog.at_level(logging.ERROR, "tokmagic"):
        every(parts, tools=[fails])
    (record,) = [record for record in caplog.records if record.name == "tokmagic"]
    assert record.exc_info[0] is ValueError
    assert text_of(results(parts.requests[1])[0]) == "ValueError: no \ufffd such thing"


def test_what_a_tool_raises_as_its_error_is_told_word_for_word_and_logs_no_traceback(scripted, every, caplog):
    def look(place: str) -> str:
        raise ToolError(f"No chart of {place}; there is this one:", PIXEL, {"charts": ["north"]})

    parts = scripted(calls(("look", '{"place": "south"}')), said())
    with caplog.at_level(logging.WARNING, "tokmagic"):
        every(parts, tools=[look])
    (told,) = results(parts.requests[1])
    assert told.is_error
    assert told.parts == (
        Text("No chart of south; there is this one:"),
        Image("image/png", PIXEL),
        Text('{"charts":["north"]}'),
    )
    assert caplog.text == ""


@pytest.mark.parametrize("model", MODELS)
def test_a_tools_error_with_an_image_is_taken_by_every_service(parts, every, model):
    def draw() -> None:
        """Draw."""
        raise ToolError("Too dark:", PIXEL)

    assert "The draw tool returned: Too dark:" in every(parts, "use the draw tool", model, tools=[draw])[-1].text


def test_a_call_without_arguments_may_say_nothing_at_all(scripted, every):
    parts = scripted(calls(("today", "")), said())
    every(parts, tools=[lambda_named("today", lambda: "Monday")])
    assert text_of(results(parts.requests[1])[0]) == "Monday"


def test_every_reason_to_stop_is_classified():
    assert set(STEPS) == set(get_args(StopReason))


@pytest.mark.parametrize("reason", [reason for reason, step in STEPS.items() if step == "stop"])
def test_a_turn_that_was_cut_off_or_refused_runs_no_tool(scripted, every, reason):
    ran = []
    parts = scripted(calls(("note", "{}"), reason=reason))
    (reply,) = every(parts, tools=[lambda_named("note", lambda: ran.append(1))])
    assert reply.tool_calls
    assert ran == []


def test_a_service_that_ends_a_calling_turn_as_any_other_has_its_tools_run(scripted, every):
    parts = scripted(calls(("add", '{"a":1,"b":1}'), reason="end"), said())
    assert [reply.text for reply in every(parts, tools=[add])] == ["", "Done."]


@pytest.mark.parametrize("reason", ["pause", "compaction"])
def test_a_paused_turn_is_sent_back_unchanged_and_goes_on(scripted, every, reason):
    parts = scripted(said("Searching.", reason), said())
    replies = every(parts, "Go.", tools=[add])
    assert [reply.text for reply in replies] == ["Searching.", "Done."]
    assert parts.requests[1].messages == (user("Go."), assistant("Searching."))


def test_a_paused_turn_counts_as_an_iteration(scripted, every):
    parts = scripted(said("One.", "pause"), said("Two.", "pause"), said())
    replies = every(parts, "Go.", tools=[add], max_iterations=2)
    assert [reply.stop_reason for reply in replies] == ["pause", "iterations"]
    assert len(parts.requests) == 2


def test_the_end_by_iterations_is_said_by_the_last_reply_and_runs_nothing_more(scripted, every):
    ran = []
    parts = scripted(*[calls(("note", "{}")) for _ in range(3)])
    replies = every(parts, tools=[lambda_named("note", lambda: ran.append(1))], max_iterations=2)
    assert [reply.stop_reason for reply in replies] == ["tool_use", "iterations"]
    assert replies[-1].receipt.badges == ("ended before the model was done: max_iterations",)
    assert len(ran) == 1


def test_a_run_without_a_word_on_iterations_ends_all_the_same(scripted):
    parts = scripted(*[calls(("add", '{"a":1,"b":1}')) for _ in range(40)])
    assert Client("demo/claude", parts=parts).run_tools("Go.", tools=[add]).until_done().stop_reason == "iterations"
    assert len(parts.requests) == 25


@pytest.mark.parametrize("most", [0, -1, True, 1.5, "2"])
def test_iterations_are_a_whole_number(parts, most):
    with pytest.raises(ConfigurationError, match="whole number of 1 or more"):
        Client("demo/claude", parts=parts).run_tools(ASK, tools=[add], max_iterations=most)


def test_a_budget_ends_a_run_with_a_reply_that_says_so(parts, every):
    first, last = every(parts, tools=[add], limits=["1 requests/session"])
    assert first.tool_calls
    assert last.stop_reason == "budget"
    assert str(last).startswith("The run of tools ended after 1 turn. 1 requests/session has 0 requests left")
    assert "nothing was sent" in str(last)
    assert last.cost.nanousd == 0
    assert "ended before the model was done: a limit" in last.receipt.badges
    assert len(parts.ledger.entries()) == 1


def test_a_budget_that_allows_no_turn_at_all_is_an_error(parts, every):
    with pytest.raises(BudgetExceeded, match="nothing was sent"):
        every(parts, tools=[add], limits=["0.0001 usd/session"])


def test_a_limit_per_call_holds_for_the_run_as_a_whole(scripted):
    parts = scripted(*[calls(("add", '{"a":1,"b":1}')) for _ in range(9)])
    run = Client("demo/claude", parts=parts).run_tools("Go.", tools=[add], limits=["3 requests/call"])
    assert run.until_done().stop_reason == "budget"
    assert len(parts.requests) == 3


@pytest.mark.parametrize("limit", ["1 requests/session", "1 requests/call"])
def test_a_call_that_a_tool_makes_obeys_the_limits_of_the_run(scripted, every, limit):
    inner = []

    def ask() -> str:
        try:
            Client("demo/claude", parts=parts).send("What now?")
        except BudgetExceeded as error:
            inner.append(error)
        return "asked"

    parts = scripted(calls(("ask", "{}")), said())
    replies = every(parts, tools=[ask], limits=[limit])
    assert "requests" in str(inner[0])
    assert replies[-1].stop_reason == "budget"
    assert len(parts.requests) == 1


def test_calls_that_run_beside_each_other_in_a_run_share_its_limit_per_call(parts, every):
    async def ask(about: str) -> str:
        client, beside = AsyncClient("demo/chat", parts=parts), []
        async with client.stream(about, max_tokens=4_000) as events:
            async for event in events:
                if isinstance(event, TextDelta) and not beside:
                    beside.append(await client.send(f"{about} again", max_tokens=4_000))
        return beside[0].text

    first, _ = every(parts, "use the ask tool with about=rivers", tools=[ask], limits=["6k tokens/call"])
    asked = [entry.charge.ceiling.tokens for entry in parts.ledger.entries() if entry.model == "demo/chat"]
    assert len(asked) == 2
    assert sum(asked) + first.usage.total_tokens <= 6_000


def test_a_call_that_an_asynchronous_tool_makes_obeys_the_limits_of_the_client(scripted, runner):
    refused = []

    async def ask() -> None:
        try:
            await AsyncClient("demo/claude", parts=parts).send("What now?")
        except BudgetExceeded as error:
            refused.append(error)

    async def go():
        client = AsyncClient("demo/claude", parts=parts, limits=["1 requests/session"])
        return await client.run_tools("Go.", tools=[ask]).until_done()

    parts = scripted(calls(("ask", "{}")), said())
    assert runner.run(go()).stop_reason == "budget"
    assert len(refused) == 1


def test_a_tool_may_ask_a_model_itself(parts, every):
    def ask(about: str) -> str:
        return Client("demo/chat", parts=parts).send(about).text

    last = every(parts, "use the ask tool with about=rivers", tools=[ask])[-1]
    assert "The ask tool returned: *Demo engine" in last.text
    assert sorted(entry.model for entry in parts.ledger.entries()) == ["demo/chat", "demo/claude", "demo/claude"]


def test_a_run_that_is_made_again_costs_nothing_and_runs_its_tools(parts, every):
    ran = []
    add_and_note = lambda_named("add", lambda a, b: ran.append(1) or a + b)
    paid = [sum(reply.cost.nanousd for reply in every(parts, tools=[add_and_note], replay=True)) for _ in range(2)]
    assert paid[0] > 0
    assert paid[1] == 0
    assert ran == [1, 1]


def test_limits_of_a_run_do_not_outlive_it(scripted):
    parts = scripted(calls(("add", '{"a":1,"b":1}')), said(), said("Later."))
    Client("demo/claude", parts=parts).run_tools("Go.", tools=[add], limits=["2 requests/call"]).until_done()
    assert Client("demo/claude", parts=parts).send("And now?").text == "Later."


def test_a_service_that_uses_an_id_again_has_each_of_its_calls_run(scripted, every):
    parts = scripted(calls(("add", '{"a":1,"b":1}')), calls(("add", '{"a":2,"b":2}')), said())
    every(parts, "Go.", tools=[add])
    assert [text_of(result) for result in results(parts.requests[2])] == ["2", "4"]


def test_a_question_may_be_asked_in_the_loop_too(scripted, runner):
    async def confirm(call):
        await asyncio.sleep(0)
        return False

    async def go():
        return await AsyncClient("demo/claude", parts=parts).run_tools("Go.", tools=[add], confirm=confirm).until_done()

    parts = scripted(calls(("add", '{"a":1,"b":1}')), said())
    runner.run(go())
    assert "did not allow" in text_of(results(parts.requests[1])[0])


def test_the_response_can_be_looked_at_and_is_computed_once(scripted):
    ran = []
    parts = scripted(calls(("note", "{}")), said())
    run = Client("demo/claude", parts=parts).run_tools("Go.", tools=[lambda_named("note", lambda: ran.append(1))])
    looked = [(run.tool_response(), run.tool_response()) for _ in run]
    (one, two), nothing = looked
    assert one == two == parts.requests[1].messages[-1]
    assert nothing == (None, None)
    assert ran == [1]


def test_the_response_can_be_looked_at_asynchronously(scripted, runner):
    async def go():
        run = AsyncClient("demo/claude", parts=parts).run_tools("Go.", tools=[subtract])
        return [await run.tool_response() async for _ in run]

    parts = scripted(calls(("subtract", '{"a":3,"b":1}')), said())
    assert runner.run(go()) == [Message("user", (ToolResult("call_0", (Text("2"),)),)), None]


def test_the_response_is_computed_anew_only_after_messages_were_changed(scripted):
    ran = []
    parts = scripted(calls(("note", "{}")), said())
    run = Client("demo/claude", parts=parts).run_tools("Go.", tools=[lambda_named("note", lambda: ran.append(1))])
    for reply in run:
        if reply.tool_calls:
            run.tool_response()
            run.append(user("Be brief."))
            run.tool_response()
    assert ran == [1, 1]
    assert [message.role for message in parts.requests[1].messages] == ["user", "assistant", "user", "user"]
    assert parts.requests[1].messages[-1] == user("Be brief.")


def test_a_response_that_was_changed_and_appended_is_sent_as_it_is(scripted):
    ran = []
    parts = scripted(calls(("note", "{}")), said())
    run = Client("demo/claude", parts=parts).run_tools("Go.", tools=[lambda_named("note", lambda: ran.append(1))])
    for reply in run:
        if reply.tool_calls:
            run.append(reply.message, Message("user", (ToolResult("call_0", (Text("as I say"),)),)))
    assert ran == []
    assert [text_of(result) for result in results(parts.requests[1])] == ["as I say"]
    assert len(parts.requests[1].messages) == 3


def test_a_run_that_is_done_goes_on_with_what_is_appended(scripted, every):
    parts = scripted(said("One."), said("Two."))
    run = Client("demo/claude", parts=parts).run_tools("Go.", tools=[add])
    texts = []
    for reply in run:
        texts.append(reply.text)
        if len(texts) == 1:
            run.append(user("And then?"))
    assert texts == ["One.", "Two."]
    assert parts.requests[1].messages == (user("Go."), assistant("One."), user("And then?"))


def test_a_turn_that_was_cut_off_and_goes_on_has_its_calls_answered_without_running_them(scripted):
    ran = []
    parts = scripted(calls(("note", "{}"), reason="max_tokens"), said())
    run = Client("demo/claude", parts=parts).run_tools("Go.", tools=[lambda_named("note", lambda: ran.append(1))])
    for reply in run:
        if reply.cut_off:
            run.append(user("Go on."))
    (answered,) = results(parts.requests[1])
    assert answered.is_error
    assert "not complete" in text_of(answered)
    assert ran == []


def test_messages_and_options_can_be_replaced_between_turns(scripted):
    parts = scripted(calls(("add", '{"a":1,"b":1}')), said())
    run = Client("demo/claude", parts=parts).run_tools("Go.", tools=[add])
    for reply in run:
        if reply.tool_calls:
            run.messages = [user("Go slowly."), reply.message]
            run.options["max_tokens"] = 77
    assert parts.requests[1].messages[0] == user("Go slowly.")
    assert text_of(results(parts.requests[1])[0]) == "2"
    assert parts.requests[1].max_tokens == 77


def subtracting(name):
    return lambda_named(name, lambda a, b: a - b)


def test_tools_may_be_added_and_taken_away_between_turns(scripted):
    parts = scripted(
        calls(("add", '{"a":1,"b":1}')), calls(("add", '{"a":1,"b":1}'), ("less", '{"a":3,"b":1}')), said()
    )
    run = Client("demo/claude", parts=parts).run_tools("Go.", tools=[add])
    for place, reply in enumerate(run):
        assert reply.tool_calls or place == 2
        if place == 0:
            run.tool_response()
            run.tools = [*run.tools, subtracting("less")]
        elif place == 1:
            run.tools = run.tools[1:]
    assert [[tool.name for tool in request.tools] for request in parts.requests] == [["add"], ["add", "less"], ["less"]]
    assert [text_of(result) for result in results(parts.requests[1])] == ["2"]
    unknown, less = results(parts.requests[2])[1:]
    assert "There is no tool add. There are: less." in text_of(unknown)
    assert text_of(less) == "2"


def test_a_tool_that_takes_the_place_of_another_runs_the_calls_that_wait(parts, runner):
    async def go():
        run = AsyncClient("demo/claude", parts=parts).run_tools(ASK, tools=[add])
        async for reply in run:
            if reply.tool_calls:
                run.tools = [subtracting("add")]
        return run

    run = runner.run(go())
    assert "returned: -1" in run.reply.text
    assert [tool.__name__ for tool in run.tools] == ["add"]


def test_tools_that_are_none_are_refused_and_the_run_keeps_those_it_has(scripted):
    parts = scripted(calls(("add", '{"a":1,"b":1}')), said())
    run = Client("demo/claude", parts=parts).run_tools("Go.", tools=[add])
    with pytest.raises(ConfigurationError, match="is no tool"):
        run.tools = ["add"]
    run.options["tools"] = [add]
    with pytest.raises(ConfigurationError, match="set its tools instead"):
        run.until_done()
    del run.options["tools"]
    assert run.tools == (add,)
    assert run.until_done().text == "Done."


class Session:
    """A session with a server of tools, whose results have the fields of the ``mcp`` package, before and after 2."""

    Listed = namedtuple("Listed", "name description inputSchema")
    Returned = namedtuple("Returned", "content structured_content is_error")
    Older = namedtuple("Older", "content structuredContent isError")
    Said, Shown, Held = namedtuple("Said", "text"), namedtuple("Shown", "data"), namedtuple("Held", "resource")

    def __init__(self, returned):
        self.asked, self._returned = [], returned

    async def call_tool(self, name, arguments):
        self.asked.append((name, arguments))
        return self._returned


DRAWN, DOT = b64encode(PIXEL).decode(), Image("image/png", PIXEL)


@pytest.mark.parametrize(
    ("returned", "parts_sent", "is_error"),
    [
        (Session.Returned([Session.Said("a")], {"b": 1}, False), (Text("a"),), False),
        (Session.Older([Session.Shown(DRAWN)], None, False), (DOT,), False),
        (Session.Returned([Session.Held(Session.Said("read"))], None, False), (Text("read"),), False),
        (Session.Older([], {"b": 1}, False), (Text('{"b":1}'),), False),
        (Session.Returned([], None, False), (), False),
        (Session.Older([Session.Said("no such place")], None, True), (Text("no such place"),), True),
        (Session.Returned([Session.Said("no"), Session.Shown(DRAWN)], None, True), (Text("no"), DOT), True),
    ],
)
def test_tools_of_an_mcp_server_are_called_and_their_results_read(scripted, runner, returned, parts_sent, is_error):
    async def go():
        tools = mcp_tools(session, [Session.Listed("look", None, {"type": "object", "properties": {}})])
        return await AsyncClient("demo/claude", parts=parts).run_tools("Go.", tools=tools).until_done()

    session, parts = Session(returned), scripted(calls(("look", '{"at": "north"}')), said())
    runner.run(go())
    (result,) = results(parts.requests[1])
    assert session.asked == [("look", {"at": "north"})]
    assert (result.parts, result.is_error) == (parts_sent, is_error)


def test_a_sound_is_no_result_and_its_bytes_are_not_sent_as_text(scripted):
    def listen() -> Audio:
        """Listen."""
        return Audio(b"RIFF" * 1_000)

    parts = scripted(calls(("listen", "{}")), said())
    Client("demo/claude", parts=parts).run_tools("Go.", tools=[listen]).until_done()
    (result,) = results(parts.requests[1])
    assert result.is_error
    assert text_of(result) == "TypeError: the result of a tool is text and images, no sound: return its words"


def test_functions_that_can_be_listed_only_once_are_offered(scripted):
    parts = scripted(said())
    Client("demo/claude", parts=parts).run_tools("Add.", tools=(tool for tool in [add])).until_done()
    assert [tool.name for tool in parts.requests[0].tools] == ["add"]


@pytest.mark.parametrize("model", MODELS)
def test_the_events_of_each_turn_can_be_watched(parts, runner, model):
    turns = []
    for stream in Client(model, parts=parts).run_tools(ASK, tools=[add]).streams():
        with stream as events:
            turns.append([type(event) for event in events])
    assert ToolStarted not in turns[0]
    assert turns[1][:2] == [ToolStarted, ToolFinished]
    assert TextDelta in turns[1]
    assert [turn[-1] for turn in turns] == [Completed, Completed]

    async def watch():
        kinds = set()
        async for stream in AsyncClient(model, parts=parts).run_tools(ASK, tools=[add]).streams():
            async with stream as events:
                kinds |= {type(event) async for event in events}
        return kinds

    assert {ToolStarted, ToolFinished, TextDelta, Completed} <= runner.run(watch())


def test_a_turn_that_nobody_watches_is_gone_through_all_the_same(parts):
    run = Client("demo/claude", parts=parts).run_tools(ASK, tools=[add])
    assert len(list(run.streams())) == 2
    assert "returned: 5" in run.reply.text


def test_a_whole_run_is_one_call_with_one_receipt(parts):
    with Client("demo/claude", parts=parts).run_tools(ASK, tools=[add]).stream() as stream:
        events = list(stream)
    entries = parts.ledger.entries()
    assert [type(event) for event in events].count(Completed) == 1
    assert "returned: 5" in stream.reply.text
    assert stream.reply.receipt.calls == 2
    assert stream.reply.cost.nanousd == sum(entry.nanousd for entry in entries)
    assert stream.reply.usage.output_tokens == sum(entry.usage.output_tokens for entry in entries)


def test_a_whole_run_that_a_limit_ends_counts_the_calls_that_were_made(parts):
    run = Client("demo/claude", parts=parts).run_tools(ASK, tools=[add], limits=["1 requests/call"])
    with run.stream() as stream:
        assert [type(event) for event in stream].count(Completed) == 1
    assert (stream.reply.stop_reason, stream.reply.receipt.calls) == ("budget", 1)
    assert stream.reply.cost.nanousd == parts.ledger.entries()[0].nanousd


def test_an_interrupted_tool_ends_the_run_with_a_reply_that_says_so(scripted):
    def hangs() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        threading.Event().wait(PATIENCE)

    parts = scripted(calls(("hangs", "{}"), text="I look."), said())
    run = Client("demo/claude", parts=parts).run_tools("Go.", tools=[hangs])
    with pytest.raises(Interrupted) as stopped:
        run.until_done()
    assert stopped.value.reply.stopped
    assert stopped.value.reply.text == "I look."
    assert list(run) == []
    assert len(parts.requests) == 1


def test_what_ran_before_an_interrupt_stays_in_the_thread_and_the_rest_is_told_not_to_have_run(scripted):
    def hangs() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        threading.Event().wait(PATIENCE)

    thread = Conversation("talk")
    parts = scripted(calls(("add", '{"a":1,"b":1}'), ("hangs", "{}"), ("add", '{"a":2,"b":2}')), said())
    client = Client("demo/claude", parts=parts)
    with pytest.raises(Interrupted):
        client.run_tools("Go.", tools=[add, hangs], thread=thread).until_done()
    client.send("And?", thread=thread)
    told = {result.call_id: text_of(result) for result in results(parts.requests[1])}
    assert told["call_0"] == "2"
    assert told["call_1"].startswith("Not run")
    assert told["call_2"].startswith("Not run")


def test_an_interrupt_of_a_whole_run_keeps_what_was_paid(scripted):
    def hangs() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        threading.Event().wait(PATIENCE)

    def watched(stream):
        with stream as events:
            for _ in events:
                pass

    parts = scripted(calls(("hangs", "{}")), said())
    stream = Client("demo/claude", parts=parts).run_tools("Go.", tools=[hangs]).stream()
    with pytest.raises(Interrupted, match="kept"):
        watched(stream)
    assert stream.reply.stopped
    assert stream.reply.cost.nanousd == parts.ledger.entries()[0].nanousd


def test_a_cancelled_run_ends_its_asynchronous_tools(scripted, runner):
    ended = []

    begun = asyncio.Event()

    async def hangs() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async def go():
        task = asyncio.ensure_future(
            AsyncClient("demo/claude", parts=parts).run_tools("Go.", tools=[hangs]).until_done()
        )
        await begun.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    parts = scripted(calls(("hangs", "{}")), said())
    runner.run(go())
    assert ended == [True]


def test_a_thread_grows_by_every_turn_and_can_go_on_without_tools(parts):
    client, thread = Client("demo/claude", parts=parts), Conversation("talk")
    client.run_tools(ASK, tools=[add], thread=thread).until_done()
    assert [message.role for message in thread.messages] == ["user", "assistant", "user", "assistant"]
    assert client.send("And what is the sea?", thread=thread).text


def test_what_a_tool_returned_is_not_lost_when_the_next_turn_fails(scripted, every):
    thread = Conversation("talk")
    parts = scripted(calls(("add", '{"a":1,"b":1}')), QuotaExceeded("out"), said())
    with pytest.raises(QuotaExceeded):
        every(parts, "Go.", tools=[add], thread=thread)
    assert text_of(thread.messages[-1].parts[0]) == "2"
    Client("demo/claude", parts=parts).send("Again.", thread=thread)
    assert [text_of(result) for result in results(parts.requests[-1])] == ["2"]


def test_a_call_that_was_never_answered_is_answered_before_the_thread_goes_on(scripted):
    thread = Conversation("talk")
    parts = scripted(calls(("add", '{"a":1,"b":1}')), said())
    client = Client("demo/claude", parts=parts)
    client.run_tools("Go.", tools=[add], thread=thread, max_iterations=1).until_done()
    client.send("What is the sea?", thread=thread)
    (answered,) = results(parts.requests[1])
    assert answered.is_error
    assert closed(tuple(thread.messages)) == (
        *thread.messages[:2],
        Message("user", (answered,)),
        *thread.messages[2:],
    )


def test_a_call_that_an_earlier_run_left_is_never_run_by_a_later_one(scripted, every):
    ran, thread = [], Conversation("talk")
    note = lambda_named("note", lambda: ran.append(1))
    parts = scripted(calls(("note", "{}")), calls(("add", '{"a":1,"b":1}')), said())
    Client("demo/claude", parts=parts).run_tools("Go.", tools=[note], thread=thread, max_iterations=1).until_done()
    every(parts, "Go on.", tools=[note, add], thread=thread)
    assert ran == []
    assert [result.is_error for result in results(parts.requests[2])] == [True, False]


def test_a_history_that_ends_with_a_call_has_it_run_first(scripted, every):
    parts = scripted(said())
    asked = Message("assistant", (ToolCall("call_0", "add", '{"a":1,"b":1}'),))
    every(parts, [user("Go."), asked], tools=[add])
    assert text_of(results(parts.requests[0])[0]) == "2"


def test_a_long_result_is_shortened_and_says_so_to_everyone(scripted):
    def reads() -> str:
        return "START " + "The sea is deep and blue. " * 40_000 + "END"

    parts = scripted(calls(("reads", "{}")), said())
    with Client("demo/claude", parts=parts).run_tools("Go.", tools=[reads]).stream() as stream:
        notices = [event.text for event in stream if isinstance(event, Notice)]
    text = text_of(results(parts.requests[1])[0])
    assert text.startswith("START")
    assert "END" in text
    assert "tokens of its middle are left out.]" in text
    assert parts.counter(demo_models()["claude"]).count(text) < 20_100
    assert "The result of reads is shortened" in notices[0]
    assert stream.reply.truncated[0].kind == "truncated text"
    assert stream.reply.receipt.dropped_tokens > 100_000


@dataclass
class Point:
    x: int
    y: int = 0


class Drawn:
    def _repr_png_(self):
        return PIXEL


@pytest.mark.parametrize(
    ("returned", "parts_sent"),
    [
        ("plain", (Text("plain"),)),
        (None, ()),
        (True, (Text("true"),)),
        ({"käse": [1, 2.5]}, (Text('{"käse":[1,2.5]}'),)),
        (Point(1), (Text('{"x":1,"y":0}'),)),
        (Text("said"), (Text("said"),)),
        (PIXEL, (Image("image/png", PIXEL),)),
        (Drawn(), (Image("image/png", PIXEL),)),
        (["See:", Drawn()], (Text("See:"), Image("image/png", PIXEL))),
        (float("nan"), (Text('"NaN"'),)),
        (b"\xff\xfe", (Text("b'\\xff\\xfe'"),)),
        ("\ud800", (Text("\ufffd"),)),
    ],
)
def test_what_a_tool_returns_becomes_text_images_or_json(scripted, returned, parts_sent):
    parts = scripted(calls(("give", "{}")), said())
    Client("demo/claude", parts=parts).run_tools("Go.", tools=[lambda_named("give", lambda: returned)]).until_done()
    assert results(parts.requests[1])[0].parts == parts_sent


@pytest.mark.parametrize("model", MODELS)
def test_an_image_that_a_tool_returns_is_taken_by_every_service(parts, model):
    def draw() -> list[object]:
        """Draw."""
        return ["A dot:", Image("image/png", PIXEL)]

    last = Client(model, parts=parts).run_tools("use the draw tool", tools=[draw]).until_done()
    assert "The draw tool returned: A dot:" in last.text


@pytest.mark.parametrize("model", MODELS)
def test_the_last_answer_is_a_value_of_the_type_asked_for(parts, every, model):
    replies = every(parts, model=model, tools=[add], output=Point)
    assert [type(reply.output) for reply in replies] == [type(None), Point]


def test_an_answer_of_another_type_is_an_error_and_kept(scripted):
    parts = scripted(said('{"x": "far"}'))
    run = Client("demo/claude", parts=parts).run_tools("Go.", tools=[add], output=Point)
    with pytest.raises(MalformedReply, match="The answer is no Point: x: Input should be a valid integer"):
        run.until_done()
    assert run.reply.text == '{"x": "far"}'


def test_a_run_may_have_no_tools_and_only_a_type(scripted):
    parts = scripted(said('{"x": 3}'))
    assert Client("demo/claude", parts=parts).run_tools("Go.", output=Point).until_done().output == Point(3)


def test_a_call_is_made_only_if_it_is_confirmed_with_its_exact_arguments(scripted, every):
    asked, ran = [], []

    def note(text: str) -> None:
        ran.append(text)

    def confirm(call):
        asked.append((call.name, call.arguments))
        return "yes" in call.arguments

    parts = scripted(calls(("note", '{"text": "no"}'), ("note", '{"text":"yes"}')), said())
    every(parts, tools=[note], confirm=confirm)
    assert asked == [("note", '{"text": "no"}'), ("note", '{"text":"yes"}')]
    assert ran == ["yes"]
    refused, made = results(parts.requests[1])
    assert (refused.is_error, made.is_error) == (True, False)
    assert "did not allow" in text_of(refused)


@pytest.mark.parametrize(
    ("tool", "match"),
    [
        (lambda: 1, "is no tool"),
        ("add", "is no tool"),
        (print, "without names"),
        (lambda_named("by_place", lambda a, /: a), "takes a without names"),
        (Tool("add"), "only describes"),
    ],
)
def test_what_no_model_can_call_is_refused_before_anything_is_sent(parts, tool, match):
    with pytest.raises(ConfigurationError, match=match):
        Client("demo/claude", parts=parts).run_tools(ASK, tools=[tool])


def test_two_tools_of_one_name_are_refused(parts):
    with pytest.raises(ConfigurationError, match="Two tools are named add"):
        Client("demo/claude", parts=parts).run_tools(ASK, tools=[add, add])


def test_a_call_in_parts_takes_no_tools(parts):
    with pytest.raises(ConfigurationError, match="choose another"):
        Client("demo/claude", parts=parts).run_tools(ASK, tools=[add], truncate="split")


def test_an_unknown_option_is_named(parts):
    with pytest.raises(ConfigurationError, match="iterations"):
        Client("demo/claude", parts=parts).run_tools(ASK, tools=[add], iterations=3)


def test_tools_can_be_described_to_a_plain_call_which_runs_none(parts):
    reply = Client("demo/claude", parts=parts).send(ASK, tools=[add])
    assert [call.name for call in reply.tool_calls] == ["add"]
    assert reply.stop_reason == "tool_use"


def test_a_compaction_in_the_loop_sends_no_open_call(parts, every):
    thread = Conversation(
        "talk", tuple(turn for n in range(30) for turn in (user(f"Fact {n}. " * 40), assistant("Yes. " * 40)))
    )
    replies = every(parts, tools=[add], thread=thread, compact="now")
    assert "returned: 5" in replies[-1].text
    assert thread.compactions
