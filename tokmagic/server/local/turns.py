"""Whose turn it is: first come, first served, alone or together with others of a kind.

Who may share joins those of its kind that run, unless somebody else waits before it: nobody is overtaken, so nobody
waits for ever. All of it happens in one event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Hashable
from contextlib import asynccontextmanager
from typing import NamedTuple


class _Waiting(NamedTuple):
    kind: Hashable
    called: asyncio.Future[None]


class Turns:
    """One machine that many want."""

    def __init__(self) -> None:
        self._line: deque[_Waiting] = deque()
        self._kind: Hashable = None
        self._running = 0

    @asynccontextmanager
    async def turn(self, kind: Hashable) -> AsyncGenerator[None]:
        """Hold a turn together with others of this kind; alone if it is None. Who is cancelled leaves the line."""
        await self._called(_Waiting(kind, asyncio.get_running_loop().create_future()))
        try:
            yield
        finally:
            self._leave()

    async def _called(self, waiting: _Waiting) -> None:
        self._line.append(waiting)
        self._call()
        try:
            await waiting.called
        except asyncio.CancelledError:
            if waiting in self._line:
                self._line.remove(waiting)
                self._call()
            elif not waiting.called.cancelled():
                self._leave()
            raise

    def _leave(self) -> None:
        self._running -= 1
        self._call()

    def _call(self) -> None:
        """Call those whose turn it is."""
        while self._line and (not self._running or self._line[0].kind == self._kind is not None):
            waiting = self._line.popleft()
            if waiting.called.cancelled():
                continue
            self._kind = waiting.kind
            self._running += 1
            waiting.called.set_result(None)
