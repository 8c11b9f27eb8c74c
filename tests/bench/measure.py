"""Two things timed in turn, so that a machine whose speed drifts does not favour either."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

Timed = Callable[[], float]


@dataclass(frozen=True)
class Pair:
    """Seconds (or bytes) of ours and of the peer, round by round."""

    name: str
    ours: list[float]
    peer: list[float]

    @property
    def ratios(self) -> list[float]:
        return [peer / ours for ours, peer in zip(self.ours, self.peer, strict=True)]

    @property
    def extra(self) -> float:
        """How much more ours takes, round by round: the median."""
        return median(ours - peer for ours, peer in zip(self.ours, self.peer, strict=True))


def in_turn(name: str, ours: Timed, peer: Timed, rounds: int, *, warm: int = 1) -> Pair:
    """Run both, one after the other, ``rounds`` times after ``warm`` uncounted ones."""
    for _ in range(warm):
        ours()
        peer()
    both = [(ours(), peer()) for _ in range(rounds)]
    return Pair(name, [one for one, _ in both], [other for _, other in both])


def spread(values: list[float], form: Callable[[float], str]) -> str:
    """Median and range."""
    return f"{form(median(values))} ({form(min(values))} to {form(max(values))})"


def ms(seconds: float) -> str:
    return f"{seconds * 1e3:,.2f} ms"


def times(ratio: float) -> str:
    return f"{ratio:.2f}x"
