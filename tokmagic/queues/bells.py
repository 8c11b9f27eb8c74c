"""What wakes a caller that waits: one bell for a thread, another for a task of an event loop.

Who has news rings, from wherever that is; the sleeper wakes where it is. A bell that rings while nobody sleeps ends the
next sleep at once, so no news is missed.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from contextlib import suppress
from typing import Protocol

from tokmagic.mailbox import TICK


class Bell(Protocol):
    """Wakes one caller."""

    @property
    def patient(self) -> bool:
        """Whether the caller can wait for what others do: nothing of theirs stands still meanwhile."""

    def ring(self) -> None:
        """End its sleep, or the next one at once."""


class ThreadBell:
    """Wakes a thread."""

    def __init__(self) -> None:
        self._rung = threading.Event()

    @property
    def patient(self) -> bool:
        """A thread that runs an event loop stops all that is under way there while it sleeps."""
        return _running_loop() is None

    def ring(self) -> None:
        """See ``Bell``."""
        self._rung.set()

    def sleep(self, seconds: float) -> None:
        """Sleep so many seconds, or until it rings. Ctrl-C reaches the sleeper on every system."""
        end = time.monotonic() + seconds
        while not self._rung.wait(min(TICK, max(0.0, end - time.monotonic()))) and time.monotonic() < end:
            pass
        self._rung.clear()


class LoopBell:
    """Wakes a task of the event loop that runs where it is made."""

    patient = True

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """See ``Bell``. The tasks of a loop that is closed wait no more."""
        with suppress(RuntimeError):
            if _running_loop() is self._loop:
                self._rung.set()
            else:
                self._loop.call_soon_threadsafe(self._rung.set)

    async def sleep(self, seconds: float) -> None:
        """Sleep so many seconds, or until it rings."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds if seconds < math.inf else None):
                await self._rung.wait()
        self._rung.clear()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
