"""The items of OpenAI's Responses, their usage and status, to core values and back.

What a model thought is an item that only OpenAI can read: it goes back byte for byte, and only if it carries its
encrypted content, because nothing is stored there for us. An item that core has no name for is kept in the same way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

from tokmagic.core.documents import text_of
from tokmagic.core.errors import RequestRejected
from tokmagic.core.messages import Audio, Compaction, Document, Image, Part, Reasoning, Text, ToolCall, ToolResult
from tokmagic.core.usage import Usage

from . import Json
from .openai_files import data_url, file_fields, titled
from .turns import Turn
from .wire import Node, compact_json, inner, parse_json, tokens

FAMILY = "openai"


def input_items(turn: Turn) -> list[Json]:
    """The items of one turn of a request; neighbouring texts and images of a user are one message."""
    items: list[Json] = []
    for spoken, parts in groupby(turn.parts, lambda part: turn.role == "user" and _is_content(part)):
        if spoken:
            items.append({"type": "message", "role": "user", "content": _content(list(parts))})
        else:
            items += (item for part in parts if (item := _input_item(part)) is not None)
    return items


def _is_content(part: Part) -> bool:
    return isinstance(part, Text | Image | Document | Audio) or (
        isinstance(part, Compaction) and part.provider != FAMILY
    )


def _input_item(part: Part) -> Json | None:
    match part:
        case Text(text):
            return {"type": "message", "role": "assistant", "content": text}
        case ToolCall(id, name, arguments):
            return {"type": "function_call", "call_id": id, "name": name, "arguments": arguments}
        case ToolResult(call_id, parts, _):
            return {"type": "function_call_output", "call_id": call_id, "output": _content(parts) if parts else ""}
        case Compaction(text, provider, raw):
            return _own_item(provider, raw) or {"type": "message", "role": "assistant", "content": text}
        case Reasoning(_, _, redacted, provider):
            return _own_item(provider, redacted)
        case Image() | Document() | Audio():
            return None


def _own_item(provider: str, raw: str) -> Json | None:
    if provider != FAMILY or not raw:
        return None
    item: Json = parse_json(raw)
    return item


def _content(parts: Iterable[Part]) -> str | list[Json]:
    """A message's or a result's content: plain where it is one text."""
    pieces = [_piece(part) for part in parts if _is_content(part)]
    return pieces[0]["text"] if len(pieces) == 1 and "text" in pieces[0] else pieces


def _piece(part: Part) -> Json:
    if isinstance(part, Image):
        return {"type": "input_image", "detail": "auto", "image_url": part.url or data_url(part)}
    if isinstance(part, Document):
        return _file(part)
    if isinstance(part, Audio):
        raise RequestRejected(
            "The Responses protocol takes no sound: ask a model on Chat Completions, such as openai-chat/gpt-audio."
        )
    return {"type": "input_text", "text": getattr(part, "text", "")}


def _file(document: Document) -> Json:
    text = text_of(document)
    if document.url:
        return {"type": "input_file", "file_url": document.url}
    if text is not None:
        return {"type": "input_text", "text": titled(document, text)}
    return {"type": "input_file", **file_fields(document)}


def output_items(parts: Iterable[Part], id: str, status: str) -> list[Json]:
    """The items of a reply of that id, each with an id of its own."""
    return [item for place, part in enumerate(parts) if (item := output_item(part, id, place, status)) is not None]


def output_item(part: Part, id: str, place: int, status: str) -> Json | None:
    """The item of one part of a reply, or None for what no reply holds."""
    match part:
        case Text(text):
            return message_item(text, item_id("msg", id, place), status)
        case ToolCall(call_id, name, arguments):
            item: Json = {"id": item_id("fc", id, place), "type": "function_call", "status": "completed"}
            return item | {"call_id": call_id, "name": name, "arguments": arguments}
        case Reasoning():
            return _own_item(part.provider, part.redacted) or reasoning_item(part, item_id("rs", id, place))
        case Compaction(text, provider, raw):
            return _own_item(provider, raw) or message_item(text, item_id("msg", id, place), status)
        case _:
            return None


def item_id(prefix: str, id: str, place: int) -> str:
    """The id of the item at ``place`` of the reply ``id``."""
    return f"{prefix}_{id.rpartition('_')[2]}{place:02d}"


def message_item(text: str, id: str, status: str) -> Json:
    """An assistant's message."""
    return {"id": id, "type": "message", "status": status, "role": "assistant", "content": [text_part(text)]}


def text_part(text: str) -> Json:
    """A piece of an assistant's message."""
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def reasoning_item(part: Reasoning, id: str) -> Json:
    """What was thought, as the one who thought it writes it: ``signature`` is the encrypted content."""
    summary = [{"type": "summary_text", "text": part.text}] if part.text else []
    sealed = {"encrypted_content": part.signature} if part.signature else {}
    return {"id": id, "type": "reasoning", "summary": summary, **sealed}


def decode_items(output: Node) -> tuple[tuple[Part, ...], bool]:
    """The parts of a reply's items, and whether the model refused in one of them."""
    items = list(output.items())
    refused = any(
        content.fields().get("type") == "refusal"
        for item in items
        if item.field("type").value == "message"
        for content in item.field("content").items()
    )
    return tuple(part for item in items if (part := decode_item(item)) is not None), refused


def decode_item(item: Node) -> Part | None:
    """The part that one item of a reply stands for; an empty message stands for none."""
    match item.field("type").text():
        case "message":
            text = "".join(map(_said, item.field("content").items()))
            return Text(text) if text else None
        case "function_call":
            return ToolCall(item.field("call_id").text(), item.field("name").text(), item.field("arguments").text())
        case "reasoning":
            raw = compact_json(item.value) if item.optional("encrypted_content") is not None else ""
            return Reasoning(thought(item), redacted=raw, provider=FAMILY if raw else "")
        case "compaction":
            item.field("encrypted_content").text()
            return Compaction("", FAMILY, compact_json(item.value))
        case _:
            return Reasoning(redacted=compact_json(item.value), provider=FAMILY)


def _said(content: Node) -> str:
    match content.field("type").text():
        case "output_text":
            return content.field("text").text()
        case "refusal":
            return content.field("refusal").text()
        case _:
            return ""


def thought(item: Node) -> str:
    """What is readable of a reasoning item: its summary and its content, an empty line between their pieces."""
    lists = (item.optional("summary"), item.optional("content"))
    return "\n\n".join(piece.field("text").text() for found in lists if found is not None for piece in found.items())


def encode_usage(usage: Usage) -> Json:
    """Usage as Responses states it: cached input included."""
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_tokens + usage.cache_write_1h_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens,
    }


def decode_usage(body: Any) -> Usage | None:
    """The usage a service states, or None where it states none.

    Raises:
        MalformedReply: a number of tokens that is no number of tokens.
    """
    if not isinstance(body, Mapping) or body.get("input_tokens") is None or body.get("output_tokens") is None:
        return None
    read, written = inner(body, "input_tokens_details"), inner(body, "output_tokens_details")
    return Usage(
        input_tokens=tokens(body, "input_tokens"),
        cache_read_tokens=tokens(read, "cached_tokens"),
        cache_write_tokens=tokens(read, "cache_write_tokens"),
        output_tokens=tokens(body, "output_tokens"),
        reasoning_tokens=tokens(written, "reasoning_tokens"),
    )
