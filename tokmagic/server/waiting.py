"""Reading from a source that may be silent for long, without losing patience or what it says next."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TypeVar

import anyio

T = TypeVar("T")


async def with_signs(source: AsyncGenerator[T], seconds: float) -> AsyncGenerator[T | None]:
    """What the source yields, and None each time it has yielded nothing for so many seconds.

    Whoever stops reading has the source's step that is under way cancelled, and ended before he goes on: only then can
    the source be closed.
    """
    while True:
        step = asyncio.ensure_future(anext(source))
        try:
            while not (await asyncio.wait({step}, timeout=seconds))[0]:
                yield None
        finally:
            if not step.done():
                step.cancel()
                with anyio.CancelScope(shield=True):
                    await asyncio.wait({step})
        try:
            found = step.result()
        except StopAsyncIteration:
            return
        yield found
