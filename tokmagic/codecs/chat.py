"""OpenAI's Chat Completions, which many services speak, both directions.

The system text is the first message, a tool's result a message of its own, and an answer the first choice. The bound of
the answer goes under the name the service reads: one that ignores it would write past what was reserved.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tokmagic.core.errors import MalformedReply, ProviderError, StreamBroken
from tokmagic.core.messages import Request, Tool
from tokmagic.core.reasoning import effort_of
from tokmagic.core.replies import Answer

from . import Json, WireError
from .chat_messages import (
    BROKEN_REASONS,
    CHAT,
    FINISH_REASONS,
    WIRE_EFFORTS,
    WIRE_REASONS,
    answer_message,
    decode_heard,
    decode_message,
    decode_served,
    decode_usage,
    encode_turn,
    encode_usage,
)
from .chat_requests import decode_request
from .chat_stream import ChatDecoder, ChatEncoder
from .failures import failure
from .turns import turns_of
from .wire import Node


@dataclass(frozen=True, slots=True)
class ChatCodec:
    """Chat Completions; see ``Codec``. OpenAI demands the newer ``limit_field``, some services read only the older.

    Without ``usage_option`` a stream is not asked to state its usage: the service does so by itself, and refuses that.
    """

    limit_field: str = "max_completion_tokens"
    usage_option: bool = True

    def encode_request(self, request: Request) -> Json:
        """See ``Codec``."""
        system = [{"role": "system", "content": request.system}] if request.system.strip() else []
        body: Json = {
            "model": request.model,
            "messages": [*system, *(message for turn in turns_of(request) for message in encode_turn(turn))],
            self.limit_field: request.max_tokens,
            "stream": request.stream,
        }
        if request.stream and self.usage_option:
            body["stream_options"] = {"include_usage": True}
        if request.temperature is not None:
            body["temperature"] = request.temperature
        if request.stop:
            body["stop"] = list(request.stop)
        if request.tools:
            body["tools"] = [_encode_tool(tool) for tool in request.tools]
        if request.server_tools:
            body["tools"] = [*body.get("tools", ()), *(dict(tool) for tool in request.server_tools)]
        if request.reasoning is not None:
            body["reasoning_effort"] = WIRE_EFFORTS[effort_of(request.reasoning)]
        return body

    def decode_request(self, body: Mapping[str, Any]) -> Request:
        """See ``Codec``; either name of the answer's bound is read."""
        return decode_request(body)

    def encode_answer(self, answer: Answer, created: int = 0) -> Json:
        """See ``Codec``."""
        choice = {
            "index": 0,
            "message": answer_message(answer.parts) | {"refusal": None},
            "logprobs": None,
            "finish_reason": WIRE_REASONS.get(answer.stop_reason, "stop"),
        }
        return {
            "id": answer.id,
            "object": "chat.completion",
            "created": created,
            "model": answer.model,
            "choices": [choice],
            "usage": encode_usage(answer.usage, answer.heard_tokens) if answer.usage is not None else None,
        }

    def decode_answer(self, body: Any) -> Answer:
        """See ``Codec``; an error body with a status of success raises the error it stands for."""
        if isinstance(body, Mapping) and body.get("error"):
            raise failure(200, body, {})
        root = Node(body, (), CHAT)
        try:
            choice = next(iter(root.field("choices").items()), None) or root.field("choices").refuse("no choice")
            parts, reason = decode_message(choice.field("message")), choice.field("finish_reason").text()
            model, id = root.optional("model"), root.optional("id")
            answer = Answer(
                parts=parts,
                usage=decode_usage(body.get("usage")),
                stop_reason=FINISH_REASONS.get(reason, "unknown"),
                model=model.text() if model is not None else "",
                id=id.text() if id is not None else "",
                served=decode_served(body),
                heard_tokens=decode_heard(body.get("usage")),
            )
        except WireError as error:
            raise MalformedReply(f"The reply is no chat completion: {error.message}") from None
        if reason in BROKEN_REASONS:
            raise StreamBroken(f"The service gave up in the middle of its reply ({reason}).", code=reason)
        return answer

    def decoder(self) -> ChatDecoder:
        """See ``Codec``."""
        return ChatDecoder()

    def encoder(self, id: str, model: str, created: int = 0) -> ChatEncoder:
        """See ``Codec``."""
        return ChatEncoder(id, model, created)

    def encode_error(self, error: WireError, request_id: str = "") -> Json:
        """See ``Codec``; the protocol names the request in a header only."""
        return {"error": {"message": error.message, "type": error.kind, "param": error.param, "code": error.code}}

    def decode_error(self, status: int | None, body: Any, headers: Mapping[str, str]) -> ProviderError:
        """See ``Codec``."""
        return failure(status, body, headers)


def _encode_tool(tool: Tool) -> Json:
    described = {"description": tool.description} if tool.description else {}
    parameters = {"type": "object", "properties": {}, **tool.schema}
    return {"type": "function", "function": {"name": tool.name, **described, "parameters": parameters}}
