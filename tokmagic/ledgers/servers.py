"""The Redis server a book lies on: its address, whose password is never shown, and the scripts that run there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tokmagic.core.errors import ConfigurationError, LedgerError

if TYPE_CHECKING:
    from redis import Redis

FORM = "redis://[user:password@]host[:port][/db][?prefix=name], or rediss:// for TLS"
#: What may be asked of TLS besides, by the names redis-py has for it.
TLS_OPTIONS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
#: Seconds to wait for the server.
PATIENCE = 10.0


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
        self._redis: Redis | None = _connect(address)
        self._refuse_forgetting()

    def run(self, script: str, *texts: str | bytes) -> Any:
        """Run a script of ``lua/``; what it returns, texts as bytes."""
        source, digest = _script(script)
        redis = self._opened()
        values = (1, self._base, *texts)
        return self._one_line(lambda: _evaluate(redis, source, digest, values))

    def call(self, command: str, key: str, *values: str | bytes | int) -> Any:
        """Run one command on a key of the book."""
        redis = self._opened()
        return self._one_line(lambda: _command(redis, command, self._base + key, *values))

    def close(self) -> None:
        """Let go of the connections. Closing twice is a no-op."""
        if self._redis is not None:
            self._redis.close()
            self._redis = None

    def _opened(self) -> Redis:
        if self._redis is None:
            raise LedgerError(f"the book {self._address} was closed: open it again.")
        return self._redis

    def _refuse_forgetting(self) -> None:
        redis = self._opened()
        memory: dict[str, Any] = self._one_line(lambda: redis.info("memory"))
        policy = memory.get("maxmemory_policy", "unknown")
        if policy != "noeviction":
            self.close()
            raise LedgerError(
                f"the book {self._address} could be forgotten when memory is short, for the server's maxmemory-policy "
                f"is {policy}: set it to noeviction (CONFIG SET maxmemory-policy noeviction)."
            )

    def _one_line(self, act: Callable[[], Any]) -> Any:
        from redis import exceptions

        try:
            return act()
        except exceptions.AuthenticationError:
            trouble = "refuses the user or the password of the URL: correct it"
        except (exceptions.ConnectionError, exceptions.TimeoutError, OSError) as error:
            trouble = f"cannot be reached: see that the server runs, and try again ({type(error).__name__})"
        except exceptions.OutOfMemoryError:
            trouble = "has no memory left: raise the server's maxmemory"
        except exceptions.RedisError as error:
            trouble = f"cannot be used ({str(error).splitlines()[0]}): see that the server is Redis 6 or newer"
        raise LedgerError(f"the book {self._address} {trouble}.")


def _connect(address: Address) -> Redis:
    try:
        from redis import Redis
        from redis.backoff import ExponentialBackoff
        from redis.retry import Retry
    except ModuleNotFoundError:
        raise ConfigurationError("a ledger on Redis needs redis-py: pip install 'tokmagic[redis]'.") from None
    tls: dict[str, Any] = dict(address.options) if address.tls else {}
    return Redis(
        host=address.host,
        port=address.port,
        db=address.db,
        username=address.user,
        password=address.password,
        ssl=address.tls,
        socket_timeout=PATIENCE,
        socket_connect_timeout=PATIENCE,
        retry=Retry(ExponentialBackoff(cap=0.5, base=0.01), 3),
        **tls,
    )


def _evaluate(redis: Redis, source: str, digest: str, values: tuple[Any, ...]) -> Any:
    from redis.exceptions import NoScriptError

    try:
        return _command(redis, "EVALSHA", digest, *values)
    except NoScriptError:
        return _command(redis, "EVAL", source, *values)


def _command(redis: Redis, *words: str | bytes | int) -> Any:
    return redis.execute_command(*words)  # type: ignore[no-untyped-call]


@cache
def _script(name: str) -> tuple[str, str]:
    """The text of a script behind what all begin with, and its digest."""
    folder = files("tokmagic.ledgers") / "lua"
    source = "\n".join((folder / f"{part}.lua").read_text("utf-8") for part in ("book", name))
    return source, sha1(source.encode(), usedforsecurity=False).hexdigest()
