"""The calls of tools in a conversation: what follows a reply, which calls are open, and how they are answered.

A provider refuses a history in which a call has no result, so every way out of a loop goes through here: what was not
run is answered too, by an error that says why.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypeAlias

from .messages import Message, Text, ToolCall, ToolResult
from .replies import StopReason

#: ``run``: run the tools it calls, if any; ``resume``: send it back as it is; ``stop``: it ends, and no tool is run.
Step: TypeAlias = Literal["run", "resume", "stop"]

#: Some services end a reply that calls a tool as any other, so ``end`` looks for calls too.
STEPS: Mapping[StopReason, Step] = {
    "tool_use": "run",
    "end": "run",
    "pause": "resume",
    "compaction": "resume",
    "stop_sequence": "stop",
    "max_tokens": "stop",
    "context_window": "stop",
    "refusal": "stop",
    "interrupted": "stop",
    "iterations": "stop",
    "budget": "stop",
    "unknown": "stop",
}


def open_calls(messages: Iterable[Message]) -> tuple[ToolCall, ...]:
    """The calls that have no result behind them, in order; an id that is used again is another call."""
    return tuple(call for _, call in _open(messages))


def with_results(messages: Sequence[Message], results: Iterable[ToolResult]) -> list[Message]:
    """The messages, with each result in a user's message right behind the last turn that calls for it."""
    of_call = {result.call_id: result for result in results}
    changed: list[Message] = []
    for message in reversed(messages):
        calls = [part.id for part in message.parts if isinstance(part, ToolCall)]
        answers = tuple(of_call.pop(id) for id in dict.fromkeys(calls) if id in of_call)
        changed += [Message("user", answers), message] if answers else [message]
    return changed[::-1]


def not_run(calls: Iterable[ToolCall], why: str) -> list[ToolResult]:
    """Results that say that these calls were not run."""
    return [ToolResult(call.id, (Text(f"Not run: {why}"),), is_error=True) for call in calls]


def closed(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The messages, each open call with something behind it answered by an error, so that any provider takes them."""
    orphans = [call for place, call in _open(messages) if place < len(messages) - 1]
    return tuple(with_results(messages, not_run(orphans, "the turn ended before it.")) if orphans else messages)


def parted(messages: Sequence[Message]) -> tuple[list[Message], tuple[Message, ...]]:
    """The history up to the last answer, and what is said behind it."""
    answers = [place for place, message in enumerate(messages) if message.role == "assistant"]
    cut = answers[-1] + 1 if answers else 0
    return list(messages[:cut]), tuple(messages[cut:])


def _open(messages: Iterable[Message]) -> list[tuple[int, ToolCall]]:
    """The open calls, each with the place of its message; of several with one id in a message only one counts."""
    found: dict[str, tuple[int, ToolCall]] = {}
    for place, message in enumerate(messages):
        for part in message.parts:
            if isinstance(part, ToolCall):
                found[part.id] = (place, part)
            elif isinstance(part, ToolResult):
                found.pop(part.call_id, None)
    return sorted(found.values(), key=lambda call: call[0])
