"""The doors of guarded clients: each SDK's own hook for what it sends, leading to the same steps.

anthropic calls a middleware once for each HTTP attempt. openai sends through an HTTP client that can be given: ours
hands every request on to the one it had, which keeps its proxies, certificates and connections.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

import httpx2

from tokmagic.catalog import DEMO
from tokmagic.codecs.wire import parse_json
from tokmagic.core.errors import ConfigurationError
from tokmagic.core.limits import Limit
from tokmagic.core.models import Service
from tokmagic.core.redaction import Secret
from tokmagic.guarding.desks import Asked, Desk
from tokmagic.guarding.passing import hear, hear_async, run, run_async, steps
from tokmagic.parts import Parts
from tokmagic.queues.bells import LoopBell, ThreadBell

#: The clients of each SDK that can be guarded, and those made of them.
CLIENTS: Mapping[str, tuple[str, str]] = {
    "anthropic": ("Anthropic", "AsyncAnthropic"),
    "openai": ("OpenAI", "AsyncOpenAI"),
}
#: Where the services are that an SDK reaches without an address.
HOMES: Mapping[str, str] = {"anthropic": "api.anthropic.com", "openai": "api.openai.com"}
#: Encodings of a reply that can be read while it passes by.
ENCODINGS = "gzip, deflate"


class Door:
    """Where the calls of guarded clients come in.

    Args:
        parts: whose book it is.
        limits: those of every call, besides the configuration's and the notebook's.
        provider: the service; None finds it by each client's address.
        bell, bell_async: make what wakes a call that waits, in a thread and in an event loop.

    Raises:
        ConfigurationError: no service has the name of ``provider``.
    """

    def __init__(
        self,
        parts: Parts,
        limits: Sequence[Limit] = (),
        *,
        provider: str | None = None,
        bell: Callable[[], ThreadBell] = ThreadBell,
        bell_async: Callable[[], LoopBell] = LoopBell,
    ) -> None:
        if provider is not None and provider not in (known := (*parts.services(), DEMO.name)):
            raise ConfigurationError(f"No service is named {provider!r}: use one of {', '.join(known)}.")
        self.parts = parts
        self.bell = bell
        self.bell_async = bell_async
        self._limits = limits
        self._provider = provider

    def desk(self, client: Any) -> Desk:
        """Where the calls of an SDK's client are booked: by its address and its key.

        Raises:
            ConfigurationError: no service is known there, and none was named.
        """
        service = self._provider or _service_at(str(client.base_url), self.parts.services())
        key = client.api_key or getattr(client, "auth_token", None)
        known = key if isinstance(key, str) and service in self.parts.services() else ""
        fingerprint = Secret(known).fingerprint(service) if known else ""
        return Desk(self.parts, service, fingerprint, self._limits)

    def guarded(self, client: Any) -> Any:
        """A guarded copy of an SDK's client.

        Raises:
            ConfigurationError: a client that cannot be guarded, or an address of no known service.
        """
        if _is_of("anthropic", client):
            kind = AsyncMiddleware if is_asynchronous(client) else Middleware
            others = [other for other in client.middleware if not isinstance(other, Middleware | AsyncMiddleware)]
            return client.with_options(middleware=[*others, kind(self, self.desk(client))])
        if _is_of("openai", client):
            return client.with_options(http_client=around(client._client, self, self.desk(client)))
        raise ConfigurationError(
            f"{type(client).__name__} cannot be guarded: give an Anthropic, AsyncAnthropic, OpenAI or AsyncOpenAI "
            "client, or send the calls through tm.Client."
        )


@dataclass(slots=True)
class Middleware:
    """anthropic's hook: called once for each HTTP attempt of a client."""

    door: Door
    desk: Desk | None

    def __call__(self, request: Any, call_next: Callable[[Any], Any]) -> Any:
        """See ``anthropic.Middleware``."""
        replies: list[Any] = []

        def send() -> httpx2.Response:
            replies.append(call_next(_readable(request)))
            return cast("httpx2.Response", replies[-1].http_response)

        bell = self.door.bell()
        run(steps(_opened(self.desk), _asked(request), hear, bell), send, bell)
        return replies[-1]


@dataclass(slots=True)
class AsyncMiddleware:
    """The same for an asynchronous client."""

    door: Door
    desk: Desk | None

    async def __call__(self, request: Any, call_next: Callable[[Any], Any]) -> Any:
        """See ``anthropic.Middleware``."""
        replies: list[Any] = []

        async def send() -> httpx2.Response:
            replies.append(await call_next(_readable(request)))
            return cast("httpx2.Response", replies[-1].http_response)

        bell = self.door.bell_async()
        await run_async(steps(_opened(self.desk), _asked(request), hear_async, bell), send, bell)
        return replies[-1]


class HTTPClient(httpx2.Client):
    """openai's HTTP client: hands every request on to the one the SDK's client had, which keeps its settings."""

    def __init__(self, inner: httpx2.Client, door: Door, desk: Desk | None) -> None:
        super().__init__(transport=httpx2.BaseTransport(), trust_env=False, timeout=inner.timeout)
        self.inner = inner
        self.door = door
        self.desk = desk

    def build_request(self, *args: Any, **options: Any) -> httpx2.Request:
        """As the client it had builds it, in an encoding that can be read."""
        return _readable_request(self.inner.build_request(*args, **options))

    def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Send it once, booked."""
        bell = self.door.bell()
        walk = steps(_opened(self.desk), _asked_by(request), hear, bell)
        return run(walk, lambda: self.inner.send(request, **options), bell)

    def close(self) -> None:
        """Close the connections."""
        super().close()
        self.inner.close()


class AsyncHTTPClient(httpx2.AsyncClient):
    """The same for an asynchronous client."""

    def __init__(self, inner: httpx2.AsyncClient, door: Door, desk: Desk | None) -> None:
        super().__init__(transport=httpx2.AsyncBaseTransport(), trust_env=False, timeout=inner.timeout)
        self.inner = inner
        self.door = door
        self.desk = desk

    def build_request(self, *args: Any, **options: Any) -> httpx2.Request:
        """As the client it had builds it, in an encoding that can be read."""
        return _readable_request(self.inner.build_request(*args, **options))

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Send it once, booked."""
        bell = self.door.bell_async()
        walk = steps(_opened(self.desk), _asked_by(request), hear_async, bell)
        return await run_async(walk, lambda: self.inner.send(request, **options), bell)

    async def aclose(self) -> None:
        """Close the connections."""
        await super().aclose()
        await self.inner.aclose()


def around(inner: Any, door: Door, desk: Desk | None) -> HTTPClient | AsyncHTTPClient:
    """The booked HTTP client that sends through ``inner``; of a booked one, another in its place.

    Raises:
        ConfigurationError: a client whose attempts cannot be booked.
    """
    if isinstance(inner, HTTPClient | AsyncHTTPClient):
        return around(inner.inner, door, desk)
    if isinstance(inner, httpx2.Client):
        return HTTPClient(inner, door, desk)
    if isinstance(inner, httpx2.AsyncClient):
        return AsyncHTTPClient(inner, door, desk)
    raise ConfigurationError(
        f"The client sends through {type(inner).__module__}.{type(inner).__name__}, whose attempts cannot be booked: "
        "make it with http_client=openai.DefaultHttpxClient(...)."
    )


def _opened(desk: Desk | None) -> Desk:
    if desk is None:
        raise ConfigurationError("A client was used before it was made.")
    return desk


def _asked(request: Any) -> Asked:
    return Asked(request.method, request.url, request.json, request.retries_taken)


def _asked_by(request: httpx2.Request) -> Asked:
    body = None
    if "json" in request.headers.get("content-type", ""):
        body = parse_json(request.read())
    retries = request.headers.get("x-stainless-retry-count", "")
    return Asked(request.method, request.url.path, body, int(retries) if retries.isdigit() else 0)


def _readable(request: Any) -> Any:
    return request.copy(headers={**request.headers, "accept-encoding": ENCODINGS})


def _readable_request(request: httpx2.Request) -> httpx2.Request:
    request.headers["accept-encoding"] = ENCODINGS
    return request


def _is_of(sdk: str, client: object) -> bool:
    """Whether it is that SDK's client; whoever has one has loaded the SDK."""
    return sdk in sys.modules and isinstance(client, tuple(getattr(sys.modules[sdk], name) for name in CLIENTS[sdk]))


def is_asynchronous(client: object) -> bool:
    """Whether it is anthropic's asynchronous client."""
    return isinstance(client, sys.modules["anthropic"].AsyncAnthropic)


def _service_at(address: str, services: Mapping[str, Service]) -> str:
    host = urlsplit(address).netloc
    for name, service in services.items():
        home = urlsplit(service.base_url).netloc or HOMES.get(name, "")
        if host == home or host.endswith(f".{home}"):
            return name
    raise ConfigurationError(
        f"No service is known at {host}: name the one whose prices and limits apply, as in "
        f'tm.guard(client, provider="openai") or %tokens guard on openai; known are {", ".join(services)}.'
    )
