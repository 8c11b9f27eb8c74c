"""The blocking face of the client: a thin layer over the one async corridor, whose event loop runs in a thread.

The caller's own thread reads the events from a mailbox, so Ctrl-C or ■ reaches it at once: it cancels the call, waits
until that is settled, and raises ``Interrupted`` with what had arrived.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from types import TracebackType
from typing import Any, Self, Unpack

import anyio
from anyio.from_thread import BlockingPortal

from tokmagic.client import AsyncClient, AsyncStream, Prompt
from tokmagic.conversation import Conversation
from tokmagic.core.book import Entry
from tokmagic.core.errors import Interrupted, StreamBroken, TokmagicError
from tokmagic.core.events import Event, ReasoningDelta, TextDelta
from tokmagic.core.limits import Limit
from tokmagic.core.mapped import Replies
from tokmagic.core.replies import Reply
from tokmagic.core.snapshot import Snapshot
from tokmagic.corridor import Quote
from tokmagic.mapping import AT_ONCE
from tokmagic.options import CallOptions, ClientOptions
from tokmagic.parts import Parts
from tokmagic.progress import follower

#: Seconds between looks at pending signals where a blocked thread cannot be woken by one.
TICK = 0.1


class Mailbox:
    """Events on their way from the loop to the caller's thread. Pieces of text that nobody took yet are joined."""

    def __init__(self) -> None:
        self._ready = threading.Condition()
        self._events: deque[Event] = deque()
        self._ended = False
        self._error: BaseException | None = None

    def put(self, event: Event) -> None:
        """Add an event."""
        with self._ready:
            last = self._events[-1] if self._events else None
            if isinstance(event, TextDelta) and isinstance(last, TextDelta):
                self._events[-1] = TextDelta(last.text + event.text)
            elif isinstance(event, ReasoningDelta) and isinstance(last, ReasoningDelta):
                self._events[-1] = ReasoningDelta(last.text + event.text)
            else:
                self._events.append(event)
            self._ready.notify()

    def end(self, error: BaseException | None) -> None:
        """No more will come; ``error`` is raised to the reader after the last event."""
        with self._ready:
            self._ended, self._error = True, error
            self._ready.notify_all()

    def ready(self, seconds: float) -> bool:
        """Wait at most so long; whether an event or the end can be taken."""
        with self._ready:
            return self._ready.wait_for(lambda: bool(self._events) or self._ended, seconds)

    def take(self) -> Event | None:
        """The next event, which is ready; None at the end."""
        with self._ready:
            if self._events:
                return self._events.popleft()
            error, self._error = self._error, None
            if error is not None:
                raise error
            return None

    def close(self) -> None:
        """Wait until no more will come, and drop what nobody took; an error nobody took is raised."""
        with self._ready:
            while not self._ended:
                self._ready.wait(TICK)
            self._events.clear()
        self.take()


class Stream:
    """One call under way: iterate its events inside ``with``; ``reply`` is there afterwards."""

    def __init__(self, stream: AsyncStream) -> None:
        self._stream = stream
        self._mailbox = Mailbox()
        self._future: Future[None] | None = None

    @property
    def reply(self) -> Reply | None:
        """The reply; after an interrupt what had arrived; None while nothing was sent."""
        return self._stream.reply

    def __enter__(self) -> Self:
        self._future = portal().start_task_soon(self._pump)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._stop()
        except TokmagicError:
            if error is None:
                raise
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted(self._epitaph(), self.reply) from None

    def __iter__(self) -> Iterator[Event]:
        return (event for event in self.ticks(TICK) if event is not None)

    def ticks(self, seconds: float) -> Iterator[Event | None]:
        """Its events, and None whenever none came for so long, for a display that moves on by itself."""
        while True:
            if not self._mailbox.ready(seconds):
                yield None
            elif (event := self._mailbox.take()) is not None:
                yield event
            else:
                return

    def _stop(self) -> None:
        if self._future is not None:
            self._future.cancel()
            self._mailbox.close()

    async def _pump(self) -> None:
        error: BaseException | None = None
        try:
            async with self._stream as events:
                async for event in events:
                    self._mailbox.put(event)
        except Exception as failure:  # noqa: BLE001 - carried to the caller's thread and raised there
            error = failure
        finally:
            self._mailbox.end(error)

    def _epitaph(self) -> str:
        if self.reply is None:
            return "before anything was sent."
        return f"{self.reply.usage.output_tokens:,} tokens of the answer kept, {self.reply.cost} spent."


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
        with self.stream(prompt, **options) as events:
            for _ in events:
                pass
        if events.reply is None:
            raise StreamBroken("The call ended without a reply.")
        return events.reply

    def map(
        self, template: str, rows: Iterable[Any], /, at_once: int = AT_ONCE, **options: Unpack[CallOptions]
    ) -> Replies:
        """Ask the same of many rows and show how far it is; see ``AsyncClient.map``.

        Raises:
            Interrupted: stopped by hand; what was answered is kept for the next run.
        """
        passage, shown = self._client.mapping(template, rows, at_once, **options), follower()
        try:
            with Stream(AsyncStream(passage)) as events:
                for event in events.ticks(TICK):
                    shown.take(event)
        except Interrupted:
            raise Interrupted(passage.so_far()) from None
        return passage.replies

    def quote(self, prompt: Prompt, **options: Unpack[CallOptions]) -> Quote:
        """What the call would take and cost; sends nothing."""
        return portal().call(partial(self._client.quote, prompt, **options))

    def compacting(self, thread: Conversation, /, focus: str = "", **options: Unpack[CallOptions]) -> Stream:
        """A compaction of the thread now, whose events can be watched; see ``AsyncClient.compacting``."""
        return Stream(self._client.compacting(thread, focus, **options))

    def compact(self, thread: Conversation, /, focus: str = "", **options: Unpack[CallOptions]) -> bool:
        """Replace the thread's earlier turns by a summary; whether that was done. See ``AsyncClient.compacting``."""
        before = len(thread.compactions)
        with self.compacting(thread, focus, **options) as events:
            for _ in events:
                pass
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


_portals: dict[int, BlockingPortal] = {}
_portal_lock = threading.Lock()
#: Seconds a process that ends waits until its running calls are settled.
FAREWELL = 5.0


def portal() -> BlockingPortal:
    """The loop's thread of this process, started on first use; a forked child starts its own."""
    with _portal_lock:
        if os.getpid() not in _portals:
            _portals[os.getpid()] = _start_portal()
        return _portals[os.getpid()]


def _start_portal() -> BlockingPortal:
    ready: Future[BlockingPortal] = Future()

    async def serve() -> None:
        async with BlockingPortal() as running:
            ready.set_result(running)
            await running.sleep_until_stopped()

    thread = threading.Thread(target=anyio.run, args=(serve,), name="tokmagic", daemon=True)
    thread.start()
    atexit.register(_stop_portal, os.getpid(), ready.result(), thread)
    return ready.result()


def _stop_portal(process: int, running: BlockingPortal, thread: threading.Thread) -> None:
    if process == os.getpid():
        running.call(running.stop, True)
        thread.join(FAREWELL)
