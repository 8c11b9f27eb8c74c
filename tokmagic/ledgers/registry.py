"""Which ledger a setting means. A new backend is one file and one line in ``LEDGERS``."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

from tokmagic.core.errors import ConfigurationError

from . import Ledger
from .memory import MemoryLedger
from .sqlite import SQLiteLedger

Clock = Callable[[], float]


def _redis(url: str, clock: Clock) -> Ledger:
    """On a server the machine's own clock gives way to the server's, which all machines share."""
    try:
        from .redis import RedisLedger
    except ModuleNotFoundError:
        raise ConfigurationError("a ledger on Redis needs redis-py: pip install 'tokmagic[redis]'.") from None
    return RedisLedger(url, clock=None if clock is time.time else clock)


#: By scheme; each is given what follows the scheme, and the clock.
LEDGERS: dict[str, Callable[[str, Clock], Ledger]] = {
    "memory": lambda _, clock: MemoryLedger(clock=clock),
    "sqlite": lambda rest, clock: SQLiteLedger(rest.removeprefix("//"), clock=clock),
    "redis": lambda rest, clock: _redis(f"redis:{rest}", clock),
    "rediss": lambda rest, clock: _redis(f"rediss:{rest}", clock),
}

#: Two letters at least, so that a Windows drive is no scheme.
_SCHEME = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]+):(?P<rest>.*)", re.IGNORECASE | re.DOTALL)


def open_ledger(where: str | Path, clock: Clock = time.time) -> Ledger:
    """The ledger of a setting: a path, ``sqlite:///path``, ``redis://host``, ``memory:`` or ``memory``.

    Args:
        where: a path or a URL.
        clock: seconds of the epoch.

    Raises:
        ConfigurationError: a scheme that is not supported, or one alone that needs a place.
        LedgerError: the book cannot be opened.
    """
    if isinstance(where, str) and where.lower() in LEDGERS:
        return _alone(where, clock)
    match = _SCHEME.fullmatch(where) if isinstance(where, str) else None
    if match is None:
        if "://" in str(where):
            raise ConfigurationError("the ledger's URL begins with no scheme: use sqlite:///path or redis://host.")
        return SQLiteLedger(where, clock=clock)
    scheme = match["scheme"].lower()
    if scheme not in LEDGERS:
        raise ConfigurationError(
            f"a ledger at {scheme}:// is not supported: use a path, sqlite:///path, redis://host or memory:."
        )
    return LEDGERS[scheme](match["rest"], clock)


def _alone(scheme: str, clock: Clock) -> Ledger:
    if scheme.lower() != "memory":
        raise ConfigurationError(f"the ledger {scheme} is nowhere: use {scheme}://..., or ./{scheme} for such a file.")
    return MemoryLedger(clock=clock)


def shown(where: str) -> str:
    """Where a setting says the book is, without the user and the password of a URL."""
    match = _SCHEME.fullmatch(where)
    on_server = match is not None and match["scheme"].lower() in ("redis", "rediss")
    return re.sub("//.*@", "//", where, flags=re.DOTALL) if on_server else where
