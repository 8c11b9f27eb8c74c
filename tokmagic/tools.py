"""The tool runner: the turns of a run one after the other, each a call of its own through the corridor.

A turn first answers the calls of the turn before it, then asks the model. So an event of either is seen in its place,
and a run that is stopped at any moment has settled what it sent.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, cast

from tokmagic.allowance import allowance
from tokmagic.answering import Toolbox
from tokmagic.core.checks import whole
from tokmagic.core.errors import BudgetExceeded, ConfigurationError, TokmagicError
from tokmagic.core.events import Completed, Event
from tokmagic.core.limits import Limit
from tokmagic.core.messages import Message, Tool
from tokmagic.core.models import Model
from tokmagic.core.receipts import together
from tokmagic.core.replies import Reply
from tokmagic.functions import ToolObject, function_tools, listed
from tokmagic.options import SPLIT, CallOptions, ToolOptions, chain_of
from tokmagic.outputs import Output
from tokmagic.parts import Parts
from tokmagic.toolrun import MakeWalk, Rules, ToolRun

#: Turns of the model in a run that does not say.
MAX_ITERATIONS = 25
#: Tokens of one text in a tool's result, at most: so many, and this share of the model's window.
LONGEST_RESULT, SHARE = 20_000, 8


class Turn:
    """One turn of a run: the open calls are answered, then the model is asked. It is used as a ``Passage`` is."""

    def __init__(self, run: ToolRun) -> None:
        self.reply: Reply | None = None
        self._run = run

    async def run(self) -> AsyncGenerator[Event]:
        """Its events. The last is ``Completed``; a limit that refuses any turn but the first ends the run with it."""
        try:
            async with aclosing(self._run.answers()) as told:
                async for answered in told:
                    yield answered
            async with aclosing(self._ask()) as events:
                async for event in events:
                    yield event
        except BudgetExceeded as error:
            if not self._run.replies:
                raise
            self.reply = self._run.refused(error)
        if self.reply is not None:
            yield Completed(self.reply)

    async def _ask(self) -> AsyncGenerator[Event]:
        walk, cuts = self._run.ask()
        events: AsyncGenerator[Event] = walk.run()
        early = self._run.early()
        try:
            async with aclosing(early.beside(events) if early is not None else events) as heard:
                async for event in heard:
                    if not isinstance(event, Completed):
                        yield event
        finally:
            self.reply = self._run.took(walk.reply, cuts, early.results if early is not None else {})
        self.reply = self._run.typed()


class Answering:
    """The answers to the open calls alone, to be looked at before they are sent. It is used as a ``Passage`` is."""

    reply: Reply | None = None

    def __init__(self, run: ToolRun) -> None:
        self._run = run

    async def run(self) -> AsyncGenerator[Event]:
        """What the tools tell."""
        async with aclosing(self._run.answers()) as events:
            async for event in events:
                yield event


class Whole:
    """All turns of a run as one call, with one reply. It is used as a ``Passage`` is."""

    def __init__(self, run: ToolRun, parts: Parts) -> None:
        self.id = uuid.uuid4().hex
        self.reply: Reply | None = None
        self._run = run
        self._parts = parts
        self._began = parts.clock()

    async def run(self) -> AsyncGenerator[Event]:
        """The events of all turns. The last is ``Completed``."""
        ended = False
        try:
            for turn in turns_of(self._run):
                async with aclosing(turn.run()) as events:
                    async for event in events:
                        if not isinstance(event, Completed):
                            yield event
            ended = True
        except TokmagicError:
            ended = True
            raise
        finally:
            self._close(self._run.reply if ended else self._run.stopped())
        if self.reply is not None:
            yield Completed(self.reply)

    def _close(self, last: Reply | None) -> None:
        if last is None:
            return
        receipts = [reply.receipt for reply in self._run.replies]
        first, duration = receipts[0].first_token, self._parts.clock() - self._began
        receipt = together(self.id, receipts, last.stop_reason, first, duration)
        self.reply = replace(last, receipt=receipt)
        calls = [receipt.call for receipt in receipts]
        self._parts.gauge.gather(self._run.options.get("cell", ""), calls, receipt)


def turns_of(run: ToolRun) -> Iterator[Turn]:
    """The turns that are left, each to be gone through before the next."""
    while run.goes_on:
        yield Turn(run)


def tool_run(
    parts: Parts,
    make: MakeWalk,
    prompt: tuple[Message, ...],
    options: ToolOptions,
    shared: Sequence[Limit],
    own: Sequence[Limit],
) -> ToolRun:
    """A run, ready for its first turn.

    Args:
        parts: the book, providers and settings to work with.
        make: makes the call of each turn.
        prompt: what is said first.
        options: of the run and of each of its calls, merged.
        shared: limits of the client.
        own: limits of the run; those per call hold for all of it together.

    Raises:
        ConfigurationError: an option that cannot be used, or a function that is no tool.
    """
    if options.get("truncate") == SPLIT:
        raise ConfigurationError("truncate split sends a call in parts, and tools need it whole: choose another.")
    tools = listed(options.get("tools") or ())
    if any(isinstance(tool, Tool) for tool in tools):
        raise ConfigurationError("run_tools calls functions: a Tool only describes one, give the function itself.")
    functions = function_tools(cast("list[Callable[..., Any] | ToolObject]", tools))
    models = [parts.model(name or parts.default_model()[0]) for name in chain_of(options)]
    longest = min(LONGEST_RESULT, (models[0].context_window or LONGEST_RESULT * SHARE) // SHARE)
    toolbox = Toolbox(functions, options.get("confirm"), longest, parts.counter(models[0]), allowance(shared, own))
    output = Output(options["output"]) if options.get("output") is not None else None
    call = _call_options(options, output, models)
    rules = Rules(_iterations(options), output, options.get("eager") is True)
    return ToolRun(make, rules, toolbox, call, prompt)


def _call_options(options: ToolOptions, output: Output | None, models: Sequence[Model]) -> CallOptions:
    said = {name: value for name, value in options.items() if name in CallOptions.__optional_keys__ - {"tools"}}
    call = cast("CallOptions", said)
    if output is not None:
        if len({model.protocol for model in models}) > 1:
            raise ConfigurationError("output is asked for in one protocol: name models that all speak the same.")
        call["extra_body"] = {**(options.get("extra_body") or {}), **output.fields(models[0].protocol)}
    return call


def _iterations(options: ToolOptions) -> int:
    most = options.get("max_iterations")
    if most is None:
        return MAX_ITERATIONS
    return whole("max_iterations", most, 1)
