"""Anthropic's content blocks, usage and stop reasons, to core values and back.

What only Anthropic understands travels unchanged: signatures, redacted thinking, compaction blocks, and whatever core
has no name for, such as a search. Reasoning that carries no signature came from elsewhere; Anthropic refuses it, so it
is not sent.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from tokmagic.core.errors import RequestRejected
from tokmagic.core.messages import Audio, Compaction, Document, Image, Part, Reasoning, Text, ToolCall, ToolResult
from tokmagic.core.prices import ORDINARY
from tokmagic.core.replies import StopReason
from tokmagic.core.usage import NOTHING_USED, Usage

from . import Json, WireError
from .anthropic_documents import encode_document
from .wire import Node, Path, compact_json, inner, object_or_wrapped, parse_json, tokens

FAMILY = "anthropic"
STOP_REASONS: Mapping[str, StopReason] = {
    "end_turn": "end",
    "max_tokens": "max_tokens",
    "stop_sequence": "stop_sequence",
    "tool_use": "tool_use",
    "pause_turn": "pause",
    "refusal": "refusal",
    "model_context_window_exceeded": "context_window",
    "compaction": "compaction",
}
WIRE_REASONS: Mapping[StopReason, str] = {reason: name for name, reason in STOP_REASONS.items()}


class MessagesDialect:
    """Refusals in the words of the Messages API."""

    _WANTED: Mapping[str, str] = {"array": "list", "object": "dictionary"}

    def missing(self, path: Path) -> WireError:
        """See ``Dialect``."""
        return self.invalid(path, "Field required")

    def wrong_type(self, path: Path, wanted: str, value: Any) -> WireError:
        """See ``Dialect``."""
        return self.invalid(path, f"Input should be a valid {self._WANTED.get(wanted, wanted)}")

    def invalid(self, path: Path, message: str) -> WireError:
        """See ``Dialect``."""
        where = ".".join(str(step) for step in path)
        return WireError(400, "invalid_request_error", f"{where}: {message}" if where else message)

    def unknown(self, path: Path) -> WireError:
        """See ``Dialect``."""
        return self.invalid(path, "Extra inputs are not permitted")


MESSAGES = MessagesDialect()


def encode_parts(parts: Iterable[Part]) -> list[Json]:
    """The content blocks of one turn."""
    return [block for part in _told_in_text(tuple(parts)) if (block := encode_part(part)) is not None]


def _told_in_text(parts: tuple[Part, ...]) -> Iterable[Part]:
    """The parts, with the images of results that are errors behind all results: the service takes only text in them."""
    failed = [part for part in parts if isinstance(part, ToolResult) and part.is_error]
    shown = [image for result in failed for image in result.parts if isinstance(image, Image)]
    if not shown:
        return parts
    behind = max(place for place, part in enumerate(parts) if isinstance(part, ToolResult)) + 1
    told = [_worded(part) if isinstance(part, ToolResult) and part.is_error else part for part in parts]
    return [*told[:behind], *shown, *told[behind:]]


def _worded(result: ToolResult) -> ToolResult:
    return replace(result, parts=tuple(part for part in result.parts if isinstance(part, Text)))


def encode_part(part: Part) -> Json | None:
    """The block of one part, or None where Anthropic accepts none for it."""
    match part:
        case Text():
            return {"type": "text", "text": part.text} if part.text.strip() else None
        case Image() | Document():
            return _shown(part)
        case Reasoning():
            return _thinking(part)
        case ToolCall():
            return {"type": "tool_use", "id": part.id, "name": part.name, "input": object_or_wrapped(part.arguments)}
        case ToolResult():
            return _tool_result(part)
        case Compaction():
            return _compaction(part)
        case Audio():
            raise RequestRejected(
                "The Messages protocol takes no sound: give its words, or ask a model that hears on Chat Completions."
            )


def _shown(part: Image | Document) -> Json:
    if isinstance(part, Document):
        return encode_document(part)
    return {"type": "image", "source": _image_source(part)}


def _image_source(image: Image) -> Json:
    if image.url:
        return {"type": "url", "url": image.url}
    return {"type": "base64", "media_type": image.media_type, "data": b64encode(image.data).decode("ascii")}


def _thinking(part: Reasoning) -> Json | None:
    if part.provider:
        return _kept(part.provider, part.redacted)
    if part.redacted:
        return {"type": "redacted_thinking", "data": part.redacted}
    return {"type": "thinking", "thinking": part.text, "signature": part.signature} if part.signature else None


def _tool_result(part: ToolResult) -> Json:
    block: Json = {"type": "tool_result", "tool_use_id": part.call_id}
    match part.parts:
        case ():
            pass
        case (Text(text),):
            block["content"] = text
        case _:
            block["content"] = encode_parts(part.parts)
    return block | ({"is_error": True} if part.is_error else {})


def _compaction(part: Compaction) -> Json | None:
    return _kept(part.provider, part.raw) or encode_part(Text(part.text))


def _kept(provider: str, raw: str) -> Json | None:
    """A block as it came, if it came from Anthropic."""
    if provider != FAMILY or not raw:
        return None
    block: Json = parse_json(raw)
    return block


def decode_block(block: Node) -> Part:
    """The part that one block of an answer stands for; one that core has no name for is kept as it came."""
    match block.field("type").text():
        case "text":
            return Text(block.field("text").text())
        case "thinking":
            return Reasoning(block.field("thinking").text(), signature=_optional_text(block, "signature"))
        case "redacted_thinking":
            return Reasoning(redacted=block.field("data").text())
        case "tool_use":
            arguments = compact_json(block.field("input").fields())
            return ToolCall(block.field("id").text(), block.field("name").text(), arguments)
        case "compaction":
            return Compaction(_optional_text(block, "content"), FAMILY, compact_json(block.value))
        case _:
            return Reasoning(redacted=compact_json(block.value), provider=FAMILY)


def encode_usage(usage: Usage, compacting: Usage = NOTHING_USED) -> Json:
    """Usage as Anthropic states it: cached input apart from the rest, and a compaction on the way apart from both."""
    answered = usage - compacting
    body: Json = {**_encode_tokens(answered), "service_tier": "standard"}
    if usage.reasoning_tokens:
        body["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    if compacting != NOTHING_USED:
        steps = [("compaction", compacting), *([("message", answered)] if answered != NOTHING_USED else [])]
        body["iterations"] = [{"type": kind, **_encode_tokens(step)} for kind, step in steps]
    return body


def _encode_tokens(usage: Usage) -> Json:
    return {
        "input_tokens": usage.uncached_input_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens + usage.cache_write_1h_tokens,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write_tokens,
            "ephemeral_1h_input_tokens": usage.cache_write_1h_tokens,
        },
        "output_tokens": usage.output_tokens,
    }


def decode_usage(body: Any) -> Usage | None:
    """The usage that Anthropic states, with compactions on the way added; None where it states none.

    Raises:
        MalformedReply: a number of tokens that is no number of tokens.
    """
    if not isinstance(body, Mapping) or body.get("input_tokens") is None:
        return None
    reads, writes = tokens(body, "cache_read_input_tokens"), tokens(body, "cache_creation_input_tokens")
    lasting = tokens(inner(body, "cache_creation"), "ephemeral_1h_input_tokens")
    usage = Usage(
        input_tokens=tokens(body, "input_tokens") + reads + writes,
        cache_read_tokens=reads,
        cache_write_tokens=max(0, writes - lasting),
        cache_write_1h_tokens=min(lasting, writes),
        output_tokens=tokens(body, "output_tokens"),
        reasoning_tokens=tokens(inner(body, "output_tokens_details"), "thinking_tokens"),
    )
    return usage + decode_compacting(body)


def decode_compacting(body: Any) -> Usage:
    """What compactions on the way used, which a stated usage lists as iterations of its own."""
    steps = (body.get("iterations") or ()) if isinstance(body, Mapping) else ()
    found = (step for step in steps if isinstance(step, Mapping) and step.get("type") == "compaction")
    return sum((decode_usage({**step, "iterations": None}) or NOTHING_USED for step in found), NOTHING_USED)


def decode_served(body: Any) -> str:
    """How a call was served, in Anthropic's word, where that is not the ordinary way: a tier, a speed or a place."""
    if not isinstance(body, Mapping):
        return ""
    place = "us" if body.get("inference_geo") == "us" else ""
    ways = (body.get("service_tier"), body.get("speed"), place)
    return next((way for way in ways if isinstance(way, str) and way not in ORDINARY), "")


def _optional_text(block: Node, name: str) -> str:
    found = block.optional(name)
    return found.text() if found is not None else ""
