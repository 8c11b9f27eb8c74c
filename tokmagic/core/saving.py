"""Whether a compaction pays: what it costs, and what each turn behind it costs less."""

from __future__ import annotations

from dataclasses import dataclass

from .compaction import CompactionPlan
from .prices import MILLION, Price


@dataclass(frozen=True, slots=True)
class Economy:
    """What a compaction costs and saves, in nano-dollars.

    Attributes:
        price: of the summary, and of reading the shorter conversation into the cache.
        saved: by each turn that follows.
    """

    price: int
    saved: int

    @property
    def break_even(self) -> int | None:
        """After how many turns it has paid for itself; None if never."""
        return -(-self.price // self.saved) if self.saved > 0 else None


def economy(price: Price, plan: CompactionPlan, *, cached: bool) -> Economy:
    """What a plan costs and saves at a model's price.

    Args:
        price: of the model.
        plan: what would be summarised.
        cached: whether the conversation is read from the provider's cache; the shorter one is not in it yet.
    """
    rates = price.rates(plan.tokens)
    after = plan.kept_tokens + plan.summary_tokens
    reading = rates.cache_read if cached else rates.input
    asked = (plan.tokens - plan.kept_tokens) * rates.input + plan.summary_tokens * rates.output
    written = after * max(0, rates.cache_write - rates.cache_read) if cached else 0
    return Economy(-(-(asked + written) // MILLION), (plan.tokens - after) * reading // MILLION)
