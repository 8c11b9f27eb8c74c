"""The per-minute limits of one model as the server keeps them: buckets that refill continuously.

A call takes all it needs or nothing. What it produces beyond that is charged as it is produced, and a bucket may go
below zero by it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from tokmagic.core.limits import Limit, rate, refill
from tokmagic.core.rates import RateState
from tokmagic.core.units import Unit


@dataclass(slots=True)
class _Bucket:
    limit: Limit
    room: float
    at: float


@dataclass(frozen=True, slots=True)
class Shortage:
    """Which limit has too little room for a call, and in how many seconds it has enough."""

    limit: Limit
    room: float
    needed: int
    seconds: float


class Buckets:
    """The limits of one model, full at the start; ``clock`` gives seconds."""

    def __init__(self, limits: Iterable[Limit], clock: Callable[[], float]) -> None:
        self._clock = clock
        now = clock()
        counted = (limit for limit in limits if limit.window == "minute" and limit.unit != "nanousd")
        self._buckets = {limit.unit: _Bucket(limit, float(limit.amount), now) for limit in counted}

    def take(self, needs: Mapping[Unit, int]) -> Shortage | None:
        """Take all that is needed, or nothing and say what is short; of several shortages the longest."""
        self._refill()
        short = [
            Shortage(bucket.limit, bucket.room, needs[unit], (needs[unit] - bucket.room) / rate(bucket.limit))
            for unit, bucket in self._buckets.items()
            if needs.get(unit, 0) > bucket.room + 1e-6
        ]
        if short:
            return max(short, key=lambda shortage: shortage.seconds)
        for unit, amount in needs.items():
            self.charge(unit, amount)
        return None

    def charge(self, unit: Unit, amount: int) -> None:
        """Take so much whatever the room."""
        self._refill()
        if bucket := self._buckets.get(unit):
            bucket.room -= amount

    def states(self) -> list[RateState]:
        """How full each limit is now."""
        self._refill()
        return [
            RateState(unit, bucket.limit.amount, max(0, int(bucket.room)), _until_full(bucket))
            for unit, bucket in self._buckets.items()
        ]

    def _refill(self) -> None:
        now = self._clock()
        for bucket in self._buckets.values():
            bucket.room, bucket.at = refill(bucket.limit, bucket.room, now - bucket.at), now


def _until_full(bucket: _Bucket) -> float:
    return (bucket.limit.amount - bucket.room) / rate(bucket.limit)
