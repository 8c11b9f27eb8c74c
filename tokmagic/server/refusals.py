"""How the server says no: a status, a body in the family's own shape, and an id to name the request by."""

from __future__ import annotations

from collections.abc import Mapping
from secrets import token_hex

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response

from tokmagic.codecs import WireError
from tokmagic.codecs.registry import CODECS
from tokmagic.core.models import Protocol


def refusal(protocol: Protocol, error: WireError, headers: Mapping[str, str] | None = None) -> Response:
    """The reply that refuses a request in the words of a protocol, with more headers if there are any."""
    named = id_headers(protocol)
    body = CODECS[protocol].encode_error(error, next(iter(named.values())))
    return JSONResponse(body, error.status, {**(headers or {}), **named})


def id_headers(protocol: Protocol) -> dict[str, str]:
    """A new id for a request, under the header in which each family names it."""
    return {"request-id" if protocol == "messages" else "x-request-id": f"req_{token_hex(12)}"}


def protocol_of(path: str, headers: Headers) -> Protocol:
    """Whose words an error is told in: Anthropic's on its routes and to its clients, else OpenAI's."""
    anthropic = path.startswith("/v1/messages") or "anthropic-version" in headers
    return "messages" if anthropic else "chat"
