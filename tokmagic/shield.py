"""What a call has begun in the book it ends there: work in a thread that no cancellation leaves in the middle."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from anyio import CancelScope

T = TypeVar("T")


async def to_the_end(act: Callable[..., T], *args: Any) -> T:
    """Do it in a worker thread, to its end. A cancellation that comes meanwhile is delivered at the next await."""
    try:
        work = asyncio.get_running_loop().run_in_executor(None, partial(act, *args))
    except RuntimeError:  # the interpreter ends, and starts no threads any more
        return act(*args)
    cancelled = False
    with CancelScope(shield=True):
        while not work.done():
            try:
                await asyncio.wait([work])
            except asyncio.CancelledError:
                cancelled = True
    task = asyncio.current_task()
    if cancelled and task is not None:
        task.uncancel()
        task.cancel()
    return work.result()
