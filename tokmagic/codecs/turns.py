"""The turns of a request as providers accept them: the roles alternate, nothing is blank, tool results come first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from tokmagic.core.messages import Message, Part, Request, Role, Text, ToolResult


@dataclass(frozen=True, slots=True)
class Turn:
    """Neighbouring messages of one role as one turn."""

    role: Role
    parts: tuple[Part, ...]


def turns_of(request: Request) -> list[Turn]:
    """The turns of a request, without its system text. Blank texts and what is left empty are not sent."""
    turns: list[Turn] = []
    for message in request.turns:
        parts = tuple(_said(message))
        if not parts:
            continue
        if turns and turns[-1].role == message.role:
            turns[-1] = replace(turns[-1], parts=turns[-1].parts + parts)
        else:
            turns.append(Turn(message.role, parts))
    return [replace(turn, parts=_results_first(turn.parts)) for turn in turns]


def _said(message: Message) -> Iterable[Part]:
    """The message's parts: neighbouring texts joined, blank ones left out."""
    text = ""
    for part in message.parts:
        if isinstance(part, Text):
            text += part.text
            continue
        if text.strip():
            yield Text(text)
        text = ""
        yield part
    if text.strip():
        yield Text(text)


def _results_first(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    return tuple(sorted(parts, key=lambda part: not isinstance(part, ToolResult)))
