"""A Python function as a tool: described by its signature and docstring, called with the arguments a model wrote.

The arguments are checked against the signature before the function runs, so it gets the types it names. An object may
describe itself instead, as the tools of an MCP server and of the Anthropic SDK do; it gets the arguments as they are.
pydantic and the docstring parser, which come with the SDKs, load with the first function.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Protocol, TypeAlias, TypeVar, cast

from tokmagic.core.checks import require
from tokmagic.core.errors import ConfigurationError
from tokmagic.core.messages import Tool

#: What every provider takes for a tool's name.
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_UNNAMED = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class ToolObject(Protocol):
    """A tool that describes itself: it also has ``name``, ``description`` and ``input_schema`` (or ``inputSchema``).

    Where a Messages service knows it by itself, such as its memory, it has ``to_dict`` instead, which says what the
    service calls it. One that is a context manager is entered before its first call, and left when its run is.
    """

    def call(self, arguments: dict[str, Any], /) -> Any:
        """Run it; it checks its arguments itself."""


#: What a model may be offered.
Offered: TypeAlias = Tool | Callable[..., Any] | ToolObject
Given = TypeVar("Given")


class BadArguments(Exception):
    """Arguments that do not fit the function; the message is for the model."""


@dataclass(frozen=True)
class Function:
    """A function that a model may call.

    Attributes:
        tool: how it is described to the model.
        is_async: whether it runs in the event loop.
        given: the function itself.
    """

    tool: Tool
    is_async: bool
    given: Any

    def bound(self, arguments: str) -> Callable[[], Any]:
        """The call with these arguments, ready to be made.

        Args:
            arguments: an object as JSON text; blank for none.

        Raises:
            BadArguments: they are no object, or do not fit the signature.
        """
        try:
            said = json.loads(arguments.strip() or "{}", parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise BadArguments(f"The arguments are no JSON: {error}") from error
        if not isinstance(said, dict):
            raise BadArguments(f"The arguments are a JSON object, not {type(said).__name__}.")
        return self._called_with(said)

    def _called_with(self, said: dict[str, Any]) -> Callable[[], Any]:
        from pydantic import ValidationError

        try:
            checked = self._check(**said)
        except ValidationError as error:
            raise BadArguments(_faults(error)) from error
        return partial(self.given, **checked)

    @cached_property
    def _check(self) -> Callable[..., dict[str, Any]]:
        """Takes what the function takes, and returns the arguments in the types it names."""
        return _checker(self.given)


class SelfDescribed(Function):
    """A ``ToolObject`` that a model may call."""

    def _called_with(self, said: dict[str, Any]) -> Callable[[], Any]:
        return partial(self.given.call, said)


@dataclass(frozen=True)
class McpTool:
    """A tool of an MCP server; its results are read by ``results``."""

    name: str
    description: str
    input_schema: Mapping[str, Any]
    _session: Any

    async def call(self, arguments: dict[str, Any]) -> Any:
        """Let the server run it."""
        return await self._session.call_tool(self.name, arguments)


def mcp_tools(session: Any, tools: Iterable[Any]) -> list[McpTool]:
    """The tools of an MCP server, for a run of the asynchronous client in the loop of its session.

    Args:
        session: an open ``ClientSession`` of the ``mcp`` package.
        tools: what it lists, or some of them: ``(await session.list_tools()).tools``.

    Raises:
        ConfigurationError: something else.
    """
    found = listed(tools)
    if any(not isinstance(getattr(tool, "name", None), str) for tool in found):
        raise ConfigurationError("tools is what the server lists: (await session.list_tools()).tools.")
    return [McpTool(tool.name, tool.description or "", _schema_of(tool), session) for tool in found]


def function_tools(functions: Iterable[Callable[..., Any] | ToolObject]) -> dict[str, Function]:
    """The functions by the names a model calls them by.

    Raises:
        ConfigurationError: no list, one cannot be described, or two have the same name.
    """
    found = [as_function(function) for function in listed(functions)]
    _require_distinct([function.tool.name for function in found])
    return {function.tool.name: function for function in found}


def described(tools: Iterable[Offered]) -> list[Tool]:
    """The tools as they are described to a model.

    Raises:
        ConfigurationError: no list, a function cannot be described, or two have the same name.
    """
    found = [tool if isinstance(tool, Tool) else as_function(tool).tool for tool in listed(tools)]
    _require_distinct([tool.name for tool in found])
    return found


def listed(tools: Iterable[Given]) -> list[Given]:
    """The tools a caller names, if they are a list of some kind; one that can be read only once is read here.

    Raises:
        ConfigurationError: they are something else, such as one function.
    """
    require(Iterable, "tools", tools, "a list of functions, such as [f]")
    return list(tools)


def as_function(given: Callable[..., Any] | ToolObject) -> Function:
    """One function, or object that describes itself, described.

    Raises:
        ConfigurationError: it is none, or no model can call it by its name or with named arguments of JSON types.
    """
    described = callable(getattr(given, "call", None)) and not inspect.isroutine(given)
    return _self_described(given) if described else _by_signature(cast("Callable[..., Any]", given))


def _self_described(given: Any) -> Function:
    name, schema = getattr(given, "name", None), _schema_of(given)
    if not schema and (native := _native(given)):
        return SelfDescribed(Tool(native["name"], native=native), inspect.iscoroutinefunction(given.call), given)
    if not isinstance(name, str) or not _NAME.fullmatch(name) or not isinstance(schema, Mapping):
        raise ConfigurationError(
            f"{given!r} is no tool: it has `call`, and needs a `name` of letters, digits, _ or - and an `input_schema`."
        )
    tool = Tool(name, getattr(given, "description", None) or "", schema)
    return SelfDescribed(tool, inspect.iscoroutinefunction(given.call), given)


def _native(given: Any) -> Mapping[str, Any]:
    """What a service calls it that knows it by itself; empty if none does."""
    said = given.to_dict() if callable(getattr(given, "to_dict", None)) else None
    if not isinstance(said, Mapping) or said.get("type", "custom") == "custom" or "input_schema" in said:
        return {}
    return said if isinstance(said.get("name"), str) else {}


def _schema_of(given: Any) -> Any:
    return getattr(given, "input_schema", None) or getattr(given, "inputSchema", None)


def _by_signature(function: Callable[..., Any]) -> Function:
    name = getattr(function, "__name__", "")
    if not callable(function) or not _NAME.fullmatch(name):
        raise ConfigurationError(f"{function!r} is no tool: give a function with a name of letters, digits, _ or -.")
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:
        raise ConfigurationError(f"The arguments of {name} are not known: write a function around it.") from None
    if unnamed := [parameter.name for parameter in parameters if parameter.kind in _UNNAMED]:
        raise ConfigurationError(f"The tool {name} takes {', '.join(unnamed)} without names: name each argument.")
    description, of_argument = _documented(function)
    schema = _schema(name, function, of_argument)
    return Function(Tool(name, description, schema), inspect.iscoroutinefunction(function), function)


def _require_distinct(names: Sequence[str]) -> None:
    for place, name in enumerate(names):
        if name in names[:place]:
            raise ConfigurationError(f"Two tools are named {name}: rename one.")


def _schema(name: str, function: Callable[..., Any], of_argument: Mapping[str, str]) -> dict[str, Any]:
    from pydantic import TypeAdapter
    from pydantic.errors import PydanticUserError

    try:
        schema = TypeAdapter[Any](cast("Any", _checker(function))).json_schema()
    except (PydanticUserError, NameError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigurationError(f"The tool {name} takes what no JSON can carry: {reason}") from None
    for argument, described in schema.get("properties", {}).items():
        if argument in of_argument and isinstance(described, dict):
            described.setdefault("description", of_argument[argument])
    return schema


def _checker(function: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
    from pydantic import validate_call

    def arguments(**checked: Any) -> dict[str, Any]:
        return checked

    signature = inspect.signature(function, eval_str=True)
    arguments.__name__ = arguments.__qualname__ = getattr(function, "__name__", "tool")
    arguments.__signature__ = signature.replace(return_annotation=inspect.Signature.empty)  # type: ignore[attr-defined]
    arguments.__annotations__ = {
        parameter.name: parameter.annotation
        for parameter in signature.parameters.values()
        if parameter.annotation is not inspect.Parameter.empty
    }
    checked: Callable[..., dict[str, Any]] = validate_call(arguments)
    return checked


def _documented(function: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """What its docstring says of it and of its arguments."""
    import docstring_parser

    found = docstring_parser.parse(inspect.getdoc(function) or "")
    parts = (found.short_description, found.long_description)
    arguments = {param.arg_name: param.description for param in found.params if param.description}
    return "\n\n".join(part for part in parts if part), arguments


def _refuse_constant(word: str) -> Any:
    raise ValueError(f"{word} is no JSON number.")


def _faults(error: Any) -> str:
    faults = (f"{'.'.join(map(str, fault['loc'])) or 'arguments'}: {fault['msg']}" for fault in error.errors())
    return f"The arguments do not fit. {'; '.join(faults)}."
