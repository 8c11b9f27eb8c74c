"""What went wrong with a service, as one typed line in its name: the key never shown, and where to look named.

A refusal keeps the service's own words. What they leave out is added: which variable holds a key that was refused, and
which address a page or a route that does not exist came from.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tokmagic.codecs import Codec
from tokmagic.codecs.failures import PAGE, one_line, page_of
from tokmagic.core.errors import AuthenticationFailed, ConnectionFailed, MalformedReply, ProviderError, StreamBroken
from tokmagic.core.models import Service
from tokmagic.core.redaction import Secret, Token, redact

_OF_A_MODEL = re.compile(r"model|deployment", re.I)


@dataclass(frozen=True, slots=True)
class Failing:
    """How failures of one service are told.

    Attributes:
        service: that failed.
        key: must not show in a message.
        address: where it was reached.
    """

    service: Service
    key: Secret
    address: str

    def refused(self, codec: Codec, error: Any) -> ProviderError:
        """An SDK's error for a status that is no success."""
        response = error.response
        body = redact(response.text, (self.key,))
        return self.named(codec.decode_error(error.status_code, body, response.headers))

    def named(self, error: ProviderError) -> ProviderError:
        """The codec's error in this service's name, without the codec's frames: their variables hold the reply."""
        said = str(error.args[0])
        error.provider = self.service.name
        error.args = (redact(f"{self.service.name}: {said}{self._way_out(error, said)}", (self.key,)),)
        return error.with_traceback(None)

    def nonsense(self, text: str) -> ProviderError:
        """A success whose body, which begins so, is no reply."""
        page = page_of(text)
        said = one_line(page) if page else f"something that is no reply: {self._shown(text)[:80]!r}"
        return self.named(MalformedReply(said))

    def lost(self, error: Exception, began: bool) -> ProviderError:
        """A connection that failed; ``began`` says whether the reply had begun."""
        name, cause = self.service.name, error.__cause__ or error
        what = self._shown(str(cause) or type(cause).__name__)
        if began:
            return StreamBroken(f"{name}: the connection was lost in the reply ({what}).", provider=name)
        if never_connected(cause):
            return ConnectionFailed(f"{name}: no connection ({what}). Is {self.address} reachable?", provider=name)
        return StreamBroken(f"{name}: the connection was lost before a reply ({what}).", provider=name)

    def inside(self, error: Exception) -> ProviderError:
        """Whatever else an SDK raises."""
        what = self._shown(f"{type(error).__name__}: {error}")
        return StreamBroken(f"{self.service.name}: the call failed in its SDK ({what}).", provider=self.service.name)

    def _way_out(self, error: ProviderError, said: str) -> str:
        stop = "" if said.endswith((".", "!", "?")) else "."
        if said.startswith(PAGE) or (error.status == 404 and not _OF_A_MODEL.search(f"{error.code} {said}")):
            return f"{stop} Is {self.address} the right address, or does a proxy answer for it?"
        variable = self.service.token_variable if isinstance(self.key, Token) else self.service.key_variable
        if isinstance(error, AuthenticationFailed) and variable:
            return f"{stop} Check the key in {variable}."
        return ""

    def _shown(self, text: str) -> str:
        return one_line(redact(text, (self.key,)))


def request_id(headers: Mapping[str, str]) -> str | None:
    """The service's id of the request, as either family names it."""
    return headers.get("request-id") or headers.get("x-request-id")


def never_connected(cause: BaseException) -> bool:
    """Whether the failure came before a byte of the request could be sent."""
    import httpx2

    return isinstance(
        cause,
        httpx2.ConnectError
        | httpx2.ConnectTimeout
        | httpx2.PoolTimeout
        | httpx2.ProxyError
        | httpx2.UnsupportedProtocol,
    )
