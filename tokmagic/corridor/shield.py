"""What a call has begun in the book it ends there: no cancellation and no Ctrl-C leaves work in the middle."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, TypeVar

from anyio import CancelScope

from tokmagic.corridor.hands import hands

T = TypeVar("T")


async def to_the_end(act: Callable[..., T], *args: Any) -> T:
    """Do it in a worker thread, to its end. A cancellation that comes meanwhile is delivered at the next await."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    answers: list[T] = []
    failures: list[BaseException] = []

    def ask() -> None:
        try:
            answers.append(act(*args))
        except BaseException as error:  # noqa: BLE001 - carried to the loop and raised there
            failures.append(error)

    def tell() -> None:
        with suppress(RuntimeError):  # a loop that is closed asks no more
            loop.call_soon_threadsafe(done.set)

    try:
        hands().do(ask, tell)
    except RuntimeError:  # the interpreter ends, and starts no threads any more
        return act(*args)
    cancelled = False
    with CancelScope(shield=True):
        while not done.is_set():
            try:
                await done.wait()
            except asyncio.CancelledError:
                cancelled = True
    task = asyncio.current_task()
    if cancelled and task is not None:
        task.uncancel()
        task.cancel()
    if failures:
        raise failures.pop()
    return answers.pop()


def uninterrupted(act: Callable[[], T]) -> T:
    """Do it in this thread, to its end. A Ctrl-C that comes meanwhile is delivered when it has ended."""
    with without_interrupts():
        return act()


class Interrupts:
    """Ctrl-C in this thread, kept back but where it is let through."""

    def __init__(self, handler: Callable[[int, FrameType | None], Any] | None) -> None:
        self._handler = handler
        self._caught: tuple[int, FrameType | None] | None = None

    def keep(self, number: int, frame: FrameType | None) -> None:
        """Keep one back."""
        self._caught = (number, frame)

    def deliver(self) -> None:
        """Deliver what was kept back."""
        caught, self._caught = self._caught, None
        if caught is not None and self._handler is not None:
            self._handler(*caught)

    def let_through(self, act: Callable[[], T]) -> T:
        """Deliver what was kept back, else do this, which Ctrl-C ends at once."""
        self.deliver()
        if self._handler is None:
            return act()
        try:
            signal.signal(signal.SIGINT, self._handler)
            return act()
        finally:
            signal.signal(signal.SIGINT, self.keep)


@contextmanager
def without_interrupts() -> Iterator[Interrupts]:
    """Keep Ctrl-C back in this thread; what came and was not let through is delivered at the end."""
    handler = signal.getsignal(signal.SIGINT) if threading.current_thread() is threading.main_thread() else None
    if not callable(handler):
        yield Interrupts(None)
        return
    interrupts = Interrupts(handler)
    signal.signal(signal.SIGINT, interrupts.keep)
    try:
        yield interrupts
    finally:
        signal.signal(signal.SIGINT, handler)
        interrupts.deliver()


async def ended(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Stop what still runs of the tasks and wait until it has; what they raise is dropped."""
    for task in tasks:
        task.cancel()
    if tasks:
        with CancelScope(shield=True):
            await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.exception()
