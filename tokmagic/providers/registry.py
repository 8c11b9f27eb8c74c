"""Which services there are, and what speaks to each. A compatible service is data: a table in ``compatible.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files

from tokmagic.core.models import Protocol, Service
from tokmagic.core.redaction import Secret

from . import Provider
from .anthropic import anthropic_provider
from .chat import chat_provider
from .responses import responses_provider

#: What speaks each protocol: service, key and timeout in seconds -> a provider.
PROVIDERS: Mapping[Protocol, Callable[[Service, Secret, float], Provider]] = {
    "messages": anthropic_provider,
    "responses": responses_provider,
    "chat": chat_provider,
}

ANTHROPIC = Service("anthropic", "messages", key_variable="ANTHROPIC_API_KEY")


@cache
def services() -> Mapping[str, Service]:
    """Every service by name, in the order in which a default is looked for."""
    tables = tomllib.loads(files(__package__).joinpath("compatible.toml").read_text("utf-8"))
    compatible = (Service(**{"name": name, "protocol": "chat", **table}) for name, table in tables.items())
    return {service.name: service for service in (ANTHROPIC, *compatible)}
