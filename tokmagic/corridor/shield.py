"""What a call has begun in the book it ends there: no cancellation and no Ctrl-C leaves work in the middle."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Collection
from concurrent.futures import Future
from contextlib import suppress
from types import FrameType
from typing import Any, TypeVar

from anyio import CancelScope

from tokmagic.corridor.hands import hands

T = TypeVar("T")


async def to_the_end(act: Callable[..., T], *args: Any) -> T:
    """Do it in a worker thread, to its end. A cancellation that comes meanwhile is delivered at the next await."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    answer: Future[T] = Future()

    def ask() -> None:
        try:
            answer.set_result(act(*args))
        except BaseException as error:  # noqa: BLE001 - carried to the loop and raised there
            answer.set_exception(error)

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
    return answer.result()


def uninterrupted(act: Callable[[], T]) -> T:
    """Do it in this thread, to its end. A Ctrl-C that comes meanwhile is delivered when it has ended."""
    handler = signal.getsignal(signal.SIGINT) if threading.current_thread() is threading.main_thread() else None
    if not callable(handler):
        return act()
    caught: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda number, frame: caught.append((number, frame)))
    try:
        return act()
    finally:
        signal.signal(signal.SIGINT, handler)
        for number, frame in caught[-1:]:
            handler(number, frame)


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
