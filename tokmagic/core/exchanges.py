"""What may leave a conversation together, so that what is left is one that every provider takes.

An **exchange** is a question (a user's message with no tool result) with all that follows up to the next question. Out
of one that stays, a **tool round** may leave: an assistant's turn that calls tools, with the results up to the next
assistant's turn. Messages are known by their index.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from .messages import Compaction, Message, ToolCall, ToolResult


class Ranks(NamedTuple):
    """The messages of a conversation by how long they stay; parts that leave together, the newest first."""

    base: list[int]
    recent: list[list[int]]
    old: list[list[int]]


def is_question(message: Message) -> bool:
    """Whether a conversation can start with this message."""
    if message.role != "user":
        return False
    for part in message.parts:  # noqa: SIM110 - asked of every message: a generator takes three times as long
        if isinstance(part, ToolResult):
            return False
    return True


def exchanges(messages: Sequence[Message], turns: Sequence[int]) -> list[list[int]]:
    """The exchanges of the ``turns``, the oldest first; what precedes the first question stands for one.

    So does what follows a summary up to the next question: it may be an answer whose question is in the summary.
    """
    starts = [place for place, turn in enumerate(turns) if is_question(messages[turn])]
    starts += [place + 1 for place, turn in enumerate(turns) if _is_summary(messages[turn])]
    return _split(turns, starts)


def tool_rounds(messages: Sequence[Message], exchange: Sequence[int]) -> list[list[int]]:
    """The tool rounds of an exchange, the oldest first."""
    starts = [place for place, turn in enumerate(exchange) if messages[turn].role == "assistant"]
    return [part for part in _split(exchange, starts) if _is_answered(messages[turn] for turn in part)]


def droppable(messages: Sequence[Message], turns: Sequence[int], kept: Iterable[int]) -> Iterator[list[int]]:
    """What may leave, in the order in which it should: whole exchanges, then tool rounds of those that stay.

    Args:
        messages: the conversation.
        turns: the indices of those messages that are still there, without the system's.
        kept: indices that must stay.
    """
    protected = set(kept)
    staying = []
    for exchange in exchanges(messages, turns):
        if protected.isdisjoint(exchange):
            yield exchange
        else:
            staying.append(exchange)
    for exchange in staying:
        yield from (part for part in tool_rounds(messages, exchange) if protected.isdisjoint(part))


def ranked(messages: Sequence[Message], keep_recent: int) -> Ranks:
    """What must stay, what is recent, and what is old.

    The system's text, pinned messages and summaries of earlier turns stay, and so do the last question and the last
    turn. The newest ``keep_recent`` turns are recent, with the exchange or tool round they are in.
    """
    turns = [place for place, message in enumerate(messages) if message.role != "system"]
    needed = {place for place in turns if messages[place].pinned}
    needed |= {place for place in turns for part in messages[place].parts if isinstance(part, Compaction)}
    if turns:
        last = next((place for place in reversed(turns) if is_question(messages[place])), turns[0])
        needed |= {last, turns[-1]}
    old = list(droppable(messages, turns, needed.union(turns[max(0, len(turns) - keep_recent) :])))
    gone = {place for part in old for place in part}
    recent = list(droppable(messages, [place for place in turns if place not in gone], needed))
    gone.update(place for part in recent for place in part)
    return Ranks([place for place in range(len(messages)) if place not in gone], recent[::-1], old[::-1])


def _is_summary(message: Message) -> bool:
    return bool(message.parts) and isinstance(message.parts[-1], Compaction)


def _is_answered(messages: Iterable[Message]) -> bool:
    """Whether every tool call has its result among these messages, and every result its call, and there is one."""
    parts = [part for message in messages for part in message.parts]
    calls = {part.id for part in parts if isinstance(part, ToolCall)}
    results = {part.call_id for part in parts if isinstance(part, ToolResult)}
    return bool(calls) and calls == results


def _split(turns: Sequence[int], starts: Sequence[int]) -> list[list[int]]:
    """The turns in runs that begin at these places; those before the first are a run too."""
    places = sorted({0, *starts, len(turns)})
    return [list(turns[start:end]) for start, end in pairwise(places)]
