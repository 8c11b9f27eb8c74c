"""Limits in words: ``5 usd/day, warn at 60 %``, ``200k tokens/session``, ``50 requests/minute for anthropic/*``.

Parsing is strict: what is not a finite amount (0 or more) of a known unit over a known window is refused with the words
that would do. A limit without a window is only meant where the caller says which (``--limit "0.10 usd"``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from typing import Any, cast

from .checks import given as shown
from .errors import ConfigurationError
from .limits import MAX_AMOUNT, Limit
from .money import nanousd
from .units import Full, Scope, Source, Unit, Window

UNITS: dict[str, Unit] = {
    "usd": "nanousd",
    "dollar": "nanousd",
    "token": "tokens",
    "input_token": "input_tokens",
    "output_token": "output_tokens",
    "request": "requests",
    "call": "requests",
}
WINDOWS: tuple[Window, ...] = ("call", "minute", "hour", "day", "month", "session", "total")
SCOPES: tuple[Scope, ...] = ("session", "notebook", "key", "user", "team")
SIZES = {"": 1, "k": 1_000, "m": 1_000_000}
EXAMPLES = 'such as "5 usd/day", "200k tokens/session" or "50 requests/minute"'

#: A comma between groups of three digits; any other comma is no part of a number.
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?:\D|$))")
_WORDS = re.compile(
    r"""\s*(?P<dollar>\$)?\s*(?P<number>[-+]?(?:nan|inf(?:inity)?)\b|[^\s$a-z/]+)\s*(?P<size>[km](?![a-z]))?\s*
        (?P<unit>[a-z_]+(?:[ ](?:tokens?))?)?\s*
        (?:(?:/|per\s+)\s*(?P<window>[a-z]+))?\s*
        (?P<clauses>(?:,|for\b|by\b|warn\b).*)?""",
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_CLAUSE = re.compile(
    r"""(?:for\s+(?P<models>[^\s,]+)|by\s+(?P<scope>[a-z]+)|warn\s+at\s+(?P<warn>[^\s,%]+)\s*%)(?:[\s,]+|$)""",
    re.VERBOSE | re.IGNORECASE,
)


def parse_limit(words: str, *, window: Window | None = None, source: Source = "notebook") -> Limit:
    """A limit from its words: ``AMOUNT UNIT/WINDOW [for MODELS] [by SCOPE] [, warn at N %]``, the clauses in any order.

    Args:
        words: the amount may end in ``k`` or ``M``; units are usd, tokens, input_tokens, output_tokens and requests.
        window: taken where the words name none.
        source: who sets it.

    Raises:
        ConfigurationError: with the words that cannot be used and an example that can.
    """
    match = _WORDS.fullmatch(str(words))
    if match is None:
        raise ConfigurationError(f"{words!r} is not a limit: write an amount, a unit and a window, {EXAMPLES}.")
    unit = _unit(words, match["unit"] or ("usd" if match["dollar"] else None))
    if match["dollar"] and unit != "nanousd":
        raise ConfigurationError(f"{words!r}: $ and {match['unit']!r} are two units. Write a limit {EXAMPLES}.")
    span = _window(words, match["window"], window)
    clauses = _clauses(words, match["clauses"] or "")
    full: Full = "wait" if span == "minute" and unit != "nanousd" else "refuse"
    return Limit(
        amount=_amount(words, match["number"], match["size"], unit),
        unit=unit,
        window=span,
        scope=_scope(words, clauses.get("scope"), span),
        full=full,
        models=clauses.get("models") or "*",
        source=source,
        **_warning(words, clauses.get("warn"), span, full),
    )


def parse_limits(given: Any, *, source: Source) -> list[Limit]:
    """A limit, in words or not, or any number of them; None is none.

    Raises:
        ConfigurationError: something else, or words that cannot be used.
    """
    one = isinstance(given, str | Limit) or not isinstance(given, Iterable)
    several = () if given is None else (given,) if one else tuple(given)
    if not all(isinstance(limit, str | Limit) for limit in several):
        raise ConfigurationError(f"limits is a limit or a list of them, {EXAMPLES}, not {shown(given)}.")
    return [limit if isinstance(limit, Limit) else parse_limit(limit, source=source) for limit in several]


def _clauses(words: str, text: str) -> dict[str, str]:
    """What stands behind the window, each clause at most once."""
    found: dict[str, str] = {}
    rest = text.lstrip(", ").rstrip()
    while rest:
        match = _CLAUSE.match(rest)
        if match is None or match.lastgroup in found:
            raise ConfigurationError(
                f"{words!r} is not a limit: behind the window stand, once each, for MODELS, by SCOPE or warn at N %."
            )
        found[str(match.lastgroup)] = match[str(match.lastgroup)]
        rest = rest[match.end() :]
    return found


def _warning(words: str, number: str | None, window: Window, full: Full) -> dict[str, int]:
    if number is None:
        return {}
    if full == "wait" or window == "call":
        raise ConfigurationError(f"{words!r}: a limit per {window} has nothing to warn at; leave that out.")
    if not (number.isascii() and number.isdigit() and 1 <= int(number) <= 100):
        raise ConfigurationError(f"{words!r}: warn at a whole number of 1 to 100 %, not at {number!r}.")
    return {"warn_percent": int(number)}


def _amount(words: str, number: str, size: str | None, unit: Unit) -> int:
    plain = _THOUSANDS.sub("", number).replace("_", "")
    try:
        value = Decimal(plain) * SIZES[(size or "").lower()]
    except InvalidOperation:
        raise ConfigurationError(f"{words!r}: {number!r} is not a number. Write a limit {EXAMPLES}.") from None
    if not value.is_finite() or value < 0:
        raise ConfigurationError(f"{words!r}: a limit is a finite amount of 0 or more. Write one {EXAMPLES}.")
    if unit != "nanousd" and value != int(value):
        raise ConfigurationError(f"{words!r}: tokens and requests are whole numbers. Write a limit {EXAMPLES}.")
    amount = nanousd(value) if unit == "nanousd" else int(value)
    if amount > MAX_AMOUNT:
        raise ConfigurationError(f"{words!r}: the amount is beyond what the book can count ({MAX_AMOUNT:,}).")
    return amount


def _unit(words: str, name: str | None) -> Unit:
    plain = (name or "").lower().replace(" ", "_")
    singular = plain[:-1] if plain.endswith("s") else plain
    if singular not in UNITS:
        near = get_close_matches(singular, UNITS, 1)
        hint = f" Did you mean {near[0]}?" if near else ""
        said = f"the unit {name!r} is not known" if name else "no unit is named"
        raise ConfigurationError(f"{words!r}: {said}; use one of {', '.join(_plain_units())}.{hint}")
    return UNITS[singular]


def _plain_units() -> tuple[str, ...]:
    return ("usd", "tokens", "input_tokens", "output_tokens", "requests")


def _window(words: str, name: str | None, default: Window | None) -> Window:
    if name is None and default is not None:
        return default
    if name is None or name.lower() not in WINDOWS:
        near = get_close_matches((name or "").lower(), WINDOWS, 1)
        hint = f" Did you mean {near[0]}?" if near else ""
        said = f"the window {name!r} is not known" if name else "no window is named"
        raise ConfigurationError(f"{words!r}: {said}; use one of {', '.join(WINDOWS)}.{hint}")
    return cast("Window", name.lower())


def _scope(words: str, name: str | None, window: Window) -> Scope:
    if name is None:
        return "session" if window in ("call", "session") else "key" if window == "minute" else "user"
    if name.lower() not in SCOPES:
        near = get_close_matches(name.lower(), SCOPES, 1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise ConfigurationError(f"{words!r}: the scope {name!r} is not one of {', '.join(SCOPES)}.{hint}")
    return cast("Scope", name.lower())
