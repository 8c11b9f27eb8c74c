"""Anthropic's Messages protocol, both directions.

The system text is a field of its own, tool results are blocks of a user's turn and come first in it, and a turn that
has nothing to say is not sent. Usage counts cached input apart on the wire and together in core.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tokmagic.core.errors import MalformedReply, ProviderError, RequestRejected
from tokmagic.core.messages import Reasoned, Request, Tool
from tokmagic.core.reasoning import LEAST_BUDGET, budget_within
from tokmagic.core.replies import Answer

from . import Json, WireError
from .anthropic_blocks import (
    MESSAGES,
    STOP_REASONS,
    WIRE_REASONS,
    decode_block,
    decode_compacting,
    decode_served,
    decode_usage,
    encode_parts,
    encode_usage,
)
from .anthropic_caching import mark_shared
from .anthropic_compaction import encode_compact_at
from .anthropic_requests import decode_request
from .anthropic_stream import MessagesDecoder
from .anthropic_writer import MessagesEncoder
from .failures import failure
from .turns import turns_of
from .wire import Node


@dataclass(frozen=True, slots=True)
class MessagesCodec:
    """The Messages protocol; see ``Codec``."""

    def encode_request(self, request: Request) -> Json:
        """See ``Codec``.

        Raises:
            RequestRejected: it is to think, and its answer is too short for that.
        """
        body: Json = {
            "model": request.model,
            "max_tokens": request.max_tokens,
            "messages": _encode_turns(request),
            "stream": request.stream,
        }
        if request.system.strip():
            body["system"] = request.system
        if request.temperature is not None:
            body["temperature"] = request.temperature
        if request.stop:
            body["stop_sequences"] = list(request.stop)
        if request.tools:
            body["tools"] = [_encode_tool(tool) for tool in request.tools]
        if request.server_tools:
            body["tools"] = [*body.get("tools", ()), *(dict(tool) for tool in request.server_tools)]
        if request.reasoning is not None:
            body |= _thinking(request.reasoning, request.max_tokens)
        if request.compact_at is not None:
            body["context_management"] = encode_compact_at(request.compact_at)
        if request.cache:
            mark_shared(body)
        return body

    def decode_request(self, body: Mapping[str, Any]) -> Request:
        """See ``Codec``."""
        return decode_request(body)

    def encode_answer(self, answer: Answer, created: int = 0) -> Json:
        """See ``Codec``; the protocol has no place for ``created``."""
        return {
            "id": answer.id,
            "type": "message",
            "role": "assistant",
            "model": answer.model,
            "content": encode_parts(answer.parts),
            "stop_reason": WIRE_REASONS.get(answer.stop_reason, "end_turn"),
            "stop_sequence": None,
            "usage": encode_usage(answer.usage, answer.compacting) if answer.usage is not None else None,
        }

    def decode_answer(self, body: Any) -> Answer:
        """See ``Codec``; an error body with a status of success raises the error it stands for."""
        if isinstance(body, Mapping) and body.get("error"):
            raise failure(200, body, {})
        root = Node(body, (), MESSAGES)
        try:
            parts = tuple(decode_block(block) for block in root.field("content").items())
            reason = root.field("stop_reason").text()
            model, id = root.field("model").text(), root.field("id").text()
        except WireError as error:
            raise MalformedReply(f"The reply is no message: {error.message}.") from None
        return Answer(
            parts=parts,
            usage=decode_usage(body.get("usage")),
            stop_reason=STOP_REASONS.get(reason, "unknown"),
            model=model,
            id=id,
            served=decode_served(body.get("usage")),
            compacting=decode_compacting(body.get("usage")),
        )

    def decoder(self) -> MessagesDecoder:
        """See ``Codec``."""
        return MessagesDecoder()

    def encoder(self, id: str, model: str, created: int = 0) -> MessagesEncoder:
        """See ``Codec``; the protocol has no place for ``created``."""
        return MessagesEncoder(id, model)

    def encode_error(self, error: WireError, request_id: str = "") -> Json:
        """See ``Codec``."""
        body: Json = {"type": "error", "error": {"type": error.kind, "message": error.message}}
        return body | ({"request_id": request_id} if request_id else {})

    def decode_error(self, status: int | None, body: Any, headers: Mapping[str, str]) -> ProviderError:
        """See ``Codec``."""
        return failure(status, body, headers)


def _encode_turns(request: Request) -> list[Json]:
    turns: list[Json] = []
    for turn in turns_of(request):
        if content := encode_parts(turn.parts):
            turns.append({"role": turn.role, "content": content})
    if turns and turns[-1]["role"] == "assistant" and turns[-1]["content"][-1]["type"] == "text":
        last = turns[-1]["content"][-1]
        last["text"] = last["text"].rstrip()
    return turns


def _thinking(asked: Reasoned, max_tokens: int) -> Json:
    if asked == "off":
        return {"thinking": {"type": "disabled"}}
    if not isinstance(asked, int):
        return {"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": asked}}
    budget = budget_within(asked, max_tokens)
    if budget is None:
        raise RequestRejected(
            f"Thinking takes {LEAST_BUDGET:,} tokens at least and max_tokens is {max_tokens:,}: raise it, or leave "
            "reasoning out."
        )
    return {"thinking": {"type": "enabled", "budget_tokens": budget}}


def _encode_tool(tool: Tool) -> Json:
    if tool.native:
        return dict(tool.native)
    described = {"description": tool.description} if tool.description else {}
    return {"name": tool.name, **described, "input_schema": {"type": "object", **tool.schema}}
