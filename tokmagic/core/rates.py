"""What a provider says of its own limits: the levels it states with a reply, as plain values."""

from __future__ import annotations

from dataclasses import dataclass

from .units import Unit


@dataclass(frozen=True, slots=True)
class RateState:
    """How full one limit is, by the provider's own word.

    Attributes:
        unit: what it counts.
        limit: its amount in the unit; None where only the rest is stated.
        remaining: what is left of it, in the unit.
        reset: seconds until it is full again; None where that is not stated.
    """

    unit: Unit
    limit: int | None
    remaining: int
    reset: float | None = None
