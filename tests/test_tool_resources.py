"""Tools that hold something open: entered before their first call, and left when nobody goes through the run."""

import asyncio
import threading
from contextlib import aclosing

import anyio
import pytest

from tests.scripted import ASK, calls, results, said, text_of
from tokmagic.client import AsyncClient
from tokmagic.core.errors import BudgetExceeded, Interrupted, ProviderError
from tokmagic.core.events import ToolFinished
from tokmagic.holding import Holdings
from tokmagic.sync import Client

USE = ("look", "{}")


class Lookout:
    """A tool that writes down what happens to it, and where."""

    name = "look"
    description = "Look around."

    def __init__(self):
        self.input_schema = {"type": "object", "properties": {}}
        self.log, self.threads = [], set()

    def call(self, arguments):
        assert self.log[-1] != "left", "called while it is closed"
        self.note("called")
        return "a whale"

    def note(self, what):
        self.log.append(what)
        self.threads.add(threading.current_thread())


class Here(Lookout):
    def __enter__(self):
        self.note("entered")
        return self

    def __exit__(self, *_):
        self.note("left")


class InLoop(Lookout):
    """Its task group insists on being left by the task that entered it."""

    async def __aenter__(self):
        self.note("entered")
        self.group = anyio.create_task_group()
        await self.group.__aenter__()
        return self

    async def __aexit__(self, *raised):
        await self.group.__aexit__(*raised)
        self.note("left")

    async def call(self, arguments):
        return super().call(arguments)


KINDS = pytest.mark.parametrize("kind", [Here, InLoop])


class Face:
    """Either client, with the ways to go through a run."""

    def __init__(self, runner, is_async):
        self.runner, self.is_async = runner, is_async

    def run(self, parts, tool, **options):
        client = (AsyncClient if self.is_async else Client)("demo/claude", parts=parts)
        return client.run_tools(ASK, tools=[tool], **options)

    def to_the_end(self, run):
        return self.runner.run(run.until_done()) if self.is_async else run.until_done()

    def as_one_call(self, run):
        if not self.is_async:
            with run.stream() as stream:
                return list(stream)

        async def watch():
            async with run.stream() as stream:
                return [event async for event in stream]

        return self.runner.run(watch())

    def first(self, run):
        """Go on to the first reply and leave the run there."""
        if not self.is_async:
            for _ in run:
                return

        async def leave():
            async with aclosing(aiter(run)) as replies:
                await anext(replies)

        self.runner.run(leave())

    def response(self, run):
        return self.runner.run(run.tool_response()) if self.is_async else run.tool_response()


@pytest.fixture(params=["sync", "async"])
def face(request, runner):
    return Face(runner, request.param == "async")


@KINDS
def test_it_is_entered_once_and_left_at_the_end_of_the_run(scripted, face, kind):
    tool = kind()
    parts = scripted(calls(USE, USE), calls(USE), said())
    face.to_the_end(face.run(parts, tool))
    assert tool.log == ["entered", "called", "called", "called", "left"]


@KINDS
def test_a_run_as_one_call_leaves_it_too(scripted, face, kind):
    tool = kind()
    face.as_one_call(face.run(scripted(calls(USE), said()), tool))
    assert tool.log == ["entered", "called", "left"]


@KINDS
def test_one_that_is_never_called_is_never_entered(scripted, face, kind):
    tool = kind()
    face.to_the_end(face.run(scripted(said()), tool))
    face.to_the_end(face.run(scripted(calls(USE), said()), tool, confirm=lambda call: False))
    assert tool.log == []


@KINDS
def test_a_run_that_fails_or_meets_a_limit_leaves_it(scripted, face, kind):
    failing, poor = kind(), kind()
    with pytest.raises(ProviderError):
        face.to_the_end(face.run(scripted(calls(USE), ProviderError("gone")), failing))
    with pytest.raises(BudgetExceeded):
        face.to_the_end(face.run(scripted(), poor, limits=["0 requests/session"]))
    run = face.run(scripted(calls(USE), said()), poor, limits=["1 requests/session"])
    assert face.to_the_end(run).stop_reason == "budget"
    assert (failing.log, poor.log) == (["entered", "called", "left"],) * 2


@KINDS
def test_a_run_that_was_left_closes_it_and_opens_it_anew_when_it_goes_on(scripted, face, kind):
    tool = kind()
    run = face.run(scripted(calls(USE), calls(USE), said()), tool)
    face.first(run)
    assert face.response(run) is not None
    assert tool.log == ["entered", "called", "left"]
    face.to_the_end(run)
    assert tool.log == ["entered", "called", "left"] * 2


def test_a_look_at_the_response_inside_the_loop_leaves_it_open(scripted):
    tool = Here()
    run = Client("demo/claude", parts=scripted(calls(USE), said())).run_tools(ASK, tools=[tool])
    for _ in run:
        run.tool_response()
        assert "left" not in tool.log
    assert tool.log[-1] == "left"


@KINDS
def test_one_that_is_taken_away_in_the_run_is_left_at_its_end_all_the_same(scripted, kind):
    tool = kind()
    run = Client("demo/claude", parts=scripted(calls(USE), calls(USE), said())).run_tools(ASK, tools=[tool])
    for _ in run:
        if len(tool.log) > 1:
            run.tools = []
    assert tool.log == ["entered", "called", "left"]


@KINDS
@pytest.mark.parametrize("whole", [True, False], ids=["one-call", "turns"])
def test_an_interrupt_leaves_it(scripted, kind, whole):
    tool = kind()
    run = Client("demo/claude", parts=scripted(calls(USE), said())).run_tools(ASK, tools=[tool])

    def stop():
        for stream in [run.stream()] if whole else run.streams():
            with stream:
                for event in stream:
                    if isinstance(event, ToolFinished):
                        raise KeyboardInterrupt

    with pytest.raises(Interrupted):
        stop()
    assert tool.log == ["entered", "called", "left"]


def test_a_cancelled_run_leaves_it_also_while_it_is_being_opened(scripted, runner):
    class Slow(InLoop):
        async def __aenter__(self):
            self.note("opening")
            try:
                await asyncio.Event().wait()
            finally:
                self.note("given up")

    tool = Slow()

    async def cancel():
        run = AsyncClient("demo/claude", parts=scripted(calls(USE), said())).run_tools(ASK, tools=[tool])
        task = asyncio.create_task(run.until_done())
        while not tool.log:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    runner.run(cancel())
    assert tool.log == ["opening", "given up"]


def test_an_entry_that_begins_only_after_the_run_was_left_opens_nothing(runner):
    tool, late = Here(), []

    async def here(act):
        late.append(act)
        await asyncio.Event().wait()

    async def cancel():
        holdings = Holdings()
        async with holdings.used():
            task = asyncio.create_task(holdings.enter(tool, here))
            while not late:
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])

    runner.run(cancel())
    late[0]()
    assert tool.log == []


@KINDS
def test_what_fails_while_it_is_entered_is_told_to_the_model_and_tried_again(scripted, face, kind):
    class Stuck(kind):
        tries = 0

        def note(self, what):
            self.tries += what == "entered"
            if (what, self.tries) == ("entered", 1):
                raise OSError("no harbour")
            super().note(what)

    tool, parts = Stuck(), scripted(calls(USE), calls(USE), said())
    face.to_the_end(face.run(parts, tool))
    assert [text_of(result) for result in results(parts.requests[-1])] == ["OSError: no harbour", "a whale"]
    assert tool.log == ["entered", "called", "left"]


@KINDS
def test_what_fails_while_it_is_left_is_logged_and_changes_nothing(scripted, face, kind, caplog):
    class Stuck(kind):
        def note(self, what):
            super().note(what)
            if what == "left":
                raise OSError("no harbour")

    assert face.to_the_end(face.run(scripted(calls(USE), said()), Stuck())).text == "Done."
    assert "no harbour" in caplog.text
    assert "leaving the tool" in caplog.text


def test_the_blocking_client_enters_calls_and_leaves_it_in_the_callers_thread(scripted):
    tool = Here()
    Client("demo/claude", parts=scripted(calls(USE), said())).run_tools(ASK, tools=[tool]).until_done()
    assert tool.threads == {threading.current_thread()}


def test_calls_that_it_makes_while_it_is_entered_obey_the_limits_of_the_run(scripted):
    parts = scripted(calls(USE), said("the harbour"), said())

    class Asking(Here):
        def __enter__(self):
            self.note(Client("demo/claude", parts=parts).send("Where?").text)

    tool, client = Asking(), Client("demo/claude", parts=parts, limits=["1 requests/session"])
    run = client.run_tools(ASK, tools=[tool])
    assert run.until_done().stop_reason == "budget"
    assert tool.log == []
