"""Calls that go side by side: one for each row, a few at a time.

What other calls hold of a limit may come back. So a row that is refused for it while others are under way is asked
again when they are fewer, and no answer is asked for shorter because of it: a limit has ended when it refuses a row for
what none of the others holds.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing
from typing import TypeAlias

from tokmagic.core.errors import BudgetExceeded
from tokmagic.core.events import Connecting, Event, Notice, Retrying, Waiting

from . import Sociable, Walk
from .shield import ended

#: What a call tells to whoever watches the whole.
TOLD = (Waiting, Retrying, Connecting, Notice)
#: Does what is to be done for a row.
Work: TypeAlias = Callable[[int], Awaitable[None]]


class Abreast:
    """Rows on their way.

    Args:
        rows: their numbers, in the order in which they begin.
        at_once: so many are under way together, at most.
        beside: whether others are under way beside all of these, whose end these do not await.
    """

    def __init__(self, rows: Iterable[int], at_once: int, beside: Callable[[], bool] = bool) -> None:
        self._waiting = deque(rows)
        self._at_once = min(at_once, len(self._waiting))
        self._beside = beside
        self._told: asyncio.Queue[Event | asyncio.Task[None]] = asyncio.Queue()
        self._busy = 0
        self._stopped = False

    async def run(self, work: Work) -> AsyncGenerator[Event]:
        """Do the work of every row; what its calls tell, as it comes. What the work raises ends them all."""
        workers = [asyncio.create_task(self._go(work)) for _ in range(self._at_once)]
        for worker in workers:
            worker.add_done_callback(self._told.put_nowait)
        try:
            left = len(workers)
            while left:
                event = await self._told.get()
                if isinstance(event, asyncio.Task):
                    event.result()
                    left -= 1
                else:
                    yield event
        finally:
            await ended(workers)

    async def ask(self, call: Walk) -> None:
        """Take a row's call to its end; to be awaited in its work, which leaves alone what this raises of its own."""
        refused = False

        def others() -> bool:
            nonlocal refused
            refused = self._busy > 1
            return refused or self._beside()

        if isinstance(call, Sociable):
            call.go_beside(others)
        try:
            async with aclosing(call.run()) as events:
                async for event in events:
                    if isinstance(event, TOLD):
                        self.tell(event)
        except BudgetExceeded:
            if refused:
                raise _Crowded from None
            raise

    def tell(self, event: Event) -> None:
        """Tell whoever watches the whole."""
        self._told.put_nowait(event)

    def stop(self) -> None:
        """Begin no further row."""
        self._stopped = True

    async def _go(self, work: Work) -> None:
        """Do one row after the other; leave what has no room beside the others to them."""
        while self._waiting and not self._stopped:
            row = self._waiting.popleft()
            self._busy += 1
            try:
                await work(row)
            except _Crowded:
                self._waiting.appendleft(row)
                if self._busy > 1:
                    return
            finally:
                self._busy -= 1


class _Crowded(Exception):
    """Refused for what calls beside it hold."""
