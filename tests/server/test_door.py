"""Who may come in, and where: loopback only unless named otherwise, one server to a port, so many calls at a time."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx2
import pytest

from tests.patience import PATIENCE
from tokmagic.codecs.failures import failure
from tokmagic.core.errors import ConfigurationError, Overloaded
from tokmagic.server import EmbeddedServer, start_server
from tokmagic.server.door import Door, Names
from tokmagic.tokenizers import counter

EVERYWHERE = "0.0.0.0"  # noqa: S104 - for a moment, behind a token
BODY = {"max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}], "stream": True}


@contextmanager
def answering(server: EmbeddedServer, path: str, model: str) -> Iterator[httpx2.Response]:
    """An answer that has begun and is not read."""
    with (
        httpx2.Client(timeout=PATIENCE) as client,
        client.stream("POST", server.url + path, json={**BODY, "model": model}, headers=key(server)) as reply,
    ):
        chunks = reply.iter_raw()
        next(chunks)
        yield reply


def key(server: EmbeddedServer) -> dict[str, str]:
    return {"x-api-key": server.token}


@pytest.mark.parametrize("host", [EVERYWHERE, "::", "192.0.2.7", "example.org"])
def test_a_host_that_others_can_reach_needs_a_token(host: str) -> None:
    with pytest.raises(ConfigurationError, match="--token") as refused:
        Door(host)
    assert "\n" not in str(refused.value)
    assert Door(host, token="long enough").key() == "long enough"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost", "::1"])
def test_a_loopback_host_gets_a_token_made_anew(host: str) -> None:
    door = Door(host)
    assert len(door.key()) > 24
    assert door.key() != door.key()


@pytest.mark.parametrize("token", ["short", "grün und lang", "two\nlines of it"])
def test_a_token_that_no_header_carries_or_that_is_too_short_is_refused(token: str) -> None:
    with pytest.raises(ConfigurationError, match="8 or more printable") as refused:
        Door(token=token)
    assert token not in str(refused.value)


def test_a_token_of_ones_own_opens_the_door_and_does_not_show() -> None:
    door = Door(token="chosen-token-1")
    assert "chosen" not in repr(door)
    with start_server([], counter, door=door) as server:
        assert server.token == "chosen-token-1"
        assert httpx2.get(f"{server.url}/v1/models", headers=key(server), timeout=PATIENCE).status_code == 200


def test_a_port_in_use_is_said_in_one_line() -> None:
    with start_server([], counter) as server, pytest.raises(ConfigurationError, match="in use") as refused:
        start_server([], counter, door=Door(port=int(server.url.rpartition(":")[2])))
    assert "\n" not in str(refused.value)
    with pytest.raises(ConfigurationError, match="65,535"):
        Door(port=99_999)


def test_a_port_is_free_again_as_soon_as_its_server_is_closed(limited_claude: Any) -> None:
    with start_server([limited_claude()], counter) as first, answering(first, "/v1/messages", "claude"):
        port = int(first.url.rpartition(":")[2])
    with start_server([], counter, door=Door(port=port)) as second:
        assert second.url == first.url


@pytest.mark.parametrize(
    ("host", "own", "foreign"),
    [
        ("127.0.0.1", ["127.0.0.1:80", "LOCALHOST:80"], ["127.0.0.1:81", "192.0.2.7:80", "evil.example:80"]),
        ("::1", ["[::1]:80", "localhost:80"], ["[::2]:80", "evil.example:80", ""]),
        (EVERYWHERE, ["192.0.2.7:80", f"{socket.gethostname()}:80"], ["evil.example:80", "192.0.2.7:81", "192.0.2.7"]),
        ("box.example", ["box.example:80"], ["localhost:80", "192.0.2.7:80", "evil.box.example:80"]),
    ],
)  # fmt: skip
def test_a_server_answers_to_its_own_names_only(host: str, own: list[str], foreign: list[str]) -> None:
    names = Names(host, 80)
    assert [authority for authority in own if not names.own(authority)] == []
    assert [authority for authority in foreign if names.own(authority)] == []


def test_the_address_that_is_told_works_on_this_machine() -> None:
    assert Names(EVERYWHERE, 80).url == "http://127.0.0.1:80"
    assert Names("::", 80).url == Names("::1", 80).url == "http://[::1]:80"
    with start_server([], counter, door=Door(EVERYWHERE, token="long enough")) as server:
        assert httpx2.get(f"{server.url}/v1/models", headers=key(server), timeout=PATIENCE).status_code == 200
        foreign = {**key(server), "host": "evil.example:80"}
        assert httpx2.get(f"{server.url}/v1/models", headers=foreign, timeout=PATIENCE).status_code == 403


@pytest.mark.parametrize(
    ("path", "model", "status"), [("/v1/messages", "claude", 529), ("/v1/chat/completions", "chat", 503)]
)
def test_beyond_so_many_requests_at_a_time_it_says_that_it_is_overloaded(
    path: str, model: str, status: int, endless: Any, limited_claude: Any, limited_chat: Any
) -> None:
    models = [limited_claude(), limited_chat()]
    with start_server(models, counter, engine=endless, door=Door(max_running=2)) as server:
        with answering(server, path, model), answering(server, path, model):
            body = {**BODY, "model": model}
            refused = httpx2.post(server.url + path, json=body, headers=key(server), timeout=PATIENCE)
            assert refused.status_code == status
            assert type(failure(status, refused.content, refused.headers)) is Overloaded
        assert endless.ended.wait(PATIENCE)
        listed = httpx2.get(f"{server.url}/v1/models", headers=key(server), timeout=PATIENCE)
    assert listed.status_code == 200


def test_more_connections_than_twice_that_are_closed_unread() -> None:
    with start_server([], counter, door=Door(max_running=2)) as server, ExitStack() as stack:
        place = ("127.0.0.1", int(server.url.rpartition(":")[2]))
        kept = [stack.enter_context(socket.create_connection(place)) for _ in range(4)]
        beyond = stack.enter_context(socket.create_connection(place))
        assert beyond.recv(1) == b""
        kept[0].sendall(b"GET /v1/models HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
        assert kept[0].recv(12) == b"HTTP/1.1 403"
