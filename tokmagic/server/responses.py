"""What the Responses routes add to those of the other protocols: nothing is stored, input may be dropped, or compacted.

What refers to something stored is not found. A setting that is taken and has no effect here is named in the reply's
``x-tokmagic-ignored`` header and in the log.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tokmagic.codecs import Json, WireError
from tokmagic.codecs.responses import ResponsesCodec
from tokmagic.codecs.responses_answers import SETTINGS
from tokmagic.codecs.responses_items import FAMILY, encode_usage, input_items
from tokmagic.codecs.turns import Turn
from tokmagic.core.counters import Counter
from tokmagic.core.exchanges import droppable
from tokmagic.core.messages import Compaction, Message, Part, Reasoning, Request, Text, ToolCall, ToolResult, user
from tokmagic.core.replies import Answer
from tokmagic.core.tokens import REPLY_PRIMING, count_request

from .seals import seal, unseal
from .thresholds import standing

IGNORED = "x-tokmagic-ignored"
SUMMARY_TOKENS = 2_000
_INVALID = "invalid_request_error"
_LOG = logging.getLogger(__name__)
#: Settings that have the effect they name, or whose effect is there anyway.
_HONOURED = frozenset({"include", "parallel_tool_calls", "reasoning", "seed", "stream_options", "text", "tool_choice"})
_SUMMARISE = "Summarise this conversation so that it can go on from the summary alone.\n\n"


def read_request(body: Mapping[str, Any]) -> Request:
    """The request in a body, its compactions opened, without what one stands for.

    Raises:
        WireError: as the real service refuses it, or for what refers to something stored.
    """
    request = ResponsesCodec().decode_request(body)
    _refuse_stored(request.extras.body)
    return standing(replace(request, messages=tuple(_opened(message) for message in request.messages)))


def settings_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a request that its replies state again."""
    stated = {name: body[name] for name in SETTINGS if body.get(name) is not None}
    return stated | {"store": False}


def ignored_headers(request: Request, honoured: frozenset[str]) -> dict[str, str]:
    """The settings that were taken and have no effect, under their header; the engine has its own that have one."""
    kept = request.extras.body
    usual = {**SETTINGS, "service_tier": "auto", "truncation": kept.get("truncation")}
    names = sorted(name for name in kept if name not in _HONOURED | honoured and kept[name] != usual.get(name))
    if not names:
        return {}
    _LOG.warning("Settings without effect on this server: %s", ", ".join(names))
    return {IGNORED: ", ".join(names)}


def shortened(request: Request, room: int, counter: Counter) -> Request:
    """The request with its oldest input dropped as far as it must be to read at most ``room`` tokens.

    The last question stays; a call and its output go together.
    """
    messages = tuple(piece for message in request.messages for piece in _apart(message))
    turns = [place for place, message in enumerate(messages) if message.role != "system"]
    gone: set[int] = set()
    tokens = int(count_request(messages, request.tools, counter))
    for leaving in droppable(messages, turns, turns[-1:]):
        if tokens <= room:
            break
        gone.update(leaving)
        tokens -= int(count_request([messages[place] for place in leaving], (), counter)) - REPLY_PRIMING
    kept = tuple(message for place, message in enumerate(messages) if place not in gone)
    return replace(request, messages=kept)


def _apart(message: Message) -> tuple[Message, ...]:
    """What the tools returned and what the user said behind it, which need not leave together."""
    results = tuple(part for part in message.parts if isinstance(part, ToolResult))
    rest = tuple(part for part in message.parts if not isinstance(part, ToolResult))
    return (Message(message.role, results), Message(message.role, rest)) if results and rest else (message,)


def summary_request(request: Request) -> Request:
    """The request that asks an engine for a summary of the input of another."""
    told = "\n\n".join(_told(message) for message in request.turns)
    return Request(request.model, (user(_SUMMARISE + told),), SUMMARY_TOKENS, stream=False)


def compacted(request: Request, summary: Answer, created: int) -> Json:
    """The body of a compaction: what the user said, word for word, and one item that stands for all of it."""
    stem = summary.id.rpartition("_")[2]
    said = (item for turn in request.turns if turn.role == "user" for item in input_items(_spoken(turn)))
    messages = [
        {"id": f"msg_{stem}{place:02d}", "status": "completed"} | _listed(item) for place, item in enumerate(said)
    ]
    item = {"id": f"cmp_{stem}", "type": "compaction", "encrypted_content": seal(summary.text)}
    return {
        "id": summary.id,
        "object": "response.compaction",
        "created_at": created,
        "output": [*messages, item],
        "usage": encode_usage(summary.usage) if summary.usage is not None else None,
    }


def _spoken(message: Message) -> Turn:
    return Turn("user", tuple(part for part in message.parts if not isinstance(part, ToolResult)))


def _listed(message: Json) -> Json:
    """A message whose content is a list, as replies have it."""
    content = message["content"]
    return message | ({"content": [{"type": "input_text", "text": content}]} if isinstance(content, str) else {})


def _told(message: Message) -> str:
    return f"{message.role}: " + "\n".join(text for part in message.parts if (text := _words(part)))


def _words(part: Part) -> str:
    match part:
        case Text(text) | Compaction(text):
            return text
        case ToolCall(_, name, arguments):
            return f"(calls {name} with {arguments})"
        case ToolResult():
            return "".join(piece.text for piece in part.parts if isinstance(piece, Text))
        case _:
            return ""


def _opened(message: Message) -> Message:
    return replace(message, parts=tuple(map(_opened_part, message.parts)))


def _opened_part(part: Part) -> Part:
    """A compaction with the summary that is sealed in it; a seal that does not open is refused."""
    if isinstance(part, Compaction) and part.provider == FAMILY:
        return replace(part, text=_verified(part.raw))
    if isinstance(part, Reasoning) and part.redacted:
        _verified(part.redacted)
    return part


def _verified(raw: str) -> str:
    sealed = str(json.loads(raw)["encrypted_content"])
    text = unseal(sealed)
    if text is None:
        message = f"The encrypted content {sealed[:12]}... could not be verified."
        raise WireError(400, _INVALID, message, code="invalid_encrypted_content")
    return text


def _refuse_stored(kept: Mapping[str, Any]) -> None:
    if (previous := kept.get("previous_response_id")) is not None:
        message = f"Previous response with id '{previous}' not found: this server stores no responses."
        raise WireError(400, _INVALID, message, param="previous_response_id", code="previous_response_not_found")
    for name, noun in (("conversation", "Conversation"), ("prompt", "Prompt")):
        if (found := kept.get(name)) is not None:
            id = found.get("id") if isinstance(found, Mapping) else found
            message = f"{noun} with id '{id}' not found: this server stores none."
            raise WireError(404, _INVALID, message, param=name)
    if kept.get("background"):
        message = "Unsupported parameter: 'background' needs stored responses, which this server does not keep."
        raise WireError(400, _INVALID, message, param="background", code="unsupported_parameter")
