"""Events on their way from the event loop to the thread of whoever called, and errands that only that thread can do."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from tokmagic.core.events import Event, ReasoningDelta, TextDelta

#: Seconds between looks at pending signals where a blocked thread cannot be woken by one.
TICK = 0.1


class Errand:
    """Something to be done by the thread that reads the mailbox."""

    def __init__(self, act: Callable[[], Any]) -> None:
        self.done: Future[Any] = Future()
        self._act = act

    def run(self) -> None:
        """Do it; what it raises is raised to who asked, but for an interrupt, which is for this thread."""
        if not self.done.set_running_or_notify_cancel():
            return
        try:
            result = self._act()
        except Exception as error:  # noqa: BLE001 - carried to the loop and raised there
            self.done.set_exception(error)
        else:
            self.done.set_result(result)


class Mailbox:
    """Events on their way from the loop to the caller's thread. Pieces of text that nobody took yet are joined."""

    def __init__(self) -> None:
        self._ready = threading.Condition()
        self._events: deque[Event | Errand] = deque()
        self._unread = False
        self._ended = False
        self._error: BaseException | None = None

    def put(self, event: Event | Errand) -> None:
        """Add an event."""
        with self._ready:
            if self._unread and not isinstance(event, Errand):
                return
            last = self._events[-1] if self._events else None
            if isinstance(event, TextDelta) and isinstance(last, TextDelta):
                self._events[-1] = TextDelta(last.text + event.text)
            elif isinstance(event, ReasoningDelta) and isinstance(last, ReasoningDelta):
                self._events[-1] = ReasoningDelta(last.text + event.text)
            else:
                self._events.append(event)
            self._ready.notify()

    async def do(self, act: Callable[[], Any]) -> Any:
        """Let the reader's thread do it, and wait for that."""
        errand = Errand(act)
        self.put(errand)
        return await asyncio.wrap_future(errand.done)

    def leave_unread(self) -> None:
        """Nobody looks at the events: from now on only errands and the end wake the reader."""
        with self._ready:
            self._unread = True

    def end(self, error: BaseException | None) -> None:
        """No more will come; ``error`` is raised to the reader after the last event."""
        with self._ready:
            self._ended, self._error = True, error
            self._ready.notify_all()

    def ready(self, seconds: float) -> bool:
        """Wait at most so long; whether an event or the end can be taken."""
        with self._ready:
            return self._ready.wait_for(lambda: bool(self._events) or self._ended, seconds)

    def take(self) -> Event | Errand | None:
        """The next event, which is ready; None at the end."""
        with self._ready:
            if self._events:
                return self._events.popleft()
            error, self._error = self._error, None
            if error is not None:
                raise error
            return None

    @property
    def ended(self) -> bool:
        """Whether no more will come."""
        return self._ended

    def close(self) -> None:
        """Wait until no more will come, and drop what nobody took; an error nobody took is raised."""
        with self._ready:
            while not self._ended:
                self._ready.wait(TICK)
            self._events.clear()
        self.take()
