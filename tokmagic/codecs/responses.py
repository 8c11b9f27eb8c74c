"""OpenAI's Responses, both directions, without anything stored at OpenAI.

The system text is ``instructions``, every turn a run of items. Nothing is stored there, so what a reasoning model
thought comes back to us encrypted and is sent again with the next request. The protocol knows no stop sequences.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tokmagic.core.errors import ProviderError, RequestRejected
from tokmagic.core.messages import NOTHING, Request, Tool
from tokmagic.core.reasoning import effort_of
from tokmagic.core.replies import Answer

from . import Json, WireError
from .chat_messages import WIRE_EFFORTS
from .failures import failure
from .responses_answers import decode_answer, encode_answer
from .responses_compaction import encode_compact_at
from .responses_items import input_items
from .responses_requests import ENCRYPTED, decode_request
from .responses_stream import ResponsesDecoder
from .responses_writer import ResponsesEncoder
from .turns import turns_of

#: Models that think and give it back encrypted, whether or not the caller asks for reasoning. The others refuse a
#: request that asks for it.
_THINKS = re.compile(r"(?:o\d|gpt-(?:[5-9]|\d\d)|codex)(?!.*chat-latest)")


@dataclass(frozen=True, slots=True)
class ResponsesCodec:
    """Responses; see ``Codec``. ``settings`` are those of a request, which every reply states again."""

    settings: Mapping[str, Any] = field(default_factory=lambda: NOTHING)

    def encode_request(self, request: Request) -> Json:
        """See ``Codec``.

        Raises:
            RequestRejected: the request has stop sequences.
        """
        if request.stop:
            raise RequestRejected(
                f"The Responses protocol has no stop sequences: leave them out, or use PROVIDER-chat/{request.model}."
            )
        body: Json = {
            "model": request.model,
            "input": [item for turn in turns_of(request) for item in input_items(turn)],
            "max_output_tokens": request.max_tokens,
            "stream": request.stream,
            "store": False,
        }
        if request.system.strip():
            body["instructions"] = request.system
        if _THINKS.match(request.model) or request.reasoning or "reasoning" in request.extras.body:
            body["include"] = [ENCRYPTED]
        if request.compact_at is not None:
            body["context_management"] = encode_compact_at(request.compact_at)
        if request.temperature is not None:
            body["temperature"] = request.temperature
        if request.tools:
            body["tools"] = [_encode_tool(tool) for tool in request.tools]
        if request.server_tools:
            body["tools"] = [*body.get("tools", ()), *(dict(tool) for tool in request.server_tools)]
        if request.reasoning is not None:
            body["reasoning"] = {"effort": WIRE_EFFORTS[effort_of(request.reasoning)]}
        return body

    def decode_request(self, body: Mapping[str, Any]) -> Request:
        """See ``Codec``."""
        return decode_request(body)

    def encode_answer(self, answer: Answer, created: int = 0) -> Json:
        """See ``Codec``."""
        return encode_answer(answer, created, self.settings)

    def decode_answer(self, body: Any) -> Answer:
        """See ``Codec``; a response that failed or was given up raises the error it stands for."""
        return decode_answer(body)

    def decoder(self) -> ResponsesDecoder:
        """See ``Codec``."""
        return ResponsesDecoder()

    def encoder(self, id: str, model: str, created: int = 0) -> ResponsesEncoder:
        """See ``Codec``."""
        return ResponsesEncoder(id, model, created, self.settings)

    def encode_error(self, error: WireError, request_id: str = "") -> Json:
        """See ``Codec``; the protocol names the request in a header only."""
        return {"error": {"message": error.message, "type": error.kind, "param": error.param, "code": error.code}}

    def decode_error(self, status: int | None, body: Any, headers: Mapping[str, str]) -> ProviderError:
        """See ``Codec``."""
        return failure(status, body, headers)


def _encode_tool(tool: Tool) -> Json:
    """A function, whose schema need not be one of those that the service can enforce strictly."""
    described = {"description": tool.description} if tool.description else {}
    parameters = {"type": "object", "properties": {}, **tool.schema}
    return {"type": "function", "name": tool.name, **described, "parameters": parameters, "strict": False}
