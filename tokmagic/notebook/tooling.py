"""Tools of a cell: the functions it names, and the question whether a model's call of one may be made.

A tool runs only if it is named on the cell that runs. Nothing that a front end sends besides the answer typed to the
question allows a call.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from IPython.core.error import StdinNotImplementedError

from tokmagic.core.errors import ConfigurationError
from tokmagic.core.messages import ToolCall
from tokmagic.notebook import wording

if TYPE_CHECKING:
    from tokmagic.notebook.arguments import CellOptions
    from tokmagic.options import CallOptions, ToolOptions
    from tokmagic.sync import Client, Stream


def opened(
    client: Client, prompt: list[Any], call: CallOptions, options: CellOptions, namespace: Mapping[str, Any]
) -> Stream:
    """The cell's call, or the run of its tools, as one stream.

    Raises:
        ConfigurationError: a tool that is not defined, or none that a model can call.
    """
    if not options.tools:
        return client.stream(prompt, **call)
    run: ToolOptions = {
        **call,
        "tools": named_tools(options.tools, namespace),
        "output": None,
        "max_iterations": options.max_iterations,
        "confirm": ask if options.confirm_tools else None,
        "eager": None,
    }
    return client.run_tools(prompt, **run).stream()


def named_tools(names: Iterable[str], namespace: Mapping[str, Any]) -> list[Callable[..., Any]]:
    """The functions of these names.

    Raises:
        ConfigurationError: there is none of that name.
    """
    names = tuple(names)
    for name in names:
        if not callable(namespace.get(name)):
            raise ConfigurationError(f"--tools {name}: no function {name} is defined here. Define it in a cell above.")
    return [namespace[name] for name in names]


def ask(call: ToolCall) -> bool:
    """Ask whether a call may be made, showing exactly its arguments; where nobody can be asked, it may not."""
    try:
        word = input(f"Run {wording.call(call)}? [y/N] ")
    except (EOFError, StdinNotImplementedError):
        sys.stderr.write(f"! --confirm-tools: nobody can be asked here, so {call.name} is not run.\n")
        return False
    return word.strip().lower() in ("y", "yes")
