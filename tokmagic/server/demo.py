"""The demo engine: no model, an extract of the prompt, written token by token at a settable pace.

It is deterministic: the same request gets the same answer. It says of itself what it is, names the size of the prompt
and lists what it found in it; a prompt that asks for a number of words gets about as many. What it says is decided
beforehand, in ``script``; here it is only written.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from time import monotonic

from tokmagic.core.counters import Counter
from tokmagic.core.messages import Request

from .engine import Called, Output, pieces
from .script import Script, script

BATCH = 64


@dataclass(frozen=True, slots=True)
class DemoEngine:
    """Writes extracts; see ``Engine``.

    Attributes:
        pace: tokens a second, or None for as fast as they are read.
        clock, sleep: seconds of a clock that never steps back, and a pause of so many seconds.
    """

    pace: float | None = None
    clock: Callable[[], float] = monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def generate(self, request: Request, counter: Counter) -> AsyncGenerator[Sequence[Output]]:
        """See ``Engine``; at a pace, a late batch holds what is due by then, so that delays do not add up."""
        stream = iter(_written(await asyncio.to_thread(script, request), counter))
        begun, written = self.clock(), 0
        while batch := tuple(islice(stream, self._due(begun, written))):
            yield batch
            written += len(batch)
            await self._pause(begun, written)

    def _due(self, begun: float, written: int) -> int:
        if self.pace is None:
            return BATCH
        return max(1, int((self.clock() - begun) * self.pace) + 1 - written)

    async def _pause(self, begun: float, written: int) -> None:
        wait = 0.0 if self.pace is None else begun + written / self.pace - self.clock()
        await self.sleep(max(0.0, wait))


def _written(said: Script, counter: Counter) -> Iterable[Output]:
    for piece in pieces(said.thought, counter):
        yield piece._replace(thought=True)
    yield from pieces(said.text, counter)
    for call in said.calls:
        yield Called(call, counter.count(call.name) + counter.count(call.arguments))
