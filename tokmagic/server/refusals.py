"""How the server says no: a status, a body in the family's own shape, and an id to name the request by."""

from __future__ import annotations

import re
from collections.abc import Mapping
from secrets import token_hex

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response

from tokmagic.codecs import WireError
from tokmagic.codecs.registry import CODECS
from tokmagic.core.models import Protocol

#: The ids that a client may give its request.
_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)


def refusal(protocol: Protocol, error: WireError, asked: Headers, headers: Mapping[str, str] | None = None) -> Response:
    """The reply that refuses a request, which had the headers ``asked``, in the words of a protocol."""
    named = id_headers(protocol, asked)
    body = CODECS[protocol].encode_error(error, next(iter(named.values())))
    return JSONResponse(body, error.status, {**(headers or {}), **named})


def id_headers(protocol: Protocol, asked: Headers) -> dict[str, str]:
    """The id that a request brought, or a new one, under the header in which each family names it."""
    given = asked.get("x-client-request-id") or asked.get("x-request-id") or ""
    id = given if _ID.fullmatch(given) else f"req_{token_hex(12)}"
    return {"request-id" if protocol == "messages" else "x-request-id": id}


def protocol_of(path: str, headers: Headers) -> Protocol:
    """Whose words an error is told in: Anthropic's on its routes and to its clients, else OpenAI's."""
    anthropic = path.startswith("/v1/messages") or "anthropic-version" in headers
    return "messages" if anthropic else "chat"
