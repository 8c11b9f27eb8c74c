"""Many rows as one batch of the provider, at its batch price: reserved row by row, submitted once, settled row by row.

What is submitted stands in the book, under what is asked: the same rows asked again go on with the same batch, in this
process or in another, and are never submitted twice. Answers are kept as those of ``map`` are, so rows that were
answered before are not sent at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any

import anyio
from anyio import to_thread

from tokmagic.batchbook import BatchBook
from tokmagic.core.batches import BatchStatus, Submission
from tokmagic.core.errors import ConfigurationError, ProviderError
from tokmagic.core.events import Event, Notice, Progress
from tokmagic.core.limits import Limit
from tokmagic.core.mapped import Replies
from tokmagic.core.messages import Message
from tokmagic.core.replies import Reply
from tokmagic.core.settling import Outcome
from tokmagic.corridor.shield import to_the_end
from tokmagic.options import SPLIT, CallOptions, chain_of
from tokmagic.parts import Parts
from tokmagic.progress import Watched, watch
from tokmagic.providers import Batches, Result

#: Seconds between two looks at a batch.
POLL = 15.0


class AsyncBatch:
    """A batch: look how far it is, wait for its results, or cancel it.

    Args:
        parts: the book, providers and settings to work with.
        options: of every row.
        asked: the messages of each row.
        limits: of the caller.

    Raises:
        ConfigurationError: options that a batch cannot keep.

    Attributes:
        every: seconds between two looks at it.
    """

    reply = None

    def __init__(
        self, parts: Parts, options: CallOptions, asked: Sequence[tuple[Message, ...]], limits: list[Limit]
    ) -> None:
        alone = len(chain_of(options)) == 1 and options.get("thread") is None
        if not alone or options.get("truncate") == SPLIT:
            raise ConfigurationError(
                "A batch goes to one model, each row in one request: leave thread, split and other models out."
            )
        self._parts = parts
        self._total = len(asked)
        self._book = BatchBook(parts, {**options, "stream": False, "replay": True}, asked, limits)
        self._seen = BatchStatus("running", 0)
        self._settled = False
        self.every = POLL

    @property
    def id(self) -> str:
        """The provider's id of the batch; empty where every row was answered before."""
        return self._book.submission.id if self._book.submission is not None else ""

    @property
    def replies(self) -> Replies:
        """What became of the rows, when ``run`` has ended."""
        return Replies(self._book.all())

    async def submit(self) -> None:
        """Find what was asked before, reserve the rest and send it; or go on with what was submitted before.

        Raises:
            BudgetExceeded: a limit has no room for the worst case of all rows; nothing was sent.
            ProviderError: the provider did not take it.
            ConfigurationError: it has no batches, or it is not known whether an earlier attempt was taken.
        """
        await to_thread.run_sync(self._book.open)
        with anyio.CancelScope(shield=True):
            mine = await to_thread.run_sync(self._book.claim)
            if mine is not None:
                await self._send(mine)
        if self._book.submission is not None and not self.id:
            raise ConfigurationError(
                f"These rows are being submitted by another process, or it ended in the middle of that: look whether "
                f"{self._book.model.provider} has the batch, else submit it anew with fresh=True."
            )

    async def status(self) -> BatchStatus:
        """How far it is; one request at most, at no cost."""
        if not self.id or self._settled:
            answered = sum(isinstance(result, Reply) for result in self._book.results.values())
            return BatchStatus("ended", self._total, answered, len(self._book.results) - answered)
        return await (await self._batches()).status(self.id)

    async def cancel(self) -> None:
        """Begin no further row of it. What was answered by then is paid for, and among the results."""
        if self.id and not self._settled:
            await (await self._batches()).cancel(self.id)

    async def run(self) -> AsyncGenerator[Event]:
        """Look at it ``every`` so many seconds until it has ended, then settle its rows."""
        submission = self._book.submission
        earlier = self._total - len(submission.rows) if submission is not None else self._total
        while not (status := await self._look()).over:
            yield Progress(earlier + status.succeeded + status.failed, self._total)
            await anyio.sleep(self.every)
        if submission is not None and not self._settled:
            await (self._fail(submission, status) if status.phase == "failed" else self._collect(submission))
        for said in self._book.notices:
            yield Notice(said)
        yield Progress(self._total, self._total)

    async def results(self, every: float = POLL) -> Replies:
        """Wait until it has ended; what became of the rows, in their order.

        Args:
            every: seconds between two looks.

        Raises:
            ProviderError: it failed as a whole, which costs nothing; or its results cannot be read now.
        """
        self.every = every
        async with aclosing(self.run()) as events:
            async for _ in events:
                pass
        return self.replies

    async def _send(self, mine: Submission) -> None:
        try:
            batches = await self._batches()
            await to_thread.run_sync(self._book.reserve, mine)
        except BaseException:
            await to_the_end(self._book.forget)
            raise
        try:
            id = await batches.submit(self._book.requests(mine))
        except ProviderError as error:
            if not error.may_have_run:
                await to_the_end(self._book.take_back, mine, Outcome(error=error))
            raise
        await to_the_end(self._book.submitted, mine, id)

    async def _batches(self) -> Batches:
        model, loop = self._book.model, asyncio.get_running_loop()
        found = (await to_thread.run_sync(self._parts.provider, model, loop)).batches()
        if found is None:
            raise ConfigurationError(f"{model.provider} has no batches: ask the rows with map.")
        return found

    async def _look(self) -> BatchStatus:
        """Its status; if the provider does not answer at the moment, what it was."""
        try:
            self._seen = await self.status()
        except ProviderError as error:
            if not error.retryable:
                raise
        return self._seen

    async def _collect(self, submission: Submission) -> None:
        found: dict[int, Result] = {}
        async with aclosing((await self._batches()).results(submission.id)) as results:
            async for id, result in results:
                row = submission.row_of(id)
                if row is not None:
                    found[row] = result
        await to_the_end(self._book.settle, submission, found)
        self._settled = True

    async def _fail(self, submission: Submission, status: BatchStatus) -> None:
        name = self._book.model.provider
        error = ProviderError(
            f"{name} did not take the batch {submission.id}: {status.why or 'it failed'}.", provider=name
        )
        await to_the_end(self._book.take_back, submission, Outcome(error=error))
        raise error


class Batch:
    """The blocking face of a batch.

    Args:
        batch: that was submitted.
        call: runs a coroutine function in the event loop and waits for it.
        stream: makes a stream on the caller's thread of the batch's events.
    """

    def __init__(
        self,
        batch: AsyncBatch,
        call: Callable[[Callable[[], Awaitable[Any]]], Any],
        stream: Callable[[AsyncBatch], Watched],
    ) -> None:
        self._batch = batch
        self._call = call
        self._stream = stream

    @property
    def id(self) -> str:
        """The provider's id of the batch; empty where every row was answered before."""
        return self._batch.id

    def status(self) -> BatchStatus:
        """How far it is; one request at most, at no cost."""
        status: BatchStatus = self._call(self._batch.status)
        return status

    def results(self, every: float = POLL) -> Replies:
        """Wait until it has ended, showing how far it is; see ``AsyncBatch.results``.

        Raises:
            Interrupted: the waiting was stopped by hand. The batch goes on, and can be waited for again.
        """
        self._batch.every = every
        watch(self._stream(self._batch), lambda: f"the batch {self.id} goes on: run the cell again to wait for it.")
        return self._batch.replies

    def cancel(self) -> None:
        """Begin no further row of it. What was answered by then is paid for, and among the results."""
        self._call(self._batch.cancel)

    def __repr__(self) -> str:
        return f"<Batch {self.id or 'of rows that were answered before'}>"
