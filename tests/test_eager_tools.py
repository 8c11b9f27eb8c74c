"""Calls that run while the rest of their reply is still written."""

import asyncio
import threading

import pytest

from tests.patience import PATIENCE
from tests.scripted import ASK, MODELS, Scripted, add, calls, lambda_named, results, said, text_of
from tokmagic.client import AsyncClient
from tokmagic.core.errors import StreamBroken
from tokmagic.core.events import Completed, Finished, Started, TextDelta, ToolCallDelta, ToolFinished, ToolStarted
from tokmagic.core.messages import ToolCall, user
from tokmagic.sync import Client

ADD, TWICE = ("add", '{"a":1,"b":1}'), ("twice", '{"of":"}{"}')


class Written(Scripted):
    """A service that writes its calls piece by piece; ``between`` is awaited where the last of them is written."""

    between = None

    async def stream(self, request):
        self.requests.append(request)
        answer = self.script.pop(0)
        called = [part for part in answer.parts if isinstance(part, ToolCall)]
        yield Started()
        for index, call in enumerate(called):
            yield ToolCallDelta(index, call.id, call.name)
            for place in range(0, len(call.arguments), 4):
                yield ToolCallDelta(index, arguments=call.arguments[place : place + 4])
        if self.between is not None and called:
            await self.between()
        yield TextDelta("So.")
        yield Finished(answer)


@pytest.fixture
def written(make_parts):
    def script(*answers, between=None):
        parts = make_parts(kind=Written)
        parts.script, parts.between = list(answers), between
        return parts

    return script


def until(event):
    """Wait for a thread's event in the loop, at most so long that a test fails."""

    async def wait():
        assert await asyncio.to_thread(event.wait, PATIENCE), "the tool did not run while the reply was written"

    return wait


@pytest.mark.parametrize("face", ["sync", "async"])
def test_a_tool_runs_while_the_rest_of_its_reply_is_written(written, runner, face):
    ran, threads = threading.Event(), []

    def note() -> str:
        threads.append(threading.current_thread())
        ran.set()
        return "noted"

    parts = written(calls(("note", "{}")), said(), between=until(ran))
    if face == "sync":
        Client("demo/claude", parts=parts).run_tools("Go.", tools=[note], eager=True).until_done()
        assert threads == [threading.current_thread()]
    else:
        run = AsyncClient("demo/claude", parts=parts).run_tools("Go.", tools=[note], eager=True)
        runner.run(run.until_done())
    assert [text_of(result) for result in results(parts.requests[1])] == ["noted"]


def test_each_call_runs_once_and_results_stand_in_order(written):
    first, ran = threading.Event(), []

    def twice(of: str) -> str:
        ran.append(of)
        first.set()
        return of * 2

    async def waits() -> str:
        await until(first)()
        ran.append("waits")
        return "second"

    parts = written(calls(("waits", "{}"), TWICE, ADD), said())
    with Client("demo/claude", parts=parts).run_tools("Go.", tools=[waits, twice, add], eager=True).stream() as stream:
        kinds = [type(event) for event in stream]
    assert ran == ["}{", "waits"]
    assert [text_of(result) for result in results(parts.requests[1])] == ["second", "}{}{", "2"]
    assert [kinds.count(kind) for kind in (ToolStarted, ToolFinished, Completed)] == [3, 3, 1]


def test_what_the_tools_did_is_told_in_the_turn_that_called_them(written):
    parts = written(calls(ADD), said())
    turns = []
    for stream in Client("demo/claude", parts=parts).run_tools("Go.", tools=[add], eager=True).streams():
        with stream as events:
            turns.append([type(event) for event in events if isinstance(event, ToolStarted | ToolFinished | Completed)])
    assert turns == [[ToolStarted, ToolFinished, Completed], [Completed]]


def test_of_a_reply_that_is_cut_off_what_ran_is_told_and_the_half_written_call_never_runs(written):
    ran = []
    note = lambda_named("note", lambda n: ran.append(n) or n)
    parts = written(calls(("note", '{"n": 1}'), ("note", '{"n": 2'), reason="max_tokens"), said())
    run = Client("demo/claude", parts=parts).run_tools("Go.", tools=[note], eager=True)
    for reply in run:
        if reply.cut_off:
            run.append(user("Go on."))
    assert ran == [1]
    told, half = results(parts.requests[1])
    assert (text_of(told), told.is_error) == ("1", False)
    assert "not complete" in text_of(half)


def test_a_call_that_ran_does_not_run_again_when_more_is_said(written):
    ran = []
    parts = written(calls(("note", "{}")), said())
    run = Client("demo/claude", parts=parts).run_tools(
        "Go.", tools=[lambda_named("note", lambda: ran.append(1))], eager=True
    )
    for reply in run:
        if reply.tool_calls:
            run.append(user("Be brief."))
    assert ran == [1]
    assert len(results(parts.requests[1])) == 1


def test_a_call_that_the_whole_reply_makes_otherwise_is_run_as_that_says(written):
    parts = written(said())
    whole = calls(("add", '{"a":5,"b":5}'))

    async def stream(request):
        parts.requests.append(request)
        yield Started()
        if len(parts.requests) == 1:
            yield ToolCallDelta(0, "call_0", "add", '{"a":1,"b":1}')
        yield Finished(whole if len(parts.requests) == 1 else parts.script.pop())

    parts.stream = stream
    Client("demo/claude", parts=parts).run_tools("Go.", tools=[add], eager=True).until_done()
    assert [text_of(result) for result in results(parts.requests[1])] == ["10"]


@pytest.mark.parametrize(("last", "final"), [("\n", '{"n":1,"m":2}\n'), ("", '{"m": 2, "n": 1}')])
def test_a_call_that_the_whole_reply_only_writes_otherwise_does_not_run_again(written, last, final):
    ran = []
    parts, whole = written(said()), calls(("note", final))

    async def stream(request):
        parts.requests.append(request)
        yield Started()
        if len(parts.requests) == 1:
            yield ToolCallDelta(0, "call_0", "note", '{"n":1,"m":2}')
            yield ToolCallDelta(0, arguments=last)
        yield Finished(whole if len(parts.requests) == 1 else parts.script.pop())

    parts.stream = stream
    note = lambda_named("note", lambda n, m: ran.append((n, m)))
    Client("demo/claude", parts=parts).run_tools("Go.", tools=[note], eager=True).until_done()
    assert ran == [(1, 2)]
    assert len(results(parts.requests[1])) == 1


def test_arguments_too_deep_to_be_read_are_refused_to_the_model_and_not_to_the_caller(written):
    parts = written(calls(("note", '{"n":' + "[" * 5_000 + "]" * 5_000 + "}")), said())
    note = lambda_named("note", lambda n: n)
    reply = Client("demo/claude", parts=parts).run_tools("Go.", tools=[note], eager=True).until_done()
    assert reply.text == "Done."
    assert results(parts.requests[1])[0].is_error


def test_a_tool_that_runs_on_when_its_reply_is_whole_is_told_of_meanwhile(written, runner):
    seen = asyncio.Event()

    async def slow() -> str:
        await asyncio.wait_for(seen.wait(), PATIENCE)
        return "seen"

    async def watch(parts):
        run = AsyncClient("demo/claude", parts=parts).run_tools("Go.", tools=[slow], eager=True)
        async with run.stream() as events:
            async for event in events:
                if isinstance(event, ToolStarted):
                    seen.set()

    parts = written(calls(("slow", "{}")), said())
    runner.run(watch(parts))
    assert [text_of(result) for result in results(parts.requests[1])] == ["seen"]


def test_the_last_iteration_runs_no_call_and_without_the_option_none_runs_early(written):
    ran = []
    note = lambda_named("note", lambda: ran.append(len(parts.requests)))
    parts = written(calls(("note", "{}")), calls(("note", "{}")))
    Client("demo/claude", parts=parts).run_tools("Go.", tools=[note], eager=True, max_iterations=2).until_done()
    assert ran == [1]
    parts = written(calls(("note", "{}")))
    Client("demo/claude", parts=parts).run_tools("Go.", tools=[note], max_iterations=1).until_done()
    assert ran == [1]


def test_a_call_is_confirmed_before_it_runs_early(written):
    asked = []
    parts = written(calls(ADD), said())
    run = Client("demo/claude", parts=parts).run_tools("Go.", tools=[add], eager=True, confirm=asked.append)
    run.until_done()
    assert [call.arguments for call in asked] == [ADD[1]]
    assert "did not allow" in text_of(results(parts.requests[1])[0])


def test_tools_that_run_when_the_reply_breaks_off_are_ended(written, runner):
    begun, ended = asyncio.Event(), []

    async def hangs() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async def breaks():
        await begun.wait()
        raise StreamBroken("The connection was lost.")

    parts = written(calls(("hangs", "{}")), between=breaks)
    run = AsyncClient("demo/claude", parts=parts).run_tools("Go.", tools=[hangs], eager=True)
    with pytest.raises(StreamBroken):
        runner.run(run.until_done())
    assert ended == [True]


@pytest.mark.parametrize("model", MODELS)
def test_every_service_streams_what_runs_early(parts, model):
    ran = []
    note = lambda_named("add", lambda a, b: ran.append((a, b)) or a + b)
    last = Client(model, parts=parts).run_tools(ASK, tools=[note], eager=True).until_done()
    assert "The add tool returned: 5" in last.text
    assert ran == [(2, 3)]
