"""Values as callers gave them, checked at the door: a wrong type is refused there in one line, never deep inside.

Each check says the name of the value, what would do, and what was given.
"""

from __future__ import annotations

import math
import sys
from contextlib import suppress
from operator import index
from typing import SupportsIndex

from .errors import ConfigurationError
from .redaction import redact

#: Characters of a refused value that are shown.
SHOWN = 60


def given(value: object) -> str:
    """A refused value for a message: on one line, clipped, keys masked."""
    text = redact(" ".join(repr(value).split()))
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def require(kind: type | tuple[type, ...], name: str, value: object, wanted: str) -> None:
    """Refuse what is not of the kind.

    Args:
        kind: the type, or types, that will do.
        name: of the value, as the caller wrote it.
        value: what the caller gave.
        wanted: what would do, in words that follow ``name is``.

    Raises:
        ConfigurationError: it is something else.
    """
    if not isinstance(value, kind):
        raise ConfigurationError(f"{name} is {wanted}, not {given(value)}.")


def require_text(name: str, value: object) -> None:
    """Refuse what is no text.

    Raises:
        ConfigurationError: it is something else.
    """
    require(str, name, value, "a text")


def whole(name: str, value: object, least: int) -> int:
    """The value as an ``int``, where it is a whole number, numpy's among them; True is none.

    Raises:
        ConfigurationError: it is something else, or less than ``least``.
    """
    if type(value) is int and value >= least:
        return value
    number = None
    if isinstance(value, SupportsIndex) and not isinstance(value, bool):
        with suppress(TypeError):  # an array of several numbers has the method, too
            number = index(value)
    if number is None or number < least:
        raise ConfigurationError(f"{name} is a whole number of {least:,} or more, not {given(value)}.")
    return number


def require_finite(name: str, value: object) -> None:
    """Refuse what is no finite number of 0 or more; True is none.

    Raises:
        ConfigurationError: it is something else.
    """
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    if not 0 <= number <= sys.float_info.max:
        raise ConfigurationError(f"{name} is a finite number of 0 or more, not {given(value)}.")
