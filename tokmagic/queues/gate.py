"""A narrow gate for the first calls: as long as a service's limits are unknown, few calls of it are in flight.

The first reply opens it, whether it states limits or not: from then on what it stated is in the book, and the book
paces. Where the limits are known beforehand the gate is open from the start. A refusal with a pause closes it to all
for that long, so that calls for which the book knows no limit do not run into the same refusal.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext

from tokmagic.queues.bells import Bell, LoopBell

#: Calls in flight before the first reply.
FEW = 3


class Gate:
    """The gate before one model under one provider key. Calls of every thread pass it before they are reserved.

    Args:
        few: calls in flight before the first reply.
        clock: seconds, rising.
    """

    def __init__(self, few: int = FEW, clock: Callable[[], float] = time.monotonic) -> None:
        self._few = few
        self._clock = clock
        self._lock = threading.RLock()
        self._inside: set[Bell] = set()
        self._waiting: dict[Bell, None] = {}
        self._open = False
        self._closed_until = float("-inf")

    @property
    def narrow(self) -> bool:
        """Whether a call would have to wait here for another one's reply."""
        return not self._open and len(self._inside) >= self._few

    @property
    def seconds(self) -> float:
        """How long a refusal still closes it, in seconds."""
        return max(0.0, self._closed_until - self._clock())

    @asynccontextmanager
    async def passage(self, pause: Callable[[], AbstractContextManager[None]] = nullcontext) -> AsyncIterator[None]:
        """The way of one attempt of an event loop, from before it is reserved until it ends; ``pause`` is each wait."""
        bell = LoopBell()
        try:
            while seconds := self.ask(bell):
                with pause():
                    await bell.sleep(seconds)
            yield
        finally:
            self.leave(bell)

    def ask(self, bell: Bell) -> float:
        """Pass, or learn after how many seconds to ask again, or sooner if the bell rings.

        Args:
            bell: of the attempt; it stands for it until it leaves. One that is not patient waits for no reply.

        Returns:
            0.0 once it has passed.
        """
        with self._lock:
            seconds = self.seconds or (math.inf if self.narrow and bell.patient else 0.0)
            if seconds:
                self._waiting[bell] = None
            else:
                self._waiting.pop(bell, None)
                self._inside.add(bell)
            return seconds

    def leave(self, bell: Bell) -> None:
        """The attempt has ended, or waits no longer. Leaving twice is a no-op."""
        with self._lock:
            self._waiting.pop(bell, None)
            self._inside.discard(bell)
        self._tell()

    def open(self) -> None:
        """A reply came, or the limits are known: let all pass."""
        if not self._open:
            self._open = True
            self._tell()

    def close_for(self, seconds: float) -> None:
        """A refusal asked for a pause: nobody passes for so long."""
        with self._lock:
            self._closed_until = max(self._closed_until, self._clock() + seconds)

    def _tell(self) -> None:
        """Let those who wait ask again, in the order in which they came."""
        with self._lock:
            waiting = tuple(self._waiting)
        for bell in waiting:
            bell.ring()
