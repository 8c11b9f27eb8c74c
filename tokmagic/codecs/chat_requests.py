"""A Chat Completions request as the embedded server reads it: as strict as OpenAI's service, in its words.

Every call of a tool must be answered by a ``tool`` message right behind it, and no such message may stand elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tokmagic.core.messages import (
    Audio,
    Document,
    Extras,
    Image,
    Message,
    Part,
    Request,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)

from . import WireError
from .chat_messages import CHAT, decode_message
from .openai_files import decode_audio, decode_file, decode_image
from .wire import Node

_MODELLED = frozenset(
    {"model", "messages", "max_tokens", "max_completion_tokens", "temperature", "stop", "tools", "stream"}
)
_KEPT = frozenset(
    {
        "frequency_penalty", "logit_bias", "logprobs", "metadata", "modalities", "moderation", "n",
        "parallel_tool_calls", "prediction", "presence_penalty", "prompt_cache_key", "prompt_cache_options",
        "prompt_cache_retention", "reasoning_effort", "response_format", "safety_identifier", "seed", "service_tier",
        "store", "stream_options", "tool_choice", "top_logprobs", "top_p", "user", "verbosity",
    }
)  # fmt: skip
_CONTENT = "'text', 'image_url', 'input_audio' and 'file'"
_ROLES = "'system', 'developer', 'user', 'assistant' and 'tool'"


def decode_request(body: Mapping[str, Any]) -> Request:
    """The request in a body; ``max_tokens`` is 0 where it leaves the bound out.

    Raises:
        WireError: 400, with the field as ``param``.
    """
    root = Node(body, (), CHAT)
    root.only(_MODELLED | _KEPT)
    temperature, stream = root.optional("temperature"), root.optional("stream")
    bound = root.optional("max_completion_tokens") or root.optional("max_tokens")
    if (choices := root.optional("n")) is not None and choices.integer(1) != 1:
        choices.refuse("only one choice is offered.")
    return Request(
        model=root.field("model").text(),
        messages=tuple(_messages(root.field("messages"))),
        max_tokens=bound.integer(1) if bound is not None else 0,
        temperature=temperature.number(0, 2) if temperature is not None else None,
        stop=tuple(_stop(root.optional("stop"))),
        tools=tuple(_tools(root.optional("tools"))),
        stream=stream.flag() if stream is not None else False,
        extras=Extras(body={name: body[name] for name in body if name in _KEPT}),
    )


def _messages(node: Node) -> list[Message]:
    nodes = list(node.items())
    if not nodes:
        raise WireError(
            400,
            "invalid_request_error",
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.",
            param="messages",
            code="empty_array",
        )
    turns: list[Message] = []
    open_calls: list[str] = []
    for item in nodes:
        message = _message(item)
        if item.value["role"] == "tool":
            open_calls.remove(_answered(item, message, open_calls))
        else:
            _check_answered(node, open_calls)
            open_calls = [part.id for part in message.parts if isinstance(part, ToolCall)]
        _append(turns, message)
    _check_answered(node, open_calls)
    return turns


def _append(turns: list[Message], message: Message) -> None:
    """Tool results and what the user says behind them are one turn."""
    last = turns[-1] if turns else None
    if last is not None and last.role == message.role == "user" and isinstance(last.parts[-1], ToolResult):
        turns[-1] = Message("user", last.parts + message.parts)
    else:
        turns.append(message)


def _answered(item: Node, message: Message, open_calls: list[str]) -> str:
    id = next(part.call_id for part in message.parts if isinstance(part, ToolResult))
    if id not in open_calls:
        raise CHAT.invalid(
            item.path, "messages with role 'tool' must be a response to a preceding message with 'tool_calls'."
        )
    return id


def _check_answered(node: Node, open_calls: list[str]) -> None:
    if open_calls:
        raise WireError(
            400,
            "invalid_request_error",
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            f"'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(open_calls)}",
            param="messages",
        )


def _message(item: Node) -> Message:
    role = item.field("role")
    match role.text():
        case "system" | "developer":
            return Message("system", _texts(item.field("content")))
        case "user":
            return Message("user", tuple(_user_parts(item.field("content"))))
        case "tool":
            return Message("user", (ToolResult(item.field("tool_call_id").text(), _texts(item.field("content"))),))
        case "assistant":
            if (spoken := item.optional("audio")) is not None:
                spoken.refuse("the sound of an earlier answer is not kept here.")
            parts = decode_message(item)
            if item.optional("content") is None and not any(isinstance(part, ToolCall) for part in parts):
                raise CHAT.missing((*item.path, "content"))
            return Message("assistant", parts)
        case other:
            raise CHAT.invalid(role.path, f"'{other}'. Supported values are: {_ROLES}.")


def _user_parts(content: Node) -> Iterable[Part]:
    if isinstance(content.value, str):
        yield Text(content.value)
        return
    items = list(content.items())
    if not items:
        content.refuse("expected at least one content part.")
    for item in items:
        yield _user_part(item)


def _user_part(item: Node) -> Text | Image | Document | Audio:
    kind = item.field("type")
    match kind.text():
        case "text":
            return Text(item.field("text").text())
        case "image_url":
            return decode_image(item.field("image_url").field("url"))
        case "file":
            return decode_file(item.field("file"), texts=False)
        case "input_audio":
            return decode_audio(item.field("input_audio"))
        case other:
            raise CHAT.invalid(kind.path, f"'{other}'. Supported values are: {_CONTENT}.")


def _texts(content: Node) -> tuple[Text, ...]:
    """Content that holds text only; an empty one has no parts."""
    if isinstance(content.value, str):
        return (Text(content.value),) if content.value else ()
    for item in content.items():
        if item.field("type").text() != "text":
            item.field("type").refuse(f"'{item.value['type']}'. Supported values are: 'text'.")
    return tuple(Text(item.field("text").text()) for item in content.items())


def _stop(node: Node | None) -> Iterable[str]:
    if node is None:
        return ()
    if isinstance(node.value, str):
        return (node.value,)
    stops = [item.text() for item in node.items()]
    if len(stops) > 4:
        node.refuse("expected at most 4 stop sequences.")
    return stops


def _tools(node: Node | None) -> Iterable[Tool]:
    for item in node.items() if node is not None else ():
        if item.field("type").text() != "function":
            item.field("type").refuse(f"'{item.value['type']}'. Supported values are: 'function'.")
        function = item.field("function")
        described, schema = function.optional("description"), function.optional("parameters")
        yield Tool(
            function.field("name").text(),
            described.text() if described is not None else "",
            dict(schema.fields()) if schema is not None else {},
        )
