"""The book of one process, kept in memory: the same bookkeeping as in a file, and gone when it is closed."""

from __future__ import annotations

import time
from collections.abc import Callable

from .files import MEMORY
from .sqlite import SQLiteLedger


class MemoryLedger(SQLiteLedger):
    """A ledger in memory; a forked child begins with an empty one.

    Args:
        clock: seconds of the epoch.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        super().__init__(MEMORY, clock=clock)
