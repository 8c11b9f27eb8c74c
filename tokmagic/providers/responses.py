"""OpenAI, and whatever speaks Responses, through the openai SDK."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

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
        create=_sender(client.responses.with_streaming_response),
        arguments=("model", "input", "stream"),
        status_error=openai.APIStatusError,
        connection_error=openai.APIConnectionError,
        count=client.responses.input_tokens.count,
        batch=lambda transport: OpenAIBatches(transport, client, "/v1/responses"),
    )


def _sender(responses: Any) -> Callable[..., AbstractAsyncContextManager[Any]]:
    """The SDK's ``create``; for a request that asks for a compaction, its ``compact``, which takes less of a body."""

    def send(*, stream: bool, extra_body: Mapping[str, Any] | None, **arguments: Any) -> Any:
        if extra_body is None or "compaction" not in extra_body:
            return responses.create(stream=stream, extra_body=extra_body, **arguments)
        told = {"instructions": extra_body["instructions"]} if "instructions" in extra_body else {}
        return responses.compact(**told, **arguments)

    return send
