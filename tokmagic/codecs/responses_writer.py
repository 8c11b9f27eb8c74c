"""A Responses reply as a stream, written: every event in its place, numbered without a gap.

An item is opened, filled and closed before the next one opens, and the last event states the whole response again.
"""

from __future__ import annotations

from collections.abc import Mapping
from json.encoder import encode_basestring_ascii
from typing import Any

from tokmagic.core.messages import Compaction, Reasoning, ToolCall
from tokmagic.core.replies import Answer
from tokmagic.core.usage import Usage

from . import Json, WireError
from .responses_answers import ended, response, status_of
from .responses_items import item_id, message_item, output_item, reasoning_item, text_part
from .sse import KEEP_ALIVE, SSEDecoder, encode_event
from .wire import compact_json, parse_json

_TEXT, _SUMMARY = "response.output_text.delta", "response.reasoning_summary_text.delta"


class ResponsesEncoder:
    """Writes the events of one reply; see ``StreamEncoder``."""

    def __init__(self, id: str, model: str, created: int, settings: Mapping[str, Any]) -> None:
        self._response = response(id, model, created, settings)
        self._id = id
        self._number = 0
        self._output: list[Json] = []
        self._item: Json | None = None
        self._pieces: list[str] = []
        self._tail = b""

    def start(self, usage: Usage) -> bytes:
        """See ``StreamEncoder``; this protocol states the input only at the end."""
        created = self._event("response.created", response=self._response)
        return created + self._event("response.in_progress", response=self._response)

    def ping(self) -> bytes:
        """See ``StreamEncoder``; this protocol has no event for it."""
        return KEEP_ALIVE

    def reasoning(self, text: str) -> bytes:
        """See ``StreamEncoder``."""
        opened = b"" if self._item else self._open_reasoning()
        return opened + self._delta(_SUMMARY, text)

    def reasoned(self, part: Reasoning) -> bytes:
        """See ``StreamEncoder``; what was thought in secret is an item without a summary."""
        opened = b"" if self._item else self._open("rs", reasoning_item(Reasoning(), ""))
        closed = self._close_summary() if self._pieces else b""
        return opened + closed + self._close(reasoning_item(part, item_id("rs", self._id, len(self._output))))

    def compacted(self, part: Compaction) -> bytes:
        """See ``StreamEncoder``; the item comes with the id that it was sealed under."""
        item: Json = parse_json(part.raw)
        index, self._item = len(self._output), item
        opened = self._event("response.output_item.added", output_index=index, item=item | {"encrypted_content": ""})
        return opened + self._event("response.compaction.compacting", **self._place()) + self._close(item)

    def text(self, text: str) -> bytes:
        """See ``StreamEncoder``."""
        opened = b"" if self._item else self._open_message()
        return opened + self._delta(_TEXT, text)

    def finish(self, answer: Answer) -> bytes:
        """See ``StreamEncoder``."""
        status = status_of(answer.stop_reason)
        said = self._close_message(status) if self._item else b""
        calls = b"".join(self._call(part) for part in answer.parts if isinstance(part, ToolCall))
        body = ended(self._response, answer, self._output)
        return said + calls + self._event(f"response.{status}", response=body)

    def fail(self, error: WireError) -> bytes:
        """See ``StreamEncoder``; the response itself is told to have failed, too."""
        said = self._event("error", code=error.code, message=error.message, param=error.param)
        cause = {"code": "server_error", "message": error.message}
        body = self._response | {"status": "failed", "error": cause, "output": self._output}
        return said + self._event("response.failed", response=body)

    def take_over(self, sent: bytes) -> None:
        """Go on behind events that another encoder wrote: with its response, its items, and the next number."""
        for kind, data in SSEDecoder().feed(sent):
            self._number += 1
            if kind == "response.created":
                self._response = parse_json(data)["response"]
            elif kind == "response.output_item.done":
                self._output.append(parse_json(data)["item"])

    def _open(self, prefix: str, item: Json) -> bytes:
        id = item_id(prefix, self._id, len(self._output))
        self._item, self._pieces = {**item, "id": id}, []
        return self._event("response.output_item.added", output_index=len(self._output), item=self._item)

    def _close(self, item: Json) -> bytes:
        index = len(self._output)
        self._output.append(item)
        self._item, self._pieces = None, []
        return self._event("response.output_item.done", output_index=index, item=item)

    def _open_message(self) -> bytes:
        opened = self._open("msg", message_item("", "", "in_progress") | {"content": []})
        part = self._event("response.content_part.added", **self._place(), content_index=0, part=text_part(""))
        self._tail = self._tail_of(content_index=0, logprobs=[])
        return opened + part

    def _close_message(self, status: str) -> bytes:
        text, place = "".join(self._pieces), self._place() | {"content_index": 0}
        done = self._event("response.output_text.done", **place, text=text, logprobs=[])
        part = self._event("response.content_part.done", **place, part=text_part(text))
        return done + part + self._close(message_item(text, place["item_id"], status))

    def _open_reasoning(self) -> bytes:
        opened = self._open("rs", reasoning_item(Reasoning(), ""))
        part = {"type": "summary_text", "text": ""}
        self._tail = self._tail_of(summary_index=0)
        return opened + self._event(
            "response.reasoning_summary_part.added", **self._place(), summary_index=0, part=part
        )

    def _close_summary(self) -> bytes:
        text, place = "".join(self._pieces), self._place() | {"summary_index": 0}
        part = {"type": "summary_text", "text": text}
        done = self._event("response.reasoning_summary_text.done", **place, text=text)
        return done + self._event("response.reasoning_summary_part.done", **place, part=part)

    def _call(self, call: ToolCall) -> bytes:
        index = len(self._output)
        item = output_item(call, self._id, index, "completed") or {}
        opened = self._open("fc", item | {"status": "in_progress", "arguments": ""})
        place = self._place()
        delta = self._event("response.function_call_arguments.delta", **place, delta=call.arguments)
        done = self._event("response.function_call_arguments.done", **place, name=call.name, arguments=call.arguments)
        return opened + delta + done + self._close(item)

    def _place(self) -> Json:
        item = self._item or {}
        return {"item_id": item.get("id", ""), "output_index": len(self._output)}

    def _event(self, kind: str, **fields: Any) -> bytes:
        body = {"type": kind, "sequence_number": self._number, **fields}
        self._number += 1
        return encode_event(kind, compact_json(body))

    def _tail_of(self, **fields: Any) -> bytes:
        """What stands behind the text of each delta of the open item: written once, because deltas are many."""
        return f",{compact_json(self._place() | fields)[1:]}\n\n".encode()

    def _delta(self, kind: str, text: str) -> bytes:
        self._pieces.append(text)
        number, self._number = self._number, self._number + 1
        head = f'event: {kind}\ndata: {{"type":"{kind}","sequence_number":{number},"delta":'
        return (head + encode_basestring_ascii(text)).encode("ascii") + self._tail
