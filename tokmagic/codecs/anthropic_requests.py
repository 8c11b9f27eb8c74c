"""A Messages request as the embedded server reads it: as strict as the real service, in its words.

What passes here passes there: fields and types, roles, no empty content, and every ``tool_use`` answered by a
``tool_result`` in the turn right behind it.
"""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterable, Mapping
from typing import Any

from tokmagic.core.messages import (
    Compaction,
    Extras,
    Image,
    Message,
    Part,
    Reasoning,
    Request,
    Role,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)

from .anthropic_blocks import MESSAGES, decode_block
from .anthropic_caching import is_marked
from .anthropic_compaction import decode_compact_at
from .anthropic_documents import decode_document
from .wire import Node

_MODELLED = frozenset({"model", "max_tokens", "messages", "system", "temperature", "stop_sequences", "tools", "stream"})
_KEPT = frozenset(
    {
        "cache_control", "compaction", "container", "context_management", "diagnostics", "inference_geo", "mcp_servers",
        "metadata", "output_config", "service_tier", "speed", "thinking", "thread", "tool_choice", "top_k", "top_p",
    }
)  # fmt: skip
_IMAGE_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")
_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
#: Tools that the service describes to the model itself and the caller runs: their types, and the names they go by.
NATIVE_TOOLS: Mapping[str, str] = {
    "memory_20250818": "memory",
    "bash_20250124": "bash",
    "text_editor_20250124": "str_replace_editor",
    "text_editor_20250429": "str_replace_based_edit_tool",
    "text_editor_20250728": "str_replace_based_edit_tool",
}


def decode_request(body: Mapping[str, Any]) -> Request:
    """The request in a body.

    Raises:
        WireError: 400, naming the field.
    """
    root = Node(body, (), MESSAGES)
    root.only(_MODELLED | _KEPT)
    temperature, stream = root.optional("temperature"), root.optional("stream")
    model, max_tokens = root.field("model").text(), root.field("max_tokens").integer(1)
    turns, compacting = _turns(root.field("messages")), decode_compact_at(root.optional("context_management"))
    known = _MODELLED | ({"context_management"} if compacting is not None else set())
    return Request(
        model=model,
        messages=(*_system(root.optional("system")), *turns),
        max_tokens=max_tokens,
        temperature=temperature.number(0, 1) if temperature is not None else None,
        stop=tuple(_stop(root.optional("stop_sequences"))),
        tools=tuple(_tools(root.optional("tools"))),
        stream=stream.flag() if stream is not None else False,
        extras=Extras(body={name: body[name] for name in body if name not in known}),
        cache=is_marked(body),
        compact_at=compacting,
    )


def _system(node: Node | None) -> Iterable[Message]:
    if node is None:
        return
    if isinstance(node.value, str):
        parts: tuple[Part, ...] = (Text(node.value),)
    else:
        parts = tuple(_text_block(block) for block in node.items())
    if any(isinstance(part, Text) and part.text for part in parts):
        yield Message("system", parts)


def _turns(node: Node) -> list[Message]:
    nodes = list(node.items())
    if not nodes:
        node.refuse("at least one message is required")
    turns = _combined(_turn(item, may_be_empty=item is nodes[-1]) for item in nodes)
    first, last = turns[0], turns[-1]
    if first.role != "user" and not any(isinstance(part, Compaction) for part in first.parts):
        node.refuse('first message must use the "user" role')
    _check_pairs(node, turns)
    final = last.parts[-1] if last.parts else None
    if last.role == "assistant" and isinstance(final, Text) and final.text != final.text.rstrip():
        node.refuse("final assistant content cannot end with trailing whitespace")
    return turns


def _combined(messages: Iterable[Message]) -> list[Message]:
    """Consecutive messages of one role are one turn, as the real service reads them."""
    turns: list[Message] = []
    for message in messages:
        if turns and turns[-1].role == message.role:
            turns[-1] = Message(message.role, turns[-1].parts + message.parts)
        else:
            turns.append(message)
    return turns


def _turn(node: Node, *, may_be_empty: bool) -> Message:
    role, content = _role(node.field("role")), node.field("content")
    if not content.value and not (may_be_empty and role == "assistant"):
        raise MESSAGES.invalid(
            node.path, "all messages must have non-empty content except for the optional final assistant message"
        )
    if isinstance(content.value, str):
        parts: tuple[Part, ...] = (_text(content.value),) if content.value else ()
    else:
        parts = tuple(_part(block, role) for block in content.items())
    return Message(role, parts)


def _role(node: Node) -> Role:
    match node.text():
        case "user":
            return "user"
        case "assistant":
            return "assistant"
        case role:
            hint = " The Messages API accepts a top-level `system` parameter." if role == "system" else ""
            raise MESSAGES.invalid(("messages",), f'Unexpected role "{role}".{hint}')


def _part(block: Node, role: Role) -> Part:
    kind = block.field("type").text()
    match kind, role:
        case "text", _:
            return _text_block(block)
        case "image", "user":
            return _image(block)
        case "document", "user":
            return decode_document(block)
        case "tool_result", "user":
            return _tool_result(block)
        case (("thinking" | "redacted_thinking" | "tool_use"), "assistant"):
            pass
        case "compaction", _:
            pass
        case _:
            block.refuse(f"Input tag '{kind}' found using 'type' is not accepted in a turn of role '{role}'")
    part = decode_block(block)
    if isinstance(part, Reasoning) and not (part.signature or part.redacted):
        raise block.dialect.missing((*block.path, "signature"))
    return part


def _text_block(block: Node) -> Text:
    if block.field("type").text() != "text":
        block.field("type").refuse("Input should be 'text'")
    return _text(block.field("text").text())


def _text(text: str) -> Text:
    if not text.strip():
        raise MESSAGES.invalid(("messages",), "text content blocks must contain non-whitespace text")
    return Text(text)


def _image(block: Node) -> Image:
    source = block.field("source")
    kind = source.field("type").text()
    if kind == "url":
        return Image(url=source.field("url").text())
    if kind != "base64":
        source.field("type").refuse("Input should be 'base64' or 'url'")
    media_type = source.field("media_type")
    if media_type.text() not in _IMAGE_TYPES:
        media_type.refuse(f"Input should be one of {', '.join(_IMAGE_TYPES)}")
    data = source.field("data")
    try:
        return Image(media_type.text(), b64decode(data.text(), validate=True))
    except (Base64Error, ValueError):
        data.refuse("invalid base64 data")


def _tool_result(block: Node) -> ToolResult:
    content, failed = block.optional("content"), block.optional("is_error")
    if content is None:
        parts: tuple[Text | Image, ...] = ()
    elif isinstance(content.value, str):
        parts = (Text(content.value),)
    else:
        parts = tuple(_result_part(item) for item in content.items())
    is_error = failed.flag() if failed is not None else False
    if is_error and any(isinstance(part, Image) for part in parts):
        block.refuse("all content must be type 'text' if 'is_error' is true")
    return ToolResult(block.field("tool_use_id").text(), parts, is_error)


def _result_part(block: Node) -> Text | Image:
    return _image(block) if block.field("type").text() == "image" else _text_block(block)


def _check_pairs(node: Node, turns: list[Message]) -> None:
    """Every call is answered in the next turn, and every result answers a call of the turn before."""
    for place, turn in enumerate(turns):
        asked = [part.id for part in turn.parts if isinstance(part, ToolCall)]
        following = turns[place + 1].parts if place + 1 < len(turns) else ()
        answered = {part.call_id for part in following if isinstance(part, ToolResult)}
        if missing := [id for id in asked if id not in answered]:
            raise MESSAGES.invalid(
                (*node.path, place),
                f"`tool_use` ids were found without `tool_result` blocks immediately after: {', '.join(missing)}. "
                "Each `tool_use` block must have a corresponding `tool_result` block in the next message.",
            )
        before = turns[place - 1].parts if place else ()
        known = {part.id for part in before if isinstance(part, ToolCall)}
        for number, part in enumerate(turn.parts):
            if isinstance(part, ToolResult) and part.call_id not in known:
                raise MESSAGES.invalid(
                    (*node.path, place, "content", number),
                    f"unexpected `tool_use_id` found in `tool_result` blocks: {part.call_id}. Each `tool_result` "
                    "block must have a corresponding `tool_use` block in the previous message.",
                )


def _stop(node: Node | None) -> Iterable[str]:
    for item in node.items() if node is not None else ():
        if not item.text().strip():
            item.refuse("each stop sequence must contain non-whitespace")
        yield item.text()


def _tools(node: Node | None) -> Iterable[Tool]:
    names: set[str] = set()
    for item in node.items() if node is not None else ():
        name, kind = item.field("name"), item.optional("type")
        if not _TOOL_NAME.fullmatch(name.text()):
            name.refuse("String should match pattern '^[a-zA-Z0-9_-]{1,128}$'")
        if name.text() in names:
            raise MESSAGES.invalid(("tools",), "Tool names must be unique.")
        names.add(name.text())
        yield _tool(item) if kind is None or kind.text() == "custom" else _known_tool(item)


def _tool(item: Node) -> Tool:
    description, schema = item.optional("description"), item.field("input_schema")
    if schema.field("type").text() != "object":
        schema.field("type").refuse("Input should be 'object'")
    return Tool(item.field("name").text(), description.text() if description is not None else "", dict(schema.fields()))


def _known_tool(item: Node) -> Tool:
    """One that the service describes to the model itself, under a name of its own."""
    kind, name = item.field("type"), item.field("name")
    if kind.text() not in NATIVE_TOOLS:
        kind.refuse(f"Input tag '{kind.text()}' found using 'type' does not match any of the expected tags")
    if name.text() != NATIVE_TOOLS[kind.text()]:
        name.refuse(f"Input should be '{NATIVE_TOOLS[kind.text()]}'")
    native = {field: value for field, value in item.fields().items() if field != "cache_control"}
    return Tool(name.text(), native=native)
