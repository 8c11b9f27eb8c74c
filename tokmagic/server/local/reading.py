"""What a model writes, read as it comes: thoughts, text and tool calls told apart by the marks models put around them.

Text that may be the beginning of a mark is held back until it is known. Every token is reported once, in the batch in
which it was read, so that an answer is charged as it is produced, whatever is held back. A call that is not valid JSON
of a name and its arguments is text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from secrets import token_hex
from typing import Any, Literal, NamedTuple, TypeAlias

from tokmagic.codecs.wire import compact_json, parse_json
from tokmagic.core.messages import ToolCall

from ..engine import Called, Output, Piece

Mode: TypeAlias = Literal["text", "thought", "call"]


class Mark(NamedTuple):
    """What stands around a thought or a call; an empty end is the end of the answer."""

    mode: Mode
    begin: str
    end: str


THOUGHTS = (Mark("thought", "<think>", "</think>"), Mark("thought", "[THINK]", "[/THINK]"))
CALLS = (
    Mark("call", "<tool_call>", "</tool_call>"),
    Mark("call", "[TOOL_CALLS]", ""),
    Mark("call", "<|python_tag|>", ""),
)
#: An answer that is nothing but the JSON of a call.
_BARE = Mark("call", "{", "")
_PLAIN = Mark("text", "", "")
MARKS = frozenset(part for mark in (*THOUGHTS, *CALLS) for part in (mark.begin, mark.end) if part)


class Reader:
    """Reads one answer. ``thinking`` says that it begins inside a thought, ``tools`` that calls may come."""

    def __init__(self, *, thinking: bool, tools: bool) -> None:
        self._mark = THOUGHTS[0] if thinking else _PLAIN
        self._begins = (*THOUGHTS, *(CALLS if tools else ()))
        self._tools = tools
        self._held = ""
        self._fresh = True
        self._spoken = False

    def read(self, text: str, tokens: int) -> list[Output]:
        """What is known, now that so many tokens brought so much more text."""
        self._held += text
        found: list[Output] = []
        while self._step(found):
            pass
        return _charged(found, tokens, thought=self._mark.mode == "thought")

    def end(self) -> list[Output]:
        """What was held back, now that nothing more comes."""
        held, self._held = self._held, ""
        if self._mark.mode == "call":
            return self._called(held)
        return [Piece(text, 0, self._mark.mode == "thought")] if (text := self._shown(held)) else []

    def _step(self, found: list[Output]) -> bool:
        """Read up to the next mark, or as far as is known; whether a mark was met."""
        if self._mark.mode == "text" and self._is_bare():
            self._mark = _BARE
            return True
        marks = self._marks()
        places = [(place, text, mark) for text, mark in marks if (place := self._held.find(text)) >= 0]
        if not places:
            self._pass_on(found, len(self._held) - _held_back(self._held, [text for text, _ in marks]))
            return False
        place, text, following = min(places, key=lambda met: met[0])
        self._pass_on(found, place)
        if self._mark.mode == "call":
            found += self._called(self._held[:place])
            self._held = self._held[place:]
        self._held = self._held.removeprefix(text)
        self._mark, self._fresh = following, True
        return True

    def _marks(self) -> Sequence[tuple[str, Mark]]:
        """What may end the present part, and what then begins."""
        if self._mark.mode == "text":
            return [(mark.begin, mark) for mark in self._begins]
        return [(self._mark.end, _PLAIN)] if self._mark.end else []

    def _is_bare(self) -> bool:
        return self._tools and not self._spoken and self._held.lstrip().startswith("{")

    def _pass_on(self, found: list[Output], length: int) -> None:
        if self._mark.mode == "call":
            return
        text, self._held = self._shown(self._held[:length]), self._held[length:]
        if text:
            self._spoken = self._spoken or self._mark.mode == "text"
            found.append(Piece(text, 0, self._mark.mode == "thought"))

    def _shown(self, text: str) -> str:
        """The text without the blanks at the beginning of its part."""
        if self._fresh:
            text = text.lstrip()
        self._fresh = self._fresh and not text
        return text

    def _called(self, raw: str) -> list[Output]:
        calls = _calls(raw)
        if calls is None:
            begin = "" if self._mark is _BARE else self._mark.begin
            return [Piece(begin + raw + self._mark.end, 0)]
        return [Called(call, 0) for call in calls]


def _held_back(text: str, marks: Iterable[str]) -> int:
    """Characters at the end of a text that may be the beginning of a mark."""
    longest = max((len(mark) - 1 for mark in marks), default=0)
    ends = (length for length in range(min(longest, len(text)), 0, -1))
    return next((length for length in ends if any(mark.startswith(text[-length:]) for mark in marks)), 0)


def _charged(found: list[Output], tokens: int, *, thought: bool) -> list[Output]:
    """The outputs with the tokens that were read on the first of them, or on one that says nothing."""
    if not tokens:
        return found
    if not found:
        return [Piece("", tokens, thought)]
    return [found[0]._replace(tokens=tokens), *found[1:]]


def _calls(raw: str) -> list[ToolCall] | None:
    try:
        found = parse_json(raw)
    except ValueError:
        return None
    calls = [_call(one) for one in (found if isinstance(found, list) else [found])]
    return [call for call in calls if call is not None] if calls and None not in calls else None


def _call(found: Any) -> ToolCall | None:
    """The call in a JSON object of a name and ``arguments`` or ``parameters``."""
    if not isinstance(found, Mapping) or not isinstance(found.get("name"), str):
        return None
    arguments = found.get("arguments", found.get("parameters", {}))
    written = arguments if isinstance(arguments, str) else compact_json(arguments)
    return ToolCall(f"call_{token_hex(12)}", found["name"], written)
