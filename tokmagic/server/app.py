"""The routes of the embedded server: both wire protocols over one engine, as strict as the real services.

A request is read, checked against its model, taken from the minute's limits, and only then answered. Every reply
carries its request's id and, once the model is known, the limits' headers. What was produced is charged when the answer
ends, however it ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tokmagic.codecs import WireError
from tokmagic.codecs.ratelimits import anthropic_headers, openai_headers
from tokmagic.codecs.registry import CODECS
from tokmagic.codecs.wire import parse_json
from tokmagic.core.counters import Counter
from tokmagic.core.messages import Request
from tokmagic.core.models import Model, Protocol
from tokmagic.core.tokens import count_request

from . import rules
from .engine import Engine
from .generation import Generation, unless_gone
from .listing import anthropic_models, openai_models
from .rates import Buckets
from .refusals import id_headers, protocol_of, refusal


@dataclass(frozen=True, slots=True)
class _Call:
    """A request that was checked and counted."""

    request: Request
    model: Model
    counter: Counter
    input_tokens: int


class App:
    """The models that are served, their limits, and what answers for them. ``clock`` gives seconds of the epoch."""

    def __init__(
        self, models: Iterable[Model], counter: Callable[[str], Counter], engine: Engine, clock: Callable[[], float]
    ) -> None:
        self._models = {(model.protocol, model.id): model for model in models}
        self._buckets = {key: Buckets(model.rates, clock) for key, model in self._models.items()}
        self._counter = counter
        self._engine = engine
        self._clock = clock

    def asgi(self) -> Starlette:
        """The ASGI application; who may use it is not its business."""
        return Starlette(
            routes=[
                Route("/v1/messages", self._messages, methods=["POST"]),
                Route("/v1/messages/count_tokens", self._count_tokens, methods=["POST"]),
                Route("/v1/chat/completions", self._chat, methods=["POST"]),
                Route("/v1/models", self._list, methods=["GET"]),
            ],
            exception_handlers={404: _no_route, 405: _no_route, 413: _too_large, 500: _failed},
        )

    async def _messages(self, http: HttpRequest) -> Response:
        return await self._reply(http, "messages")

    async def _chat(self, http: HttpRequest) -> Response:
        return await self._reply(http, "chat")

    async def _list(self, http: HttpRequest) -> Response:
        listed = anthropic_models if "anthropic-version" in http.headers else openai_models
        return JSONResponse(listed(list(self._models.values())))

    async def _count_tokens(self, http: HttpRequest) -> Response:
        try:
            request = CODECS["messages"].decode_request({"max_tokens": 1, **await _body(http)})
            model = self._model("messages", request.model)
        except WireError as error:
            return refusal("messages", error)
        tokens = await self._count(request, self._counter(model.tokenizer))
        return JSONResponse({"input_tokens": tokens}, headers=id_headers("messages"))

    async def _reply(self, http: HttpRequest, protocol: Protocol) -> Response:
        try:
            request = CODECS[protocol].decode_request(await _body(http))
            model = self._model(protocol, request.model)
        except WireError as error:
            return refusal(protocol, error)
        buckets, limited = self._buckets[protocol, model.id], dict[str, str]()
        try:
            call = await self._checked(request, model)
            short = buckets.take(rules.needs(call.request, protocol, call.input_tokens))
            if short is not None:
                limited = rules.retry_headers(protocol, short)
                raise rules.rate_limited(protocol, model, short)
        except WireError as error:
            return refusal(protocol, error, self._rate_headers(protocol, buckets) | limited)
        return await self._answer(http, call, buckets, self._rate_headers(protocol, buckets) | id_headers(protocol))

    async def _checked(self, request: Request, model: Model) -> _Call:
        counter = self._counter(model.tokenizer)
        tokens = await self._count(request, counter)
        return _Call(rules.fitted(request, model, tokens), model, counter, tokens)

    async def _answer(self, http: HttpRequest, call: _Call, buckets: Buckets, headers: dict[str, str]) -> Response:
        def settle(produced: int) -> None:
            for unit, amount in rules.owed(call.model.protocol, produced).items():
                buckets.charge(unit, amount)

        generation = Generation(call.request, call.model, call.input_tokens, call.counter, settle)
        created = int(self._clock())
        if call.request.stream:
            return _Events(generation.stream(self._engine, created), headers=headers, media_type="text/event-stream")
        body = await unless_gone(http, lambda: generation.whole(self._engine, created))
        return JSONResponse(body, headers=headers) if body is not None else Response(status_code=499)

    async def _count(self, request: Request, counter: Counter) -> int:
        return int(await asyncio.to_thread(count_request, request.messages, request.tools, counter))

    def _model(self, protocol: Protocol, name: str) -> Model:
        model = self._models.get((protocol, name))
        if model is None:
            raise rules.unknown_model(protocol, name)
        return model

    def _rate_headers(self, protocol: Protocol, buckets: Buckets) -> dict[str, str]:
        if protocol == "messages":
            return anthropic_headers(buckets.states(), self._clock())
        return openai_headers(buckets.states())


class _Events(StreamingResponse):
    """A stream whose source is closed in the moment in which the client goes, wherever it stands."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(cast("AsyncGenerator[bytes]", self.body_iterator)):
            await super().__call__(scope, receive, send)


async def _body(http: HttpRequest) -> dict[str, Any]:
    try:
        body = parse_json(await http.body())
    except ValueError as error:
        raise WireError(400, "invalid_request_error", f"The request body is not valid JSON: {error}.") from None
    if not isinstance(body, dict):
        raise WireError(400, "invalid_request_error", "The request body must be a JSON object.")
    return body


async def _no_route(http: HttpRequest, error: Exception) -> Response:
    return _failure(http, WireError(404, "not_found_error", f"There is nothing at {http.method} {http.url.path}."))


async def _too_large(http: HttpRequest, error: Exception) -> Response:
    return _failure(http, WireError(413, "request_too_large", cast("HTTPException", error).detail))


async def _failed(http: HttpRequest, error: Exception) -> Response:
    return _failure(http, WireError(500, "api_error", "Internal server error"))


def _failure(http: HttpRequest, error: WireError) -> Response:
    return refusal(protocol_of(http.url.path, http.headers), error)
