"""A provider with the documented limits, in whatever time the running loop has.

Three buckets, full at the start and refilled continuously: 50 requests, 40,000 input and 8,000 output tokens a minute.
A request that arrives takes one request and its input, or is refused with 429 and takes nothing; the output counts as
it is produced, and a request that arrives while it is used up is refused. ``retry-after`` is whole seconds, what is
left of tokens is rounded to thousands.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

PER_MINUTE = {"requests": 50, "input_tokens": 40_000, "output_tokens": 8_000}
#: Tokens an answer gains per second, and how often it is told.
SPEED = 80.0
TICK = 0.25


@dataclass(frozen=True)
class Call:
    """One request: what it really reads and writes, and how long its ways and its first token take, in seconds."""

    number: int
    input_tokens: int
    output_tokens: int
    way: float
    thinking: float
    max_tokens: int = 4_096

    @property
    def service(self) -> float:
        """Seconds from sending to the end of the answer if nothing is in the way."""
        return 2 * self.way + self.thinking + TICK * math.ceil(self.output_tokens / (SPEED * TICK))


class Refused(Exception):
    """429, with its headers."""

    def __init__(self, retry_after: int, headers: dict[str, str]) -> None:
        super().__init__("429")
        self.retry_after = retry_after
        self.headers = headers


@dataclass
class Service:
    """The provider; it counts what it has accepted and refused."""

    room: dict[str, float] = field(default_factory=lambda: {unit: float(n) for unit, n in PER_MINUTE.items()})
    used: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PER_MINUTE, 0))
    used_by_then: dict[str, int] = field(default_factory=dict)
    refused: int = 0
    accepted: int = 0
    last_arrival: float = 0.0
    at: float = 0.0

    async def send(
        self,
        call: Call,
        started: Callable[[dict[str, str]], Awaitable[None]],
        produced: Callable[[int], Awaitable[None]],
    ) -> None:
        """Answer the call; ``started`` is told the headers, ``produced`` how long the answer is by now."""
        await asyncio.sleep(call.way)
        self._arrive(call)
        headers = self.headers()
        await asyncio.sleep(call.thinking)
        await started(headers)
        written = 0
        while written < call.output_tokens:
            await asyncio.sleep(TICK)
            piece = min(int(SPEED * TICK), call.output_tokens - written)
            self._refill()
            self._count("output_tokens", piece)
            written += piece
            await produced(written)
        await asyncio.sleep(call.way)

    def headers(self) -> dict[str, str]:
        """What it says of its limits now."""
        self._refill()
        said: dict[str, str] = {}
        for unit, room in self.room.items():
            left = max(0, int(room))
            name = f"anthropic-ratelimit-{unit.replace('_', '-')}"
            said[f"{name}-limit"] = str(PER_MINUTE[unit])
            said[f"{name}-remaining"] = str(left if unit == "requests" else round(left, -3))
        return said

    def share_used(self) -> float:
        """How much of the binding limit was used from the start to the last arrival: its fill and its refill."""
        return max(
            self.used_by_then[unit] / (amount + amount * self.last_arrival / 60) for unit, amount in PER_MINUTE.items()
        )

    def _arrive(self, call: Call) -> None:
        self._refill()
        needs = {"requests": 1, "input_tokens": call.input_tokens, "output_tokens": 1e-9}
        short = [(n - self.room[unit]) * 60 / PER_MINUTE[unit] for unit, n in needs.items() if self.room[unit] < n]
        if short:
            self.refused += 1
            raise Refused(math.ceil(max(short)), self.headers())
        self._count("requests", 1)
        self._count("input_tokens", call.input_tokens)
        self.accepted += 1
        self.last_arrival, self.used_by_then = self.at, dict(self.used)

    def _count(self, unit: str, amount: int) -> None:
        self.room[unit] -= amount
        self.used[unit] += amount

    def _refill(self) -> None:
        now = asyncio.get_running_loop().time()
        for unit, amount in PER_MINUTE.items():
            self.room[unit] = min(float(amount), self.room[unit] + (now - self.at) * amount / 60)
        self.at = now


def _spread(dice: random.Random, mean: float, sigma: float, least: int, most: int) -> int:
    """A length with a long tail: log-normal around its mean."""
    return min(most, max(least, round(dice.lognormvariate(math.log(mean) - sigma**2 / 2, sigma))))


def heavy_tailed(dice: random.Random) -> tuple[int, int]:
    """Inputs from a few dozen tokens to most of a bucket: input binds."""
    return _spread(dice, 2_400, 1.3, 30, 30_000), _spread(dice, 150, 0.7, 5, 1_000)


def output_bound(dice: random.Random) -> tuple[int, int]:
    """Short questions with long answers: output binds."""
    return _spread(dice, 300, 0.5, 30, 3_000), _spread(dice, 500, 0.8, 20, 4_096)


def request_bound(dice: random.Random) -> tuple[int, int]:
    """Many small calls: requests bind."""
    return _spread(dice, 250, 0.5, 30, 2_000), _spread(dice, 60, 0.5, 5, 300)


LOADS: dict[str, Callable[[random.Random], tuple[int, int]]] = {
    "heavy-tailed": heavy_tailed,
    "output-bound": output_bound,
    "request-bound": request_bound,
}


def calls(load: str, seed: int, count: int = 500) -> list[Call]:
    """The calls of one run."""
    dice = random.Random(f"{load} {seed}")  # noqa: S311
    return [
        Call(number, *LOADS[load](dice), way=dice.uniform(0.02, 0.15), thinking=dice.uniform(0.2, 0.8))
        for number in range(count)
    ]
