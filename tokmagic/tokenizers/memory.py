"""Remembers the count of every text seen lately, in bounded memory.

A text is known by its length and a 128-bit digest, so that an entry takes about 200 bytes however long its text was;
the oldest entries leave first. Equal texts are counted once per process, whoever asks.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from threading import Lock
from typing import TypeAlias

MOST = 16_384
_Key: TypeAlias = tuple[int, bytes]


class CountMemory:
    """Counts by text; safe to use from any thread."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._lock = Lock()
        self._counts: OrderedDict[_Key, int] = OrderedDict()

    def recall(self, texts: Sequence[str], counts: Callable[[list[str]], list[int]]) -> list[int]:
        """The counts of ``texts``, in order; ``counts`` is asked for those that are not remembered, all at once."""
        keys = [_key(text) for text in texts]
        with self._lock:
            known = {key: self._counts[key] for key in keys if key in self._counts}
            for key in known:
                self._counts.move_to_end(key)
        if len(known) < len(keys):
            new = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
            known |= self._learned(list(new), counts(list(new.values())))
        return [known[key] for key in keys]

    def _learned(self, keys: list[_Key], counts: list[int]) -> dict[_Key, int]:
        found = dict(zip(keys, counts, strict=True))
        with self._lock:
            self._counts.update(found)
            while len(self._counts) > self._most:
                self._counts.popitem(last=False)
        return found

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._counts.clear()

    def __len__(self) -> int:
        return len(self._counts)


def _key(text: str) -> _Key:
    return len(text), hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
