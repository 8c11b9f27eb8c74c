"""The routes of the embedded server: the wire protocols over one engine, as strict as the real services.

A request is read, checked against its model, taken from the minute's limits, and only then answered. Every reply
carries its request's id and, once the model is known, the limits' headers. What was produced is charged when the answer
ends, however it ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tokmagic.codecs import Codec, Json, WireError
from tokmagic.codecs.ratelimits import anthropic_headers, openai_headers
from tokmagic.codecs.registry import CODECS
from tokmagic.codecs.responses import ResponsesCodec
from tokmagic.codecs.wire import parse_json
from tokmagic.core.counters import Counter
from tokmagic.core.messages import Request
from tokmagic.core.models import Model, Protocol
from tokmagic.core.usage import Usage

from . import compaction, responses, rules
from .batch import Bench
from .calls import Call
from .engine import USUAL_TERMS, Engine, Terms
from .faults import NO_FAULTS, FaultPlan
from .faulty import Events, Faulty
from .generation import Generation, unless_gone
from .listing import anthropic_model, anthropic_models, openai_model, openai_models
from .message_batches import MessageBatches
from .openai_batches import OpenAIBatches
from .rates import Buckets
from .refusals import id_headers, protocol_of, refusal

#: Seconds of silence in a stream that are covered by a sign of life.
KEEP_ALIVE_SECONDS = 10.0


class App:
    """The models that are served, their limits, and what answers for them. ``clock`` gives seconds of the epoch."""

    def __init__(
        self,
        models: Iterable[Model],
        counter: Callable[[str], Counter],
        engine: Engine,
        clock: Callable[[], float],
        faults: FaultPlan = NO_FAULTS,
        keep_alive: float = KEEP_ALIVE_SECONDS,
        terms: Terms = USUAL_TERMS,
    ) -> None:
        self._models = {(model.protocol, model.id): model for model in models}
        self._buckets = {key: Buckets(model.rates, clock) for key, model in self._models.items()}
        self._counter = counter
        self._engine = engine
        self._clock = clock
        self._faulty = Faulty(faults)
        self._keep_alive = keep_alive
        self._terms = terms

    def asgi(self) -> Starlette:
        """The ASGI application; who may use it is not its business."""
        bench = Bench(self._row, self._clock)
        return Starlette(
            routes=[
                Route("/v1/messages", self._messages, methods=["POST"]),
                Route("/v1/messages/count_tokens", self._count_tokens, methods=["POST"]),
                Route("/v1/responses", self._responses, methods=["POST"]),
                Route("/v1/responses/input_tokens", self._input_tokens, methods=["POST"]),
                Route("/v1/responses/compact", self._compact, methods=["POST"]),
                Route("/v1/chat/completions", self._chat, methods=["POST"]),
                *MessageBatches(bench, _body).routes(),
                *OpenAIBatches(bench, _body, self._clock).routes(),
                Route("/v1/models", self._list, methods=["GET"]),
                Route("/v1/models/{name}", self._describe, methods=["GET"]),
            ],
            exception_handlers={404: _no_route, 405: _no_route, 413: _too_large, 500: _failed},
        )

    async def _messages(self, http: HttpRequest) -> Response:
        return await self._reply(http, "messages")

    async def _responses(self, http: HttpRequest) -> Response:
        return await self._reply(http, "responses")

    async def _chat(self, http: HttpRequest) -> Response:
        return await self._reply(http, "chat")

    async def _list(self, http: HttpRequest) -> Response:
        listed = anthropic_models if "anthropic-version" in http.headers else openai_models
        return JSONResponse(listed(list({model.id: model for model in self._models.values()}.values())))

    async def _describe(self, http: HttpRequest) -> Response:
        name, protocol = http.path_params["name"], protocol_of(http.url.path, http.headers)
        found = next((model for model in self._models.values() if model.id == name), None)
        if found is None:
            served = dict.fromkeys(model.id for model in self._models.values())
            return refusal(protocol, rules.unknown_model(protocol, name, served), http.headers)
        described = anthropic_model if protocol == "messages" else openai_model
        return JSONResponse(described(found), headers=id_headers(protocol, http.headers))

    async def _count_tokens(self, http: HttpRequest) -> Response:
        return await self._counted(http, "messages", {"max_tokens": 1})

    async def _input_tokens(self, http: HttpRequest) -> Response:
        return await self._counted(http, "responses", {}, object="response.input_tokens")

    async def _counted(self, http: HttpRequest, protocol: Protocol, lacking: Json, **stated: str) -> Response:
        """The tokens of a request that is not run; ``lacking`` is what such a one may leave out."""
        try:
            request = self._request(protocol, {**lacking, **await _body(http)}, http.headers)
            model = self._model(protocol, request.model)
            tokens = await self._count(request, self._counter(model.tokenizer))
        except WireError as error:
            return refusal(protocol, error, http.headers)
        return JSONResponse({**stated, "input_tokens": tokens}, headers=id_headers(protocol, http.headers))

    async def _reply(self, http: HttpRequest, protocol: Protocol) -> Response:
        try:
            body = await _body(http)
            request = self._request(protocol, body, http.headers)
            model = self._model(protocol, request.model)
        except WireError as error:
            return refusal(protocol, error, http.headers)
        codec = ResponsesCodec(responses.settings_of(body)) if protocol == "responses" else CODECS[protocol]
        admitted = await self._admitted(http, request, model, codec)
        if not isinstance(admitted, Call):
            return admitted
        return await self._faulty.answer(http, admitted, lambda: self._answer(http, admitted))

    async def _row(self, protocol: Protocol, body: Mapping[str, Any]) -> Json:
        """The reply to one request of a batch, whose tokens count for no limit of the minute."""
        request = self._request(protocol, dict(body), {})
        codec = ResponsesCodec(responses.settings_of(body)) if protocol == "responses" else CODECS[protocol]
        call = await self._checked(request, self._model(protocol, request.model), codec)
        return await Generation(call, lambda produced: None).whole(self._engine, int(self._clock()))

    async def _compact(self, http: HttpRequest) -> Response:
        """A summary is an answer like any other: counted, limited and ended when nobody waits for it."""
        try:
            request = self._read("responses", await _body(http))
            model = self._model("responses", request.model)
        except WireError as error:
            return refusal("responses", error, http.headers)
        asked = await asyncio.to_thread(responses.summary_request, request)
        call = await self._admitted(http, asked, model, CODECS["responses"])
        if not isinstance(call, Call):
            return call
        summary = await unless_gone(http, lambda: self._generation(call).answer(self._engine))
        if summary is None:
            return Response(status_code=499)
        return JSONResponse(
            responses.compacted(request, summary, int(self._clock())), headers=self._headers(http, call)
        )

    async def _admitted(self, http: HttpRequest, request: Request, model: Model, codec: Codec) -> Call | Response:
        """The call that a request becomes when it fits and there is room for it this minute, or its refusal."""
        protocol, buckets, limited = model.protocol, self._buckets[model.protocol, model.id], dict[str, str]()
        try:
            call = await self._checked(request, model, codec)
            short = buckets.take(rules.needs(call.request, protocol, call.input_tokens))
            if short is not None:
                limited = rules.retry_headers(protocol, short)
                raise rules.rate_limited(protocol, model, short)
        except WireError as error:
            return refusal(protocol, error, http.headers, self._rate_headers(protocol, buckets) | limited)
        return call

    async def _checked(self, request: Request, model: Model, codec: Codec) -> Call:
        counter = self._counter(model.tokenizer)
        tokens = await self._count(request, counter)
        room = rules.input_room(request, model)
        if tokens > room and request.extras.body.get("truncation") == "auto":
            request = await asyncio.to_thread(responses.shortened, request, room, counter)
            tokens = await self._count(request, counter)
        return Call(rules.fitted(request, model, tokens), model, codec, counter, tokens, self._terms.count)

    async def _summarised(self, http: HttpRequest, call: Call) -> Response:
        """The answer to a Messages request for a compaction: the block alone, streamed or not."""
        asked = await asyncio.to_thread(compaction.summary_call, call)
        summary = await unless_gone(http, lambda: self._generation(asked).answer(self._engine))
        if summary is None:
            return Response(status_code=499)
        answer, headers, created = compaction.as_block(summary), self._headers(http, call), int(self._clock())
        if not call.request.stream:
            return JSONResponse(call.codec.encode_answer(answer, created), headers=headers)
        encoder = call.codec.encoder(answer.id, answer.model, created)
        block = encoder.compacted(answer.compaction) if answer.compaction is not None else b""
        body = encoder.start(Usage(input_tokens=call.input_tokens)) + block + encoder.finish(answer)
        return Response(body, headers=headers, media_type="text/event-stream")

    async def _answer(self, http: HttpRequest, call: Call) -> Response:
        if compaction.is_on_demand(call):
            return await self._summarised(http, call)
        generation, created, headers = self._generation(call), int(self._clock()), self._headers(http, call)
        if call.request.stream:
            events = generation.stream(self._engine, created, self._keep_alive)
            return Events(events, headers=headers, media_type="text/event-stream")
        body = await unless_gone(http, lambda: generation.whole(self._engine, created))
        return JSONResponse(body, headers=headers) if body is not None else Response(status_code=499)

    def _generation(self, call: Call) -> Generation:
        buckets = self._buckets[call.model.protocol, call.model.id]

        def charge(produced: int) -> None:
            for unit, amount in rules.owed(call.model.protocol, produced).items():
                buckets.charge(unit, amount)

        return Generation(call, charge)

    async def _count(self, request: Request, counter: Counter) -> int:
        return await asyncio.to_thread(self._terms.count, request, counter)

    def _request(self, protocol: Protocol, body: Json, headers: Mapping[str, str]) -> Request:
        request = self._read(protocol, body)
        return compaction.checked(request, headers) if protocol == "messages" else request

    def _read(self, protocol: Protocol, body: Json) -> Request:
        """The request in a body; what the engine reads of it beyond the protocol is with the extras."""
        own = {name: body[name] for name in self._terms.fields & body.keys()}
        known = {name: value for name, value in body.items() if name not in own}
        reads = responses.read_request if protocol == "responses" else CODECS[protocol].decode_request
        request = reads(known)
        return replace(request, extras=replace(request.extras, body={**request.extras.body, **own}))

    def _model(self, protocol: Protocol, name: str) -> Model:
        model = self._models.get((protocol, name))
        if model is None:
            raise rules.unknown_model(protocol, name, (id for spoken, id in self._models if spoken == protocol))
        return model

    def _headers(self, http: HttpRequest, call: Call) -> dict[str, str]:
        protocol = call.model.protocol
        limits = self._rate_headers(protocol, self._buckets[protocol, call.model.id])
        ignored = responses.ignored_headers(call.request, self._terms.fields) if protocol == "responses" else {}
        return limits | ignored | id_headers(protocol, http.headers)

    def _rate_headers(self, protocol: Protocol, buckets: Buckets) -> dict[str, str]:
        if protocol == "messages":
            return anthropic_headers(buckets.states(), self._clock())
        return openai_headers(buckets.states())


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
    return refusal(protocol_of(http.url.path, http.headers), error, http.headers)
