"""Waiting for a turn: the callers of one event loop that wait for the book, in the order in which they came.

Each sleeps as long as the book told it. But what stands before it may take less than was thought: an answer was shorter
than expected, an input smaller than its margin. When that happens here, the first is woken to ask again, and so is
whoever becomes the first; what other kernels give back is found by asking half-way. Only the first ever asks early, and
a wait of a minute takes it six questions at most.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

#: A wait that is no longer than this is slept through, in seconds.
SOON = 2.0


class Turns:
    """The waiting callers of one event loop and one book."""

    def __init__(self) -> None:
        self._places: dict[str, Place] = {}

    @contextmanager
    def place(self, ticket: str) -> Iterator[Place]:
        """A place behind those that have one, for as long as the block runs: until the caller goes or gives up."""
        place = self._places[ticket] = Place(self)
        try:
            yield place
        finally:
            first = self.first is place
            del self._places[ticket]
            if first:
                self.wake()

    @property
    def first(self) -> Place | None:
        """The place of the caller that came first."""
        return next(iter(self._places.values()), None)

    def wake(self) -> None:
        """Room came back: let the first ask again."""
        if self.first is not None:
            self.first.wake()


class Place:
    """One caller's place among the others of its loop."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._early = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        """Sleep so many seconds, or less if it may be worth asking again."""
        half_way = self._turns.first is self and seconds > SOON
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds / 2 if half_way else seconds):
                await self._early.wait()
        self._early.clear()

    def wake(self) -> None:
        """End its sleep, or the next one at once if it is just asking."""
        self._early.set()
