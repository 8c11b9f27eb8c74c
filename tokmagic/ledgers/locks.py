"""A lock file in front of the book: one transaction at a time among all processes, and nobody starves.

SQLite alone would do it too, but the pauses of its busy wait grow, so a waiter can lose to newcomers for seconds. Here
every waiter tries again at the same short pace. The lock is the operating system's: it goes with its process.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

if sys.platform == "win32":
    import msvcrt

    def _take(file: int) -> None:
        os.lseek(file, 0, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)

    def _give(file: int) -> None:
        os.lseek(file, 0, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_UNLCK, 1)
else:
    import fcntl

    def _take(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _give(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)


#: Seconds between two tries.
PACE = 0.0002


class LockFile:
    """One process's handle on the lock file; only one thread at a time may hold it.

    Args:
        path: the lock file; it is made if missing, and never removed.
        patience: seconds to wait for the lock.
    """

    def __init__(self, path: Path, patience: float) -> None:
        self._path = path
        self._patience = patience
        self._file: int | None = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock for the block.

        Raises:
            TimeoutError: another process kept it.
            OSError: the file cannot be opened.
        """
        if self._file is None:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        self._wait(self._file)
        try:
            yield
        finally:
            _give(self._file)

    def _wait(self, file: int) -> None:
        deadline = time.monotonic() + self._patience
        while True:
            try:
                return _take(file)
            except (BlockingIOError, PermissionError):
                if time.monotonic() >= deadline:
                    raise TimeoutError(f"another process has kept it for {self._patience:.0f} s") from None
                time.sleep(PACE)

    def close(self) -> None:
        """Let go of the file. Closing twice is a no-op."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
