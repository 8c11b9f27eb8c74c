"""A Python function as a tool: described by its signature and docstring, called with the arguments a model wrote.

The arguments are checked against the signature before the function runs, so it gets the types it names. pydantic and
the docstring parser, which come with the SDKs, load with the first tool.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from tokmagic.core.errors import ConfigurationError
from tokmagic.core.messages import Tool

#: What every provider takes for a tool's name.
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_UNNAMED = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class BadArguments(Exception):
    """Arguments that do not fit the function; the message is for the model."""


@dataclass(frozen=True)
class Function:
    """A function that a model may call.

    Attributes:
        tool: how it is described to the model.
        is_async: whether it runs in the event loop.
    """

    tool: Tool
    is_async: bool
    _function: Callable[..., Any]

    def bound(self, arguments: str) -> Callable[[], Any]:
        """The call with these arguments, ready to be made.

        Args:
            arguments: an object as JSON text; blank for none.

        Raises:
            BadArguments: they are no object, or do not fit the signature.
        """
        from pydantic import ValidationError

        try:
            said = json.loads(arguments.strip() or "{}", parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise BadArguments(f"The arguments are no JSON: {error}") from error
        if not isinstance(said, dict):
            raise BadArguments(f"The arguments are a JSON object, not {type(said).__name__}.")
        try:
            checked = self._check(**said)
        except ValidationError as error:
            raise BadArguments(_faults(error)) from error
        return lambda: self._function(**checked)

    @cached_property
    def _check(self) -> Callable[..., dict[str, Any]]:
        """Takes what the function takes, and returns the arguments in the types it names."""
        return _checker(self._function)


def function_tools(functions: Iterable[Callable[..., Any]]) -> dict[str, Function]:
    """The functions by the names a model calls them by.

    Raises:
        ConfigurationError: one cannot be described, or two have the same name.
    """
    found = [as_function(function) for function in functions]
    _require_distinct([function.tool.name for function in found])
    return {function.tool.name: function for function in found}


def described(tools: Iterable[Tool | Callable[..., Any]]) -> list[Tool]:
    """The tools as they are described to a model.

    Raises:
        ConfigurationError: a function cannot be described, or two have the same name.
    """
    found = [tool if isinstance(tool, Tool) else as_function(tool).tool for tool in tools]
    _require_distinct([tool.name for tool in found])
    return found


def as_function(function: Callable[..., Any]) -> Function:
    """One function, described.

    Raises:
        ConfigurationError: it is none, or no model can call it by its name or with named arguments of JSON types.
    """
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
