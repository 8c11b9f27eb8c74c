"""Tools that hold something open, a connection or a browser: objects that are context managers.

One is entered before its first call, once however many calls run together, and left when nobody goes through the run
any more, however that ended. A run that goes on later enters it anew. What fails while it is left goes to the log.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeAlias

from anyio import CancelScope, to_thread

log = logging.getLogger("tokmagic")

#: Makes a call where synchronous tools run.
Here: TypeAlias = Callable[[Callable[[], Any]], Awaitable[Any]]


class Holdings:
    """What the tools of one run hold open."""

    def __init__(self) -> None:
        self._here: dict[int, _HeldHere] = {}
        self._in_loop: dict[int, _HeldInLoop] = {}
        self._users = 0

    async def enter(self, tool: Any, here: Here) -> None:
        """Open what the tool holds, if it is a context manager and not open yet.

        Args:
            tool: the function or object that is about to be called.
            here: where synchronous tools run.
        """
        kind = type(tool)
        if hasattr(kind, "__aenter__") and hasattr(kind, "__aexit__"):
            held = self._in_loop.get(id(tool))
            if held is None or held.failed:
                held = self._in_loop[id(tool)] = _HeldInLoop(tool)
            await held.enter()
        elif hasattr(kind, "__enter__") and hasattr(kind, "__exit__"):
            await here(self._here.setdefault(id(tool), _HeldHere(tool)).enter)

    @asynccontextmanager
    async def used(self) -> AsyncGenerator[None]:
        """While somebody goes through the run in the event loop; what is open is left with the last one."""
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            if not self._users:
                with CancelScope(shield=True):
                    await self.leave_loop()
                    if self._here:
                        await to_thread.run_sync(self._leave_here)

    @contextmanager
    def used_here(self, leave_loop: Callable[[], object]) -> Generator[None]:
        """While somebody goes through it in this thread; ``leave_loop`` has the event loop do its ``leave_loop``."""
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            if not self._users:
                try:
                    if self._in_loop:
                        leave_loop()
                finally:
                    self._leave_here()

    async def leave_loop(self) -> None:
        """Leave what is open in the event loop, what was opened last first."""
        while self._in_loop:
            await self._in_loop.popitem()[1].leave()

    def _leave_here(self) -> None:
        while self._here:
            self._here.popitem()[1].leave()


class _HeldHere:
    """A tool that is entered and left where synchronous tools run; not entered any more once it was to be left."""

    def __init__(self, tool: Any) -> None:
        self._tool = tool
        self._open = self._over = False
        self._lock = threading.Lock()

    def enter(self) -> None:
        with self._lock:
            if not self._open and not self._over:
                self._tool.__enter__()
                self._open = True

    def leave(self) -> None:
        with self._lock:
            was_open, self._open, self._over = self._open, False, True
            try:
                if was_open:
                    self._tool.__exit__(None, None, None)
            except Exception:
                log.exception("leaving the tool %r failed", self._tool)


class _HeldInLoop:
    """A tool that is entered and left in the event loop, both by one task, as task groups want it."""

    def __init__(self, tool: Any) -> None:
        self._tool = tool
        self._keeper: asyncio.Task[None] | None = None
        self._entered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._left = asyncio.Event()

    @property
    def failed(self) -> bool:
        return self._entered.done() and (self._entered.cancelled() or self._entered.exception() is not None)

    async def enter(self) -> None:
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep())
        await asyncio.wait([self._entered])
        self._entered.result()

    async def leave(self) -> None:
        self._left.set()
        if self._keeper is not None:
            if not self._entered.done():
                self._keeper.cancel()
            await asyncio.wait([self._keeper])

    async def _keep(self) -> None:
        try:
            async with self._tool:
                self._entered.set_result(None)
                await self._left.wait()
        except Exception as error:
            if self._entered.done():
                log.exception("leaving the tool %r failed", self._tool)
            else:
                self._entered.set_exception(error)
                self._entered.exception()
        finally:
            self._entered.cancel()
