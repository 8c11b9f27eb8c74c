"""Claude, and whatever speaks the Messages protocol, through the anthropic SDK."""

from __future__ import annotations

from tokmagic.codecs.registry import CODECS
from tokmagic.core.models import Service
from tokmagic.core.redaction import Secret

from .batches import MessageBatches
from .transport import CONNECT_SECONDS, IDLE_SECONDS, Transport, loopback_client


def anthropic_provider(service: Service, key: Secret, timeout: float) -> Transport:
    """A Messages service with one key; ``timeout`` in seconds bounds the wait for a byte."""
    import anthropic

    client = anthropic.AsyncAnthropic(
        api_key=key.reveal(),
        base_url=service.base_url or None,
        max_retries=0,
        timeout=anthropic.Timeout(timeout, connect=CONNECT_SECONDS, read=min(timeout, IDLE_SECONDS)),
        http_client=loopback_client() if service.embedded else anthropic.DefaultAsyncHttpxClient(),
    )
    return Transport(
        service=service,
        codec=CODECS["messages"],
        key=key,
        client=client,
        create=client.messages.with_streaming_response.create,
        arguments=("model", "max_tokens", "messages", "stream"),
        status_error=anthropic.APIStatusError,
        connection_error=anthropic.APIConnectionError,
        count=client.messages.count_tokens,
        batch=lambda transport: MessageBatches(transport, client),
    )
