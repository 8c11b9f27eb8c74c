"""Cutting long texts of a conversation, the longest first, until it is short enough.

Only what users and tools said is cut: never the system's text, a pinned message or an answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from .counters import Counter
from .messages import Message, Part, Text, ToolResult
from .replies import Cut
from .truncation import Truncation, truncate


class Place(NamedTuple):
    """Where a text stands: its message, its part, and within a tool's result the part there."""

    message: int
    part: int
    inner: int | None


class LongText(NamedTuple):
    """A text that may be cut."""

    place: Place
    text: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Shortened:
    """The messages with some texts cut, and how many tokens are still too many."""

    messages: tuple[Message, ...]
    truncated: tuple[Truncation, ...]
    cuts: tuple[Cut, ...]
    excess: int


def long_texts(messages: Sequence[Message], counter: Counter) -> list[LongText]:
    """The texts that may be cut, the longest first, of equal ones the oldest."""
    found = [LongText(place, text, counter.count(text)) for place, text in _texts(messages)]
    return sorted(found, key=lambda long: -long.tokens)


def shorten(messages: Sequence[Message], excess: int, least: int, strategy: str, counter: Counter) -> Shortened:
    """Cut ``excess`` tokens out of the longest texts, leaving each at least ``least`` tokens."""
    left, truncated, cuts = list(messages), [], []
    for place, text, tokens in long_texts(messages, counter):
        room = max(least, tokens - excess)
        if excess <= 0 or room >= tokens:
            break
        cut = truncate(text, room, strategy, counter, total=tokens)
        if not cut.text.strip():
            continue  # providers refuse a blank text
        left[place.message] = _with_text(left[place.message], place, cut.text)
        excess -= cut.dropped_tokens
        truncated.append(cut)
        cuts.append(Cut("truncated text", _words(messages, place, cut), cut.dropped_tokens))
    return Shortened(tuple(left), tuple(truncated), tuple(cuts), excess)


def _texts(messages: Sequence[Message]) -> Iterator[tuple[Place, str]]:
    for m, message in enumerate(messages):
        if message.role != "user" or message.pinned:
            continue
        for p, part in enumerate(message.parts):
            if isinstance(part, Text):
                yield Place(m, p, None), part.text
            elif isinstance(part, ToolResult):
                yield from ((Place(m, p, i), text.text) for i, text in enumerate(part.parts) if isinstance(text, Text))


def _with_text(message: Message, place: Place, text: str) -> Message:
    part: Part = Text(text)
    result = message.parts[place.part]
    if isinstance(result, ToolResult) and place.inner is not None:
        part = replace(result, parts=(*result.parts[: place.inner], Text(text), *result.parts[place.inner + 1 :]))
    return replace(message, parts=(*message.parts[: place.part], part, *message.parts[place.part + 1 :]))


def _words(messages: Sequence[Message], place: Place, cut: Truncation) -> str:
    is_last = all(message.role != "user" for message in messages[place.message + 1 :])
    whose = "a tool's result" if place.inner is not None else "your message" if is_last else "an earlier message"
    total = cut.tokens + cut.dropped_tokens
    return f"the {cut.strategy} of {whose}, {total:,} tokens long"
