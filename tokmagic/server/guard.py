"""The door of the embedded server: who may come in, before anything is read.

Any web page the user visits can send requests to a loopback port, and a name it controls can be made to point there. So
the address must be our own, no foreign page may have sent the request, and the token must be right; only then the body
is read, as JSON, up to a size, and only so many requests at a time. There are no CORS headers.
"""

from __future__ import annotations

from hmac import compare_digest

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tokmagic.codecs import WireError

from .door import MAX_BODY, MAX_RUNNING, Names
from .refusals import protocol_of, refusal

#: Routes that take another content type than JSON.
FORMS = {"/v1/files": "multipart/form-data"}


class Guard:
    """ASGI middleware that lets in what carries ``token`` and is addressed to one of the server's own ``names``."""

    def __init__(
        self, app: ASGIApp, *, token: str, names: Names, max_body: int = MAX_BODY, max_running: int = MAX_RUNNING
    ) -> None:
        self._app = app
        self._token = token.encode()
        self._names = names
        self._max_body = max_body
        self._max_running = max_running
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass the request on."""
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        kind = FORMS.get(scope["path"], "application/json") if scope["method"] == "POST" else ""
        error = self._refusal(kind, headers) or self._crowded(scope["path"], headers)
        if error is not None:
            await refusal(protocol_of(scope["path"], headers), error, headers)(scope, receive, send)
            return
        self._running += 1
        try:
            await self._app(scope, self._bounded(receive), send)
        finally:
            self._running -= 1

    def _refusal(self, kind: str, headers: Headers) -> WireError | None:
        origin = headers.get("origin")
        strange = origin and not self._names.own(origin.removeprefix("http://"))
        if strange or not self._names.own(headers.get("host", "")):
            return WireError(403, "permission_error", "This server answers only to its own address.")
        if not self._knows(headers):
            message = "The API key is wrong; use the token of this server."
            return WireError(401, "authentication_error", message, code="invalid_api_key")
        if kind and headers.get("content-type", "").partition(";")[0].strip().lower() != kind:
            return WireError(415, "invalid_request_error", f"The content type must be {kind}.")
        length = headers.get("content-length", "0")
        return self._too_large() if not length.isdecimal() or int(length) > self._max_body else None

    def _knows(self, headers: Headers) -> bool:
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        offered = [headers.get("x-api-key", ""), bearer.strip() if scheme.lower() == "bearer" else ""]
        matches = [compare_digest(key.encode(), self._token) for key in offered]
        return any(matches)

    def _crowded(self, path: str, headers: Headers) -> WireError | None:
        if self._running < self._max_running:
            return None
        message = f"The server is overloaded: it answers {self._max_running:,} requests at a time. Try again later."
        if protocol_of(path, headers) == "messages":
            return WireError(529, "overloaded_error", message)
        return WireError(503, "server_error", message, code="server_overloaded")

    def _too_large(self) -> WireError:
        return WireError(413, "request_too_large", f"The request is larger than {self._max_body:,} bytes.")

    def _bounded(self, receive: Receive) -> Receive:
        received = 0

        async def bounded() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_body:
                raise HTTPException(413, self._too_large().message)
            return message

        return bounded
