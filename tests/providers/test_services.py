"""Every service of the registry as its own SDK reaches it: the address, the key and the fields it is sent."""

import asyncio
import json
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from tokmagic.core.errors import ConfigurationError
from tokmagic.core.messages import Request, user
from tokmagic.core.redaction import Secret, Token
from tokmagic.providers.registry import PROVIDERS, services

from .conftest import KEY, events, scripted
from .test_transport import WHOLE

#: Where each answers behind its own address; services that name none are where their SDK says.
PATHS = {
    "anthropic": "/v1/messages",
    "openai": "/v1/responses",
    "azure": "/openai/deployments/m/chat/completions?api-version=2024-10-21",
    "deepseek": "/chat/completions",
    "google": "/v1beta/openai/chat/completions",
    "groq": "/openai/v1/chat/completions",
    "mistral": "/v1/chat/completions",
    "openrouter": "/api/v1/chat/completions",
    "ollama": "/v1/chat/completions",
    "vllm": "/v1/chat/completions",
    "lmstudio": "/v1/chat/completions",
    "transformers": "/v1/chat/completions",
}
BOUNDS = {"anthropic": "max_tokens", "openai": "max_output_tokens", "azure": "max_completion_tokens"}


def sent(service, key):
    """What one request to the service looks like where it arrives."""

    async def go():
        async with scripted(events(*WHOLE[service.protocol])) as (url, seen):
            path = urlsplit(service.base_url).path or ("/v1" if service.name == "openai" else "")
            provider = PROVIDERS[service.protocol](replace(service, base_url=url + path), key, 10.0)
            try:
                came = [event async for event in provider.stream(Request("m", (user("hello"),), 50))]
            finally:
                await provider.aclose()
            assert came[-1].answer.text == "hi"
            return seen[0]

    head, body = asyncio.run(go())
    lines = head.decode().split("\r\n")
    fields = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
    return lines[0], fields, json.loads(body)


def test_each_service_of_the_registry_is_tested_here():
    assert set(PATHS) == set(services())


@pytest.mark.parametrize("name", PATHS)
def test_a_request_has_its_services_path_key_and_fields(name):
    service = services()[name]
    first, fields, body = sent(service, Secret(KEY if service.key_variable else ""))
    assert first == f"POST {PATHS[name]} HTTP/1.1"
    assert (body["model"], body["stream"], body[BOUNDS.get(name, "max_tokens")]) == ("m", True, 50)
    assert ("stream_options" in body) is (service.protocol == "chat" and name != "mistral")
    keys = {field: fields.get(field) for field in ("authorization", "x-api-key", "api-key") if field in fields}
    if name == "azure":
        assert keys == {"api-key": KEY}
    elif service.key_variable:
        assert set(keys.values()) <= {KEY, f"bearer {KEY}"}
        assert keys
    else:
        assert keys == {"authorization": "bearer none"}


def test_a_token_of_entra_is_sent_as_a_bearer():
    _, fields, _ = sent(services()["azure"], Token("eyj0.e30.x"))
    assert fields["authorization"] == "bearer eyj0.e30.x"
    assert "api-key" not in fields


def test_azure_speaks_responses_where_its_table_says_so():
    first, _, body = sent(replace(services()["azure"], protocol="responses", api_version="preview"), Secret(KEY))
    assert first == "POST /openai/responses?api-version=preview HTTP/1.1"
    assert body["model"] == "m"


def test_a_resource_of_azure_that_nobody_named_is_refused_with_the_way_out():
    with pytest.raises(ConfigurationError, match=r"AZURE_OPENAI_ENDPOINT.*base_url") as refused:
        PROVIDERS["chat"](services()["azure"], Secret(KEY), 10.0)
    assert "\n" not in str(refused.value)
