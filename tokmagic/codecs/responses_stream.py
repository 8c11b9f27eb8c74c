"""A Responses reply as a stream, read.

A reply is whole when its last event has come, which carries the whole response again: the answer is read from there, so
that nothing lost on the way is missed. Until then an item counts as far as it came, a tool call only when it is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tokmagic.core.errors import MalformedReply, StreamBroken
from tokmagic.core.events import Finished, ReasoningDelta, Started, StreamEvent, TextDelta, ToolCallDelta
from tokmagic.core.messages import Part, Reasoning, Text
from tokmagic.core.replies import Answer

from . import WireError
from .chat_messages import CHAT
from .failures import failure, one_line
from .responses_answers import decode_answer, gave_up
from .responses_items import decode_item
from .wire import Node, parse_json, place


@dataclass(slots=True)
class _Item:
    """An item while it arrives."""

    kind: str
    pieces: list[str] = field(default_factory=list)
    done: bool = False
    part: Part | None = None

    def arrived(self) -> Part | None:
        """What there is of it."""
        text = "".join(self.pieces)
        if self.done or not text:
            return self.part
        if self.kind == "message":
            return Text(text)
        return Reasoning(text) if self.kind == "reasoning" else None


class ResponsesDecoder:
    """Folds the events of one reply; see ``StreamDecoder``."""

    def __init__(self) -> None:
        self._started: Started | None = None
        self._items: dict[int, _Item] = {}
        self._answer: Answer | None = None

    @property
    def complete(self) -> bool:
        """See ``StreamDecoder``."""
        return self._answer is not None

    def feed(self, event: str, data: str) -> Iterable[StreamEvent]:
        """See ``StreamDecoder``; ``event`` is not needed, the data names its own type."""
        if self._answer is not None:
            return ()
        try:
            body = parse_json(data)
            fold = self._FOLDS.get(body["type"])
            return fold(self, body) if fold is not None else ()
        except (ValueError, LookupError, TypeError, AttributeError, WireError):
            raise MalformedReply(f"The stream holds an event that cannot be read: {one_line(data[:80])!r}.") from None

    def _begun(self, body: Any) -> list[StreamEvent]:
        if self._started is not None:
            return []
        response = body["response"]
        self._started = Started(_text(response["id"]), _text(response["model"]))
        return [self._started]

    def _opened(self, body: Any) -> Iterable[StreamEvent]:
        opened, index = body["item"], place(body["output_index"])
        self._items[index] = _Item(_text(opened["type"]))
        if opened["type"] != "function_call":
            return ()
        arguments = _text(opened.get("arguments") or "")
        return (ToolCallDelta(index, _text(opened["call_id"]), _text(opened["name"]), arguments),)

    def _said(self, body: Any) -> Iterable[StreamEvent]:
        piece = _text(body["delta"])
        self._items[body["output_index"]].pieces.append(piece)
        return (TextDelta(piece),)

    def _thought(self, body: Any) -> Iterable[StreamEvent]:
        piece = _text(body["delta"])
        self._items[body["output_index"]].pieces.append(piece)
        return (ReasoningDelta(piece),)

    def _next_thought(self, body: Any) -> Iterable[StreamEvent]:
        """Another piece of the same item begins: an empty line parts it from the one before."""
        pieces = self._items[body["output_index"]].pieces
        if not pieces:
            return ()
        pieces.append("\n\n")
        return (ReasoningDelta("\n\n"),)

    def _part_opened(self, body: Any) -> Iterable[StreamEvent]:
        return self._next_thought(body) if body["part"]["type"] == "reasoning_text" else ()

    def _called(self, body: Any) -> Iterable[StreamEvent]:
        return (ToolCallDelta(body["output_index"], arguments=_text(body["delta"])),)

    def _closed(self, body: Any) -> Iterable[StreamEvent]:
        part = decode_item(Node(body["item"], (), CHAT))
        item = self._items.setdefault(place(body["output_index"]), _Item(""))
        item.part, item.done = part, True
        return ()

    def _ended(self, body: Any) -> Iterable[StreamEvent]:
        answer = decode_answer(body["response"])
        if not answer.parts and self._items:
            if not all(item.done for item in self._items.values()):
                raise MalformedReply("The stream ends without the events that must come before its end.")
            answer = replace(answer, parts=self._arrived())
        self._answer = answer
        return (*self._begun(body), Finished(answer))

    def _failed(self, body: Any) -> Iterable[StreamEvent]:
        """Before the reply began the error is what it says; after that the reply is broken, whatever the reason."""
        said = body.get("response", body)
        error = failure(None, said, {})
        if self._started is None:
            raise gave_up(error)
        raise StreamBroken(f"The reply broke off: {error.args[0]}", code=error.code, request_id=error.request_id)

    _FOLDS: Mapping[str, Callable[[ResponsesDecoder, Any], Iterable[StreamEvent]]] = {
        "response.created": _begun,
        "response.queued": _begun,
        "response.in_progress": _begun,
        "response.output_item.added": _opened,
        "response.content_part.added": _part_opened,
        "response.output_text.delta": _said,
        "response.refusal.delta": _said,
        "response.reasoning_summary_part.added": _next_thought,
        "response.reasoning_summary_text.delta": _thought,
        "response.reasoning_text.delta": _thought,
        "response.function_call_arguments.delta": _called,
        "response.output_item.done": _closed,
        "response.completed": _ended,
        "response.incomplete": _ended,
        "response.failed": _failed,
        "error": _failed,
    }

    def partial(self) -> Answer:
        """See ``StreamDecoder``; a tool call whose arguments are not whole is left out."""
        if self._answer is not None:
            return self._answer
        begun = self._started or Started()
        return Answer(self._arrived(), model=begun.model, id=begun.id)

    def _arrived(self) -> tuple[Part, ...]:
        parts = (item.arrived() for _, item in sorted(self._items.items()))
        return tuple(part for part in parts if part is not None)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a string is wanted")
    return value
