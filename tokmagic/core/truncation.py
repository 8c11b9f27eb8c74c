"""Cutting a text to a number of tokens: what is left fits, and with the next grapheme it would not.

A cut needs only what is kept to be counted; what was dropped is counted when somebody asks, or never, if the caller
knows the total.

To add a strategy, write one function and its line in ``STRATEGIES``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

from .counters import Counter
from .cutting import End, Kept, Span, Start, longest
from .errors import ConfigurationError
from .gaps import cut_middle, cut_smart


@dataclass(frozen=True)
class Truncation:
    """A text that was made to fit.

    Attributes:
        text: what is left, with the gap's mark where the strategy has one.
        tokens: how many that is.
        cuts: what was cut out of the original text, in characters; empty if it fits.
        strategy: the name of the strategy.
        gap: the mark that stands in ``text`` for each cut; empty if the strategy marks none.
    """

    text: str
    tokens: int
    cuts: tuple[Span, ...]
    strategy: str
    gap: str
    _total: Callable[[], int] = field(repr=False, compare=False)

    @cached_property
    def dropped_tokens(self) -> int:
        """Tokens of the original text less those left; the first look counts it, unless its total was given."""
        return self._total() - self.tokens if self.cuts else 0


#: Given the text, the most tokens and the counter, what to keep.
Strategy: TypeAlias = Callable[[str, int, Counter], Kept]


def truncate(text: str, max_tokens: int, strategy: str, counter: Counter, *, total: int | None = None) -> Truncation:
    """Cut a text to at most ``max_tokens`` tokens; one that fits is left as it is.

    Args:
        text: of any length and content; no grapheme of it is split.
        max_tokens: 1 or more.
        strategy: a name in ``STRATEGIES``, after the part that is removed; ``smart`` removes the middle and marks it.
        counter: of the tokenizer to count with.
        total: tokens of the whole text, where they are known already.

    Raises:
        ConfigurationError: no such strategy, or less than one token.
    """
    decide = strategy_named(strategy)
    if max_tokens < 1:
        raise ConfigurationError(f"A text cannot be cut to {max_tokens:,} tokens: allow at least 1.")
    cuts, tokens, gap = decide(text, max_tokens, counter)
    return Truncation(
        text=without(text, cuts, gap),
        tokens=tokens,
        cuts=cuts,
        strategy=strategy,
        gap=gap,
        _total=lambda: counter.count(text) if total is None else total,
    )


def strategy_named(name: str) -> Strategy:
    """The strategy of that name.

    Raises:
        ConfigurationError: there is none; the message names those there are.
    """
    if not isinstance(name, str) or name not in STRATEGIES:
        raise ConfigurationError(f"Unknown truncation strategy {name!r}: use one of {', '.join(STRATEGIES)}.")
    return STRATEGIES[name]


def without(text: str, cuts: tuple[Span, ...], gap: str = "") -> str:
    """The text with the spans, which are in order, taken out and ``gap`` put in their place."""
    starts = (0, *(cut.end for cut in cuts))
    ends = (*(cut.start for cut in cuts), len(text))
    return gap.join(text[start:end] for start, end in zip(starts, ends, strict=True))


def cut_end(text: str, max_tokens: int, counter: Counter) -> Kept:
    """Keep the start, as much of it as fits."""
    size, tokens = longest(Start(text, counter), max_tokens)
    return Kept((Span(size, len(text)),) if size < len(text) else (), tokens)


def cut_start(text: str, max_tokens: int, counter: Counter) -> Kept:
    """Keep the end, as much of it as fits."""
    size, tokens = longest(End(text, counter), max_tokens)
    return Kept((Span(0, len(text) - size),) if size < len(text) else (), tokens)


STRATEGIES: Mapping[str, Strategy] = {
    "end": cut_end,
    "start": cut_start,
    "middle": cut_middle,
    "smart": cut_smart,
}
