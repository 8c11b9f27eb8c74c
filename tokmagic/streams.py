"""What an asynchronous client hands out while calls are under way: the events of one, the turns of a run of tools."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from types import TracebackType
from typing import Any, Self

from tokmagic.core.errors import StreamBroken
from tokmagic.core.events import Event
from tokmagic.core.messages import Message
from tokmagic.core.replies import Reply
from tokmagic.corridor import Walk
from tokmagic.options import CallOptions
from tokmagic.parts import Parts
from tokmagic.toolrun import ToolRun
from tokmagic.tools import Answering, Whole, turns_of


class AsyncStream:
    """One call under way: iterate its events inside ``async with``; ``reply`` is there afterwards."""

    def __init__(self, passage: Walk, around: AbstractAsyncContextManager[None] | None = None) -> None:
        self._around = around or nullcontext()
        self._passage = passage
        self._events = passage.run()

    @property
    def reply(self) -> Reply | None:
        """The reply; after an interrupt what had arrived; None while nothing was sent."""
        return self._passage.reply

    async def __aenter__(self) -> Self:
        await self._around.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._events.aclose()
        finally:
            await self._around.__aexit__(None, None, None)

    def __aiter__(self) -> AsyncIterator[Event]:
        return self._events


class RunState:
    """What may be seen and changed of a run between its turns."""

    def __init__(self, run: ToolRun, parts: Parts) -> None:
        self._run = run
        self._parts = parts

    @property
    def reply(self) -> Reply | None:
        """The last reply; None before the first."""
        return self._run.reply

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation so far, with what will be said next. Set it to replace it."""
        return self._run.messages

    @messages.setter
    def messages(self, messages: Sequence[Message]) -> None:
        self._run.messages = messages

    @property
    def options(self) -> CallOptions:
        """The options of the next turn's call; may be changed."""
        return self._run.options

    @property
    def tools(self) -> tuple[Any, ...]:
        """What the model may call. Set it to change that: for calls not made yet, and for the next turn."""
        return self._run.tools

    @tools.setter
    def tools(self, tools: Iterable[Any]) -> None:
        self._run.tools = tools

    def append(self, *messages: Message) -> None:
        """Say more with the next turn, behind the results of its tools; a run that was done goes on.

        Results that were computed already are computed anew, unless they are among the messages.
        """
        self._run.append(*messages)


class AsyncToolRunner(RunState):
    """A run of tools: iterate its replies, or with ``streams()`` its turns, or send it to its end at once.

    A run that was left goes on where it was when it is iterated again.
    """

    async def __aiter__(self) -> AsyncIterator[Reply]:
        async with aclosing(self.streams()) as streams:
            async for stream in streams:
                async with stream as events:
                    async for _ in events:
                        pass
                if stream.reply is not None:
                    yield stream.reply

    async def streams(self) -> AsyncGenerator[AsyncStream]:
        """The turns, each a stream to be watched; one that is not is gone through all the same."""
        async with self._run.holdings.used():
            for turn in turns_of(self._run):
                stream = AsyncStream(turn)
                yield stream
                async with stream as events:
                    async for _ in events:
                        pass

    def stream(self) -> AsyncStream:
        """The turns that are left as one call, with one reply for all of them."""
        return AsyncStream(Whole(self._run, self._parts), self._run.holdings.used())

    async def until_done(self) -> Reply:
        """Go on to the end, and return the last reply.

        Raises:
            TokmagicError: nothing was sent that is not in the book.
        """
        async for _ in self:
            pass
        if self._run.reply is None:
            raise StreamBroken("The run ended without a reply.")
        return self._run.reply

    async def tool_response(self) -> Message | None:
        """The results that are sent with the next turn: the tools run now, and once; None if nothing was called."""
        async with AsyncStream(Answering(self._run), self._run.holdings.used()) as events:
            async for _ in events:
                pass
        return self._run.response()
