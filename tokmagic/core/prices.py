"""What tokens cost, as values: a rate card per model, and the arithmetic from usage to money.

Rates are integer nano-dollars per **million** tokens, so a product stays an integer and is rounded up once, at the end.
Some models charge a dearer card above a number of input tokens: a price is a tuple of tiers, the cheapest first.
"""

from __future__ import annotations

from dataclasses import dataclass

from .money import Cost, Quality
from .usage import Usage

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Rates:
    """Nano-dollars per million tokens of each kind."""

    input: int
    output: int
    cache_read: int
    cache_write: int
    cache_write_1h: int

    @property
    def dearest_input(self) -> int:
        """The most one input token can cost, whatever the cache does."""
        return max(self.input, self.cache_read, self.cache_write, self.cache_write_1h)


@dataclass(frozen=True, slots=True)
class Price:
    """A model's price: ``tiers`` of ``(from_input_tokens, rates)``, rising; the first begins at 0.

    ``source`` says where it comes from; ``play`` marks the demo models' play money. ``others`` are cards of other hours
    of the day, which a call that begins now may still meet: only its ceiling reads them.
    """

    tiers: tuple[tuple[int, Rates], ...]
    others: tuple[Rates, ...] = ()
    source: str = ""
    play: bool = False

    def rates(self, input_tokens: int) -> Rates:
        """The card that applies to a call of that many input tokens."""
        return [rates for start, rates in self.tiers if input_tokens >= start][-1]


def cost(price: Price | None, usage: Usage, quality: Quality = "exact") -> Cost:
    """The price of ``usage``, rounded up to a nano-dollar; unknown where there is no price."""
    if price is None:
        return Cost(None, "unknown")
    rates = price.rates(usage.input_tokens)
    total = (
        usage.uncached_input_tokens * rates.input
        + usage.cache_read_tokens * rates.cache_read
        + usage.cache_write_tokens * rates.cache_write
        + usage.cache_write_1h_tokens * rates.cache_write_1h
        + usage.output_tokens * rates.output
    )
    return Cost(-(-total // MILLION), quality, price.play)


def ceiling(price: Price | None, input_tokens: int, output_tokens: int) -> int | None:
    """The most a call of at most so many tokens can cost, in nano-dollars: the dearest tier and cache price."""
    if price is None:
        return None
    reached = [*(rates for start, rates in price.tiers if start <= input_tokens), *price.others]
    dearest_in = max(rates.dearest_input for rates in reached)
    dearest_out = max(rates.output for rates in reached)
    total = input_tokens * dearest_in + output_tokens * dearest_out
    return -(-total // MILLION)
