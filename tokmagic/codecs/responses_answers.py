"""A whole response of OpenAI's Responses to an answer and back.

A reply states the settings of its request again. Its status says how it ended; one that is not over is no reply, and
one that failed or was cancelled is the error it stands for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tokmagic.core.errors import MalformedReply, ProviderError, StreamBroken
from tokmagic.core.messages import Compaction, Part, ToolCall
from tokmagic.core.replies import Answer, StopReason

from . import Json, WireError
from .chat_messages import CHAT, decode_served
from .failures import failure
from .responses_items import FAMILY, decode_items, decode_usage, encode_usage, output_items
from .wire import Node, compact_json, inner

#: Why a response is incomplete; any other reason is unknown to us.
INCOMPLETE_REASONS: Mapping[str, StopReason] = {"max_output_tokens": "max_tokens", "content_filter": "refusal"}
WIRE_REASONS: Mapping[StopReason, str] = {
    "max_tokens": "max_output_tokens",
    "context_window": "max_output_tokens",
    "refusal": "content_filter",
}
#: What a reply states where its request said nothing.
SETTINGS: Mapping[str, Any] = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "service_tier": "default",
    "store": False,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "truncation": "disabled",
}


def encode_answer(answer: Answer, created: int, settings: Mapping[str, Any]) -> Json:
    """The response of an answer; ``settings`` are those of the request that differ from what is usual."""
    output = output_items(answer.parts, answer.id, status_of(answer.stop_reason))
    return ended(response(answer.id, answer.model, created, settings), answer, output)


def response(id: str, model: str, created: int, settings: Mapping[str, Any]) -> Json:
    """A response that has just begun."""
    head: Json = {"id": id, "object": "response", "created_at": created, "model": model, "status": "in_progress"}
    return head | {"error": None, "incomplete_details": None, "output": [], "usage": None} | {**SETTINGS, **settings}


def ended(begun: Json, answer: Answer, output: list[Json]) -> Json:
    """A response that has ended with this output."""
    reason = WIRE_REASONS.get(answer.stop_reason)
    return begun | {
        "status": status_of(answer.stop_reason),
        "incomplete_details": {"reason": reason} if reason is not None else None,
        "output": output,
        "usage": encode_usage(answer.usage) if answer.usage is not None else None,
    }


def status_of(reason: StopReason) -> str:
    """The status of a response that ended so."""
    return "incomplete" if reason in WIRE_REASONS else "completed"


def decode_answer(body: Any) -> Answer:
    """The answer in a response.

    Raises:
        ProviderError: it failed, was cancelled, is not over, or is no response.
    """
    if isinstance(body, Mapping) and body.get("error"):
        raise gave_up(failure(200, body, {}))
    root = Node(body, (), CHAT)
    if isinstance(body, Mapping) and body.get("object") == "response.compaction":
        return _compacted(root)
    try:
        status, model, id = root.field("status").text(), root.field("model").text(), root.field("id").text()
        parts, refused = decode_items(root.field("output"))
    except WireError as error:
        raise MalformedReply(f"The reply is no response: {error.message}") from None
    if status in ("failed", "cancelled"):
        raise StreamBroken(f"The service gave up in the middle of its reply (status {status}).", code=status)
    if status not in ("completed", "incomplete"):
        raise MalformedReply(f"The reply is not over: its status is {status!r:.40}.")
    reason = _stop_reason(status, body, parts, refused)
    return Answer(parts, decode_usage(body.get("usage")), reason, model, id, decode_served(body))


def _compacted(root: Node) -> Answer:
    """The item that stands for what was compacted; the user's own words come back beside it, and are known here."""
    try:
        items = [item for item in root.field("output").items() if item.field("type").text() == "compaction"]
        id = root.field("id").text()
    except WireError as error:
        raise MalformedReply(f"The reply is no compaction: {error.message}") from None
    parts = tuple(Compaction("", FAMILY, compact_json(item.value)) for item in items)
    return Answer(parts, decode_usage(root.fields().get("usage")), "compaction", id=id)


def gave_up(error: ProviderError) -> ProviderError:
    """The error of a response that failed: with a code that says nothing to us it is a reply that broke off."""
    if type(error) is not MalformedReply:
        return error
    return StreamBroken(f"The reply broke off: {error.args[0]}", code=error.code, request_id=error.request_id)


def _stop_reason(status: str, body: Mapping[str, Any], parts: tuple[Part, ...], refused: bool) -> StopReason:
    if status == "incomplete":
        return INCOMPLETE_REASONS.get(str(inner(body, "incomplete_details").get("reason")), "unknown")
    if refused:
        return "refusal"
    return "tool_use" if any(isinstance(part, ToolCall) for part in parts) else "end"
