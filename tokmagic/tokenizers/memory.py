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

    def recall(self, text: str, count: Callable[[str], int]) -> int:
        """The count of ``text``, asked of ``count`` unless it is remembered."""
        key = _key(text)
        known = self._known(key)
        if known is None:
            known = count(text)
            self._learn({key: known})
        return known

    def recall_all(self, texts: Sequence[str], counts: Callable[[list[str]], list[int]]) -> list[int]:
        """The counts of ``texts``, in order; ``counts`` is asked for those that are not remembered, all at once."""
        keys = [_key(text) for text in texts]
        known = {key: self._known(key) for key in keys}
        new = {key: text for key, text in zip(keys, texts, strict=True) if known[key] is None}
        found = dict(zip(new, counts(list(new.values())), strict=True))
        self._learn(found)
        return [found[key] if (count := known[key]) is None else count for key in keys]

    def _known(self, key: _Key) -> int | None:
        with self._lock:
            count = self._counts.get(key)
            if count is not None:
                self._counts.move_to_end(key)
            return count

    def _learn(self, counts: dict[_Key, int]) -> None:
        with self._lock:
            self._counts.update(counts)
            while len(self._counts) > self._most:
                self._counts.popitem(last=False)

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._counts.clear()

    def __len__(self) -> int:
        return len(self._counts)


def _key(text: str) -> _Key:
    return len(text), hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
