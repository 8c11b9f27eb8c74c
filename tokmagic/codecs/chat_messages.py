"""Chat Completions' messages, usage and finish reasons, to core values and back.

A tool's result is a message of its own here, with text only: images of a result go into the user's message behind it.
Reasoning is sent back only beside tool calls and only if it carries no signature: the services that show it demand it
there and refuse it elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tokmagic.core.documents import text_of
from tokmagic.core.errors import RequestRejected
from tokmagic.core.messages import (
    Audio,
    Compaction,
    Document,
    Effort,
    Image,
    Part,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
)
from tokmagic.core.prices import ORDINARY
from tokmagic.core.replies import StopReason
from tokmagic.core.usage import Usage

from . import Json, WireError
from .openai_files import audio_fields, data_url, file_fields, titled
from .turns import Turn
from .wire import Node, Path, inner, tokens

FINISH_REASONS: Mapping[str, StopReason] = {
    "stop": "end",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
#: How much to think, in the words of OpenAI's protocols.
WIRE_EFFORTS: Mapping[Effort, str] = {"off": "none", "low": "low", "medium": "medium", "high": "high"}
WIRE_REASONS: Mapping[StopReason, str] = {
    "max_tokens": "length",
    "context_window": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
#: Finish reasons of a service that gave up: the reply began and did not end.
BROKEN_REASONS = frozenset({"insufficient_system_resource", "error"})


class ChatDialect:
    """Refusals in the words of Chat Completions, which name the field as ``param``."""

    def missing(self, path: Path) -> WireError:
        """See ``Dialect``."""
        name = _name(path)
        return _refusal(f"Missing required parameter: '{name}'.", name, "missing_required_parameter")

    def wrong_type(self, path: Path, wanted: str, value: Any) -> WireError:
        """See ``Dialect``."""
        name, got = _name(path), _json_type(value)
        return _refusal(f"Invalid type for '{name}': expected {wanted}, but got {got} instead.", name, "invalid_type")

    def invalid(self, path: Path, message: str) -> WireError:
        """See ``Dialect``."""
        name = _name(path)
        return _refusal(f"Invalid value for '{name}': {message}", name, "invalid_value")

    def unknown(self, path: Path) -> WireError:
        """See ``Dialect``."""
        name = _name(path)
        return _refusal(f"Unknown parameter: '{name}'.", name, "unknown_parameter")


CHAT = ChatDialect()


def _refusal(message: str, param: str, code: str) -> WireError:
    return WireError(400, "invalid_request_error", message, param=param, code=code)


def _name(path: Path) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")


def _json_type(value: Any) -> str:
    if isinstance(value, bool):
        return "a boolean"
    kinds = {str: "a string", int: "an integer", float: "a decimal", list: "an array", dict: "an object"}
    return kinds.get(type(value), "null")


def encode_turn(turn: Turn) -> list[Json]:
    """The messages of one turn."""
    return _assistant(turn.parts) if turn.role == "assistant" else [*_results(turn.parts), *_user(turn.parts)]


def _assistant(parts: tuple[Part, ...]) -> list[Json]:
    message = answer_message(parts)
    foreign = any(isinstance(part, Reasoning) and (part.signature or part.provider) for part in parts)
    if foreign or not message.get("tool_calls"):
        message.pop("reasoning_content", None)
    return [message] if message["content"] or message.get("tool_calls") else []


def answer_message(parts: tuple[Part, ...]) -> Json:
    """The assistant's message of these parts, its reasoning included."""
    message: Json = {"role": "assistant", "content": _joined(parts) or None}
    if thought := "".join(part.text for part in parts if isinstance(part, Reasoning)):
        message["reasoning_content"] = thought
    if calls := [encode_call(part) for part in parts if isinstance(part, ToolCall)]:
        message["tool_calls"] = calls
    return message


def encode_call(call: ToolCall) -> Json:
    """One tool call."""
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _results(parts: tuple[Part, ...]) -> Iterable[Json]:
    for part in parts:
        if isinstance(part, ToolResult):
            text = "".join(piece.text for piece in part.parts if isinstance(piece, Text))
            yield {"role": "tool", "tool_call_id": part.call_id, "content": text}


def _user(parts: tuple[Part, ...]) -> Iterable[Json]:
    shown = [
        image for part in parts if isinstance(part, ToolResult) for image in part.parts if isinstance(image, Image)
    ]
    said = [*shown, *(part for part in parts if isinstance(part, Text | Image | Document | Audio | Compaction))]
    if not any(isinstance(part, Image | Document | Audio) for part in said):
        if text := _joined(parts):
            yield {"role": "user", "content": text}
    elif content := [piece for part in said if (piece := _content(part)) is not None]:
        yield {"role": "user", "content": content}


def _content(part: Part) -> Json | None:
    match part:
        case Text() | Compaction():
            return {"type": "text", "text": part.text} if part.text else None
        case Image():
            return {"type": "image_url", "image_url": {"url": part.url or data_url(part)}}
        case Document():
            return _file(part)
        case Audio():
            return {"type": "input_audio", "input_audio": audio_fields(part)}
        case _:
            return None


def _file(document: Document) -> Json:
    text = text_of(document)
    if document.url:
        raise RequestRejected("Chat Completions takes no document by its address: give its bytes.")
    if text is not None:
        return {"type": "text", "text": titled(document, text)}
    return {"type": "file", "file": file_fields(document)}


def _joined(parts: Iterable[Part]) -> str:
    """The texts of a turn as one; they come from separate messages, so an empty line stays between them."""
    return "\n\n".join(part.text for part in parts if isinstance(part, Text | Compaction) and part.text)


def decode_message(message: Node) -> tuple[Part, ...]:
    """The parts of an assistant's message; its content may be text, null, or a list of which the texts are read."""
    thought = message.optional("reasoning_content") or message.optional("reasoning")
    content, refusal = message.optional("content"), message.optional("refusal")
    calls = message.optional("tool_calls")
    parts: list[Part] = []
    if thought is not None and isinstance(thought.value, str) and thought.value:
        parts.append(Reasoning(thought.value))
    if text := _content_text(content) + (refusal.text() if refusal is not None else ""):
        parts.append(Text(text))
    return (*parts, *(decode_call(call) for call in (calls.items() if calls is not None else ())))


def _content_text(content: Node | None) -> str:
    if content is None:
        return ""
    if isinstance(content.value, str):
        return content.value
    return "".join(item.field("text").text() for item in content.items() if item.fields().get("type") == "text")


def decode_call(call: Node) -> ToolCall:
    """One tool call."""
    function = call.field("function")
    return ToolCall(call.field("id").text(), function.field("name").text(), function.field("arguments").text())


def encode_usage(usage: Usage, heard_tokens: int = 0) -> Json:
    """Usage as Chat Completions states it: cached input included, and ``heard_tokens`` of sound."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_tokens + usage.cache_write_1h_tokens,
            "audio_tokens": heard_tokens,
        },
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def decode_heard(body: Any) -> int:
    """How many of the input's tokens were sound, by a stated usage; 0 where that is not said.

    Raises:
        MalformedReply: a number of tokens that is no number of tokens.
    """
    details = inner(body, "prompt_tokens_details") if isinstance(body, Mapping) else {}
    return min(tokens(details, "audio_tokens"), tokens(body, "prompt_tokens")) if details else 0


def decode_served(body: Any) -> str:
    """How a call was served, in the service's word, where that is not the ordinary way: ``flex``, ``priority``."""
    way = body.get("service_tier") if isinstance(body, Mapping) else None
    return way if isinstance(way, str) and way not in ORDINARY else ""


def decode_usage(body: Any) -> Usage | None:
    """The usage a service states, DeepSeek's cache hits included; None where it states none.

    Google counts thoughts in the total only, and bills them as output.

    Raises:
        MalformedReply: a number of tokens that is no number of tokens.
    """
    if not isinstance(body, Mapping) or body.get("prompt_tokens") is None or body.get("completion_tokens") is None:
        return None
    prompt, completion = inner(body, "prompt_tokens_details"), inner(body, "completion_tokens_details")
    read, written = tokens(body, "prompt_tokens"), tokens(body, "completion_tokens")
    thought = max(0, tokens(body, "total_tokens") - read - written)
    return Usage(
        input_tokens=read,
        cache_read_tokens=tokens(prompt, "cached_tokens") or tokens(body, "prompt_cache_hit_tokens"),
        cache_write_tokens=tokens(prompt, "cache_write_tokens"),
        output_tokens=written + thought,
        reasoning_tokens=max(thought, tokens(completion, "reasoning_tokens")),
    )
