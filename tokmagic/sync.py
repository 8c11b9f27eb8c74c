"""The blocking face of the client: a thin layer over the one async corridor, whose event loop runs in a thread.

The caller's own thread reads the events from a mailbox, so Ctrl-C or ■ reaches it at once: it cancels the call, waits
until that is settled, and raises ``Interrupted`` with what had arrived.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from functools import partial
from types import TracebackType
from typing import Any, Self, Unpack

from tokmagic.background import loop, portal
from tokmagic.batch import Batch
from tokmagic.client import AsyncClient, Prompt
from tokmagic.conversation import Conversation
from tokmagic.core.book import Entry
from tokmagic.core.errors import Interrupted, StreamBroken, TokmagicError
from tokmagic.core.events import Event
from tokmagic.core.limits import Limit
from tokmagic.core.mapped import Replies
from tokmagic.core.messages import Message
from tokmagic.core.quotes import Quote
from tokmagic.core.replies import Reply
from tokmagic.core.snapshot import Snapshot
from tokmagic.corridor import Walk
from tokmagic.mailbox import TICK, Errand, Mailbox
from tokmagic.mapping import AT_ONCE
from tokmagic.options import CallOptions, ClientOptions, ToolOptions
from tokmagic.parts import Parts
from tokmagic.progress import watch
from tokmagic.streams import AsyncStream, RunState
from tokmagic.tools import Answering, Whole, turns_of


class Stream:
    """One call under way: iterate its events inside ``with``; ``reply`` is there afterwards."""

    def __init__(self, stream: AsyncStream, around: AbstractContextManager[None] | None = None) -> None:
        self._stream = stream
        self._around = around or nullcontext()
        self._mailbox = Mailbox()
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def reply(self) -> Reply | None:
        """The reply; after an interrupt what had arrived; None while nothing was sent."""
        return self._stream.reply

    def __enter__(self) -> Self:
        self._around.__enter__()
        self._loop = loop()
        self._loop.call_soon_threadsafe(self._begin)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._stop()
        except TokmagicError:
            if error is None:
                raise
        finally:
            self._around.__exit__(None, None, None)
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted(self._epitaph(), self.reply) from None

    def __iter__(self) -> Iterator[Event]:
        return (event for event in self.ticks(TICK) if event is not None)

    def ticks(self, seconds: float) -> Iterator[Event | None]:
        """Its events, and None whenever none came for so long, for a display that moves on by itself."""
        while True:
            if not self._mailbox.ready(seconds):
                yield None
            elif isinstance(event := self._mailbox.take(), Errand):
                event.run()
            elif event is not None:
                yield event
            else:
                return

    def until_done(self) -> None:
        """Go on to the end without looking at the events."""
        self._mailbox.leave_unread()
        for _ in self:
            pass

    async def do(self, act: Callable[[], Any]) -> Any:
        """From the event loop: let the thread that reads the events do something, and wait for that."""
        return await self._mailbox.do(act)

    def _stop(self) -> None:
        if self._loop is not None:
            if not self._mailbox.ended:
                self._loop.call_soon_threadsafe(self._cancel)
            self._mailbox.close()

    def _begin(self) -> None:
        self._task = asyncio.create_task(self._pump())
        self._task.add_done_callback(self._end)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _end(self, task: asyncio.Task[None]) -> None:
        self._mailbox.end(None if task.cancelled() else task.exception())

    async def _pump(self) -> None:
        async with self._stream as events:
            async for event in events:
                self._mailbox.put(event)

    def _epitaph(self) -> str:
        if self.reply is None:
            return "before anything was sent."
        kept = f"{self.reply.usage.output_tokens:,} tokens" if self.reply.answer.parts else "nothing"
        return f"{kept} of the answer kept, {self.reply.cost} spent."


class ToolRunner(RunState):
    """A run of tools: iterate its replies, or with ``streams()`` its turns, or send it to its end at once.

    Synchronous tools run in the thread that iterates. A run that was left goes on where it was when it is iterated
    again.
    """

    def __iter__(self) -> Iterator[Reply]:
        with closing(self.streams()) as streams:
            for stream in streams:
                self._drain(stream)
                if stream.reply is not None:
                    yield stream.reply

    def streams(self) -> Generator[Stream]:
        """The turns, each a stream to be watched; one that is not is gone through all the same."""
        with self._used():
            for turn in turns_of(self._run):
                stream = self._streamed(turn)
                yield stream
                if turn.reply is None:
                    self._drain(stream)

    def stream(self) -> Stream:
        """The turns that are left as one call, with one reply for all of them."""
        return self._streamed(Whole(self._run, self._parts), self._used())

    def until_done(self) -> Reply:
        """Go on to the end, and return the last reply.

        Raises:
            TokmagicError: nothing was sent that is not in the book.
            Interrupted: stopped by hand, with the last reply.
        """
        for _ in self:
            pass
        if self._run.reply is None:
            raise StreamBroken("The run ended without a reply.")
        return self._run.reply

    def tool_response(self) -> Message | None:
        """The results that are sent with the next turn: the tools run now, and once; None if nothing was called."""
        self._drain(self._streamed(Answering(self._run), self._used()))
        return self._run.response()

    def _used(self) -> AbstractContextManager[None]:
        """While this thread goes through the run, its tools may hold something open."""
        holdings = self._run.holdings
        return holdings.used_here(lambda: portal().call(holdings.leave_loop))

    def _streamed(self, walk: Walk, around: AbstractContextManager[None] | None = None) -> Stream:
        stream = Stream(AsyncStream(walk), around)
        self._run.here = stream.do
        return stream

    def _drain(self, stream: Stream) -> None:
        try:
            with stream:
                stream.until_done()
        except Interrupted as stopped:
            raise Interrupted(str(stopped), stopped.reply or self._run.stopped()) from None


class Client:
    """Sends calls through the corridor and waits for them.

    Args:
        model: ``provider/model``, or a bare name; of several the next one is asked where one fails for good; None takes
            the configured one, else the first whose key is set.
        parts: the book, providers and settings to work with; None takes this process's own.
        options: defaults for every call; see ``ClientOptions``.

    Raises:
        ConfigurationError: a limit or option that cannot be used.
    """

    def __init__(
        self, model: str | Sequence[str] | None = None, *, parts: Parts | None = None, **options: Unpack[ClientOptions]
    ) -> None:
        self._client = AsyncClient(model, parts=parts, **options)

    def stream(self, prompt: Prompt, **options: Unpack[CallOptions]) -> Stream:
        """A call whose events can be watched; see ``AsyncClient.stream``."""
        return Stream(self._client.stream(prompt, **options))

    def send(self, prompt: Prompt, **options: Unpack[CallOptions]) -> Reply:
        """Send and wait for the reply; see ``AsyncClient.send``.

        Raises:
            TokmagicError: nothing was sent that is not in the book.
            Interrupted: stopped by hand, with what had arrived.
        """
        with self.stream(prompt, **options) as stream:
            stream.until_done()
        if stream.reply is None:
            raise StreamBroken("The call ended without a reply.")
        return stream.reply

    def run_tools(self, prompt: Prompt, **options: Unpack[ToolOptions]) -> ToolRunner:
        """A run in which the tools that the model calls are run, until it is done; see ``AsyncClient.run_tools``."""
        return ToolRunner(self._client.tool_run(prompt, options), self._client.parts)

    def map(
        self, template: str, rows: Iterable[Any], /, at_once: int = AT_ONCE, **options: Unpack[CallOptions]
    ) -> Replies:
        """Ask the same of many rows and show how far it is; see ``AsyncClient.map``.

        Raises:
            Interrupted: stopped by hand; what was answered is kept for the next run.
        """
        passage = self._client.mapping(template, rows, at_once, **options)
        watch(Stream(AsyncStream(passage)), passage.so_far)
        return passage.replies

    def batch(self, template: str, rows: Iterable[Any], /, **options: Unpack[CallOptions]) -> Batch:
        """Ask the same of many rows as one batch, which takes up to a day; see ``AsyncClient.batch``."""
        submitted = portal().call(partial(self._client.batch, template, rows, **options))
        return Batch(submitted, portal().call, lambda batch: Stream(AsyncStream(batch)))

    def quote(self, prompt: Prompt, **options: Unpack[CallOptions]) -> Quote:
        """What the call would take and cost; sends nothing."""
        return portal().call(partial(self._client.quote, prompt, **options))

    def compacting(self, thread: Conversation, /, focus: str = "", **options: Unpack[CallOptions]) -> Stream:
        """A compaction of the thread now, whose events can be watched; see ``AsyncClient.compacting``."""
        return Stream(self._client.compacting(thread, focus, **options))

    def compact(self, thread: Conversation, /, focus: str = "", **options: Unpack[CallOptions]) -> bool:
        """Replace the thread's earlier turns by a summary; whether that was done. See ``AsyncClient.compacting``."""
        compacting, before = self.compacting(thread, focus, **options), len(thread.compactions)
        with compacting as stream:
            stream.until_done()
        return len(thread.compactions) > before

    def conversation(self, name: str = "") -> Conversation:
        """A new thread, to be passed as ``thread=``."""
        return self._client.conversation(name)

    def limit(self, words: str | Limit) -> Limit:
        """Add a limit to this client; those of the configuration stay."""
        return self._client.limit(words)

    @property
    def limits(self) -> tuple[Limit, ...]:
        """The limits of every call: those of the configuration first."""
        return tuple(self._client.limits)

    def snapshot(self) -> Snapshot:
        """The state that displays draw."""
        return self._client.snapshot()

    def history(self, most: int = 20) -> tuple[Entry, ...]:
        """The newest entries of the book, the newest first."""
        return self._client.history(most)
