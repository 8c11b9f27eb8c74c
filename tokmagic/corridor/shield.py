"""What a call has begun in the book it ends there: no cancellation leaves work in the middle."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
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


async def ended(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Stop what still runs of the tasks and wait until it has; what they raise is dropped."""
    for task in tasks:
        task.cancel()
    if tasks:
        with CancelScope(shield=True):
            await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.exception()
