"""Acts on many texts at once, on as many cores as the process may use.

It pays because ``tiktoken`` lets go of the interpreter's lock while it encodes. The caller works as well, and what no
other thread has begun or soon finishes it does itself: so a busy crew or machine keeps nobody waiting, and where no
thread can be had (the process is ending, the platform has none) the caller does it all. To act twice does no harm.

The crew is small, idle unless called, and ends with the process; a forked one makes its own.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import cache

#: Characters below which one thread is done before another has begun.
WORTH = 65_536
#: Threads that help the caller, at most: each makes ``tiktoken`` keep about a megabyte.
MOST = 3
#: Seconds that the last texts are waited for: they take less on a machine that has nothing else to do.
GRACE = 0.001


def each(act: Callable[[str], int], texts: Sequence[str]) -> list[int]:
    """``act`` of every text, in order. What it raises is raised, and then no further text is begun."""
    useful = _useful(texts)
    if not useful:
        return [act(text) for text in texts]
    results: list[int | None] = [None] * len(texts)
    waiting = deque(enumerate(texts))
    helping: list[Future[None]] = []

    def work() -> None:
        while True:
            try:
                place, text = waiting.popleft()
            except IndexError:
                return
            results[place] = act(text)

    try:
        with suppress(RuntimeError):
            helping.extend(_crew().submit(work) for _ in range(useful))
        work()
    finally:
        waiting.clear()
    for helped in helping:
        if not helped.cancel():
            with suppress(TimeoutError):
                helped.result(GRACE)
    return [act(text) if found is None else found for text, found in zip(texts, results, strict=True)]


def cores() -> int:
    """How many the process may use."""
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def _useful(texts: Sequence[str]) -> int:
    """How many helpers such texts are worth."""
    return min(len(texts) - 1, cores() - 1, MOST) if len(texts) > 1 and sum(map(len, texts)) >= WORTH else 0


@cache
def _crew() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(MOST, "tokmagic-count")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_crew.cache_clear)
