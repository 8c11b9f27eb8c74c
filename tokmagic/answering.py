"""Answering the tool calls of one reply: each is run once, all together, and the results stand in the order of calls.

Whatever goes wrong with a call becomes its result, an error for the model; the traceback goes to the log.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from anyio import CancelScope, to_thread

from tokmagic.allowance import Allowance, inside
from tokmagic.core.counters import Counter
from tokmagic.core.events import Notice, ToolEvent, ToolFinished, ToolStarted
from tokmagic.core.messages import Text, ToolCall, ToolResult
from tokmagic.core.replies import Cut
from tokmagic.core.toolcalls import not_run
from tokmagic.functions import BadArguments, Function
from tokmagic.results import ToolError, parts_of, shortened

log = logging.getLogger("tokmagic")

#: Seconds in which a tool that has just returned is heard, where a run is stopped.
MOMENT = 0.05
#: Makes a call where synchronous tools run.
Here: TypeAlias = Callable[[Callable[[], Any]], Awaitable[Any]]
#: Whether a call may be made, which is asked before any of its reply is.
Confirm: TypeAlias = Callable[[ToolCall], bool | Awaitable[bool]]


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
    """

    functions: Mapping[str, Function]
    confirm: Confirm | None
    max_tokens: int
    counter: Counter
    allowance: Allowance

    async def answer(
        self, calls: Sequence[ToolCall], here: Here, results: dict[str, tuple[ToolResult, tuple[Cut, ...]]]
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

    async def _run(self, call: ToolCall, here: Here) -> tuple[ToolResult, tuple[Cut, ...]]:
        if call.name not in self.functions:
            log.warning("the model called a tool that there is not: %s", call.name)
            return _failed(call, f"There is no tool {call.name}. There are: {', '.join(self.functions) or 'none'}."), ()
        try:
            value = await self._value(self.functions[call.name], call.arguments, here)
            result = ToolResult(call.id, parts_of(value))
        except ToolError as error:
            log.info("the tool %s refused a call", call.name)
            told = tuple(part for content in error.args for part in parts_of(content))
            result = ToolResult(call.id, told, is_error=True)
        except BadArguments as error:
            log.warning("the tool %s was called with arguments that do not fit", call.name, exc_info=True)
            result = _failed(call, str(error))
        except Exception as error:
            log.exception("the tool %s failed", call.name)
            result = _failed(call, f"{type(error).__name__}: {error}")
        return await self._shortened(result)

    async def _value(self, function: Function, arguments: str, here: Here) -> Any:
        act = function.bound(arguments)
        with inside(self.allowance):
            value = act() if function.is_async else await here(partial(_inside, self.allowance, act))
            return await value if inspect.isawaitable(value) else value

    async def _shortened(self, result: ToolResult) -> tuple[ToolResult, tuple[Cut, ...]]:
        texts = (part.text for part in result.parts if isinstance(part, Text))
        if all(len(text.encode()) <= self.max_tokens for text in texts):
            return result, ()
        return await to_thread.run_sync(shortened, result, self.max_tokens, self.counter)


async def _ended(
    tasks: Mapping[str, asyncio.Task[tuple[ToolResult, tuple[Cut, ...]]]],
    results: dict[str, tuple[ToolResult, tuple[Cut, ...]]],
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


def _inside(allowance: Allowance, act: Callable[[], Any]) -> Any:
    with inside(allowance):
        return act()


def _failed(call: ToolCall, text: str) -> ToolResult:
    return ToolResult(call.id, (Text(text),), is_error=True)
