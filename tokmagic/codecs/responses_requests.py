"""A Responses request as the embedded server reads it: as strict as OpenAI's service, in its words.

Nothing is stored here, so what refers to something stored is not found. Neighbouring items of one side are one turn;
every call of a tool must be answered by an output behind it, and every output answer a call before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from tokmagic.core.messages import (
    Document,
    Extras,
    Image,
    Message,
    Part,
    Request,
    Role,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)

from . import WireError
from .chat_messages import CHAT
from .openai_files import decode_file, decode_image
from .responses_compaction import at_least, decode_compact_at
from .responses_items import decode_item
from .wire import Node

ENCRYPTED = "reasoning.encrypted_content"
#: The least bound of an answer that the service takes, in tokens.
LEAST_OUTPUT = 16
_MODELLED = frozenset({"model", "input", "instructions", "max_output_tokens", "temperature", "tools", "stream"})
#: ``seed`` is no field of the service; engines that draw at random take it.
_KEPT = frozenset(
    {
        "access_programs", "background", "background_options", "context_management", "conversation", "image", "include",
        "max_tool_calls", "metadata", "moderation", "parallel_tool_calls", "personality", "previous_response_id",
        "prompt", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "reasoning",
        "safety_identifier", "seed", "service_tier", "store", "stream_options", "text", "tool_choice", "top_logprobs",
        "top_p", "truncation", "user",
    }
)  # fmt: skip
_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_ITEMS = "'message', 'function_call', 'function_call_output', 'reasoning' and 'compaction'"
_CONTENT = "'input_text', 'input_image' and 'input_file'"


def decode_request(body: Mapping[str, Any]) -> Request:
    """The request in a body; ``max_tokens`` is 0 where it leaves the bound out.

    Raises:
        WireError: 400 or 404, with the field as ``param``.
    """
    root = Node(body, (), CHAT)
    root.only(_MODELLED | _KEPT)
    temperature, stream = root.optional("temperature"), root.optional("stream")
    instructions, bound = root.optional("instructions"), root.optional("max_output_tokens")
    compacting = decode_compact_at(root.optional("context_management"))
    known = _MODELLED | ({"context_management"} if compacting is not None else set())
    _check_settings(root)
    return Request(
        model=root.field("model").text(),
        messages=(*_system(instructions), *_turns(root)),
        max_tokens=at_least(bound, LEAST_OUTPUT) if bound is not None else 0,
        temperature=temperature.number(0, 2) if temperature is not None else None,
        tools=tuple(_tools(root.optional("tools"))),
        stream=stream.flag() if stream is not None else False,
        extras=Extras(body={name: body[name] for name in body if name not in known and body[name] is not None}),
        compact_at=compacting,
    )


def _check_settings(root: Node) -> None:
    """Settings that core keeps as they are must still be what the service takes."""
    if (found := root.optional("truncation")) is not None and found.text() not in ("auto", "disabled"):
        found.refuse(f"'{found.value}'. Supported values are: 'auto' and 'disabled'.")
    if (reasoning := root.optional("reasoning")) is not None:
        reasoning.fields()
    if (text := root.optional("text")) is not None and (format := text.optional("format")) is not None:
        _check_format(format)
    for item in include.items() if (include := root.optional("include")) is not None else ():
        item.text()


def _check_format(format: Node) -> None:
    match format.field("type").text():
        case "text" | "json_object":
            return
        case "json_schema":
            format.field("name").text()
            format.field("schema").fields()
        case other:
            supported = "'text', 'json_object' and 'json_schema'"
            format.field("type").refuse(f"'{other}'. Supported values are: {supported}.")


def _system(instructions: Node | None) -> Iterable[Message]:
    if instructions is not None and instructions.text():
        yield Message("system", (Text(instructions.text()),))


def _turns(root: Node) -> list[Message]:
    given = root.optional("input")
    if given is None or given.value in ("", []):
        message = 'One of "input" or "previous_response_id" or "prompt" or "conversation" must be provided.'
        raise WireError(400, "invalid_request_error", message, param="input", code="missing_required_parameter")
    if isinstance(given.value, str):
        return [Message("user", (Text(given.value),))]
    turns: list[Message] = []
    for item in given.items():
        role, parts = _item(item)
        if turns and turns[-1].role == role != "system":
            turns[-1] = Message(role, turns[-1].parts + parts)
        else:
            turns.append(Message(role, parts))
    _check_pairs(turns)
    return turns


def _item(item: Node) -> tuple[Role, tuple[Part, ...]]:
    kind = item.optional("type")
    match kind.text() if kind is not None else "message":
        case "message":
            return _message(item)
        case "function_call_output":
            return "user", (ToolResult(item.field("call_id").text(), tuple(_outputs(item.field("output")))),)
        case "function_call" | "compaction":
            return "assistant", _own(item)
        case "reasoning":
            if item.optional("encrypted_content") is None:
                raise _not_stored(item)
            return "assistant", _own(item)
        case "input_text" | "input_image" | "input_file":
            return "user", (_content(item),)
        case "item_reference":
            raise _not_stored(item)
        case other:
            raise CHAT.invalid((*item.path, "type"), f"'{other}'. Supported values are: {_ITEMS}.")


def _own(item: Node) -> tuple[Part, ...]:
    """An item as a reply held it."""
    part = decode_item(item)
    return (part,) if part is not None else ()


def _not_stored(item: Node) -> WireError:
    id = item.field("id").text()
    message = (
        f"Item with id '{id}' not found. Items are not persisted when `store` is set to false. Send the whole item, a "
        "reasoning item with its encrypted content, or remove it from your input."
    )
    return WireError(404, "invalid_request_error", message, param="input")


def _message(item: Node) -> tuple[Role, tuple[Part, ...]]:
    role, content = item.field("role"), item.field("content")
    match role.text():
        case "assistant":
            return "assistant", tuple(_said(content))
        case "user":
            return "user", tuple(_contents(content))
        case "system" | "developer":
            return "system", tuple(_contents(content))
        case other:
            raise CHAT.invalid(
                role.path, f"'{other}'. Supported values are: 'assistant', 'system', 'developer', and 'user'."
            )


def _said(content: Node) -> Iterable[Text]:
    if isinstance(content.value, str):
        yield Text(content.value)
        return
    for item in content.items():
        match item.field("type").text():
            case "output_text":
                yield Text(item.field("text").text())
            case "refusal":
                yield Text(item.field("refusal").text())
            case other:
                item.field("type").refuse(f"'{other}'. Supported values are: 'output_text' and 'refusal'.")


def _outputs(output: Node) -> Iterable[Text | Image]:
    """What a tool returned, which may be nothing."""
    for part in _contents(output) if output.value not in ("", []) else ():
        if isinstance(part, Document):
            output.refuse("this server takes files in messages only.")
        yield part


def _contents(content: Node) -> Iterable[Text | Image | Document]:
    if isinstance(content.value, str):
        yield Text(content.value)
        return
    items = list(content.items())
    if not items:
        content.refuse("expected at least one content part.")
    for item in items:
        yield _content(item)


def _content(item: Node) -> Text | Image | Document:
    match item.field("type").text():
        case "input_text":
            return Text(item.field("text").text())
        case "input_image":
            if item.optional("image_url") is None and (file := item.optional("file_id")) is not None:
                file.refuse("this server stores no files; give the image as 'image_url'.")
            return decode_image(item.field("image_url"))
        case "input_file":
            if (url := item.optional("file_url")) is not None:
                name = item.optional("filename")
                return Document(url=url.text(), title=name.text() if name is not None else "")
            return decode_file(item, texts=True)
        case other:
            raise CHAT.invalid((*item.path, "type"), f"'{other}'. Supported values are: {_CONTENT}.")


def _check_pairs(turns: Iterable[Message]) -> None:
    """Every output answers a call before it, and every call has its output behind it."""
    open_calls: set[str] = set()
    for part in (part for turn in turns for part in turn.parts):
        if isinstance(part, ToolCall):
            open_calls.add(part.id)
        elif isinstance(part, ToolResult) and part.call_id in open_calls:
            open_calls.remove(part.call_id)
        elif isinstance(part, ToolResult):
            raise _unpaired(f"No tool call found for function call output with call_id {part.call_id}.")
    if open_calls:
        raise _unpaired(f"No tool output found for function call {min(open_calls)}.")


def _unpaired(message: str) -> WireError:
    return WireError(400, "invalid_request_error", message, param="input")


def _tools(node: Node | None) -> Iterable[Tool]:
    for item in node.items() if node is not None else ():
        kind, name = item.field("type"), item.optional("name")
        if kind.text() != "function":
            kind.refuse(f"'{kind.value}'. Supported values are: 'function'.")
        if name is None or not _TOOL_NAME.fullmatch(name.text()):
            raise CHAT.invalid((*item.path, "name"), "expected a string that matches '^[a-zA-Z0-9_-]{1,128}$'.")
        described, schema = item.optional("description"), item.optional("parameters")
        yield Tool(
            name.text(),
            described.text() if described is not None else "",
            dict(schema.fields()) if schema is not None else {},
        )
