"""An engine that never ends its answer, so that a test can end it in the middle however slow the machine is."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Sequence

from tokmagic.core.counters import Counter
from tokmagic.core.messages import Request
from tokmagic.server.engine import Piece


class Endless:
    """Writes three tokens, then waits for ever.

    Attributes:
        begun: set when it was asked.
        ended: set when its generator is closed.
    """

    def __init__(self) -> None:
        self.begun, self.ended = threading.Event(), threading.Event()

    async def generate(self, request: Request, counter: Counter) -> AsyncGenerator[Sequence[Piece]]:
        """See ``Engine``."""
        self.begun.set()
        try:
            yield [Piece("one ", 1), Piece("two ", 1), Piece("three", 1)]
            await asyncio.Event().wait()
        finally:
            self.ended.set()
