"""One file per SDK. The SDK is the transport, with no retries of its own; the codec reads and writes the JSON."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from tokmagic.core.events import StreamEvent
from tokmagic.core.messages import Request


class Provider(Protocol):
    """One service with one key."""

    def stream(self, request: Request) -> AsyncGenerator[StreamEvent]:
        """Send the request once and report its reply: deltas, then ``Finished``.

        Raises:
            ProviderError: of a kind that says whether it may have run. Keys are redacted.
        """

    async def count_tokens(self, request: Request) -> int | None:
        """The service's own count of the request's input; None if it has no such call. It costs nothing.

        Raises:
            ProviderError: the estimate has to do.
        """

    async def aclose(self) -> None:
        """Close its connections."""
