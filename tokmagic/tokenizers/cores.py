"""Acts on many texts at once, on as many cores as the process may use.

It pays because ``tiktoken`` lets go of the interpreter's lock while it encodes. The caller works as well, and what no
other thread has begun it does itself: so a busy crew keeps nobody waiting, and where no thread can be had (the process
is ending, the platform has none) the caller does it all.

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


def each(act: Callable[[str], int], texts: Sequence[str]) -> list[int]:
    """``act`` of every text, in order. What it raises is raised, and then no further text is begun."""
    useful = _useful(texts)
    if not useful:
        return [act(text) for text in texts]
    results = [0] * len(texts)
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
            helping.extend(helper.submit(work) for helper in _crew()[:useful])
        work()
    finally:
        waiting.clear()
    for helped in helping:
        if not helped.cancel():
            helped.result()
    return results


def cores() -> int:
    """How many the process may use."""
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def _useful(texts: Sequence[str]) -> int:
    """How many helpers such texts are worth."""
    return min(len(texts), cores()) - 1 if len(texts) > 1 and sum(map(len, texts)) >= WORTH else 0


@cache
def _crew() -> tuple[ThreadPoolExecutor, ...]:
    """The helpers, each with a queue of its own: what one that cannot start was given is begun by no other."""
    return tuple(ThreadPoolExecutor(1, f"tokmagic-count-{number}") for number in range(MOST))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_crew.cache_clear)
