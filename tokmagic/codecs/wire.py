"""Reading JSON that others wrote: every field is asked for by name and type, and a wrong one is refused by its path.

A ``Node`` is a value with the path that led to it and the dialect in which its protocol words a refusal, so a decoder
reads like the schema it checks and no ``KeyError`` or ``TypeError`` can come of what was sent.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol, TypeAlias

from tokmagic.core.errors import MalformedReply

from . import WireError

Path: TypeAlias = tuple[str | int, ...]

_SURROGATE: Mapping[type, Any] = {str: re.compile(r"\\u[dD]"), bytes: re.compile(rb"\\u[dD]")}


class Dialect(Protocol):
    """How one protocol words the refusal of a field."""

    def missing(self, path: Path) -> WireError:
        """A required field is not there."""

    def wrong_type(self, path: Path, wanted: str, value: Any) -> WireError:
        """A field holds another JSON type than ``wanted``."""

    def invalid(self, path: Path, message: str) -> WireError:
        """A field holds a value that is not allowed."""

    def unknown(self, path: Path) -> WireError:
        """A field that the protocol does not have."""


@dataclass(frozen=True, slots=True)
class Node:
    """One value of a JSON document and where it stands."""

    value: Any
    path: Path
    dialect: Dialect

    def fields(self) -> Mapping[str, Any]:
        """The value, which must be an object."""
        if not isinstance(self.value, Mapping):
            raise self.dialect.wrong_type(self.path, "object", self.value)
        return self.value

    def field(self, name: str) -> Node:
        """A required field of this object."""
        if (found := self.optional(name)) is None:
            raise self.dialect.missing((*self.path, name))
        return found

    def optional(self, name: str) -> Node | None:
        """A field of this object, or None where it is absent or null."""
        value = self.fields().get(name)
        return None if value is None else Node(value, (*self.path, name), self.dialect)

    def only(self, known: frozenset[str]) -> None:
        """Refuse any field whose name is not known."""
        for name in self.fields():
            if name not in known:
                raise self.dialect.unknown((*self.path, name))

    def items(self) -> Iterator[Node]:
        """The entries of this array."""
        if not isinstance(self.value, Sequence) or isinstance(self.value, str):
            raise self.dialect.wrong_type(self.path, "array", self.value)
        return (Node(item, (*self.path, place), self.dialect) for place, item in enumerate(self.value))

    def text(self) -> str:
        """The value, which must be a string."""
        if not isinstance(self.value, str):
            raise self.dialect.wrong_type(self.path, "string", self.value)
        return self.value

    def flag(self) -> bool:
        """The value, which must be true or false."""
        if not isinstance(self.value, bool):
            raise self.dialect.wrong_type(self.path, "boolean", self.value)
        return self.value

    def integer(self, least: int) -> int:
        """The value, which must be a whole number of at least ``least``."""
        if not isinstance(self.value, int) or isinstance(self.value, bool):
            raise self.dialect.wrong_type(self.path, "integer", self.value)
        if self.value < least:
            self.refuse(f"must be greater than or equal to {least}")
        return self.value

    def number(self, least: float, most: float) -> float:
        """The value, which must be a finite number from ``least`` to ``most``."""
        if not isinstance(self.value, int | float) or isinstance(self.value, bool):
            raise self.dialect.wrong_type(self.path, "number", self.value)
        if not math.isfinite(self.value) or not least <= self.value <= most:
            self.refuse(f"must be between {least:g} and {most:g}")
        return float(self.value)

    def refuse(self, message: str) -> NoReturn:
        """Refuse this value with a message."""
        raise self.dialect.invalid(self.path, message)


def parse_json(text: str | bytes) -> Any:
    """The JSON value of a text from outside.

    Raises:
        ValueError: it is not JSON, is nested too deeply, or holds NaN, an infinity or half a surrogate pair.
    """
    try:
        value = json.loads(text, parse_constant=_not_json)
        if _SURROGATE[type(text)].search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None
    return value


def compact_json(value: Any) -> str:
    """A JSON value as text without spaces, every character as it is."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def object_or_wrapped(text: str) -> dict[str, Any]:
    """A tool call's arguments as the object a provider demands; what is no JSON object goes under ``INVALID_JSON``."""
    try:
        value = parse_json(text or "{}")
        json.dumps(value, allow_nan=False)
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {"INVALID_JSON": text}


def inner(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """An object inside a body, empty where there is none."""
    value = body.get(name)
    return value if isinstance(value, Mapping) else {}


def place(value: Any) -> int:
    """Where a piece of a stream belongs.

    Raises:
        TypeError: it is no whole number.
    """
    if not isinstance(value, int):
        raise TypeError("a whole number is wanted")
    return value


def tokens(body: Mapping[str, Any], name: str) -> int:
    """A number of tokens in a body, 0 where it is not stated.

    Raises:
        MalformedReply: it is stated and is no whole number of 0 or more.
    """
    value = body.get(name)
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise MalformedReply(f"The reply states {name} as {value!r:.40}, which is no number of tokens.")
    return value


def _not_json(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
