"""From an SDK's open HTTP response to core events: what both SDKs' streams have in common.

The SDK sends, authenticates and raises on a refusal; from there on the bytes are read here and folded by the codec, so
that an error in mid-stream, a stream that stops early, a proxy's HTML page and a silent peer each end as a typed error.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from tokmagic.codecs import Codec, StreamDecoder
from tokmagic.codecs.ratelimits import read_rates
from tokmagic.codecs.sse import SSEDecoder
from tokmagic.core.errors import MalformedReply, ProviderError, StreamBroken
from tokmagic.core.events import Finished, Started, StreamEvent, TextDelta
from tokmagic.core.messages import Request
from tokmagic.core.models import Service
from tokmagic.core.redaction import Secret
from tokmagic.core.replies import Answer

from . import Batches
from .failing import Failing, request_id

if TYPE_CHECKING:
    import httpx2

#: Seconds without a byte, or with nothing but keep-alives, after which a reply counts as broken.
IDLE_SECONDS = 120.0
CONNECT_SECONDS = 10.0
#: Seconds given to a reply that is complete to end its connection's turn, so that the next call can use it.
DRAIN_SECONDS = 0.1
#: The fields of a body that bear on the count of its input.
COUNTED = frozenset(
    {"model", "messages", "system", "thinking", "input", "instructions", "reasoning", "text", "tools", "tool_choice"}
)


class Response(Protocol):
    """What is used of either SDK's raw response."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The reply's headers."""

    def iter_bytes(self) -> AsyncIterator[bytes]:
        """The body as it arrives."""

    async def read(self) -> bytes:
        """The whole body."""


class SDKClient(Protocol):
    """What is used of either SDK's client."""

    @property
    def base_url(self) -> Any:
        """Where it sends to."""

    async def close(self) -> None:
        """Close its connections."""


@dataclass(frozen=True, slots=True)
class Transport:
    """One service as its SDK reaches it.

    Attributes:
        service: what it is, for messages.
        codec: its protocol.
        key: must not show in a message.
        client: the SDK's asynchronous client.
        create: the SDK's call that opens a raw response.
        arguments: the fields ``create`` demands as arguments; the rest of the body goes through untouched.
        status_error, connection_error: the SDK's classes for a refusal and for no connection.
        count: the SDK's call that only counts the input, where the service has one.
        batch: makes what sends batches, where the service takes them.
        clock: seconds that only go forward; what is silent too long is told by it.
    """

    service: Service
    codec: Codec
    key: Secret
    client: SDKClient
    create: Callable[..., AbstractAsyncContextManager[Any]]
    arguments: tuple[str, ...]
    status_error: type[Exception]
    connection_error: type[Exception]
    count: Callable[..., Awaitable[Any]] | None = None
    batch: Callable[[Transport], Batches] | None = None
    clock: Callable[[], float] = time.monotonic

    @property
    def name(self) -> str:
        """The provider's name."""
        return self.service.name

    @property
    def _failing(self) -> Failing:
        return Failing(self.service, self.key, str(self.client.base_url))

    async def stream(self, request: Request) -> AsyncGenerator[StreamEvent]:
        """Send the request once; see ``Provider.stream``."""
        import httpx2

        response: Response | None = None
        try:
            async with self._send(request) as response, aclosing(self._events(response)) as events:
                async for event in events:
                    yield event
        except self.status_error as error:
            raise self._failing.refused(self.codec, error) from None
        except (self.connection_error, httpx2.HTTPError) as error:
            raise identified(self._failing.lost(error, response is not None), response) from None
        except ProviderError as error:
            raise identified(error, response) from None
        except Exception as error:  # noqa: BLE001 - whatever else an SDK raises ends as one line, without its frames
            raise identified(self._failing.inside(error), response) from None

    async def count_tokens(self, request: Request) -> int | None:
        """Ask for the input's tokens; see ``Provider.count_tokens``."""
        if self.count is None:
            return None
        body = {**self.codec.encode_request(request), **request.extras.body}
        counted = {field: value for field, value in body.items() if field in COUNTED}
        arguments = {field: counted.pop(field) for field in self.arguments if field in counted}
        try:
            answer = await self.count(
                **arguments,
                extra_body=counted or None,
                extra_headers=dict(request.extras.headers) or None,
                extra_query=dict(request.extras.query) or None,
            )
        except self.status_error as error:
            raise self._failing.refused(self.codec, error) from None
        except self.connection_error as error:
            raise self._failing.lost(error, began=False) from None
        tokens = getattr(answer, "input_tokens", None)
        if not isinstance(tokens, int):
            raise MalformedReply(f"{self.name} answered with something that is no count.", provider=self.name)
        return tokens

    def batches(self) -> Batches | None:
        """What sends batches; see ``Provider.batches``."""
        return self.batch(self) if self.batch is not None else None

    def answered(self, body: Any) -> Answer | ProviderError:
        """The answer in a JSON body, or what is wrong with it."""
        try:
            return self.codec.decode_answer(body)
        except ProviderError as error:
            return self._failing.named(error)

    def refused(self, status: int, body: Any) -> ProviderError:
        """The error that a status and a JSON body stand for."""
        return self._failing.named(self.codec.decode_error(status, body, {}))

    @contextmanager
    def typed(self) -> Iterator[None]:
        """Whatever the SDK raises inside is raised as a ``ProviderError``."""
        import httpx2

        try:
            yield
        except self.status_error as error:
            raise self._failing.refused(self.codec, error) from None
        except (self.connection_error, httpx2.HTTPError) as error:
            raise self._failing.lost(error, began=False) from None

    async def aclose(self) -> None:
        """Close the SDK's connections."""
        await self.client.close()

    def _send(self, request: Request) -> AbstractAsyncContextManager[Any]:
        import httpx2

        body = self.codec.encode_request(request)
        patience = {} if request.stream else {"timeout": httpx2.Timeout(None, connect=CONNECT_SECONDS)}
        arguments = {field: body.pop(field) for field in self.arguments}
        return self.create(
            **arguments,
            **patience,
            extra_body={**body, **request.extras.body} or None,
            extra_headers=dict(request.extras.headers) or None,
            extra_query=dict(request.extras.query) or None,
        )

    def _events(self, response: Response) -> AsyncGenerator[StreamEvent]:
        streamed = "text/event-stream" in response.headers.get("content-type", "")
        return self._streamed(response) if streamed else self._whole(response)

    async def _streamed(self, response: Response) -> AsyncGenerator[StreamEvent]:
        sse, decoder, heard = SSEDecoder(), self.codec.decoder(), self.clock()
        chunks = response.iter_bytes()
        async for chunk in chunks:
            for event in merged(self._fold(sse, decoder, chunk)):
                heard = self.clock()
                if isinstance(event, Finished):
                    await drain(chunks)
                yield _with_rates(event, response)
            if self.clock() - heard > IDLE_SECONDS:
                raise StreamBroken(
                    f"{self.name} sent nothing but keep-alives for {IDLE_SECONDS:.0f} s.", provider=self.name
                )
        if not decoder.complete:
            raise StreamBroken(f"{self.name} ended the reply before it was complete.", provider=self.name)

    def _fold(self, sse: SSEDecoder, decoder: StreamDecoder, chunk: bytes) -> Iterable[StreamEvent]:
        try:
            for name, data in sse.feed(chunk):
                yield from decoder.feed(name, data)
        except ProviderError as error:
            raise self._failing.named(error) from None

    async def _whole(self, response: Response) -> AsyncGenerator[StreamEvent]:
        body = await response.read()
        try:
            answer = self.codec.decode_answer(json.loads(body))
        except ValueError:
            raise self._failing.nonsense(body[:1_000].decode("utf-8", "replace")) from None
        except ProviderError as error:
            raise self._failing.named(error) from None
        yield Started(answer.id, answer.model, answer.usage, read_rates(response.headers))
        if answer.text:
            yield TextDelta(answer.text)
        yield Finished(answer)


def identified(error: ProviderError, response: Response | None) -> ProviderError:
    """The error with the service's id of the request, where a reply began."""
    if response is not None and error.request_id is None:
        error.request_id = request_id(response.headers)
    return error


def _with_rates(event: StreamEvent, response: Response) -> StreamEvent:
    return replace(event, rates=read_rates(response.headers)) if isinstance(event, Started) else event


async def drain(chunks: AsyncIterator[bytes]) -> None:
    """Read what follows a complete reply; a connection that is left in the middle cannot serve another call."""
    import httpx2

    with suppress(TimeoutError, httpx2.HTTPError):
        async with asyncio.timeout(DRAIN_SECONDS):
            async for _ in chunks:
                pass


def loopback_client() -> httpx2.AsyncClient:
    """For the embedded server: no proxy variable leads it astray, and no certificate has to be read."""
    import httpx2

    return httpx2.AsyncClient(trust_env=False, verify=False)


def merged(events: Iterable[StreamEvent]) -> Iterable[StreamEvent]:
    """The events of one network chunk, neighbouring pieces of text joined."""
    pieces: list[str] = []
    for event in events:
        if isinstance(event, TextDelta):
            pieces.append(event.text)
            continue
        if pieces:
            yield TextDelta("".join(pieces))
            pieces.clear()
        yield event
    if pieces:
        yield TextDelta("".join(pieces))
