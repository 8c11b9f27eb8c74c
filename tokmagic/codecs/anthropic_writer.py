"""A Messages reply as a stream, written: its blocks one behind the other, thoughts first, tool calls last."""

from __future__ import annotations

from json.encoder import encode_basestring_ascii

from tokmagic.core.messages import Compaction, Reasoning, ToolCall
from tokmagic.core.replies import Answer
from tokmagic.core.usage import Usage

from . import Json, WireError
from .anthropic_blocks import WIRE_REASONS, encode_usage
from .sse import encode_event
from .wire import compact_json, parse_json


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
        return _encode({"type": "message_start", "message": message}) + self.ping()

    def ping(self) -> bytes:
        """See ``StreamEncoder``."""
        return _encode({"type": "ping"})

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

    def compacted(self, part: Compaction) -> bytes:
        """See ``StreamEncoder``."""
        block = parse_json(part.raw)
        index, self._blocks = self._blocks, self._blocks + 1
        opened: Json = block | {"content": None, "encrypted_content": None}
        sealed = {name: block.get(name) for name in ("content", "encrypted_content")}
        delta: Json = {"type": "compaction_delta", **sealed}
        return (
            _encode({"type": "content_block_start", "index": index, "content_block": opened})
            + _encode({"type": "content_block_delta", "index": index, "delta": delta})
            + _encode({"type": "content_block_stop", "index": index})
        )

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
            "usage": encode_usage(answer.usage or Usage(), answer.compacting),
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
