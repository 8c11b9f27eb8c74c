"""``{{expression}}`` in a prompt: evaluated once, in the notebook's namespace; what it yields is never expanded again.

Single braces are plain text, and so are an unclosed ``{{`` and an empty ``{{}}``. An expression ends at the first
``}}`` that leaves valid Python before it, so dictionaries, f-strings and strings that contain ``}}`` need no escape. A
literal ``{{`` is written ``{{"{{"}}``.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from tokmagic.core.errors import InvalidPrompt
from tokmagic.core.redaction import redact

OPEN, CLOSE = "{{", "}}"
#: An expression is looked for over at most so many characters.
LONGEST = 2_000
#: Names that IPython puts into every notebook.
IPYTHON = frozenset({"In", "Out", "exit", "quit", "open", "get_ipython"})


def expand(text: str, namespace: Mapping[str, Any]) -> str:
    """The text with every ``{{expression}}`` replaced by what it yields, as ``str``.

    Raises:
        InvalidPrompt: an expression that is no Python, names something undefined, or fails.
    """
    return "".join(_pieces(text, namespace))


def _pieces(text: str, namespace: Mapping[str, Any]) -> Iterator[str]:
    at = 0
    while (start := text.find(OPEN, at)) >= 0:
        yield text[at:start]
        end = _end(text, start + len(OPEN))
        if end is None:
            yield OPEN
            at = start + len(OPEN)
        else:
            yield _value(text[start + len(OPEN) : end].strip(), namespace)
            at = end + len(CLOSE)
    yield text[at:]


def _end(text: str, start: int) -> int | None:
    """Where the expression that begins at ``start`` ends; None where the braces are just text."""
    first = end = text.find(CLOSE, start, start + LONGEST)
    if first < 0 or not text[start:first].strip():
        return None
    while end >= 0:
        if _is_expression(text[start:end].strip()):
            return end
        end = text.find(CLOSE, end + 1, start + LONGEST)
    raise InvalidPrompt(
        f"{_quote(text[start:first].strip())} is not a Python expression: nothing was sent. "
        'Mend it, or write {{"{{"}} for two braces that are text.'
    )


def _is_expression(source: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(source, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _value(source: str, namespace: Mapping[str, Any]) -> str:
    try:
        return str(eval(compile(source, "<prompt>", "eval"), dict(namespace)))  # noqa: S307 - the user's own expression
    except NameError as error:
        raise InvalidPrompt(_undefined(source, error.name or source, namespace)) from None
    except Exception as error:
        said = " ".join(redact(f"{type(error).__name__}: {error}").split())
        raise InvalidPrompt(f"{_quote(source)} failed with {said}. Nothing was sent.") from error


def _undefined(source: str, name: str, namespace: Mapping[str, Any]) -> str:
    own = [known for known in namespace if not known.startswith("_") and known not in IPYTHON]
    near = get_close_matches(name, own, 1)
    hint = f" Did you mean {near[0]}?" if near else " Define it in a cell above."
    return f"{_quote(source)}: {name} is not defined, so nothing was sent.{hint}"


def _quote(source: str) -> str:
    line = " ".join(source.split())
    shown = line if len(line) <= 60 else f"{line[:57]}..."
    return f"{OPEN}{redact(shown)}{CLOSE}"
