"""Remembers the count of every text seen lately, in bounded memory.

A text is known by its length and a 128-bit digest, so that an entry takes about 200 bytes however long its text was;
the oldest entries leave first. Equal texts are counted once per process, whoever asks.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

MOST = 16_384


class CountMemory:
    """Counts by text; safe to use from any thread."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._lock = Lock()
        self._counts: OrderedDict[tuple[int, bytes], int] = OrderedDict()

    def recall(self, text: str, count: Callable[[str], int]) -> int:
        """The count of ``text``, asked of ``count`` unless it is remembered."""
        key = len(text), hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        with self._lock:
            known = self._counts.get(key)
            if known is not None:
                self._counts.move_to_end(key)
                return known
        found = count(text)
        with self._lock:
            self._counts[key] = found
            if len(self._counts) > self._most:
                self._counts.popitem(last=False)
        return found

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._counts.clear()

    def __len__(self) -> int:
        return len(self._counts)
