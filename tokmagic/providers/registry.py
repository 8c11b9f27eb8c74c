"""Which services there are, and what speaks to each. A compatible service is data: a table in ``compatible.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import Any

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

ANTHROPIC = Service(
    "anthropic",
    "messages",
    key_variable="ANTHROPIC_API_KEY",
    key_prefixes=("sk-ant-",),
    url_variable="ANTHROPIC_BASE_URL",
)
#: What a table may set: text, yes or no, and tables of names.
FIELDS: Mapping[str, type] = {
    **dict.fromkeys(("protocol", "key_variable", "token_variable", "base_url", "models", "catalogue"), str),
    **dict.fromkeys(("limit_field", "api_version"), str),
    **dict.fromkeys(("open", "usage_option", "azure"), bool),
    "deployments": dict,
}


@cache
def services() -> Mapping[str, Service]:
    """Every service by name, in the order in which a default is looked for."""
    tables = tomllib.loads(files(__package__).joinpath("compatible.toml").read_text("utf-8"))
    return {ANTHROPIC.name: ANTHROPIC, **{name: _service(name, table) for name, table in tables.items()}}


def with_tables(tables: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Service]:
    """The services with a user's own tables: each adds to the service of its name, or is one itself.

    Raises:
        ValueError: a field that is not known or of the wrong kind, or a new service without an address.
    """
    known = dict(services())
    for name, table in tables.items():
        if name == "demo" or "/" in name:
            raise ValueError("demo and names with a slash are taken")
        _check(table)
        if name in known:
            known[name] = replace(known[name], **table)
        elif table.get("base_url"):
            known[name] = _service(name, {"open": True, **table})
        else:
            raise ValueError(f"a service that is not one of {', '.join(known)} needs its base_url")
    return known


def owner_of(key: Secret) -> Service | None:
    """The service whose mark the key bears, or None where it bears none."""
    value = key.reveal()
    return next((service for mark, service in _marks() if value.startswith(mark)), None)


@cache
def _marks() -> tuple[tuple[str, Service], ...]:
    return tuple((mark, service) for service in services().values() for mark in service.key_prefixes)


def _service(name: str, table: Mapping[str, Any]) -> Service:
    marks = tuple(table.get("key_prefixes", ()))
    return Service(**{"name": name, "protocol": "chat", **table, "key_prefixes": marks})


def _check(table: Mapping[str, Any]) -> None:
    for field, value in table.items():
        if field not in FIELDS:
            raise ValueError(f"unknown field {field!r}; the known ones are {', '.join(FIELDS)}")
        if not isinstance(value, FIELDS[field]):
            raise ValueError(f"{field} = {value!r} is no {FIELDS[field].__name__}")
    if table.get("protocol", "chat") not in PROVIDERS:
        raise ValueError(f"protocol is one of {', '.join(PROVIDERS)}, not {table['protocol']!r}")
    if not all(isinstance(model, str) for model in table.get("deployments", {}).values()):
        raise ValueError('deployments has lines such as my-name = "gpt-4o"')
