"""Money: integer nano-dollars with a tag that says how far to trust them. An unknown price is never 0.

One US dollar is 1,000,000,000 nano-dollars. Every rounding is up, so a sum is never below the truth. Play money (the
demo models' prices) is booked apart from real money and never added to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Literal, TypeAlias

NANO = 1_000_000_000

Quality: TypeAlias = Literal["exact", "estimated", "at least", "unknown"]
#: From the best to the least known; a sum is as good as its worst term.
QUALITIES: tuple[Quality, ...] = ("exact", "estimated", "at least", "unknown")


@dataclass(frozen=True, slots=True)
class Cost:
    """An amount of money; ``float(cost)`` is US dollars.

    Attributes:
        nanousd: nano-dollars, or None where no price is known.
        quality: ``exact`` (reported usage at a known price), ``estimated``, ``at least`` or ``unknown``.
        play: whether it is play money.
    """

    nanousd: int | None
    quality: Quality = "exact"
    play: bool = False

    def __float__(self) -> float:
        """US dollars; NaN where the price is unknown, so that no sum looks complete."""
        return float("nan") if self.nanousd is None else self.nanousd / NANO

    def __str__(self) -> str:
        return show_nanousd(self.nanousd, play=self.play, quality=self.quality)

    def __add__(self, other: Cost) -> Cost:
        if self.play != other.play:
            raise ValueError("play money and real money are not added together")
        if self.nanousd is None or other.nanousd is None:
            return Cost(None, "unknown", self.play)
        return Cost(self.nanousd + other.nanousd, worst(self.quality, other.quality), self.play)


def worst(*qualities: Quality) -> Quality:
    """The least trustworthy of the tags; ``exact`` if there are none."""
    return max(qualities, key=QUALITIES.index, default="exact")


def summed(costs: Iterable[Cost]) -> Cost:
    """The costs together. Beside real money, play money counts for nothing."""
    found = list(costs)
    play = bool(found) and all(cost.play for cost in found)
    return sum((cost for cost in found if cost.play == play), Cost(0, "exact", play))


def nanousd(dollars: str | int | float | Decimal) -> int:
    """US dollars as nano-dollars, rounded up.

    Raises:
        ValueError: not a finite number.
    """
    amount = Decimal(str(dollars))
    if not amount.is_finite():
        raise ValueError(f"{dollars} is not an amount of money")
    return int((amount * NANO).to_integral_value(rounding=ROUND_CEILING))


def show_nanousd(amount: int | None, *, play: bool = False, quality: Quality = "exact") -> str:
    """An amount for people: four significant digits, its sign of quality in front, ``play`` behind."""
    if amount is None:
        return "unknown"
    sign = {"exact": "", "estimated": "≈", "at least": "≥", "unknown": "?"}[quality]
    return f"{sign}${_digits(amount)}{' play' if play else ''}"


def _digits(amount: int) -> str:
    dollars = Decimal(amount) / NANO
    if amount == 0 or abs(dollars) >= 1:
        return f"{dollars:,.2f}"
    digits = min(9, 2 - dollars.adjusted())
    short = f"{dollars:.{digits}f}"
    whole, _, fraction = short.partition(".")
    return f"{whole}.{fraction.rstrip('0').ljust(2, '0')}"
