"""Asking a service how many tokens a request has: at most once for the same content, and never for long."""

from __future__ import annotations

import asyncio

from anyio import to_thread

from tokmagic.core.errors import MissingKey, ProviderError
from tokmagic.core.messages import Request
from tokmagic.core.models import Model
from tokmagic.parts import Parts

#: Seconds a service may take to count, before the estimate has to do.
PATIENCE = 10.0


async def ask_count(parts: Parts, model: Model, request: Request) -> int | None:
    """What the model's service counts; None where it does not, or not now."""
    known = parts.answers.recall(request)
    if known is not None:
        return known
    loop = asyncio.get_running_loop()
    try:
        provider = parts.connected(model, loop)
        if provider is None:
            provider = await to_thread.run_sync(parts.provider, model, loop)
        async with asyncio.timeout(PATIENCE):
            told = await provider.count_tokens(request)
    except (ProviderError, MissingKey, TimeoutError):
        return None
    if told is not None:
        parts.answers.keep(request, told)
    return told
