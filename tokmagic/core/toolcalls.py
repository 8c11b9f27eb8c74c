"""The calls of tools in a conversation: what follows a reply, which calls are open, and how they are answered.

A provider refuses a history in which a call has no result, so every way out of a loop goes through here: what was not
run is answered too, by an error that says why.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
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


def open_calls(messages: Iterable[Message]) -> list[tuple[int, ToolCall]]:
    """The calls that have no result behind them, each with the place of its message; an id may be used again."""
    found: list[tuple[int, ToolCall]] = []
    for place, message in enumerate(messages):
        for part in message.parts:
            if isinstance(part, ToolCall):
                found.append((place, part))
            elif isinstance(part, ToolResult) and found:
                asked = next((call for call in reversed(found) if call[1].id == part.call_id), None)
                found = [call for call in found if call is not asked]
    return found


def last_calls(messages: Sequence[Message]) -> tuple[ToolCall, ...]:
    """The open calls of the last answer, each id once; those of earlier answers were left for good."""
    since = messages[_last_answer(messages) :]
    return tuple({call.id: call for place, call in open_calls(since) if place == 0}.values())


def with_results(messages: Sequence[Message], results: Iterable[ToolResult]) -> list[Message]:
    """The messages, with these results of its calls right behind the last answer."""
    history, said = parted(messages)
    parts = tuple(results)
    return [*history, *((Message("user", parts),) if parts else ()), *said]


def not_run(calls: Iterable[ToolCall], why: str) -> list[ToolResult]:
    """Results that say that these calls were not run."""
    return [ToolResult(call.id, (Text(f"Not run: {why}"),), is_error=True) for call in calls]


def closed(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The messages, each open call with something behind it answered by an error, so that any provider takes them."""
    left: dict[int, list[ToolCall]] = {}
    for place, call in open_calls(messages):
        if place < len(messages) - 1:
            left.setdefault(place, []).append(call)
    changed: list[Message] = []
    for place, message in enumerate(messages):
        changed.append(message)
        if place in left:
            changed.append(Message("user", tuple(not_run(left[place], "the turn ended before it."))))
    return tuple(changed)


def parted(messages: Sequence[Message]) -> tuple[list[Message], tuple[Message, ...]]:
    """The history up to the last answer, and what is said behind it."""
    cut = _last_answer(messages) + 1
    return list(messages[:cut]), tuple(messages[cut:])


def as_json(call: ToolCall) -> ToolCall:
    """The call with its arguments in one writing, if they are JSON, so that however it was written it is the same."""
    try:
        return replace(call, arguments=json.dumps(json.loads(call.arguments), sort_keys=True))
    except (ValueError, RecursionError):
        return call


def _last_answer(messages: Sequence[Message]) -> int:
    """Where the last answer stands; -1 where there is none."""
    return next((place for place in range(len(messages) - 1, -1, -1) if messages[place].role == "assistant"), -1)
