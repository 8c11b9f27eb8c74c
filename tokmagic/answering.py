"""Answering the tool calls of one reply: each is run once, all together, and the results stand in the order of calls.

Whatever goes wrong with a call becomes its result, an error for the model; the traceback goes to the log. Where that is
asked for, calls run early: while the rest of their reply is still written.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

from anyio import CancelScope, to_thread

from tokmagic.allowance import Allowance, inside
from tokmagic.codecs.wire import parse_json
from tokmagic.core.counters import Counter
from tokmagic.core.events import (
    Completed,
    Event,
    Notice,
    Retrying,
    Started,
    ToolCallDelta,
    ToolEvent,
    ToolFinished,
    ToolStarted,
)
from tokmagic.core.messages import Text, ToolCall, ToolResult
from tokmagic.core.replies import Cut
from tokmagic.core.toolcalls import as_json, not_run
from tokmagic.functions import BadArguments, Function
from tokmagic.holding import Here, Holdings
from tokmagic.results import parts_of, shortened, told_by

log = logging.getLogger("tokmagic")

#: Seconds in which a tool that has just returned is heard, where a run is stopped.
MOMENT = 0.05
#: Whether a call may be made, which is asked before any of its reply is.
Confirm: TypeAlias = Callable[[ToolCall], bool | Awaitable[bool]]
#: The result of a call, and what was cut of it.
Answered: TypeAlias = tuple[ToolResult, tuple[Cut, ...]]


async def in_a_thread(act: Callable[[], Any]) -> Any:
    """Make the call in a worker thread, so that the event loop goes on."""
    return await to_thread.run_sync(act, abandon_on_cancel=True)


@dataclass(frozen=True, slots=True)
class Toolbox:
    """What answers the calls of a run.

    Attributes:
        functions: by the names a model calls them by.
        confirm: is asked before a call is made; None allows every call.
        max_tokens: of one text in a result; a longer one is shortened.
        counter: of the model's tokenizer.
        allowance: of the run, which calls that a tool makes obey too.
        holdings: what the tools hold open.
    """

    functions: Mapping[str, Function]
    confirm: Confirm | None
    max_tokens: int
    counter: Counter
    allowance: Allowance
    holdings: Holdings = field(default_factory=Holdings)

    async def answer(
        self, calls: Sequence[ToolCall], here: Here, results: dict[str, Answered]
    ) -> AsyncGenerator[ToolEvent]:
        """Run the calls; ``results`` gets the result of each by its id, in their order, with what was cut of it."""
        allowed = [call for call in calls if await self._allows(call, here)]
        for call in allowed:
            yield ToolStarted(call)
        tasks = {call.id: asyncio.create_task(self._run(call, here)) for call in allowed}
        try:
            for call in calls:
                if call.id in tasks:
                    await asyncio.wait([tasks[call.id]])
                    results[call.id] = tasks[call.id].result()
                else:
                    results[call.id] = (not_run([call], "the user did not allow it.")[0], ())
                result, cuts = results[call.id]
                for cut in cuts:
                    yield Notice(f"The result of {call.name} is shortened: {cut.what} ({cut.loss})")
                yield ToolFinished(call, result)
        finally:
            await _ended(tasks, results)

    async def _allows(self, call: ToolCall, here: Here) -> bool:
        if self.confirm is None or call.name not in self.functions:
            return True
        word = await here(partial(self.confirm, call))
        return (await word if inspect.isawaitable(word) else word) is True

    async def _run(self, call: ToolCall, here: Here) -> Answered:
        if call.name not in self.functions:
            log.warning("the model called a tool that there is not: %s", call.name)
            return _failed(call, f"There is no tool {call.name}. There are: {', '.join(self.functions) or 'none'}."), ()
        try:
            value = await self._value(self.functions[call.name], call.arguments, here)
            result = ToolResult(call.id, parts_of(value))
        except BadArguments as error:
            log.warning("the tool %s was called with arguments that do not fit", call.name, exc_info=True)
            result = _failed(call, str(error))
        except Exception as error:  # noqa: BLE001 - told to the model, and to the log
            result = _raised(call, error)
        return await self._shortened(result)

    async def _value(self, function: Function, arguments: str, here: Here) -> Any:
        act = function.bound(arguments)
        with inside(self.allowance):
            await self.holdings.enter(function.given, partial(_there, here, self.allowance))
            value = act() if function.is_async else await _there(here, self.allowance, act)
            return await value if inspect.isawaitable(value) else value

    async def _shortened(self, result: ToolResult) -> Answered:
        texts = (part.text for part in result.parts if isinstance(part, Text))
        if all(len(text.encode()) <= self.max_tokens for text in texts):
            return result, ()
        return await to_thread.run_sync(shortened, result, self.max_tokens, self.counter)


class Early:
    """Calls that run while the rest of their reply is still written, each as soon as its arguments are whole.

    They are over before the reply's last event is passed on, or stopped where the reply breaks off.

    Attributes:
        results: of those that have run, by ``as_json`` of each.
    """

    def __init__(self, toolbox: Toolbox, here: Here) -> None:
        self.results: dict[ToolCall, Answered] = {}
        self._toolbox = toolbox
        self._here = here
        self._written: dict[int, ToolCall] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._running = 0
        self._told: asyncio.Queue[ToolEvent | asyncio.Task[None]] = asyncio.Queue()

    async def beside(self, events: AsyncGenerator[Event]) -> AsyncGenerator[Event]:
        """The events of the reply, with those of the tools between them."""
        try:
            async with aclosing(events):
                async for event in events:
                    self._hear(event)
                    while not self._told.empty() or (self._running and isinstance(event, Completed)):
                        told = await self._told.get()
                        if isinstance(told, asyncio.Task):
                            self._running -= 1
                        else:
                            yield told
                    if isinstance(event, Completed):
                        await asyncio.gather(*self._tasks)
                    yield event
        finally:
            with CancelScope(shield=True):
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)

    def _hear(self, event: Event) -> None:
        """Start the call that the event completes, if it does; where the reply begins anew, so do its calls."""
        if isinstance(event, Started | Retrying):
            self._written.clear()
        if not isinstance(event, ToolCallDelta):
            return
        before = self._written.get(event.index, ToolCall("", "", ""))
        call = ToolCall(event.id or before.id, event.name or before.name, before.arguments + event.arguments)
        self._written[event.index] = call
        if event.arguments.endswith("}") and _is_whole(call.arguments):
            self._start(call)

    def _start(self, call: ToolCall) -> None:
        task = asyncio.create_task(self._answer(call))
        task.add_done_callback(self._told.put_nowait)
        self._tasks.append(task)
        self._running += 1

    async def _answer(self, call: ToolCall) -> None:
        results: dict[str, Answered] = {}
        async with aclosing(self._toolbox.answer([call], self._here, results)) as events:
            async for event in events:
                self._told.put_nowait(event)
        self.results[as_json(call)] = results[call.id]


def _is_whole(arguments: str) -> bool:
    """Whether it is an object as JSON, to which nothing can be added."""
    if arguments.count("{") > arguments.count("}"):
        return False
    try:
        return isinstance(parse_json(arguments), dict)
    except ValueError:
        return False


async def _ended(
    tasks: Mapping[str, asyncio.Task[Answered]],
    results: dict[str, Answered],
) -> None:
    """End what still runs; a tool that had returned by then is heard all the same."""
    if all(id in results for id in tasks):
        return
    with CancelScope(shield=True):
        if any(not task.done() for task in tasks.values()):
            await asyncio.wait(tasks.values(), timeout=MOMENT)
        for id, task in tasks.items():
            if task.done() and not task.cancelled() and task.exception() is None:
                results.setdefault(id, task.result())
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)


def _there(here: Here, allowance: Allowance, act: Callable[[], Any]) -> Awaitable[Any]:
    return here(partial(_inside, allowance, act))


def _inside(allowance: Allowance, act: Callable[[], Any]) -> Any:
    with inside(allowance):
        return act()


def _raised(call: ToolCall, error: Exception) -> ToolResult:
    told = told_by(error)
    if told is None:
        log.error("the tool %s failed", call.name, exc_info=error)
        return _failed(call, f"{type(error).__name__}: {error}")
    log.info("the tool %s refused a call", call.name)
    return ToolResult(call.id, told, is_error=True)


def _failed(call: ToolCall, text: str) -> ToolResult:
    return ToolResult(call.id, (Text(text),), is_error=True)
