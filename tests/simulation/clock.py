"""A clock that jumps: an event loop in which nothing ever waits, and hours pass in a second.

Whenever nothing is ready to run, the clock is set to the next timer. What reads the loop's time, sleeps in it or reads
one of the patched clocks of ``time`` lives in the same invented time.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")
#: The invented moment at which every run begins, in seconds of the epoch.
BEGINNING = 1_790_000_000.0
#: What a turn of the loop takes at least, in seconds: those who wait for less than a clock can tell come through.
FINEST = 1e-6


class _Jumping(selectors.DefaultSelector):  # type: ignore[misc,valid-type]
    """Never blocks; what it would have waited is added to the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        events = super().select(0)
        if not events and timeout is None:
            raise RuntimeError("the simulation waits for something that never comes")
        self.now += max(timeout or 0.0, FINEST) if not events else 0.0
        return events


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on an invented clock."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)
        self._clock_resolution = 1e-9

    def time(self) -> float:
        return self._jumping.now

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        """Threads have no invented time: what would run in one runs here, at once."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - it belongs to whoever awaits it
            future.set_exception(error)
        return future

    def epoch(self) -> float:
        """The invented time of day, in seconds of the epoch."""
        return BEGINNING + self._jumping.now


@contextmanager
def _patched(loop: VirtualLoop) -> Iterator[None]:
    """``time``'s clocks tell the loop's time, for libraries that read them."""
    real = (time.time, time.monotonic, time.perf_counter, time.time_ns, time.monotonic_ns)
    time.time, time.monotonic, time.perf_counter = loop.epoch, loop.time, loop.time
    time.time_ns = lambda: int(loop.epoch() * 1e9)
    time.monotonic_ns = lambda: int(loop.time() * 1e9)
    try:
        yield
    finally:
        time.time, time.monotonic, time.perf_counter, time.time_ns, time.monotonic_ns = real


def run(main: Coroutine[Any, Any, T], *, patch: bool = False) -> T:
    """The result of ``main`` in invented time; ``patch`` bends the clocks of ``time`` too."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, VirtualLoop)
        if not patch:
            return runner.run(main)
        with _patched(loop):
            return runner.run(main)
