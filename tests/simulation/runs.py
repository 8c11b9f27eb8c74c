"""One run: workers take calls from one list, each through the sender under test, and what came of it is measured."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from .service import Call, Service

AT_ONCE = 24


class Sender(Protocol):
    """Something that sends calls under the service's limits."""

    async def send(self, call: Call) -> bool:
        """Send it, waiting and trying again as it sees fit; whether it was answered."""


@dataclass
class Run:
    """What came of one run; waits are seconds beyond the bare service, in order of the calls."""

    service: Service = field(default_factory=Service)
    waits: dict[int, float] = field(default_factory=dict)
    failures: int = 0

    @property
    def p99(self) -> float:
        return percentile(list(self.waits.values()), 0.99)

    def largest_p95(self, calls: Sequence[Call]) -> float:
        """What nineteen in twenty of the largest calls did not wait longer than; a twentieth of all are the largest."""
        largest = sorted(calls, key=lambda call: call.input_tokens + call.output_tokens)[-(len(calls) // 20) :]
        return percentile([self.waits[call.number] for call in largest if call.number in self.waits], 0.95)

    def line(self, calls: Sequence[Call]) -> str:
        """All of it in one line."""
        return (
            f"{self.service.share_used():6.1%} of the limit, {self.service.refused:5,} x 429, "
            f"{self.failures:3} failed, p99 wait {self.p99:6.1f} s, largest {self.largest_p95(calls) / self.p99:.2f}x"
        )


def percentile(values: list[float], share: float) -> float:
    """The smallest value that is not below that share of them."""
    return sorted(values)[math.ceil(share * len(values)) - 1]


async def drive(calls: Sequence[Call], make: Callable[[Service], Awaitable[Sequence[Sender]]]) -> Run:
    """Send all calls, 24 at once, spread over the senders."""
    run = Run()
    senders = await make(run.service)
    waiting = iter(calls)

    async def work(sender: Sender) -> None:
        loop = asyncio.get_running_loop()
        for call in waiting:
            began = loop.time()
            if await sender.send(call):
                run.waits[call.number] = loop.time() - began - call.service
            else:
                run.failures += 1

    await asyncio.gather(*(work(senders[number % len(senders)]) for number in range(AT_ONCE)))
    return run
