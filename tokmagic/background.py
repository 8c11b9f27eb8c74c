"""The event loop in which blocking calls are made: in a thread of its own, started on first use, one per process.

When the process ends, what still runs is cancelled there and settled, as far as that takes no longer than a moment. It
ends then also where something blocks the loop, such as an asynchronous tool that sleeps.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from concurrent.futures import Future
from dataclasses import dataclass

import anyio
from anyio.from_thread import BlockingPortal

#: Seconds a process that ends waits until its running calls are settled.
FAREWELL = 5.0


@dataclass(frozen=True, slots=True)
class _Background:
    portal: BlockingPortal
    loop: asyncio.AbstractEventLoop
    over: asyncio.Event


_running: dict[int, _Background] = {}
_lock = threading.Lock()


def portal() -> BlockingPortal:
    """The way into this process's loop and back with a result."""
    return _here().portal


def loop() -> asyncio.AbstractEventLoop:
    """The loop of this process; a forked child has its own."""
    return _here().loop


def _here() -> _Background:
    with _lock:
        if os.getpid() not in _running:
            _running[os.getpid()] = _start()
        return _running[os.getpid()]


def _start() -> _Background:
    ready: Future[_Background] = Future()

    async def serve() -> None:
        over = asyncio.Event()
        async with BlockingPortal() as running:
            ready.set_result(_Background(running, asyncio.get_running_loop(), over))
            await over.wait()
            await running.stop(cancel_remaining=True)

    thread = threading.Thread(target=anyio.run, args=(serve,), name="tokmagic", daemon=True)
    thread.start()
    atexit.register(_stop, os.getpid(), ready.result(), thread)
    return ready.result()


def _stop(process: int, running: _Background, thread: threading.Thread) -> None:
    if process == os.getpid():
        running.loop.call_soon_threadsafe(running.over.set)
        thread.join(FAREWELL)
