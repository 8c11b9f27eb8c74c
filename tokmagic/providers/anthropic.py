"""Claude, and whatever speaks the Messages protocol, through the anthropic SDK."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from typing import Any

from tokmagic.codecs.registry import CODECS
from tokmagic.core.events import StreamEvent
from tokmagic.core.messages import Request
from tokmagic.core.models import Service
from tokmagic.core.redaction import Secret

from .transport import IDLE_SECONDS, Transport

#: Fields the SDK demands as arguments; the rest of the body goes through untouched.
NAMED = ("model", "max_tokens", "messages", "stream")


class AnthropicProvider:
    """One Messages service with one key."""

    def __init__(self, service: Service, key: Secret, timeout: float) -> None:
        import anthropic

        self._client = anthropic.AsyncAnthropic(
            api_key=key.reveal(),
            base_url=service.base_url or None,
            max_retries=0,
            timeout=anthropic.Timeout(timeout, connect=10.0, read=min(timeout, IDLE_SECONDS)),
        )
        self._transport = Transport(
            name=service.name,
            codec=CODECS["messages"],
            secrets=(key,),
            status_error=anthropic.APIStatusError,
            connection_error=anthropic.APIConnectionError,
            send=self._send,
            way_out=f"Is {self._client.base_url} reachable from here?",
        )

    def stream(self, request: Request) -> AsyncGenerator[StreamEvent]:
        """Send the request once; see ``Provider.stream``."""
        return self._transport.stream(request)

    def _send(self, request: Request, body: dict[str, Any]) -> AbstractAsyncContextManager[Any]:
        named: Any = {field: body.pop(field) for field in NAMED if field in body}
        return self._client.messages.with_streaming_response.create(
            **named,
            extra_body={**body, **request.extras.body} or None,
            extra_headers=dict(request.extras.headers) or None,
            extra_query=dict(request.extras.query) or None,
        )

    async def aclose(self) -> None:
        """Close its connections."""
        await self._client.close()
