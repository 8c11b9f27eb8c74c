"""The same question for many rows: each row goes through the corridor as a call of its own, a few at a time.

So each is reserved, paced, in the book and, if it was asked before, replayed. A row that fails has its error as its
result; what would refuse every row ends the whole.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import aclosing
from functools import cached_property
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
from tokmagic.core.events import Event, Notice, Progress
from tokmagic.core.mapped import Replies, Result, come_so_far, stopped_at
from tokmagic.core.money import summed
from tokmagic.core.replies import Receipt, Reply
from tokmagic.corridor import Walk
from tokmagic.corridor.abreast import Abreast

#: Rows that are under way together, at most, where nothing is said.
AT_ONCE = 8
#: What refuses one row in this way refuses every other.
FOR_ALL = (ConfigurationError, LedgerError, AuthenticationFailed, QuotaExceeded)

#: Makes the passage of the call for a prompt; asked once more for the same one, it may be replayed.
MakeCall: TypeAlias = Callable[[str, bool], Walk]


class MapPassage:
    """Many calls on their way. It is used as a ``Passage`` is, and has ``replies`` instead of one.

    Args:
        make: makes the call for a prompt; the second argument says whether it is the first for this prompt.
        prompts: one for each row. Equal ones are asked once.
        at_once: so many calls go together, at most.
        ended: told of the receipts there are when the run has ended, however it ended; also of rows cut short.
        kept: whether answers are kept for another run.
    """

    reply = None

    def __init__(
        self,
        make: MakeCall,
        prompts: Sequence[str],
        at_once: int = AT_ONCE,
        ended: Callable[[Sequence[Receipt]], None] = lambda _: None,
        kept: bool = True,
    ) -> None:
        self._make = make
        self._prompts = prompts
        self._at_once = whole("at_once", at_once, 1)
        self._ended = ended
        self._kept = kept
        self._results: dict[int, Result] = {}
        self._stopped: TokmagicError | None = None
        self._receipts: list[Receipt] = []

    @property
    def answered(self) -> int:
        """How many rows have a reply by now."""
        return sum(isinstance(result, Reply) for result in self._results.values())

    def so_far(self) -> str:
        """How far it came, in a line for who stopped it."""
        spent = summed(receipt.cost for receipt in self._receipts)
        rows = come_so_far(self.answered, len(self._prompts), self._kept)
        return f"{rows}, {spent} spent{': run it again to go on' if self._kept else ''}."

    @cached_property
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
        why = stopped_at(stopped, self.answered, total, self._kept)
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

    async def _round(self, rows: Collection[int], first: bool) -> AsyncGenerator[Event]:
        abreast = Abreast(rows if self._stopped is None else (), self._at_once)
        async with aclosing(abreast.run(lambda row: self._answer(row, abreast, first))) as events:
            async for event in events:
                yield event

    async def _answer(self, row: int, abreast: Abreast, first: bool) -> None:
        """Keep what becomes of a row, and stop where it would become of every other."""
        try:
            self._results[row] = await self._ask(self._prompts[row], abreast, first)
        except TokmagicError as error:
            if isinstance(error, FOR_ALL) or (isinstance(error, BudgetExceeded) and _of_all(error)):
                self._stopped = error
                abreast.stop()
            else:
                self._results[row] = error
        abreast.tell(Progress(len(self._results), len(self._prompts)))

    async def _ask(self, prompt: str, abreast: Abreast, first: bool) -> Reply:
        call = self._make(prompt, first)
        try:
            await abreast.ask(call)
        finally:
            if call.reply is not None:
                self._receipts.append(call.reply.receipt)
        if call.reply is None:
            raise StreamBroken("The call ended without a reply.")
        return call.reply


def _of_all(error: BudgetExceeded) -> bool:
    """Whether the limit is over many calls, and not over one."""
    return "/call" not in error.limit
