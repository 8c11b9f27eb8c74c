"""The address of a book on a Redis server, read from its URL; its password is never shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from tokmagic.core.errors import ConfigurationError

FORM = "redis://[user:password@]host[:port][/db][?prefix=name], or rediss:// for TLS"
#: What may be asked of TLS besides, by the names redis-py has for it.
TLS_OPTIONS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")


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
        if query and not tls:
            raise ConfigurationError(f"the ledger's URL has {min(query)}, which is for TLS: begin it with rediss://.")
        return cls(parts.hostname or "localhost", port, db, tls, prefix, user, password, tuple(sorted(query.items())))

    def __str__(self) -> str:
        return f"{'rediss' if self.tls else 'redis'}://{self.host}:{self.port}/{self.db}"
