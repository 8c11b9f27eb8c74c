"""What a call would be, without sending it: its tokens, the most it can cost, what would be cut, how long it waits."""

from __future__ import annotations

from dataclasses import dataclass

from .money import Cost
from .replies import Cut
from .tokens import TokenCount


@dataclass(frozen=True, slots=True)
class CompactionQuote:
    """A compaction that a call in a thread would bring with it.

    Attributes:
        how: as in ``CompactionRecord``: the first way that would be tried.
        tokens_before: of the conversation.
        tokens_after: about; None where only the service decides it.
        ceiling: the most that it can cost, which is part of the quote's own.
        calls: made for it, at most.
    """

    how: str
    tokens_before: int
    tokens_after: int | None
    ceiling: Cost
    calls: int


@dataclass(frozen=True, slots=True)
class Quote:
    """What a call would be, without sending it.

    Attributes:
        model: ``provider/model``.
        input_tokens: what it would read, after fitting; about, where it would be compacted first.
        max_tokens: bound of the answer.
        ceiling: the most it can cost, with all calls that are made for it.
        cuts: what would be left out.
        wait_seconds: how long it would wait for a rate limit now; None if a limit would refuse it.
        calls: in how many calls it would be made, at most.
        replayed: whether the answer is kept from an earlier run, and would be shown again for nothing.
        compaction: that comes with it; None if none does.
    """

    model: str
    input_tokens: TokenCount
    max_tokens: int
    ceiling: Cost
    cuts: tuple[Cut, ...]
    wait_seconds: float | None
    calls: int = 1
    replayed: bool = False
    compaction: CompactionQuote | None = None


def most_of_both(one: Cost, other: Cost) -> Cost:
    """The most that two things cost together. Beside real money, play money counts for nothing."""
    if one.play == other.play:
        return one + other
    return other if one.play else one
