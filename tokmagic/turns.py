"""Waiting for a turn: the callers of one event loop that wait for the book, in the order in which they came.

Each sleeps exactly as long as the book told it. Who becomes the first asks once more, for what stood before it may have
taken less than was thought; and when room comes back early (an answer was shorter than expected, an input smaller than
its margin), the first is woken to ask again. No one polls, and no one but the first is ever woken.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Turns:
    """The waiting callers of one event loop and one book."""

    def __init__(self) -> None:
        self._places: dict[str, Place] = {}

    @contextmanager
    def place(self, ticket: str) -> Iterator[Place]:
        """A place behind those that have one, for as long as the block runs: until the caller goes or gives up."""
        place = self._places[ticket] = Place()
        try:
            yield place
        finally:
            first = next(iter(self._places)) == ticket
            del self._places[ticket]
            if first:
                self.wake()

    def wake(self) -> None:
        """Room came back: let the first ask again."""
        for place in self._places.values():
            place.wake()
            return


class Place:
    """One caller's place."""

    def __init__(self) -> None:
        self._early = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        """Sleep so many seconds, or less if there is something to ask for."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._early.wait()
        self._early.clear()

    def wake(self) -> None:
        """End its sleep, or the next one at once if it is just asking."""
        self._early.set()
