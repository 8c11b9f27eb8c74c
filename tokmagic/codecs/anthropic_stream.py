"""A Messages reply as a stream, read.

A reply is whole when ``message_stop`` has come behind a stop reason and a stated output. Until then the number of
output tokens is unknown: the one in ``message_start`` is a placeholder and is not read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tokmagic.core.errors import MalformedReply, ProviderError, StreamBroken
from tokmagic.core.events import Finished, ReasoningDelta, Started, StreamEvent, TextDelta, ToolCallDelta
from tokmagic.core.messages import Compaction, Part, Reasoning, Text, ToolCall
from tokmagic.core.replies import Answer, StopReason

from . import Json
from .anthropic_blocks import FAMILY, STOP_REASONS, decode_compacting, decode_served, decode_usage
from .failures import failure, one_line
from .wire import compact_json, inner, object_or_wrapped, parse_json, place

#: The field of each kind of delta that carries its text.
_DELTA_FIELDS: Mapping[str, str] = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "signature_delta": "signature",
    "input_json_delta": "partial_json",
}


@dataclass(slots=True)
class _Block:
    """A content block while it arrives: as it was opened, and what was added to it; ``unread`` if not all could be."""

    opened: Json
    pieces: dict[str, list[str]] = field(default_factory=dict)
    ended: bool = False
    unread: bool = False

    def text(self, name: str) -> str:
        """What it was opened with under that name, and everything added."""
        start = self.opened.get(name)
        return (start if isinstance(start, str) else "") + "".join(self.pieces.get(name, ()))


class MessagesDecoder:
    """Folds the events of one reply; see ``StreamDecoder``."""

    def __init__(self) -> None:
        self._blocks: dict[int, _Block] = {}
        self._message: Mapping[str, Any] | None = None
        self._usage: Json = {}
        self._reason: str | None = None
        self._done = False

    @property
    def complete(self) -> bool:
        """See ``StreamDecoder``."""
        return self._done

    def feed(self, event: str, data: str) -> Iterable[StreamEvent]:
        """See ``StreamDecoder``; ``event`` is not needed, the data names its own type."""
        if self._done:
            return ()
        try:
            body = parse_json(data)
            return self._fold(body["type"], body)
        except (ValueError, LookupError, TypeError, AttributeError):
            raise MalformedReply(f"The stream holds an event that cannot be read: {one_line(data[:80])!r}.") from None

    def _fold(self, kind: str, body: Any) -> Iterable[StreamEvent]:
        if kind == "content_block_delta":
            return self._delta(body["index"], body["delta"])
        fold = self._FOLDS.get(kind)
        return fold(self, body) if fold is not None else ()

    def _started(self, body: Any) -> Iterable[StreamEvent]:
        message = body["message"]
        usage = {name: value for name, value in inner(message, "usage").items() if name != "output_tokens"}
        started = Started(_text(message["id"]), _text(message["model"]), decode_usage(usage))
        self._message, self._usage = {"id": started.id, "model": started.model}, usage
        return (started,)

    def _opened(self, body: Any) -> Iterable[StreamEvent]:
        index, opened = place(body["index"]), dict(body["content_block"])
        kind, block = _text(opened["type"]), _Block(opened)
        self._blocks[index] = block
        match kind:
            case "text" if block.text("text"):
                return (TextDelta(block.text("text")),)
            case "thinking" if block.text("thinking"):
                return (ReasoningDelta(block.text("thinking")),)
            case "tool_use":
                return (ToolCallDelta(index, _text(opened["id"]), _text(opened["name"])),)
            case _:
                return ()

    def _delta(self, index: int, delta: Any) -> Iterable[StreamEvent]:
        block, kind = self._blocks[index], delta["type"]
        if kind == "compaction_delta":
            block.opened |= {name: value for name, value in delta.items() if name != "type"}
            return ()
        name = _DELTA_FIELDS.get(kind)
        if name is None:
            block.unread = True
            return ()
        piece = _text(delta[name])
        block.pieces.setdefault(name, []).append(piece)
        if kind == "text_delta":
            return (TextDelta(piece),)
        if kind == "thinking_delta":
            return (ReasoningDelta(piece),)
        if kind == "input_json_delta" and block.opened["type"] == "tool_use":
            return (ToolCallDelta(index, arguments=piece),)
        return ()

    def _stopped(self, body: Any) -> Iterable[StreamEvent]:
        self._blocks[body["index"]].ended = True
        return ()

    def _closing(self, body: Any) -> Iterable[StreamEvent]:
        reason = body["delta"]["stop_reason"]
        self._reason = _text(reason) if reason is not None else self._reason
        usage = self._usage | {name: value for name, value in inner(body, "usage").items() if value is not None}
        decode_usage(usage)
        self._usage = usage
        return ()

    def _ended(self, body: Any) -> Iterable[StreamEvent]:
        if self._message is None or self._reason is None or not all(block.ended for block in self._blocks.values()):
            raise MalformedReply("The stream ends without the events that must come before its end.")
        self._done = True
        answer = self.partial()
        return (Finished(answer if "output_tokens" in self._usage else replace(answer, usage=None)),)

    def _failed(self, body: Any) -> Iterable[StreamEvent]:
        raise self._failure(body)

    def _failure(self, body: Any) -> ProviderError:
        """Before the reply began the error is what it says; after that the reply is broken, whatever the reason."""
        error = failure(None, body, {})
        if self._message is None:
            return error
        return StreamBroken(f"The reply broke off: {error.args[0]}", code=error.code, request_id=error.request_id)

    _FOLDS: Mapping[str, Callable[[MessagesDecoder, Any], Iterable[StreamEvent]]] = {
        "message_start": _started,
        "content_block_start": _opened,
        "content_block_stop": _stopped,
        "message_delta": _closing,
        "message_stop": _ended,
        "error": _failed,
    }

    def partial(self) -> Answer:
        """See ``StreamDecoder``; a tool call whose arguments are not whole is left out."""
        parts = (_part(block) for _, block in sorted(self._blocks.items()))
        message = self._message or {"id": "", "model": ""}
        return Answer(
            parts=tuple(part for part in parts if part is not None),
            usage=decode_usage(self._usage),
            stop_reason=self._stop_reason(),
            model=message["model"],
            id=message["id"],
            served=decode_served(self._usage),
            compacting=decode_compacting(self._usage),
        )

    def _stop_reason(self) -> StopReason:
        return STOP_REASONS.get(self._reason, "unknown") if self._reason is not None else "unknown"


def _part(block: _Block) -> Part | None:
    match block.opened["type"]:
        case "text":
            return Text(block.text("text"))
        case "thinking":
            return Reasoning(block.text("thinking"), block.text("signature"))
        case "redacted_thinking":
            return Reasoning(redacted=block.text("data"))
        case kind if block.ended:
            return _whole(kind, block)
        case _:
            return None


def _whole(kind: str, block: _Block) -> Part | None:
    """The part of a block that is worth nothing before its end."""
    if kind == "tool_use":
        return ToolCall(block.text("id"), block.text("name"), _arguments(block))
    if kind == "compaction":
        return Compaction(block.text("content"), FAMILY, _compaction(block))
    return None if block.unread else Reasoning(redacted=_kept(block), provider=FAMILY)


def _arguments(block: _Block) -> str:
    """The arguments as streamed; a block that was opened whole carries them as an object."""
    return block.text("partial_json") or compact_json(block.opened.get("input") or {})


def _compaction(block: _Block) -> str:
    signed = {"signature": block.text("signature")} if "signature" in block.pieces else {}
    return compact_json(block.opened | signed)


def _kept(block: _Block) -> str:
    asked = {"input": object_or_wrapped(block.text("partial_json"))} if "partial_json" in block.pieces else {}
    return compact_json(block.opened | asked)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a string is wanted")
    return value
