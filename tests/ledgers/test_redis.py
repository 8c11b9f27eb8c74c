"""The book on a Redis server: its address, its secrets, its clock, and what becomes of it when connections break."""

from __future__ import annotations

import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
import redis

from tokmagic.core.book import Entry
from tokmagic.core.errors import ConfigurationError, LedgerError
from tokmagic.core.limits import MAX_AMOUNT, Account, Admitted, Limit
from tokmagic.ledgers.addresses import Address
from tokmagic.ledgers.memory import MemoryLedger
from tokmagic.ledgers.redis import PAGE, RedisLedger
from tokmagic.ledgers.registry import open_ledger, shown
from tokmagic.ledgers.servers import VERSION

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from conftest import Desk

    Start = Callable[..., subprocess.Popen[bytes]]

SECRET = "hunter2"
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()


@contextmanager
def another_server(start: Start, port: int, *options: str) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        server = start(port, folder, *options)
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait()


@pytest.fixture
def desk(memory_desk: Desk) -> Desk:
    return memory_desk


def test_an_address_is_read_from_its_url_and_shown_without_secrets() -> None:
    address = Address.parse(f"rediss://me:{SECRET}@example.org:7000/3?prefix=lab&ssl_ca_certs=ca.pem")
    assert (address.host, address.port, address.db, address.tls) == ("example.org", 7000, 3, True)
    assert (address.user, address.password, address.prefix) == ("me", SECRET, "lab")
    assert address.options == (("ssl_ca_certs", "ca.pem"),)
    assert str(address) == "rediss://example.org:7000/3"
    assert SECRET not in repr(address)
    assert str(Address.parse("redis://")) == "redis://localhost:6379/0"


@pytest.mark.parametrize("rest", ["h:port", "h/first", "h:1?prefix", "h?colour=red", f":{SECRET}@[h"])
def test_a_url_that_means_nothing_is_refused_without_repeating_it(rest: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Address.parse(f"redis://{rest}")
    assert SECRET not in str(refused.value)
    assert "use " in str(refused.value)


def test_no_trouble_shows_the_password(free_port: Callable[[], int], start_redis: Start) -> None:
    port = free_port()
    with pytest.raises(LedgerError, match=r"cannot be reached \(ConnectionError\): see that the server runs") as away:
        RedisLedger(f"redis://me:{SECRET}@127.0.0.1:{port}")
    with (
        another_server(start_redis, port, "--requirepass", "other") as where,
        pytest.raises(LedgerError, match="refuses the user or the password") as refused,
    ):
        RedisLedger(f"redis://:{SECRET}@{where}")
    for error in (away.value, refused.value):
        assert SECRET not in str(error)
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("where", "said"),
    [
        (f"rediss://me:{SECRET}@h:7/1?prefix=a", "rediss://h:7/1?prefix=a"),
        (f"REDIS://:p@/{SECRET}@h", "REDIS://h"),
        ("redis://h", "redis://h"),
        ("sqlite:////home//me@lab/book", "sqlite:////home//me@lab/book"),
        ("/home//me@lab/book", "/home//me@lab/book"),
    ],
)
def test_a_setting_is_shown_without_secrets(where: str, said: str) -> None:
    assert shown(where) == said


def test_a_url_with_a_mistake_in_its_scheme_is_no_path_and_is_not_repeated() -> None:
    with pytest.raises(ConfigurationError, match="begins with no scheme: use ") as refused:
        open_ledger(f" redis://:{SECRET}@h")
    assert SECRET not in str(refused.value)


def test_a_password_where_the_server_has_none_is_refused_and_not_shown(redis_server: str) -> None:
    with pytest.raises(LedgerError) as refused:
        RedisLedger(redis_server.replace("//", f"//me:{SECRET}@"))
    assert SECRET not in str(refused.value)


def test_a_server_that_may_forget_is_refused_with_the_way_out(free_port: Callable[[], int], start_redis: Start) -> None:
    options = ("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
    with (
        another_server(start_redis, free_port(), *options) as where,
        pytest.raises(LedgerError, match="is allkeys-lru: set it to noeviction"),
    ):
        RedisLedger(f"redis://{where}")


def test_a_server_that_comes_back_is_used_again(free_port: Callable[[], int], start_redis: Start, desk: Desk) -> None:
    port = free_port()
    with another_server(start_redis, port) as where:
        ledger = RedisLedger(f"redis://{where}", clock=desk.clock)
        entry = desk.entry(5)
        ledger.reserve(entry, [desk.account("10 usd/day")], "")
    with pytest.raises(LedgerError, match="cannot be reached"):
        ledger.sweep()
    with another_server(start_redis, port):
        assert ledger.reserve(entry, [desk.account("10 usd/day")], "") == Admitted()
        assert ledger.levels([desk.account("10 usd/day")])[0].held == 5
    ledger.close()


def test_connections_that_were_all_lost_while_idle_are_made_anew(
    free_port: Callable[[], int], start_redis: Start, desk: Desk
) -> None:
    port = free_port()
    with another_server(start_redis, port) as where:
        ledger = RedisLedger(f"redis://{where}", clock=desk.clock)
        server = ledger._server
        taken = [server._connection() for _ in range(8)]
        for connection in taken:
            connection.connect()
        server._idle += taken
    with another_server(start_redis, port):
        assert ledger.sweep() == 0
    ledger.close()


def test_an_answer_lost_on_the_way_is_asked_for_again_and_holds_once(redis_url: str, desk: Desk) -> None:
    address = Address.parse(redis_url)
    with losing_first_answers(address.port) as port:
        ledger = RedisLedger(f"redis://127.0.0.1:{port}?prefix={address.prefix}", clock=desk.clock)
        entry, day = desk.entry(5), desk.account("10 usd/day")
        assert ledger.reserve(entry, [day], entry.id) == Admitted()
        assert [(level.spent, level.held) for level in ledger.levels([day])] == [(0, 5)]
        ledger.settle(replace(entry, used=replace(entry.charge), nanousd=5, quality="exact"))
        assert [(level.spent, level.held) for level in ledger.levels([day])] == [(5, 0)]
        ledger.close()


@contextmanager
def losing_first_answers(server: int) -> Iterator[int]:
    """A way to the server that carries out each script, and loses the first answer to it with its connection."""
    seen: set[bytes] = set()

    def carry(client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", server)) as there:
            while asked := client.recv(1 << 16):
                there.sendall(asked)
                answer = there.recv(1 << 16)
                if b"EVAL" in asked and asked not in seen and not answer.startswith(b"-"):
                    seen.add(asked)
                    return
                client.sendall(answer)

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=carry, args=(client,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
    assert seen


def test_an_amount_beyond_exact_numbers_is_refused(redis_url: str) -> None:
    ledger = RedisLedger(redis_url)
    limit = Limit(MAX_AMOUNT, "nanousd", "day", "user", "refuse")
    with pytest.raises(LedgerError, match=r"can keep no such value: .* is over 9,007,199,254,740,991"):
        ledger.levels([Account(limit, "key", "u")])
    ledger.close()


def test_without_a_clock_of_its_own_a_book_goes_by_the_servers(redis_url: str, desk: Desk) -> None:
    ledger, rate = open_ledger(redis_url), desk.account("60 tokens/minute")
    with redis.Redis.from_url(redis_url.partition("?")[0]) as server:
        before, _ = server.time()
        now = time.time()
        entry = replace(desk.entry(5), at=now, lease_until=now + 60)
        assert ledger.reserve(entry, [rate], "") == Admitted()
        assert ledger.sweep() == 0
        ((_, ends),) = server.zrange("{" + Address.parse(redis_url).prefix + "}:lease", 0, -1, withscores=True)
        after, _ = server.time()
    assert before <= ends - 60 <= after + 1
    ledger.close()


def test_a_book_of_another_version_is_refused_with_both_versions(redis_url: str) -> None:
    RedisLedger(redis_url).close()
    with redis.Redis.from_url(redis_url.partition("?")[0]) as server:
        server.set("{" + Address.parse(redis_url).prefix + "}:version", VERSION + 7)
    with pytest.raises(LedgerError, match=f"has version {VERSION + 7}, and this tokmagic reads {VERSION}: use one"):
        RedisLedger(redis_url)


@pytest.mark.parametrize("session", [None, "s1", "s2"])
@pytest.mark.parametrize("most", [0, 1, 7, 650, 1000, -1])
def test_entries_of_more_minutes_than_are_read_at_once_come_as_from_any_book(
    many_minutes: tuple[RedisLedger, MemoryLedger], session: str | None, most: int
) -> None:
    for since, until in ((0.0, None), (NOON + 90, NOON + 60 * PAGE + 90), (NOON + 60 * PAGE, None), (NOON - 9, NOON)):
        first, second = (
            ledger.entries(since=since, until=until, session=session, most=most) for ledger in many_minutes
        )
        assert first == second


@pytest.fixture(scope="module")
def many_minutes(redis_server: str) -> Iterator[tuple[RedisLedger, MemoryLedger]]:
    """The same entries in a book on Redis and in one that is known: some in one minute, and one out of turn."""
    books = RedisLedger(f"{redis_server}?prefix=minutes", clock=lambda: NOON), MemoryLedger(clock=lambda: NOON)
    for number in range(PAGE + 100):
        late = -45.0 if number == PAGE else 0.0
        entry = Entry(
            f"e{number}", "c", NOON + 60 * number - number % 3 * 45 + late, "demo/claude", session=f"s{number % 4}",
            lease_until=NOON + 10**6, waited=number % 5,
        )  # fmt: skip
        for book in books:
            book.reserve(entry, [], "")
    yield books
    for book in books:
        book.close()


def test_books_with_different_prefixes_are_apart(redis_url: str, desk: Desk) -> None:
    first, second = RedisLedger(redis_url), RedisLedger(f"{redis_url}-2")
    first.reserve(desk.entry(5), [], "")
    assert len(first.entries()) == 1
    assert second.entries() == ()
    first.close()
    second.close()
