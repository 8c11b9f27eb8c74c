"""OpenAI, Azure, and whatever speaks Chat Completions, through the openai SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokmagic.codecs.chat import ChatCodec
from tokmagic.core.errors import ConfigurationError
from tokmagic.core.models import Service
from tokmagic.core.redaction import Secret, Token

from .transport import CONNECT_SECONDS, IDLE_SECONDS, Transport, loopback_client

if TYPE_CHECKING:
    import openai

#: Sent where a service asks for no key; the SDK demands one.
NO_KEY = "none"


def chat_provider(service: Service, key: Secret, timeout: float) -> Transport:
    """A Chat Completions service with one key; ``timeout`` in seconds bounds the wait for a byte."""
    import openai

    client = openai_client(service, key, timeout)
    return Transport(
        service=service,
        codec=ChatCodec(service.limit_field, service.usage_option),
        key=key,
        client=client,
        create=client.chat.completions.with_streaming_response.create,
        arguments=("model", "messages", "stream"),
        status_error=openai.APIStatusError,
        connection_error=openai.APIConnectionError,
    )


def openai_client(service: Service, key: Secret, timeout: float) -> openai.AsyncOpenAI:
    """The SDK's client of a service, which never tries again by itself.

    Raises:
        ConfigurationError: it is an Azure resource of which nobody said where it is.
    """
    import openai

    patience = openai.Timeout(timeout, connect=CONNECT_SECONDS, read=min(timeout, IDLE_SECONDS))
    http_client = loopback_client() if service.embedded else openai.DefaultAsyncHttpxClient()
    if service.azure:
        return openai.AsyncAzureOpenAI(
            azure_endpoint=_endpoint(service),
            api_version=service.api_version,
            api_key=None if isinstance(key, Token) else key.reveal(),
            azure_ad_token=key.reveal() if isinstance(key, Token) else None,
            max_retries=0,
            timeout=patience,
            http_client=http_client,
        )
    return openai.AsyncOpenAI(
        api_key=key.reveal() or NO_KEY,
        base_url=service.base_url or None,
        max_retries=0,
        timeout=patience,
        http_client=http_client,
    )


def _endpoint(service: Service) -> str:
    if not service.base_url:
        raise ConfigurationError(
            f"{service.name} is a resource of yours: set {service.url_variable} to its address, such as "
            f"https://NAME.openai.azure.com, or base_url in [services.{service.name}] of config.toml."
        )
    return service.base_url
