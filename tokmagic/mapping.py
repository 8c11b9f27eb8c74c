"""The same question for many rows: each row goes through the corridor as a call of its own, a few at a time.

So each is reserved, paced, in the book and, if it was asked before, replayed. A row that fails has its error as its
result; what would refuse every row ends the whole. A budget has ended when it refuses a row while no other is under
way: before that, what the others hold may come back, and fewer rows go at once. So no answer is asked for shorter
because of what the others hold.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from typing import TypeAlias

from tokmagic.core.checks import whole
from tokmagic.core.errors import (
    AuthenticationFailed,
    BudgetExceeded,
    ConfigurationError,
    LedgerError,
    QuotaExceeded,
    StreamBroken,
    TokmagicError,
)
from tokmagic.core.events import Connecting, Event, Notice, Progress, Retrying, Waiting
from tokmagic.core.mapped import Replies, Result, stopped_at
from tokmagic.core.money import summed
from tokmagic.core.replies import Receipt, Reply
from tokmagic.corridor import Walk
from tokmagic.corridor.passage import Passage
from tokmagic.corridor.shield import ended

#: Rows that are under way together, at most, where nothing is said.
AT_ONCE = 8
#: What refuses one row in this way refuses every other.
FOR_ALL = (ConfigurationError, LedgerError, AuthenticationFailed, QuotaExceeded)
#: What the call for a row tells to whoever watches the whole.
_TOLD = (Waiting, Retrying, Connecting, Notice)
_Told: TypeAlias = asyncio.Queue[Event | asyncio.Task[None]]


#: Makes the passage of the call for a prompt; asked once more for the same one, it may be replayed.
MakeCall: TypeAlias = Callable[[str, bool], Walk]


class MapPassage:
    """Many calls on their way. It is used as a ``Passage`` is, and has ``replies`` instead of one.

    Args:
        make: makes the call for a prompt; the second argument says whether it is the first for this prompt.
        prompts: one for each row. Equal ones are asked once.
        at_once: so many calls go together, at most.
        ended: told of the receipts there are when the run has ended, however it ended; also of rows cut short.
    """

    reply = None

    def __init__(
        self,
        make: MakeCall,
        prompts: Sequence[str],
        at_once: int = AT_ONCE,
        ended: Callable[[Sequence[Receipt]], None] = lambda _: None,
    ) -> None:
        self._make = make
        self._prompts = prompts
        self._at_once = whole("at_once", at_once, 1)
        self._ended = ended
        self._results: dict[int, Result] = {}
        self._stopped: TokmagicError | None = None
        self._receipts: list[Receipt] = []
        self._busy = 0

    @property
    def answered(self) -> int:
        """How many rows have a reply by now."""
        return sum(isinstance(result, Reply) for result in self._results.values())

    def so_far(self) -> str:
        """How far it came, in a line for who stopped it."""
        spent = summed(receipt.cost for receipt in self._receipts)
        rows = f"{self.answered:,} of {len(self._prompts):,} rows are answered and kept"
        return f"{rows}, {spent} spent: run it again to go on."

    @property
    def replies(self) -> Replies:
        """What became of the rows, when it has run.

        Raises:
            TokmagicError: what refuses every row, where not one was answered.
        """
        total, stopped = len(self._prompts), self._stopped
        if stopped is None:
            return Replies(tuple(self._results[row] for row in range(total)))
        if not self.answered:
            raise stopped
        why = stopped_at(stopped, self.answered, total)
        return Replies(tuple(self._results.get(row, why) for row in range(total)), why)

    async def run(self) -> AsyncGenerator[Event]:
        """First one row of each prompt, then those that ask the same: they are replayed, if answers are kept."""
        firsts = list({prompt: row for row, prompt in reversed(list(enumerate(self._prompts)))}.values())[::-1]
        repeats = sorted(set(range(len(self._prompts))) - set(firsts))
        yield Progress(0, len(self._prompts))
        try:
            for rows, first in ((firsts, True), (repeats, False)):
                async with aclosing(self._round(rows, first)) as events:
                    async for event in events:
                        yield event
            if self._stopped is not None and self.answered:
                yield Notice(f"Stopped: {self.replies.stopped}")
        finally:
            self._ended(self._receipts)

    async def _round(self, rows: Iterable[int], first: bool) -> AsyncGenerator[Event]:
        waiting, told = deque(rows), _Told()
        workers = [
            asyncio.create_task(self._work(waiting, told, first)) for _ in range(min(self._at_once, len(waiting)))
        ]
        for worker in workers:
            worker.add_done_callback(told.put_nowait)
        try:
            left = len(workers)
            while left:
                event = await told.get()
                if isinstance(event, asyncio.Task):
                    event.result()
                    left -= 1
                else:
                    yield event
        finally:
            await ended(workers)

    async def _work(self, waiting: deque[int], told: _Told, first: bool) -> None:
        while waiting and self._stopped is None:
            row = waiting.popleft()
            self._busy += 1
            try:
                self._results[row] = await self._ask(self._prompts[row], told, first)
            except FOR_ALL as error:
                self._stopped = error
            except TokmagicError as error:
                if not (isinstance(error, BudgetExceeded) and _of_all(error)):
                    self._results[row] = error
                elif self._busy == 1:
                    self._stopped = error
                else:
                    waiting.appendleft(row)
                    return
            finally:
                self._busy -= 1
            told.put_nowait(Progress(len(self._results), len(self._prompts)))

    async def _ask(self, prompt: str, told: _Told, first: bool) -> Reply:
        call = self._make(prompt, first)
        if isinstance(call, Passage):
            call.go_beside(lambda: self._busy > 1)
        try:
            async with aclosing(call.run()) as events:
                async for event in events:
                    if isinstance(event, _TOLD):
                        told.put_nowait(event)
        finally:
            if call.reply is not None:
                self._receipts.append(call.reply.receipt)
        if call.reply is None:
            raise StreamBroken("The call ended without a reply.")
        return call.reply


def _of_all(error: BudgetExceeded) -> bool:
    """Whether the limit is over many calls, and not over one."""
    return "/call" not in error.limit
