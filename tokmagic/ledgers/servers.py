"""The Redis server a book lies on: its address, whose password is never shown, and the scripts that run there."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tokmagic.core.errors import ConfigurationError, LedgerError

if TYPE_CHECKING:
    from redis import ConnectionPool

FORM = "redis://[user:password@]host[:port][/db][?prefix=name], or rediss:// for TLS"
#: What may be asked of TLS besides, by the names redis-py has for it.
TLS_OPTIONS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
#: The scripts, each with the parts it needs besides ``base``.
SCRIPTS = {
    "reserve": "accounts open covering queue",
    "levels": "accounts queue",
    "expect": "accounts open",
    "finish": "accounts open lessons sums",
    "learn": "accounts lessons",
    "begin": "accounts open covering",
    "lapsed": "",
    "still": "open",
    "sums_of": "",
    "spanning": "",
}
#: Of what the scripts keep and how; a book of another version is refused.
VERSION = 2
#: Seconds to wait for the server.
PATIENCE = 10.0
#: Seconds before a connection that was lost is tried again: what was sent may have been done, and does no harm twice.
PAUSES = (0.0, 0.05, 0.25)


@dataclass(frozen=True)
class Address:
    """Where a book lies. It shows as a URL without user and password."""

    host: str
    port: int
    db: int
    tls: bool
    prefix: str
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    options: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, url: str) -> Address:
        """The address a URL means.

        Raises:
            ConfigurationError: it means none. What it says is not repeated: it may hold a password.
        """
        try:
            parts = urlsplit(url)
            query = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
            port, db = parts.port or 6379, int(parts.path.strip("/") or "0")
        except ValueError:
            raise ConfigurationError(f"the URL of the ledger cannot be read: use {FORM}.") from None
        prefix = query.pop("prefix", "tokmagic")
        if unknown := sorted(query.keys() - set(TLS_OPTIONS)):
            raise ConfigurationError(
                f"the ledger's URL has no option {unknown[0]}: use prefix or {', '.join(TLS_OPTIONS)}."
            )
        user, password = (unquote(part) if part else None for part in (parts.username, parts.password))
        tls = parts.scheme.lower() == "rediss"
        return cls(parts.hostname or "localhost", port, db, tls, prefix, user, password, tuple(sorted(query.items())))

    def __str__(self) -> str:
        return f"{'rediss' if self.tls else 'redis'}://{self.host}:{self.port}/{self.db}"


class Server:
    """Connections to the server, safe from any thread and in a forked child; a lost one is made anew.

    Raises:
        ConfigurationError: the ``redis`` package is missing.
        LedgerError: from here and from every method: the server cannot be used, and nothing has happened.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._base = "{" + address.prefix + "}:"
        self._pool = _pool(address)
        self._idle: list[Any] = []
        self._process = os.getpid()
        self._closed = False
        self._refuse_forgetting()
        self._refuse_another_version()

    def run(self, script: str, *parts: bytes) -> Any:
        """Run a script of ``lua/``; what it returns, texts as bytes."""
        from redis.exceptions import NoScriptError

        source, digest = _script(script)
        try:
            return self._send("EVALSHA", digest, 1, self._base, *parts)
        except NoScriptError:
            return self._send("EVAL", source, 1, self._base, *parts)

    def call(self, command: str, key: str, *values: str | bytes | int) -> Any:
        """Run one command on a key of the book."""
        return self._send(command, self._base + key, *values)

    def close(self) -> None:
        """Let go of the connections. Closing twice is a no-op."""
        self._closed = True
        while self._idle:
            self._idle.pop().disconnect()

    def _send(self, *words: str | bytes | int) -> Any:
        from redis import exceptions

        if self._closed:
            raise LedgerError(f"the book {self._address} was closed: open it again.")
        lost = (exceptions.ConnectionError, exceptions.TimeoutError, OSError)
        try:
            for pause in PAUSES:
                with suppress(*lost):
                    return self._once(words)
                time.sleep(pause)
            return self._once(words)
        except exceptions.NoScriptError:
            raise
        except exceptions.AuthenticationError:
            trouble = "refuses the user or the password of the URL: correct it"
        except lost as error:
            trouble = f"cannot be reached: see that the server runs, and try again ({type(error).__name__})"
        except exceptions.OutOfMemoryError:
            trouble = "has no memory left: raise the server's maxmemory"
        except exceptions.RedisError as error:
            trouble = f"cannot be used ({str(error).splitlines()[0]}): see that the server is Redis 6 or newer"
        raise LedgerError(f"the book {self._address} {trouble}.")

    def _once(self, words: tuple[str | bytes | int, ...]) -> Any:
        from redis.exceptions import ResponseError

        connection = self._connection()
        try:
            connection.send_command(*words)
            answer = connection.read_response()
        except ResponseError:
            self._idle.append(connection)
            raise
        except BaseException:
            connection.disconnect()
            raise
        self._idle.append(connection)
        return answer

    def _connection(self) -> Any:
        if self._process != os.getpid():
            self._process, self._idle = os.getpid(), []
        try:
            return self._idle.pop()
        except IndexError:
            return self._pool.make_connection()

    def _refuse_forgetting(self) -> None:
        memory = self._send("INFO", "memory").decode()
        policy = next(line[17:] for line in memory.splitlines() if line.startswith("maxmemory_policy:"))
        if policy != "noeviction":
            self.close()
            raise LedgerError(
                f"the book {self._address} could be forgotten when memory is short, for the server's maxmemory-policy "
                f"is {policy}: set it to noeviction (CONFIG SET maxmemory-policy noeviction)."
            )

    def _refuse_another_version(self) -> None:
        self.call("SETNX", "version", VERSION)
        version = self.call("GET", "version").decode()
        if version != str(VERSION):
            self.close()
            raise LedgerError(
                f"the book {self._address} has version {version}, and this tokmagic reads {VERSION}: use one tokmagic "
                "on all machines, or give the URL another prefix."
            )


def _pool(address: Address) -> ConnectionPool:
    try:
        from redis import Connection, ConnectionPool, SSLConnection
        from redis.backoff import NoBackoff
        from redis.retry import Retry
    except ModuleNotFoundError:
        raise ConfigurationError("a ledger on Redis needs redis-py: pip install 'tokmagic[redis]'.") from None
    tls: dict[str, Any] = dict(address.options) if address.tls else {}
    return ConnectionPool(
        connection_class=SSLConnection if address.tls else Connection,
        host=address.host,
        port=address.port,
        db=address.db,
        username=address.user,
        password=address.password,
        protocol=2,
        socket_timeout=PATIENCE,
        socket_connect_timeout=PATIENCE,
        retry=Retry(NoBackoff(), 0),
        **tls,
    )


@cache
def _script(name: str) -> tuple[str, str]:
    """The text of a script behind the parts it needs, and its digest."""
    folder = files("tokmagic.ledgers") / "lua"
    parts = ("base", *SCRIPTS[name].split(), name)
    source = "\n".join((folder / f"{part}.lua").read_text("utf-8") for part in parts)
    return source, sha1(source.encode(), usedforsecurity=False).hexdigest()
