"""Faults at work: an answer made late, refused, broken off, stalled or garbled as its plan says.

A fault acts on the answer as it goes out, behind everything that made it: the request was checked and charged as ever.
Only an answer that would have succeeded can be spoilt.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import cast

from starlette.datastructures import MutableHeaders
from starlette.requests import Request as HttpRequest
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from tokmagic.codecs import StreamEncoder, WireError
from tokmagic.codecs.responses_writer import ResponsesEncoder
from tokmagic.codecs.wire import compact_json
from tokmagic.core.models import Protocol

from .calls import Call
from .faults import Fault, FaultPlan, Faults, Kind
from .refusals import refusal

PAGE = "<!doctype html>\n<html><head><title>Welcome</title></head><body>Please sign in to the network.</body></html>\n"
_BEFORE: Sequence[Kind] = ("latency", "refuse", "html")
_END = b"\n\n"
#: What the families call a refusal of a status: the type and the code.
_KINDS: Mapping[str, Mapping[int, tuple[str, str | None]]] = {
    "messages": {
        400: ("invalid_request_error", None),
        401: ("authentication_error", None),
        403: ("permission_error", None),
        404: ("not_found_error", None),
        429: ("rate_limit_error", None),
        500: ("api_error", None),
        529: ("overloaded_error", None),
    },
    "chat": {
        400: ("invalid_request_error", None),
        401: ("invalid_request_error", "invalid_api_key"),
        404: ("invalid_request_error", "model_not_found"),
        429: ("requests", "rate_limit_exceeded"),
        500: ("server_error", None),
        503: ("server_error", "server_overloaded"),
        529: ("server_error", "server_overloaded"),
    },
}


class Events(StreamingResponse):
    """A stream whose source is closed in the moment in which the client goes, wherever it stands."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        async with aclosing(cast("AsyncGenerator[bytes]", self.body_iterator)):
            await super().__call__(scope, receive, send)


class Cut(Exception):
    """The connection is closed in mid-answer, as planned."""


class Faulty:
    """Answers as a plan says; ``sleep`` pauses for so many seconds."""

    def __init__(self, plan: FaultPlan, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._faults = Faults(plan)
        self._sleep = sleep

    async def answer(self, http: HttpRequest, call: Call, answer: Callable[[], Awaitable[Response]]) -> Response:
        """The answer to a call, with the faults that it meets."""
        model = call.model
        met = {fault.kind: fault for fault in reversed(self._faults.of(http.url.path, model.id))}
        if late := met.get("latency"):
            await self._sleep(late.seconds)
        if refused := met.get("refuse"):
            return refusal(model.protocol, _refused(model.protocol, refused), http.headers, _retry_after(refused))
        if "html" in met:
            return Response(PAGE, media_type="text/html")
        response = await answer()
        for kind, fault in sorted(met.items(), key=_garbles):
            if kind not in _BEFORE and response.status_code == 200:
                response = self._spoilt(response, fault, call)
        return response

    def _spoilt(self, response: Response, fault: Fault, call: Call) -> Response:
        if isinstance(response, StreamingResponse):
            events = _single(cast("AsyncGenerator[bytes]", response.body_iterator))
            changed = _unstated(events) if fault.kind == "unstated" else self._broken(events, fault, call)
        else:
            body = bytes(response.body)
            events = _once(_without_usage(body)) if fault.kind == "unstated" else _halves(body)
            changed = events if fault.kind == "unstated" else self._broken(events, _in_the_middle(fault), call)
        headers = MutableHeaders(raw=list(response.raw_headers))
        del headers["content-length"]
        return Events(changed, headers=headers, media_type=response.media_type)

    async def _broken(self, events: AsyncGenerator[bytes], fault: Fault, call: Call) -> AsyncGenerator[bytes]:
        """The events up to where the fault acts, and what it does there."""
        sent: list[bytes] = []
        async with aclosing(events):
            async for event in events:
                if len(sent) != fault.after:
                    yield event
                elif fault.kind == "malformed":
                    yield _garbled(event)
                else:
                    async with aclosing(self._ending(fault, _encoder_behind(b"".join(sent), call))) as ending:
                        async for piece in ending:
                            yield piece
                    return
                sent.append(event)

    async def _ending(self, fault: Fault, encoder: StreamEncoder) -> AsyncGenerator[bytes]:
        match fault.kind:
            case "cut":
                raise Cut
            case "error":
                yield encoder.fail(WireError(529, "overloaded_error", "Overloaded, as planned.", code="server_error"))
            case "stall":
                await asyncio.Event().wait()
            case "drip":
                while True:
                    await self._sleep(fault.seconds)
                    yield encoder.ping()


def _garbles(met: tuple[Kind, Fault]) -> bool:
    """Whether it makes events unreadable, which it does last: an error reads the events before it."""
    return met[0] == "malformed"


def _encoder_behind(sent: bytes, call: Call) -> StreamEncoder:
    """An encoder that goes on behind what was sent; of the protocols only Responses numbers its events."""
    encoder = call.codec.encoder("", call.model.id)
    if isinstance(encoder, ResponsesEncoder):
        encoder.take_over(sent)
    return encoder


def _refused(protocol: Protocol, fault: Fault) -> WireError:
    """The refusal with a status, in the family's own words."""
    kinds = _KINDS["messages" if protocol == "messages" else "chat"]
    kind, code = kinds.get(fault.status) or kinds[400 if fault.status < 500 else 500]
    return WireError(fault.status, kind, f"Refused with {fault.status}, as planned.", code=code)


def _retry_after(fault: Fault) -> dict[str, str]:
    return {} if fault.retry_after is None else {"retry-after": f"{fault.retry_after:g}"}


def _in_the_middle(fault: Fault) -> Fault:
    """The fault for an answer in one piece, of which two halves are sent."""
    return replace(fault, after=1, kind="end" if fault.kind == "malformed" else fault.kind)


async def _single(source: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    """The events of a stream one by one."""
    async with aclosing(source):
        async for chunk in source:
            for event in chunk.split(_END)[:-1]:
                yield event + _END


async def _halves(body: bytes) -> AsyncGenerator[bytes]:
    yield body[: len(body) // 2]
    yield body[len(body) // 2 :]


async def _once(body: bytes) -> AsyncGenerator[bytes]:
    yield body


async def _unstated(events: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    async with aclosing(events):
        async for event in events:
            head, mark, data = event.partition(b"data: ")
            yield head + mark + _without_usage(data.removesuffix(_END)) + _END if data[:1] == b"{" else event


def _without_usage(data: bytes) -> bytes:
    body = json.loads(data)
    for holder in (body, body.get("message"), body.get("response")):
        if isinstance(holder, dict):
            holder.pop("usage", None)
    return compact_json(body).encode()


def _garbled(event: bytes) -> bytes:
    """The event with half of its JSON."""
    head, mark, data = event.partition(b"data: ")
    return head + mark + data[: len(data) // 2] + _END
