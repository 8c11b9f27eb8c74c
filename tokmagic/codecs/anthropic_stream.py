"""A Messages reply as a stream, read and written.

A reply is whole when ``message_stop`` has come behind a stop reason and a stated output. Until then the number of
output tokens is unknown: the one in ``message_start`` is a placeholder and is not read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from json.encoder import encode_basestring_ascii
from typing import Any

from tokmagic.core.errors import MalformedReply, ProviderError, StreamBroken
from tokmagic.core.events import Finished, ReasoningDelta, Started, StreamEvent, TextDelta, ToolCallDelta
from tokmagic.core.messages import Compaction, Part, Reasoning, Text, ToolCall
from tokmagic.core.replies import Answer, StopReason
from tokmagic.core.usage import Usage

from . import Json, WireError
from .anthropic_blocks import FAMILY, STOP_REASONS, WIRE_REASONS, decode_served, decode_usage, encode_usage
from .failures import failure, one_line
from .sse import encode_event
from .wire import compact_json, inner, parse_json, place

#: The field of each kind of delta that carries its text.
_DELTA_FIELDS: Mapping[str, str] = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "signature_delta": "signature",
    "input_json_delta": "partial_json",
}


@dataclass(slots=True)
class _Block:
    """A content block while it arrives: as it was opened, and what was added to it."""

    opened: Json
    pieces: dict[str, list[str]] = field(default_factory=dict)
    ended: bool = False

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
        case "tool_use" if block.ended:
            return ToolCall(block.text("id"), block.text("name"), _arguments(block))
        case "compaction" if block.ended:
            return Compaction(block.text("content"), FAMILY, _compaction(block))
        case _:
            return None


def _arguments(block: _Block) -> str:
    """The arguments as streamed; a block that was opened whole carries them as an object."""
    return block.text("partial_json") or compact_json(block.opened.get("input") or {})


def _compaction(block: _Block) -> str:
    signed = {"signature": block.text("signature")} if "signature" in block.pieces else {}
    return compact_json(block.opened | signed)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a string is wanted")
    return value


def _encode(body: Json) -> bytes:
    return encode_event(body["type"], compact_json(body))


class MessagesEncoder:
    """Writes the events of one reply; see ``StreamEncoder``."""

    def __init__(self, id: str, model: str) -> None:
        self._id, self._model = id, model
        self._blocks = 0
        self._thinking = False
        self._head = b""

    def start(self, usage: Usage) -> bytes:
        """See ``StreamEncoder``; the output stated here is a placeholder, as the real service's is."""
        message: Json = {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": encode_usage(usage) | {"output_tokens": 1},
        }
        return _encode({"type": "message_start", "message": message}) + _encode({"type": "ping"})

    def reasoning(self, text: str) -> bytes:
        """See ``StreamEncoder``."""
        opened = b"" if self._thinking else self._open_thinking()
        return opened + self._delta({"type": "thinking_delta", "thinking": text})

    def reasoned(self, part: Reasoning) -> bytes:
        """See ``StreamEncoder``."""
        opened = b"" if self._thinking else self._open_thinking()
        signed = self._delta({"type": "signature_delta", "signature": part.signature})
        self._thinking, self._blocks = False, self._blocks + 1
        return opened + signed + _encode({"type": "content_block_stop", "index": self._blocks - 1})

    def text(self, text: str) -> bytes:
        """See ``StreamEncoder``."""
        opened = b"" if self._head else self._open_text()
        return opened + self._head + encode_basestring_ascii(text).encode("ascii") + b"}}\n\n"

    def finish(self, answer: Answer) -> bytes:
        """See ``StreamEncoder``."""
        said = self._close_text()
        calls = b"".join(self._call(part) for part in answer.parts if isinstance(part, ToolCall))
        closing: Json = {
            "type": "message_delta",
            "delta": {"stop_reason": WIRE_REASONS.get(answer.stop_reason, "end_turn"), "stop_sequence": None},
            "usage": encode_usage(answer.usage or Usage()),
        }
        return said + calls + _encode(closing) + _encode({"type": "message_stop"})

    def fail(self, error: WireError) -> bytes:
        """See ``StreamEncoder``."""
        return _encode({"type": "error", "error": {"type": error.kind, "message": error.message}})

    def _open_thinking(self) -> bytes:
        self._thinking = True
        block = {"type": "thinking", "thinking": "", "signature": ""}
        return _encode({"type": "content_block_start", "index": self._blocks, "content_block": block})

    def _delta(self, delta: Json) -> bytes:
        return _encode({"type": "content_block_delta", "index": self._blocks, "delta": delta})

    def _open_text(self) -> bytes:
        index = self._blocks
        head = f'{{"type":"content_block_delta","index":{index},"delta":{{"type":"text_delta","text":'
        self._head = f"event: content_block_delta\ndata: {head}".encode("ascii")
        return _encode({"type": "content_block_start", "index": index, "content_block": {"type": "text", "text": ""}})

    def _close_text(self) -> bytes:
        if not self._head:
            return b""
        self._head, self._blocks = b"", self._blocks + 1
        return _encode({"type": "content_block_stop", "index": self._blocks - 1})

    def _call(self, call: ToolCall) -> bytes:
        index, self._blocks = self._blocks, self._blocks + 1
        opened: Json = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
        delta: Json = {"type": "input_json_delta", "partial_json": call.arguments}
        return (
            _encode({"type": "content_block_start", "index": index, "content_block": opened})
            + _encode({"type": "content_block_delta", "index": index, "delta": delta})
            + _encode({"type": "content_block_stop", "index": index})
        )
