"""What a request says to a local model: a conversation for its chat template, and how to choose the next token.

What a model cannot promise (a schema, a call that must come) or does not take (an image or a sound, to most) is
refused, and so is a setting that would change more than the choice of tokens. What nobody sets is as the model's own
folder has it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from tokmagic.codecs import WireError
from tokmagic.codecs.chat import ChatCodec
from tokmagic.codecs.wire import parse_json
from tokmagic.core.documents import text_of
from tokmagic.core.messages import Audio, Document, Image, Part, Request, ToolResult

from ..asks import asks_of

#: What a model may take beside text.
Kind: TypeAlias = Literal["image", "audio"]
_KINDS: Mapping[type[Part], Kind] = {Image: "image", Audio: "audio"}
_NAMES: Mapping[Kind, str] = {"image": "an image", "audio": "a sound"}
#: Fields of a request that local models read beyond what a protocol has.
FIELDS = frozenset(
    {"chat_template_kwargs", "generation_config", "min_p", "repetition_penalty", "seed", "top_k", "top_p"}
)
#: Settings of the choice of tokens, with their bounds.
SETTINGS: Mapping[str, tuple[type, float, float]] = {
    "do_sample": (bool, 0, 1),
    "epsilon_cutoff": (float, 0, 1),
    "eta_cutoff": (float, 0, 1),
    "min_p": (float, 0, 1),
    "no_repeat_ngram_size": (int, 0, 1_000),
    "repetition_penalty": (float, 0.01, 100),
    "temperature": (float, 0, 100),
    "top_k": (int, 0, 10**6),
    "top_p": (float, 0, 1),
    "typical_p": (float, 0, 1),
}
#: What the server itself says to a chat template.
_OURS = frozenset(
    {"add_generation_prompt", "chat_template", "continue_final_message", "conversation", "documents",
     "load_audio_from_video", "padding", "processor_kwargs", "return_assistant_tokens_mask", "return_dict",
     "return_tensors", "sanitize_control_tokens", "tokenize", "tokenizer_kwargs", "tools", "truncation"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Said:
    """What goes into a chat template.

    Attributes:
        messages, tools: as templates have them; what is shown is still in Chat Completions' parts.
        template: the template's own variables.
        continued: whether the last message is the beginning of the answer.
    """

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None
    template: Mapping[str, Any]
    continued: bool


def said(request: Request, takes: Collection[Kind] = ()) -> Said:
    """The conversation of a request to a model that takes these kinds of parts beside text.

    Raises:
        WireError: it asks for what a local model does not do, or holds what this one does not take.
    """
    _refuse_beyond(request)
    _refuse_untaken(request, takes)
    asks = asks_of(request)
    body = ChatCodec().encode_request(request)
    offered = {tool.name for tool in asks.tools}
    tools = [tool for tool in body.get("tools", ()) if tool["function"]["name"] in offered]
    messages = [_message(message) for message in body["messages"]]
    template = {"enable_thinking": asks.thinking, **_template(request.extras.body.get("chat_template_kwargs"))}
    return Said(messages, tools or None, template, messages[-1]["role"] == "assistant")


def settings(request: Request) -> dict[str, Any]:
    """How to choose tokens, as ``generate`` takes it; empty where the model's own way is to stay.

    Raises:
        WireError: a setting that is none, or out of its bounds.
    """
    body = request.extras.body
    found = dict(_mapping("generation_config", body.get("generation_config")))
    found |= {name: body[name] for name in FIELDS & SETTINGS.keys() if body.get(name) is not None}
    if request.temperature is not None:
        found["temperature"] = request.temperature
    found = {name: _checked(name, value) for name, value in found.items()}
    if found.get("temperature") == 0:
        return {name: value for name, value in found.items() if name != "temperature"} | {"do_sample": False}
    chosen = {"temperature", "top_k", "top_p", "min_p", "typical_p"} & found.keys()
    return {"do_sample": True, **found} if chosen else found


def seed(request: Request) -> int | None:
    """The seed of the choice, or None.

    Raises:
        WireError: it is no whole number.
    """
    value = request.extras.body.get("seed")
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
        raise _invalid("seed", f"expected an integer, but got {value!r} instead.")
    return None if value is None else value % 2**63


def _refuse_beyond(request: Request) -> None:
    asks = asks_of(request)
    if asks.schema is not None:
        raise _invalid("response_format", "a local model cannot promise an answer of a JSON schema.")
    if asks.must_call:
        raise _invalid("tool_choice", "a local model cannot promise a call; offer the tools with 'auto'.")


def _refuse_untaken(request: Request, takes: Collection[Kind]) -> None:
    said = [part for message in request.messages for part in message.parts]
    for part in (*said, *(piece for result in said if isinstance(result, ToolResult) for piece in result.parts)):
        if isinstance(part, Document) and text_of(part) is None:
            raise _invalid("messages", f"{request.model!r} reads no PDF: give its text.")
        kind = _KINDS.get(type(part))
        if kind is not None and kind not in takes:
            taken = " and ".join(("text", *sorted(takes)))
            raise _invalid("messages", f"{request.model!r} takes {taken} only, and the input holds {_NAMES[kind]}.")
        if isinstance(part, Image) and part.url:
            raise _invalid("messages", "this server fetches nothing: give the image itself, as base64 data.")


def _message(message: dict[str, Any]) -> dict[str, Any]:
    """A message as templates have it: content is never null, and arguments are an object."""
    calls = [_call(call) for call in message.get("tool_calls", ())]
    return {**message, "content": message["content"] or "", **({"tool_calls": calls} if calls else {})}


def _call(call: dict[str, Any]) -> dict[str, Any]:
    function = call["function"]
    try:
        arguments = parse_json(function["arguments"])
    except ValueError:
        arguments = function["arguments"]
    return {**call, "function": {**function, "arguments": arguments}}


def _template(said: Any) -> Mapping[str, Any]:
    found = _mapping("chat_template_kwargs", said)
    if taken := sorted(_OURS & found.keys()):
        raise _invalid("chat_template_kwargs", f"{', '.join(taken)} is not the caller's to set.")
    return found


def _mapping(name: str, said: Any) -> Mapping[str, Any]:
    """An object, or the text of one."""
    try:
        found = parse_json(said) if isinstance(said, str) else said
    except ValueError:
        found = said
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        raise _invalid(name, "expected an object.")
    return found


def _checked(name: str, value: Any) -> Any:
    """The value, as the type that ``generate`` wants: a float where a whole number would do."""
    if name not in SETTINGS:
        raise _invalid("generation_config", f"{name!r} cannot be set; what can is {', '.join(SETTINGS)}.")
    kind, least, most = SETTINGS[name]
    fits = isinstance(value, kind | int if kind is float else kind) and isinstance(value, bool) == (kind is bool)
    if not (fits and least <= value <= most):
        raise _invalid(name, f"expected {kind.__name__} from {least:g} to {most:g}, but got {value!r} instead.")
    return kind(value)


def _invalid(name: str, what: str) -> WireError:
    return WireError(400, "invalid_request_error", f"Invalid '{name}': {what}", param=name, code="invalid_value")
