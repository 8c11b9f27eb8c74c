"""The words of ``%tokens`` about what a call may use: ``limit``, ``limits`` and ``config``.

A limit set in a cell can be changed in a cell. One set by configuration holds whatever a cell says: a lower one about
the same thing comes on top of it, a higher one is refused.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from tokmagic.core.errors import ConfigurationError
from tokmagic.core.limits import Level, Limit, show_amount
from tokmagic.core.money import show_nanousd
from tokmagic.core.words import parse_limit
from tokmagic.ledgers.registry import shown
from tokmagic.notebook import markup
from tokmagic.notebook.markup import Bundle
from tokmagic.notebook.measuring import show_size
from tokmagic.parts import shared_parts

if TYPE_CHECKING:
    from tokmagic.core.prices import Price
    from tokmagic.notebook.state import MagicsState

#: What removes the limits that were set in the notebook.
OFF = "off"


def limits(magics: MagicsState, _: str) -> Bundle:
    """Every limit in force, and what it has left."""
    client = magics.client()
    levels = client.snapshot().levels
    known = [level.account.limit for level in levels]
    counted = [(level.account.limit, _left(level)) for level in levels]
    others = [(limit, "per call" if limit.window == "call" else "-") for limit in client.limits if limit not in known]
    head = ("limit", "for", "when full", "warns at", "set by", "left")
    return markup.table(head, [_limit_line(limit, left) for limit, left in counted + others])


def _left(level: Level) -> str:
    unit = level.account.limit.unit
    return f"{show_amount(level.left, unit)}{' play' if unit == 'nanousd' and level.account.play else ''}"


def _limit_line(limit: Limit, left: str) -> tuple[str, ...]:
    warns = "-" if limit.full == "wait" or limit.window == "call" else f"{limit.warn_percent} %"
    return str(limit), limit.scope, limit.full, warns, limit.source, left


def limit(magics: MagicsState, rest: str) -> Bundle:
    """Set a limit of this notebook, in place of one about the same thing, or remove all it has set; then show all.

    Raises:
        ConfigurationError: words that are no limit, or a limit above one of the configuration.
    """
    words = _words(rest)
    if words == OFF:
        set_here = magics.notebook_limits()
        magics.limits = [other for other in magics.limits if other not in set_here]
        return limits(magics, "")
    new = shared_parts().known(parse_limit(words))
    for fixed in (*shared_parts().settings.limits, *magics.configured_limits()):
        if _subject(fixed) == _subject(new) and fixed.amount < new.amount:
            raise ConfigurationError(
                f"{fixed} is set by the configuration: a cell can lower it, not raise it to {new}."
            )
    kept = [other for other in magics.limits if _subject(parse_limit(other)) != _subject(new)]
    magics.limits = [*kept, words]
    return limits(magics, "")


def _words(rest: str) -> str:
    try:
        words = " ".join(shlex.split(rest))
    except ValueError:
        raise ConfigurationError(f"A quote is not closed in {rest!r}: close it, or drop it.") from None
    if not words:
        raise ConfigurationError('%tokens limit needs a limit, such as "5 usd/day", or off.')
    return words


def _subject(limit: Limit) -> tuple[str, ...]:
    """What a limit is about; a new one about the same thing replaces it."""
    return limit.unit, limit.window, limit.scope, limit.models.lower()


def config(magics: MagicsState, _: str) -> Bundle:
    """The settings in force."""
    settings = shared_parts().settings
    configured = [str(limit) for limit in (*settings.limits, *magics.configured_limits())]
    prices = (f"{pattern}: {_price(price)}" for pattern, price in settings.prices.items())
    lines = (
        ("model", magics.model or settings.model or "the first whose key is set"),
        ("limits of the configuration", "; ".join(configured) or "none"),
        ("limits of the notebook", "; ".join(magics.notebook_limits()) or "none"),
        ("prices of your own", "; ".join(prices) or "none"),
        ("system", magics.system or "none"),
        ("max_tokens", show_size(magics.max_tokens or settings.max_tokens, "safe for the model: %tokens plan")),
        ("render_hz", f"{magics.render_hz:g}"),
        ("book", shown(settings.ledger)),
        ("user, team", f"{settings.user}, {settings.team or 'no team'}"),
    )
    return markup.table(("setting", "value"), lines)


def _price(price: Price) -> str:
    rates = price.rates(0)
    return f"{show_nanousd(rates.input)} in, {show_nanousd(rates.output)} out per million"
