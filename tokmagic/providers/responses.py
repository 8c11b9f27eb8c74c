"""OpenAI, and whatever speaks Responses, through the openai SDK."""

from __future__ import annotations

from tokmagic.codecs.registry import CODECS
from tokmagic.core.models import Service
from tokmagic.core.redaction import Secret

from .batches import OpenAIBatches
from .chat import openai_client
from .transport import Transport


def responses_provider(service: Service, key: Secret, timeout: float) -> Transport:
    """A Responses service with one key; ``timeout`` in seconds bounds the wait for a byte."""
    import openai

    client = openai_client(service, key, timeout)
    return Transport(
        service=service,
        codec=CODECS["responses"],
        key=key,
        client=client,
        create=client.responses.with_streaming_response.create,
        arguments=("model", "input", "stream"),
        status_error=openai.APIStatusError,
        connection_error=openai.APIConnectionError,
        count=client.responses.input_tokens.count,
        batch=lambda transport: OpenAIBatches(transport, client, "/v1/responses"),
    )
