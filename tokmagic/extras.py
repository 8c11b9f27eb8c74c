"""What a caller may add to the HTTP request by hand: nothing that the plan of its call rests on, and no key.

A call is held at the most that its plan can cost. So a field that changes the model, the input, the answer's bound or
the tariff is an option or is refused, never an extra. Headers of beta features (``anthropic-beta``) go through: what
costs more under one has to be asked for in such a field, too, or is in the model's prices. Keys come from the
environment, a ``.env`` file or the keyring, so that none stands in a notebook.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tokmagic.core.errors import ConfigurationError
from tokmagic.core.redaction import redact

#: Fields of a request's body that its plan rests on. Set past the plan, they would let a call cost more than its hold.
PLANNED = frozenset(
    {
        *("model", "messages", "system", "max_tokens", "max_completion_tokens", "n", "best_of", "stream"),
        *("stream_options", "tools", "functions", "mcp_servers", "web_search_options", "prediction"),
        *("context_management", "service_tier", "speed", "inference_geo", "max_output_tokens", "input", "instructions"),
        *("previous_response_id", "conversation", "background", "prompt", "container", "fallbacks", "compaction"),
        *("audio", "modalities", "image", "background_options", "thread"),
        *("models", "route", "plugins", "preset", "search_parameters"),
    }
)
#: Headers that carry a key, and headers that the SDK sets and reading the reply rests on; in lower case.
KEYS = frozenset({"authorization", "proxy-authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie"})
WIRE = frozenset(
    {
        *("host", "connection", "content-length", "content-type", "content-encoding", "transfer-encoding", "expect"),
        *("accept", "accept-encoding", "anthropic-version"),
    }
)
#: The header that says of requests that they are the same one, in lower case.
ONCE = "idempotency-key"
#: Names under which a key is put into a query, or is taken for an option; in lower case.
KEY_NAMES = frozenset({"key", "api_key", "api-key", "apikey", "token", "auth_token", "access_token", "azure_ad_token"})
NO_KEYS = "a key comes from the environment, a .env file or the keyring, never from a notebook"


def check_extras(headers: Mapping[str, str], query: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    """Refuse what cannot be sent, what the plan rests on, and keys.

    Raises:
        ConfigurationError: naming it and the way out.
    """
    for name, value in headers.items():
        _check_header(name, value)
    if planned := sorted(PLANNED.intersection(body)):
        raise ConfigurationError(
            f"extra_body cannot set {', '.join(planned)}: the budget of the call rests on it. Use the options instead."
        )
    for place, fields in (("extra_body", body), ("extra_query", query)):
        _check_json(place, dict(fields))
        for name, value in fields.items():
            if (place == "extra_query" and name.lower() in KEY_NAMES) or _looks_like_a_key(value):
                raise ConfigurationError(f"{place}: {name} looks like a key: {NO_KEYS}.")


def check_server_tools(tools: Sequence[Mapping[str, Any]]) -> None:
    """Refuse what describes no tool of a service.

    Raises:
        ConfigurationError: saying what would do.
    """
    known = isinstance(tools, Sequence) and all(isinstance(tool, Mapping) and tool.get("type") for tool in tools)
    if isinstance(tools, str) or not known:
        raise ConfigurationError(
            'server_tools is a list of tools in the service\'s own words, such as [{"type": "web_search"}].'
        )
    _check_json("server_tools", [dict(tool) for tool in tools])


def _check_header(name: str, value: object) -> None:
    if not isinstance(value, str) or not f"{name}{value}".isascii() or not f"{name}{value}".isprintable():
        raise ConfigurationError(f"extra_headers: {name!r} is no header of printable ASCII text.")
    if name.lower() in KEYS or _looks_like_a_key(value):
        raise ConfigurationError(f"extra_headers: {name} carries a key: {NO_KEYS}.")
    if name.lower() in WIRE:
        raise ConfigurationError(f"extra_headers cannot set {name}: reading the reply rests on it.")
    if name.lower() == ONCE:
        raise ConfigurationError(
            f"extra_headers cannot set {name}: it would name every attempt and turn of a call as one. Leave it out."
        )


def _check_json(place: str, value: object) -> None:
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"{place} holds something that no JSON can carry: {error}.") from None


def _looks_like_a_key(value: object) -> bool:
    return isinstance(value, str) and redact(value) != value
