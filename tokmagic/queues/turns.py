"""Waiting for a turn: the callers of one process that wait for the book, in the order in which they came.

Each sleeps as long as the book told it. But what stands before it may take less than was thought: an answer was shorter
than expected, an input smaller than its margin. When that happens here, the first is woken to ask again, and so is
whoever becomes the first; what other kernels give back is found by asking half-way. Only the first ever asks early, and
a wait of a minute takes it six questions at most.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tokmagic.queues.bells import Bell, LoopBell

#: A wait that is no longer than this is slept through, in seconds.
SOON = 2.0


class Turns:
    """The waiting callers of one book, of every thread."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._bells: dict[Bell, None] = {}

    @contextmanager
    def place(self) -> Iterator[Place]:
        """A place of the running event loop's for as long as the block runs: until the caller goes or gives up."""
        bell = LoopBell()
        self.join(bell)
        try:
            yield Place(self, bell)
        finally:
            self.leave(bell)

    def join(self, bell: Bell) -> None:
        """Come behind those that are here."""
        with self._lock:
            self._bells.setdefault(bell)

    def leave(self, bell: Bell) -> None:
        """Go, or give up; who becomes the first by that is woken. Leaving twice is a no-op."""
        with self._lock:
            first = next(iter(self._bells), None) is bell
            self._bells.pop(bell, None)
        if first:
            self.wake()

    def patience(self, bell: Bell, seconds: float) -> float:
        """How much of a wait of so many seconds to sleep before asking again."""
        return seconds / 2 if seconds > SOON and self.first is bell else seconds

    @property
    def first(self) -> Bell | None:
        """The bell of the caller that came first."""
        with self._lock:
            return next(iter(self._bells), None)

    def wake(self) -> None:
        """Room came back: let the first ask again."""
        if (first := self.first) is not None:
            first.ring()


class Place:
    """The place of one caller of an event loop."""

    def __init__(self, turns: Turns, bell: LoopBell) -> None:
        self._turns = turns
        self._bell = bell

    async def sleep(self, seconds: float) -> None:
        """Sleep so many seconds, or less if it may be worth asking again."""
        await self._bell.sleep(self._turns.patience(self._bell, seconds))
