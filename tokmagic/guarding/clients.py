"""``guard``: a raw SDK client whose calls obey the same book as every cell.

Each HTTP attempt is reserved before it is sent, each of the SDK's own retries too, waits its turn under the provider's
limits, and is settled from its reply as that passes by. It goes through hooks the SDKs offer: anthropic's middleware,
and for openai an HTTP client that hands every request on to the one it had. The guarded client is a copy; the given one
stays as it was. What costs nothing (counting, listing, files) passes freely; what costs and cannot be bounded (server
tools, embeddings, batches, an endpoint that is not known) is refused under a limit of money or tokens, else booked at
the price ``unknown``. Connections that are no HTTP requests, such as realtime sockets, are not seen.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Any, TypeVar, cast

from tokmagic.core.limits import Limit
from tokmagic.core.words import parse_limit
from tokmagic.guarding.doors import (
    AsyncHTTPClient,
    AsyncMiddleware,
    Door,
    HTTPClient,
    Middleware,
    around,
    is_asynchronous,
)
from tokmagic.parts import Parts, shared_parts

Client = TypeVar("Client")
#: The constructors that were replaced, by class.
_constructors: dict[Any, Callable[..., None]] = {}


def guard(
    client: Client, *, limits: Sequence[str | Limit] = (), provider: str | None = None, parts: Parts | None = None
) -> Client:
    """A copy of an SDK's client whose calls obey the book, its budgets and the provider's rate limits.

    Args:
        client: an ``anthropic.Anthropic`` or ``openai.OpenAI``, or their asynchronous kin.
        limits: further limits for its calls, in words such as ``5 usd/day``.
        provider: the service it talks to; None finds it by the client's address.
        parts: the book and settings to work with; None takes this process's own.

    Returns:
        The guarded copy; of a client that is guarded already, one with the new limits alone. Its calls raise
        ``BudgetExceeded`` before anything is sent that a limit does not allow.

    Raises:
        ConfigurationError: a client that cannot be guarded, an address of no known service, or a limit that
            cannot be used.
    """
    parts = parts or shared_parts()
    parsed = [parts.known(limit if isinstance(limit, Limit) else parse_limit(limit)) for limit in limits]
    door = Door(parts, parsed, provider=provider)
    return cast("Client", door.guarded(client))


def guard_every_client(door: Door) -> None:
    """Guard every client of either SDK that is made from now on in this process; an earlier door is replaced.

    Clients that tokmagic makes for itself are booked already and stay as they are.
    """
    import anthropic
    import openai

    release_every_client()
    make, make_async = openai.DefaultHttpxClient, openai.DefaultAsyncHttpxClient
    _construct_otherwise(anthropic.Anthropic, partial(_with_middleware, door))
    _construct_otherwise(anthropic.AsyncAnthropic, partial(_with_middleware, door))
    _construct_otherwise(openai.OpenAI, partial(_with_http_client, door, make))
    _construct_otherwise(openai.AsyncOpenAI, partial(_with_http_client, door, make_async))


def release_every_client() -> None:
    """Clients made from now on are the SDKs' own again; those that are guarded stay so."""
    while _constructors:
        kind, original = _constructors.popitem()
        kind.__init__ = original


def guards_every_client() -> bool:
    """Whether clients made now are guarded."""
    return bool(_constructors)


def _construct_otherwise(kind: Any, prepare: Callable[[Any, dict[str, Any]], Any]) -> None:
    original = _constructors[kind] = kind.__init__

    @wraps(original)
    def construct(self: Any, *args: Any, **options: Any) -> None:
        if str(sys._getframe(1).f_globals.get("__name__")).startswith("tokmagic."):
            original(self, *args, **options)
            return
        hook = prepare(self, options)
        original(self, *args, **options)
        if hook.desk is None:
            hook.desk = hook.door.desk(self)

    kind.__init__ = construct


def _with_middleware(door: Door, client: Any, options: dict[str, Any]) -> Middleware | AsyncMiddleware:
    given = list(options.get("middleware") or ())
    ours = next((other for other in given if isinstance(other, Middleware | AsyncMiddleware)), None)
    if ours is not None:
        return ours
    hook = (AsyncMiddleware if is_asynchronous(client) else Middleware)(door, None)
    options["middleware"] = [*given, hook]
    return hook


def _with_http_client(
    door: Door, make: Callable[[], Any], client: Any, options: dict[str, Any]
) -> HTTPClient | AsyncHTTPClient:
    given = options.get("http_client") or make()
    if not isinstance(given, HTTPClient | AsyncHTTPClient):
        given = options["http_client"] = around(given, door, None)
    return given
