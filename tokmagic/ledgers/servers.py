"""The Redis server a book lies on: connections to it, and the scripts that run there.

A script may be sent again when its answer was lost, for each does no harm twice; what a connection cannot do is said in
one line, without the address's secrets. redis-py makes the connections, and hiredis packs and reads what they carry.
"""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Callable
from functools import cache
from hashlib import sha1
from importlib.resources import files
from pathlib import Path
from typing import Any

import hiredis
from redis import Connection, ConnectionPool, SSLConnection, exceptions
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.retry import Retry

from tokmagic.core.errors import ConfigurationError, LedgerError

from .addresses import Address

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
    "listed": "",
    "sums_of": "",
    "spanning": "",
}
#: Of what the scripts keep and how; a book of another version is refused.
VERSION = 3
#: Seconds to wait for the server.
PATIENCE = 10.0
#: Seconds before a connection that was lost is tried again: what was sent may have been done, and does no harm twice.
PAUSES = (0.0, 0.05, 0.25)
#: A command as it is sent. (The stub of hiredis knows words of one kind only.)
_pack: Callable[[tuple[str | bytes | int, ...]], bytes] = hiredis.pack_command  # type: ignore[assignment]
#: A connection is not there any more, or never was.
LOST = (exceptions.ConnectionError, exceptions.TimeoutError, OSError)
#: What lets a connection over TLS begin.
SPEAK_TLS = (
    "use its TLS port, and where it asks for a certificate, name yours in the URL: "
    "?ssl_certfile=/path/to/cert.pem&ssl_keyfile=/path/to/key.pem"
)
#: How TLS says that a connection has ended.
ENDS = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)


class Server:
    """Connections to the server, safe from any thread and in a forked child; a lost one is made anew.

    Raises:
        ConfigurationError: a file the address names is missing.
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
        self._drop_idle()

    def _send(self, *words: str | bytes | int) -> Any:
        if self._closed:
            raise LedgerError(f"the book {self._address} was closed: open it again.")
        try:
            return self._patiently(words)
        except NoScriptError:
            raise
        except (RedisError, OSError) as error:
            trouble = _refusal(error) or _loss(error, self._address.tls)
            raise LedgerError(f"the book {self._address} {trouble}.") from None

    def _patiently(self, words: tuple[str | bytes | int, ...]) -> Any:
        """Try again after each pause while connections are lost; a server that refuses to talk is not asked again."""
        for pause in PAUSES:
            try:
                return self._once(words)
            except LOST as error:
                if _refusal(error):
                    raise
            self._drop_idle()
            time.sleep(pause)
        return self._once(words)

    def _once(self, words: tuple[str | bytes | int, ...]) -> Any:
        connection = self._connection()
        try:
            connection.send_packed_command((_pack(words),), check_health=False)
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

    def _drop_idle(self) -> None:
        """Let go of connections that nobody uses: where one was lost, they are most likely lost too."""
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.disconnect()

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
    for name, path in address.options:
        if not Path(path).is_file():
            raise ConfigurationError(f"the ledger's URL names {path} as its {name}, and there is no such file.")
    tls: dict[str, Any] = {"ssl_cert_reqs": "required", "ssl_check_hostname": True, **dict(address.options)}
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
        **(tls if address.tls else {}),
    )


def _refusal(error: Exception) -> str:
    """Why one side will not talk to the other, with the way out; empty where neither refuses."""
    unsafe = error.__context__
    if isinstance(error, exceptions.AuthenticationError):
        return "refuses the user or the password of the URL: correct it"
    if isinstance(unsafe, ssl.SSLCertVerificationError):
        return (
            f"shows a certificate that is not trusted ({unsafe.verify_message}): use the host name it is for, and "
            "where its CA is one of your own, name that in the URL: ?ssl_ca_certs=/path/to/ca.pem"
        )
    if isinstance(unsafe, ssl.SSLError) and not isinstance(unsafe, ENDS):
        return f"cannot be talked to over TLS ({unsafe.reason}): {SPEAK_TLS}"
    return ""


def _loss(error: Exception, tls: bool) -> str:
    """What became of a connection or a command, with the way out."""
    if isinstance(error, LOST):
        way_out = SPEAK_TLS if tls else "where it speaks TLS, begin the URL with rediss://"
        return f"cannot be reached ({type(error).__name__}): see that the server runs, and {way_out}"
    if isinstance(error, exceptions.OutOfMemoryError):
        return "has no memory left: raise the server's maxmemory"
    return f"cannot be used ({str(error).splitlines()[0]}): see that the server is Redis 6 or newer"


@cache
def _script(name: str) -> tuple[str, str]:
    """The text of a script behind the parts it needs, and its digest."""
    folder = files("tokmagic.ledgers") / "lua"
    parts = ("base", *SCRIPTS[name].split(), name)
    source = "\n".join((folder / f"{part}.lua").read_text("utf-8") for part in parts)
    return source, sha1(source.encode(), usedforsecurity=False).hexdigest()
