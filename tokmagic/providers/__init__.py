"""One file per SDK. The SDK is the transport, with no retries of its own; the codec reads and writes the JSON."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Protocol, TypeAlias

from tokmagic.core.batches import BatchStatus
from tokmagic.core.errors import ProviderError
from tokmagic.core.events import StreamEvent
from tokmagic.core.messages import Request
from tokmagic.core.replies import Answer

#: What became of a row of a batch: its answer, or why there is none. A row without an answer costs nothing.
Result: TypeAlias = Answer | ProviderError


class Batches(Protocol):
    """A service's batches. Each method sends one request, or a few, and raises a ``ProviderError`` as a call does."""

    async def submit(self, requests: Mapping[str, Request]) -> str:
        """Send the requests, each under an id of its own, as one batch; the service's id of it."""

    async def status(self, id: str) -> BatchStatus:
        """How far the batch is."""

    def results(self, id: str) -> AsyncGenerator[tuple[str, Result]]:
        """What became of its rows, by their ids, in any order; a row that was not begun may be left out."""

    async def cancel(self, id: str) -> None:
        """Begin no further row of it."""


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

    def batches(self) -> Batches | None:
        """The service's batches; None if it has none."""

    async def aclose(self) -> None:
        """Close its connections."""
