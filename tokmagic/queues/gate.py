"""A narrow gate for the first calls: as long as a service's limits are unknown, few calls of it are in flight.

The first reply opens it, whether it states limits or not: from then on what it stated is in the book, and the book
paces. Where the limits are known beforehand the gate is open from the start. A refusal with a pause closes it to all
for that long, so that calls for which the book knows no limit do not run into the same refusal.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

#: Calls in flight before the first reply.
FEW = 3


class Gate:
    """The gate before one model under one provider key, in one event loop. A call passes it before it is reserved."""

    def __init__(self, few: int = FEW) -> None:
        self._few = few
        self._inside = 0
        self._open = False
        self._closed_until = 0.0
        self._changed = asyncio.Event()

    @property
    def narrow(self) -> bool:
        """Whether a call would have to wait here for another one's reply."""
        return not self._open and self._inside >= self._few

    @property
    def seconds(self) -> float:
        """How long a refusal still closes it, in seconds."""
        return max(0.0, self._closed_until - asyncio.get_running_loop().time())

    @asynccontextmanager
    async def passage(self) -> AsyncIterator[None]:
        """The way of one attempt, from before it is reserved until it ends."""
        while (pause := self.seconds) > 0 or self.narrow:
            if pause > 0:
                await asyncio.sleep(pause)
            else:
                await self._changed.wait()
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1
            self._tell()

    def open(self) -> None:
        """A reply came, or the limits are known: let all pass."""
        if not self._open:
            self._open = True
            self._tell()

    def close_for(self, seconds: float) -> None:
        """A refusal asked for a pause: nobody passes for so long."""
        self._closed_until = max(self._closed_until, asyncio.get_running_loop().time() + seconds)

    def _tell(self) -> None:
        """Let those who wait look again."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
