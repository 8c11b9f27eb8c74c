"""What a call used, in tokens. One convention for every provider; codecs normalise to it.

``input_tokens`` **includes** cache reads and cache writes; ``output_tokens`` includes reasoning. So the parts a price
names are made disjoint by subtraction, here and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from .checks import require, whole


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call, or of many added up.

    Attributes:
        input_tokens: everything the model read, cached or not.
        cache_read_tokens: of these, read from the provider's cache.
        cache_write_tokens: of these, written to the cache for five minutes.
        cache_write_1h_tokens: of these, written to the cache for an hour.
        output_tokens: everything the model wrote, reasoning included.
        reasoning_tokens: of these, thought and not said.
    """

    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0

    @property
    def uncached_input_tokens(self) -> int:
        """Input that was neither read from nor written to a cache."""
        cached = self.cache_read_tokens + self.cache_write_tokens + self.cache_write_1h_tokens
        return max(0, self.input_tokens - cached)

    @property
    def total_tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Usage)))

    def __sub__(self, part: Usage) -> Usage:
        """What is left without ``part``, which is contained in it."""
        return Usage(*(getattr(self, f.name) - getattr(part, f.name) for f in fields(Usage)))


def checked_usage(given: object) -> Usage:
    """What a caller says was used, if it can be.

    Raises:
        ConfigurationError: it is no ``Usage``, or a number in it is no whole number of 0 or more.
    """
    require(Usage, "usage", given, "a tm.Usage, such as tm.Usage(input_tokens=1_200, output_tokens=300)")
    return Usage(**{f.name: whole(f"usage.{f.name}", getattr(given, f.name), 0) for f in fields(Usage)})


NOTHING_USED = Usage()
