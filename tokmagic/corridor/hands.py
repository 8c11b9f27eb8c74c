"""Threads in which the book is asked. They are kept, so that to ask costs one way there and one back.

The book answers within a fraction of a millisecond, and a pool that makes a future for each question and chains it to
one of the event loop takes as long again.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import TypeAlias

#: Threads at most: some wait for the disk, or for another process, while others go on.
MOST = 8

Act: TypeAlias = Callable[[], None]


class Hands:
    """The threads of one process, started as they are needed."""

    def __init__(self) -> None:
        self._work: SimpleQueue[tuple[Act, Act]] = SimpleQueue()
        self._idle: list[None] = []
        self._threads: list[threading.Thread] = []
        self._starting = threading.Lock()

    def do(self, act: Act, then: Act) -> None:
        """Do both in one of the threads, soon; before ``then`` the thread counts as free. Neither may raise.

        Raises:
            RuntimeError: the interpreter ends, and starts no threads any more.
        """
        try:
            self._idle.pop()
        except IndexError:
            self._start()
        self._work.put((act, then))

    def _start(self) -> None:
        with self._starting:
            if len(self._threads) < MOST:
                name = f"tokmagic-book-{len(self._threads)}"
                thread = threading.Thread(target=self._serve, name=name, daemon=True)
                thread.start()
                self._threads.append(thread)

    def _serve(self) -> None:
        while True:
            act, then = self._work.get()
            act()
            self._idle.append(None)
            then()
            del act, then


_hands: dict[int, Hands] = {}


def hands() -> Hands:
    """Those of this process: a forked child has none of its parent's."""
    return _hands.get(os.getpid()) or _hands.setdefault(os.getpid(), Hands())
