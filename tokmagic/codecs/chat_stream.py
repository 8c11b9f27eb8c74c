"""A Chat Completions reply as a stream, read and written.

A reply is whole when a finish reason has come and, behind or beside it, either the usage or ``[DONE]``. Some services
state no usage; then the answer has none. Keep-alives and chunks without a choice say nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from json.encoder import encode_basestring_ascii
from typing import Any

from tokmagic.core.errors import MalformedReply, ProviderError, StreamBroken
from tokmagic.core.events import Finished, ReasoningDelta, Started, StreamEvent, TextDelta, ToolCallDelta
from tokmagic.core.messages import Compaction, Part, Reasoning, Text, ToolCall
from tokmagic.core.replies import Answer
from tokmagic.core.usage import Usage

from . import Json, WireError
from .chat_messages import (
    BROKEN_REASONS,
    FINISH_REASONS,
    WIRE_REASONS,
    decode_heard,
    decode_served,
    decode_usage,
    encode_call,
    encode_usage,
)
from .failures import failure, one_line
from .sse import KEEP_ALIVE, encode_event
from .wire import compact_json, parse_json, place

DONE = "[DONE]"


@dataclass(slots=True)
class _Call:
    """A tool call while it arrives."""

    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)


class ChatDecoder:
    """Folds the chunks of one reply; see ``StreamDecoder``."""

    def __init__(self) -> None:
        self._id, self._model = "", ""
        self._begun = False
        self._thought: list[str] = []
        self._said: list[str] = []
        self._calls: dict[int, _Call] = {}
        self._usage: Usage | None = None
        self._heard = 0
        self._reason = ""
        self._served = ""
        self._done = False

    @property
    def complete(self) -> bool:
        """See ``StreamDecoder``."""
        return self._done

    def feed(self, event: str, data: str) -> Iterable[StreamEvent]:
        """See ``StreamDecoder``; the events of this protocol have no names, save an ``error`` of some services."""
        if self._done:
            return ()
        if data.startswith(DONE):
            return self._finished() if self._reason else ()
        try:
            body = parse_json(data)
            if event == "error" or body.get("error"):
                raise self._failure(body)
            return self._chunk(body)
        except (ValueError, LookupError, TypeError, AttributeError):
            raise MalformedReply(f"The stream holds a chunk that cannot be read: {one_line(data[:80])!r}.") from None

    def _chunk(self, body: Any) -> Iterable[StreamEvent]:
        events: list[StreamEvent] = [] if self._begun else self._begin(body)
        if usage := decode_usage(body.get("usage")):
            self._usage, self._heard = usage, decode_heard(body["usage"])
        self._served = decode_served(body) or self._served
        choices = body.get("choices")
        if choices:
            events += self._delta(choices[0]["delta"])
            self._end(choices[0].get("finish_reason"))
        if usage and self._reason:
            events += self._finished()
        return events

    def _begin(self, body: Any) -> list[StreamEvent]:
        self._begun = True
        self._id, self._model = _text(body.get("id")), _text(body.get("model"))
        return [Started(self._id, self._model)]

    def _delta(self, delta: Any) -> list[StreamEvent]:
        events: list[StreamEvent] = []
        if thought := _text(delta.get("reasoning_content") or delta.get("reasoning")):
            self._thought.append(thought)
            events.append(ReasoningDelta(thought))
        if said := _text(delta.get("content")) or _text(delta.get("refusal")):
            self._said.append(said)
            events.append(TextDelta(said))
        for call in delta.get("tool_calls") or ():
            events.append(self._call(call))
        return events

    def _call(self, body: Any) -> ToolCallDelta:
        index, function = place(body.get("index") or 0), body.get("function") or {}
        id, name, arguments = (
            _text(value) for value in (body.get("id"), function.get("name"), function.get("arguments"))
        )
        call = self._calls.setdefault(index, _Call())
        call.id, call.name = call.id or id, call.name or name
        call.arguments.append(arguments)
        return ToolCallDelta(index, id, name, arguments)

    def _end(self, reason: Any) -> None:
        if reason in BROKEN_REASONS:
            raise StreamBroken(f"The service gave up in the middle of its reply ({reason}).", code=reason)
        self._reason = _text(reason) or self._reason

    def _finished(self) -> list[StreamEvent]:
        self._done = True
        return [Finished(self.partial())]

    def _failure(self, body: Any) -> ProviderError:
        """Before the reply began the error is what it says; after that the reply is broken, whatever the reason."""
        error = failure(None, body, {})
        if not self._begun:
            return error
        return StreamBroken(f"The reply broke off: {error.args[0]}", code=error.code, request_id=error.request_id)

    def partial(self) -> Answer:
        """See ``StreamDecoder``; tool calls are whole only behind a finish reason and left out before it."""
        parts: list[Part] = []
        if self._thought:
            parts.append(Reasoning("".join(self._thought)))
        if self._said:
            parts.append(Text("".join(self._said)))
        if self._reason:
            calls = (call for _, call in sorted(self._calls.items()))
            parts += (ToolCall(call.id, call.name, "".join(call.arguments) or "{}") for call in calls)
        reason = FINISH_REASONS.get(self._reason, "unknown")
        return Answer(tuple(parts), self._usage, reason, self._model, self._id, self._served, heard_tokens=self._heard)


def _text(value: Any) -> str:
    """A string, or nothing where there is none."""
    if value is not None and not isinstance(value, str):
        raise TypeError("a string is wanted")
    return value or ""


class ChatEncoder:
    """Writes the chunks of one reply; see ``StreamEncoder``."""

    def __init__(self, id: str, model: str, created: int) -> None:
        self._frame: Mapping[str, Any] = {
            "id": id,
            "object": "chat.completion.chunk",
            "created": created,
            "model": model,
        }
        head, tail = self._choice({"content": "\0"}).split(encode_basestring_ascii("\0").encode("ascii"))
        self._head, self._tail = head, tail

    def start(self, usage: Usage) -> bytes:
        """See ``StreamEncoder``; this protocol states the input only at the end."""
        return self._choice({"role": "assistant", "content": "", "refusal": None})

    def ping(self) -> bytes:
        """See ``StreamEncoder``; this protocol has no event for it."""
        return KEEP_ALIVE

    def reasoning(self, text: str) -> bytes:
        """See ``StreamEncoder``."""
        return self._choice({"reasoning_content": text})

    def reasoned(self, part: Reasoning) -> bytes:
        """See ``StreamEncoder``; this protocol does not say where a thought ends."""
        return b""

    def compacted(self, part: Compaction) -> bytes:
        """See ``StreamEncoder``; this protocol compacts nothing."""
        return b""

    def text(self, text: str) -> bytes:
        """See ``StreamEncoder``."""
        return self._head + encode_basestring_ascii(text).encode("ascii") + self._tail

    def finish(self, answer: Answer) -> bytes:
        """See ``StreamEncoder``."""
        calls = [part for part in answer.parts if isinstance(part, ToolCall)]
        deltas = (self._choice({"tool_calls": [{"index": n, **encode_call(call)}]}) for n, call in enumerate(calls))
        closing = self._choice({}, WIRE_REASONS.get(answer.stop_reason, "stop"))
        stated = answer.usage is not None and self._encode(
            {"choices": [], "usage": encode_usage(answer.usage, answer.heard_tokens)}
        )
        return b"".join(deltas) + closing + (stated or b"") + encode_event("", DONE)

    def fail(self, error: WireError) -> bytes:
        """See ``StreamEncoder``."""
        body = {"message": error.message, "type": error.kind, "param": error.param, "code": error.code}
        return encode_event("", compact_json({"error": body}))

    def _choice(self, delta: Json, reason: str | None = None) -> bytes:
        return self._encode({"choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}]})

    def _encode(self, body: Json) -> bytes:
        return encode_event("", compact_json({**self._frame, **body}))
