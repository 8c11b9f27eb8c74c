"""Where the embedded server listens and by which names it may be called.

Loopback unless another address is named, and then only behind a token that was chosen for it. A request must name its
server by an address that is the server's own: a name that a stranger controls can be made to point here, an address
written in digits cannot, so that one is believed wherever the server listens on all of them.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from secrets import token_urlsafe

from tokmagic.core.errors import ConfigurationError

LOOPBACK = "127.0.0.1"
MAX_BODY = 32 * 1024 * 1024
MAX_RUNNING = 256
LEAST_TOKEN = 8


@dataclass(frozen=True, slots=True)
class Door:
    """Where to listen and whom to let in.

    Attributes:
        host: a name or address of this machine.
        port: 0 takes one that is free.
        token: the key that opens it; empty makes a new one, which only loopback may do.
        max_body: bytes of the longest request.
        max_running: requests that are answered at a time; twice as many connections are kept.

    Raises:
        ConfigurationError: others could come in and no token of its own stands before them, or one of these is none.
    """

    host: str = LOOPBACK
    port: int = 0
    token: str = field(default="", repr=False)
    max_body: int = MAX_BODY
    max_running: int = MAX_RUNNING

    def __post_init__(self) -> None:
        if not self.token and not is_loopback(self.host):
            raise ConfigurationError(
                f"{self.host} can be reached from other machines: name a token of your own with --token, "
                f"or listen on {LOOPBACK}."
            )
        if self.token and not (len(self.token) >= LEAST_TOKEN and self.token.isascii() and self.token.isprintable()):
            raise ConfigurationError(f"The token must be {LEAST_TOKEN} or more printable ASCII characters.")
        if not 0 <= self.port <= 65_535:
            raise ConfigurationError(f"A port is a number from 0 to 65,535, not {self.port:,}; 0 takes a free one.")

    def key(self) -> str:
        """The token, made anew where none was given."""
        return self.token or f"demo-{token_urlsafe(24)}"

    def listen(self) -> socket.socket:
        """A listening socket.

        It names its protocol: asyncio turns off the delay of small packets (40 ms a reply) only where TCP is named.

        Raises:
            ConfigurationError: the port is in use, or the host is none of this machine's.
        """
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                self.host, self.port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
            )[0]
            return _bound(socket.socket(family, kind, protocol), address)
        except OSError as error:
            raise ConfigurationError(
                f"Cannot listen on {self.host} port {self.port} ({error.strerror}): "
                "name another with --port, or 0 for a free one."
            ) from None

    def names(self, port: int) -> Names:
        """The names that the server goes by once it listens on ``port``."""
        return Names(self.host, port)


@dataclass(frozen=True, slots=True)
class Names:
    """The names of a server that listens on ``host`` and ``port``."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """An address that works on this machine."""
        known = _address(self.host)
        name = self.host if known is None or not known.is_unspecified else ("127.0.0.1", "::1")[known.version == 6]
        return f"http://{f'[{name}]' if ':' in name else name}:{self.port}"

    def own(self, authority: str) -> bool:
        """Whether a ``host:port`` is this server's own."""
        name, _, port = authority.rpartition(":")
        if port != str(self.port):
            return False
        name = name.removeprefix("[").removesuffix("]").lower()
        return name in self._known() or (self._everywhere() and _address(name) is not None)

    def _known(self) -> frozenset[str]:
        named = {self.host.lower()}
        if is_loopback(self.host) or self._everywhere():
            named |= {"localhost", LOOPBACK}
        return frozenset(named | ({socket.gethostname().lower()} if self._everywhere() else set()))

    def _everywhere(self) -> bool:
        known = _address(self.host)
        return known is not None and known.is_unspecified


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the host."""
    known = _address(host)
    return known.is_loopback if known is not None else host.lower() == "localhost"


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _bound(listener: socket.socket, address: tuple[object, ...]) -> socket.socket:
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except BaseException:
        listener.close()
        raise
    return listener


LOOPBACK_DOOR = Door()
