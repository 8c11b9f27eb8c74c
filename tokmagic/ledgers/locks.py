"""A gate in front of the book: one transaction at a time among all processes, and nobody starves.

SQLite alone would do it too, but the pauses of its busy wait grow, so a waiter can lose to newcomers for seconds. Here
are two lock files. Who holds the door is inside; who holds the queue is next, and only that one tries the door, often.
The others try the queue, less often, so that they cost little; the longer one has waited, the more often. Who is let in
has a turn: for a moment it may come back by the door alone, while what it works with is still at hand, and then it
queues again. The locks are the operating system's: they go with their process.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

#: The device of a file and its number there.
Identity: TypeAlias = tuple[int, int]

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


#: Seconds between two tries of the door, and of the queue.
DOOR_PACE = 0.00005
QUEUE_PACE = 0.002
#: Seconds of waiting after which the queue is tried twice as often.
AGE = 0.02
#: Seconds a turn lasts: many transactions, and with many processes still a short wait.
TURN = 0.003


class LockFile:
    """One process's handle on a lock file; only one thread at a time may hold it.

    Args:
        path: the lock file; it is made if missing, with its folder, and made anew if it was removed.
        pace: seconds between two tries.
    """

    def __init__(self, path: Path, pace: float) -> None:
        self._path = path
        self._pace = pace
        self._file: int | None = None
        self._identity: Identity | None = None

    def take(self, patience: float) -> None:
        """Take the lock, waiting up to ``patience`` seconds for it.

        Raises:
            TimeoutError: another process kept it.
            OSError: the file cannot be opened.
        """
        if self.try_take():
            return
        began = time.monotonic()
        while not self.try_take():
            waited = time.monotonic() - began
            if waited >= patience:
                raise TimeoutError(f"another process has kept it for {patience:.0f} s")
            time.sleep(self._pace / (1 + waited / AGE))

    def try_take(self) -> bool:
        """Take the lock if nobody has it; whether nobody had.

        Raises:
            OSError: the file cannot be opened.
        """
        if self._file is None:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            found = os.fstat(self._file)
            self._identity = found.st_dev, found.st_ino
        try:
            _take(self._file)
        except (BlockingIOError, PermissionError):
            return False
        if identity(self._path) != self._identity:
            self.close()
            return False
        return True

    def give(self) -> None:
        """Give it back."""
        if self._file is not None:
            _give(self._file)

    def note(self) -> str:
        """What was left in the file by whoever had the lock; for whoever has it."""
        if self._file is None:
            return ""
        os.lseek(self._file, 0, os.SEEK_SET)
        return os.read(self._file, 1024).decode()

    def leave_note(self, text: str) -> None:
        """Leave a short text in the file; for whoever has the lock."""
        if self._file is not None:
            os.lseek(self._file, 0, os.SEEK_SET)
            os.write(self._file, text.encode())
            os.ftruncate(self._file, len(text.encode()))

    def close(self) -> None:
        """Let go of the file. Closing twice is a no-op."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


class Gate:
    """One process's way to the book, inside while it is entered; only one thread at a time may pass it.

    Args:
        book: the path of the book; the lock files lie beside it and are never removed.
        patience: seconds to wait.
        clock: seconds.

    Raises:
        TimeoutError: on entry, where another process stayed inside.
        OSError: on entry, where a lock file cannot be opened.
    """

    def __init__(self, book: Path, patience: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._patience = patience
        self._clock = clock
        self._turn_ends = -math.inf
        self._door = LockFile(book.with_name(f"{book.name}.lock"), DOOR_PACE)
        self._queue = LockFile(book.with_name(f"{book.name}.queue"), QUEUE_PACE)

    def __enter__(self) -> None:
        if self._clock() < self._turn_ends and self._door.try_take():
            return
        self._queue.take(self._patience)
        try:
            self._door.take(self._patience)
        finally:
            self._queue.give()
        self._turn_ends = self._clock() + TURN

    def __exit__(self, *_: object) -> None:
        self._door.give()

    def note(self) -> str:
        """What was left at the door; for who is inside."""
        return self._door.note()

    def leave_note(self, text: str) -> None:
        """Leave a short text at the door; for who is inside."""
        self._door.leave_note(text)

    def close(self) -> None:
        """Let go of the files. Closing twice is a no-op."""
        self._door.close()
        self._queue.close()


def identity(path: Path) -> Identity | None:
    """What tells a file from every other that ever lay at its path while it was open; None where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
