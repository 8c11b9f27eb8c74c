"""The state of a run of tools between two turns: what was said, what is said next, and whether the model is done.

Between turns the caller may look at the results that are sent next, add messages or replace them all, and change what
may be called: a call that was not made yet is made by whatever then has its name, or is unknown. Whatever the
history then is, each call in it has a result before it goes out. A run that a limit or ``max_iterations`` ends has a
last reply that says so.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from tokmagic.answering import Answered, Early, Toolbox, in_a_thread
from tokmagic.conversation import Conversation
from tokmagic.core.errors import BudgetExceeded, ConfigurationError
from tokmagic.core.events import ToolEvent
from tokmagic.core.messages import Message, Text, ToolCall, ToolResult
from tokmagic.core.money import Cost
from tokmagic.core.replies import Answer, Cut, Reply, StopReason
from tokmagic.core.toolcalls import STEPS, as_json, last_calls, not_run, parted, with_results
from tokmagic.core.usage import Usage
from tokmagic.corridor import Walk
from tokmagic.functions import function_tools
from tokmagic.holding import Here, Holdings
from tokmagic.options import CallOptions
from tokmagic.outputs import Output

#: Makes the call that says these messages with these options.
MakeWalk: TypeAlias = Callable[[tuple[Message, ...], CallOptions], Walk]


@dataclass(frozen=True, slots=True)
class Rules:
    """How a run goes.

    Attributes:
        max_iterations: turns of the model, at most.
        output: the type of the answer at its end, or None.
        eager: whether calls run while the rest of their reply is written.
    """

    max_iterations: int
    output: Output | None = None
    eager: bool = False


class ToolRun:
    """One run: its state between turns.

    Args:
        make: makes the call of each turn.
        rules: when it ends, and how.
        toolbox: what answers the model's calls.
        options: of each turn's call; a ``thread`` in them grows by every turn.
        prompt: what is said first.

    Attributes:
        here: where synchronous tools run.
        reply: the last one; None before the first.
        replies: those of the model, all of them.
        options: of the next turn's call; may be changed between turns.
    """

    def __init__(
        self,
        make: MakeWalk,
        rules: Rules,
        toolbox: Toolbox,
        options: CallOptions,
        prompt: tuple[Message, ...],
    ) -> None:
        thread = options.get("thread")
        self.here: Here = in_a_thread
        self.reply: Reply | None = None
        self.replies: list[Reply] = []
        self.options: CallOptions = {**options}
        self._make = make
        self._rules = rules
        self._toolbox = toolbox
        self._thread = thread if thread is not None else Conversation()
        self._said = prompt
        self._results: dict[str, Answered] = {}
        self._early: Mapping[ToolCall, Answered] = {}
        self._over = False

    @property
    def holdings(self) -> Holdings:
        """What its tools hold open."""
        return self._toolbox.holdings

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation so far, with what will be said next; results that nobody looked at are not there yet."""
        return (*self._thread.messages, *self._said)

    @messages.setter
    def messages(self, messages: Sequence[Message]) -> None:
        history, self._said = parted(messages)
        if history != self._thread.messages:
            self._thread.messages[:] = history
        self._results.clear()

    @property
    def tools(self) -> tuple[Any, ...]:
        """What may be called from now on: functions, and objects that describe themselves."""
        return tuple(function.given for function in self._toolbox.functions.values())

    @tools.setter
    def tools(self, tools: Iterable[Any]) -> None:
        self._toolbox = replace(self._toolbox, functions=function_tools(tools))

    def append(self, *messages: Message) -> None:
        """Say more with the next turn, behind the results of its tools; a run that was done goes on.

        Results that were computed already are computed anew, unless they are among the messages.
        """
        known = self.reply.message if self.reply is not None else None
        self._said = (*self._said, *(message for message in messages if message != known))
        self._results.clear()

    @property
    def goes_on(self) -> bool:
        """Whether there is another turn."""
        reply = self.reply
        if reply is None:
            return not self._over
        if self._over or len(self.replies) >= self._rules.max_iterations:
            return False
        return bool(self._said) or self._wants_more(reply)

    def _wants_more(self, reply: Reply) -> bool:
        """Whether the model is not done yet."""
        step = STEPS[reply.answer.stop_reason]
        return step == "resume" or (step == "run" and bool(self._calls))

    @property
    def _calls(self) -> tuple[ToolCall, ...]:
        """The calls that wait for an answer: of the last reply, or before the first of the last message alone."""
        return last_calls(self.messages if self.reply is not None else self.messages[-1:])

    async def answers(self) -> AsyncGenerator[ToolEvent]:
        """Answer the open calls, unless that was done since the messages were changed last."""
        open_calls = self._calls
        early = ((call.id, self._early.get(as_json(call))) for call in open_calls)
        self._results.update((id, answered) for id, answered in early if answered is not None)
        calls = [call for call in open_calls if call.id not in self._results]
        step = STEPS[self.reply.answer.stop_reason] if self.reply is not None else "run"
        if step == "run":
            async with aclosing(self._answers(calls)) as events:
                async for event in events:
                    yield event
        elif step == "stop":
            refused = not_run(calls, "the turn that asked for it was not complete.")
            self._results.update((result.call_id, (result, ())) for result in refused)

    async def _answers(self, calls: Sequence[ToolCall]) -> AsyncGenerator[ToolEvent]:
        """Run the tools; where that is stopped half-way, what they returned by then is left in the history."""
        whole = False
        try:
            async with aclosing(self._toolbox.answer(calls, self.here, self._results)) as events:
                async for event in events:
                    yield event
            whole = True
        finally:
            response = self.response() if not whole and self.replies else None
            if response is not None:
                self._thread.messages.append(response)
                self._results.clear()

    def response(self) -> Message | None:
        """The results as they stand, as the message that is sent next; None if there are none."""
        results = [self._results[call.id][0] for call in self._calls if call.id in self._results]
        return Message("user", tuple(results)) if results else None

    def ask(self) -> tuple[Walk, tuple[Cut, ...]]:
        """The call of the next turn, and what was cut of the results it carries."""
        cuts = tuple(cut for _, lost in self._results.values() for cut in lost)
        if self._results:
            results = [self._results[call.id][0] for call in self._calls if call.id in self._results]
            self.messages = with_results(self.messages, results)
        if "tools" in self.options:
            raise ConfigurationError("The tools of a run are no option of a turn: set its tools instead.")
        offered = [function.tool for function in self._toolbox.functions.values()]
        own = self._toolbox.allowance.own
        options: CallOptions = {**self.options, "tools": offered, "thread": self._thread, "limits": own}
        return self._make(self._said, options), cuts

    def early(self) -> Early | None:
        """What runs the calls of the next reply while it is written; None for the last, whose results nobody reads."""
        last = len(self.replies) + 1 >= self._rules.max_iterations
        return Early(self._toolbox, self.here) if self._rules.eager and not last else None

    def took(self, reply: Reply | None, cuts: tuple[Cut, ...], early: Mapping[ToolCall, Answered]) -> Reply | None:
        """A turn ended with that reply; one without any leaves what its tools returned in the history.

        Calls that ran early, with their results, do not run again.
        """
        if reply is None:
            kept = [message for message in self._said if _has_results(message)] if self.replies else []
            self._thread.messages += kept
            self._over = True
            return None
        self._said = ()
        reason: StopReason = reply.stop_reason
        if len(self.replies) + 1 >= self._rules.max_iterations and self._wants_more(reply):
            reason = "iterations"
        if cuts or reason != reply.stop_reason:
            receipt = replace(reply.receipt, stop_reason=reason, cuts=(*reply.receipt.cuts, *cuts))
            reply = replace(reply, receipt=receipt)
        self.reply = reply
        self.replies.append(reply)
        self._early = early
        return self.reply

    def typed(self) -> Reply | None:
        """The last reply, with its answer as a value where one was asked for and the model is done.

        Raises:
            MalformedReply: the answer is no such value.
        """
        reply, output = self.reply, self._rules.output
        if reply is not None and output is not None and reply.stop_reason == "end" and not self._wants_more(reply):
            self.reply = self.replies[-1] = replace(reply, output=output.value(reply.text))
        return self.reply

    def refused(self, error: BudgetExceeded) -> Reply:
        """The reply of a run that a limit ended after its first turn."""
        last = self.replies[-1].receipt
        turns = f"{len(self.replies):,} turn{'s' * (len(self.replies) > 1)}"
        text = f"The run of tools ended after {turns}. {error}"
        receipt = replace(
            last,
            call=uuid.uuid4().hex,
            usage=Usage(),
            cost=Cost(0, "exact", last.cost.play),
            attempts=0,
            cuts=(),
            waited=0.0,
            duration=0.0,
            stop_reason="budget",
        )
        self.reply = Reply(Answer((Text(text),), Usage(), "budget", last.model), receipt)
        return self.reply

    def stopped(self) -> Reply | None:
        """The last reply of a run that was stopped by hand, which says so."""
        self._over = True
        if self.reply is not None:
            self.reply = replace(self.reply, receipt=replace(self.reply.receipt, stop_reason="interrupted"))
        return self.reply


def _has_results(message: Message) -> bool:
    return any(isinstance(part, ToolResult) for part in message.parts)
