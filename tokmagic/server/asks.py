"""What a request asks of an engine beyond an answer in words: to think first, to keep to a schema, to call a tool.

Each protocol has its own fields for it, which core keeps as they came; here, and nowhere else, they are one value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tokmagic.codecs.wire import inner
from tokmagic.core.messages import Request, Tool

_NO_EFFORT = (None, "none")


@dataclass(frozen=True, slots=True)
class Asks:
    """What is asked for.

    Attributes:
        thinking: to think first; ``shown`` whether the thoughts are for the reader, too.
        schema: of the JSON that the answer must be; None where it is text.
        tools: those that may be called now; ``must_call`` whether one must be, ``one_call`` whether only one may be.
    """

    thinking: bool = False
    shown: bool = False
    schema: Mapping[str, Any] | None = None
    tools: tuple[Tool, ...] = ()
    must_call: bool = False
    one_call: bool = False


def asks_of(request: Request) -> Asks:
    """What a request asks for, whichever protocol it came by."""
    body = request.extras.body
    thinking, shown = _thinking(body)
    choice = body.get("tool_choice")
    must_call, named = _choice(choice)
    alone = isinstance(choice, Mapping) and choice.get("disable_parallel_tool_use") is True
    return Asks(
        thinking=thinking,
        shown=shown,
        schema=_schema(body),
        tools=tuple(tool for tool in request.tools if named is None or tool.name in named),
        must_call=must_call,
        one_call=alone or body.get("parallel_tool_calls") is False,
    )


def _thinking(body: Mapping[str, Any]) -> tuple[bool, bool]:
    messages, responses = inner(body, "thinking"), inner(body, "reasoning")
    if messages:
        return messages.get("type") in ("enabled", "adaptive"), messages.get("display") != "omitted"
    if responses:
        shown = bool(responses.get("summary") or responses.get("generate_summary"))
        effort = responses.get("effort", "medium" if shown else None)
        return effort not in _NO_EFFORT, shown
    return body.get("reasoning_effort") not in _NO_EFFORT, True


def _schema(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    formats = (inner(inner(body, "text"), "format"), inner(body, "response_format"))
    described = (*formats, inner(inner(body, "output_config"), "format"))
    wanted = next((format for format in described if format.get("type") in ("json_schema", "json_object")), None)
    if wanted is None:
        return None
    schema = wanted.get("schema") or inner(wanted, "json_schema").get("schema")
    return schema if isinstance(schema, Mapping) else {"type": "object"}


def _choice(choice: Any) -> tuple[bool, frozenset[str] | None]:
    """Whether a tool must be called, and the names of those that may be; None if any."""
    chosen = choice if isinstance(choice, Mapping) else {"type": choice}
    match chosen.get("type"):
        case "none":
            return False, frozenset()
        case "any" | "required":
            return True, None
        case "tool" | "function":
            return True, frozenset({str(chosen.get("name") or inner(chosen, "function").get("name"))})
        case "allowed_tools":
            return _allowed(inner(chosen, "allowed_tools") or chosen)
        case _:
            return False, None


def _allowed(allowed: Mapping[str, Any]) -> tuple[bool, frozenset[str]]:
    tools = [tool for tool in allowed.get("tools") or () if isinstance(tool, Mapping)]
    names = frozenset(str(tool.get("name") or inner(tool, "function").get("name")) for tool in tools)
    return allowed.get("mode") == "required", names
