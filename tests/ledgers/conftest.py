"""Books, clocks and calls for the tests of this room, and a Redis server of their own."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tokmagic.core.accounts import account_of
from tokmagic.core.book import Entry
from tokmagic.core.limits import Account, Amounts, Charge, Decision, Level
from tokmagic.core.units import Scope
from tokmagic.core.words import parse_limit
from tokmagic.ledgers import Ledger
from tokmagic.ledgers.memory import MemoryLedger
from tokmagic.ledgers.redis import RedisLedger
from tokmagic.ledgers.sqlite import SQLiteLedger

from . import redis_servers

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()
LEASE = 600.0
SCOPES: dict[Scope, str] = {"session": "s1", "notebook": "n1", "key": "k1", "user": "u1", "team": "t1"}

#: A new backend is tested by a line here.
LEDGERS: dict[str, Callable[[Path, str, Callable[[], float]], Ledger]] = {
    "memory": lambda folder, redis, clock: MemoryLedger(clock=clock),
    "sqlite": lambda folder, redis, clock: SQLiteLedger(folder / "book.sqlite", clock=clock),
    "redis": lambda folder, redis, clock: RedisLedger(redis, clock=clock),
}


@dataclass
class Clock:
    now: float = NOON

    def __call__(self) -> float:
        return self.now


def amounts(nanousd: int | None = 0, tokens: int = 0) -> Amounts:
    return Amounts(requests=1, input_tokens=tokens, tokens=tokens, nanousd=nanousd)


def charge(nanousd: int | None = 0, tokens: int = 0) -> Charge:
    return Charge(amounts(nanousd, tokens), amounts(nanousd, tokens))


@dataclass
class Desk:
    """A ledger with its clock, and short ways to make calls and read limits by their words."""

    ledger: Ledger
    clock: Clock
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def account(self, words: str, *, play: bool = False) -> Account:
        return account_of(parse_limit(words), play, SCOPES, datetime.fromtimestamp(self.clock.now, UTC))

    def entry(self, nanousd: int | None = 0, tokens: int = 0, **facts: object) -> Entry:
        id = f"entry-{next(self.numbers)}"
        made = Entry(id=id, call=id, at=self.clock.now, model="demo/claude", lease_until=self.clock.now + LEASE)
        return replace(made, **{**SCOPES, "charge": charge(nanousd, tokens), **facts})

    def reserve(self, entry: Entry, *words: str, ticket: str = "") -> Decision:
        accounts = [self.account(limit, play=entry.play) for limit in words]
        return self.ledger.reserve(entry, accounts, ticket or entry.id)

    def settle(self, entry: Entry, nanousd: int | None = 0, tokens: int = 0) -> None:
        quality = "exact" if nanousd is not None else "unknown"
        self.ledger.settle(replace(entry, used=charge(nanousd, tokens), nanousd=nanousd, quality=quality))

    def level(self, words: str, *, play: bool = False) -> Level:
        (level,) = self.ledger.levels([self.account(words, play=play)])
        return level

    def spent_and_held(self, words: str, *, play: bool = False) -> tuple[int, int]:
        level = self.level(words, play=play)
        return level.spent, level.held


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    """The URL of a server that runs as long as the tests do."""
    with redis_servers.redis_server() as url:
        yield url


@pytest.fixture
def start_redis() -> Callable[..., subprocess.Popen[bytes]]:
    return redis_servers.start_redis


@pytest.fixture
def free_port() -> Callable[[], int]:
    return redis_servers.free_port


@pytest.fixture
def redis_url(redis_server: str, tmp_path: Path) -> str:
    """The URL of an empty book."""
    return f"{redis_server}?prefix={tmp_path.name}"


@pytest.fixture(params=LEDGERS)
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    clock = Clock()
    redis = request.getfixturevalue("redis_url") if request.param == "redis" else ""
    ledger = LEDGERS[request.param](tmp_path, redis, clock)
    yield Desk(ledger, clock)
    ledger.close()


@pytest.fixture
def memory_desk(tmp_path: Path) -> Iterator[Desk]:
    clock = Clock()
    ledger = MemoryLedger(clock=clock)
    yield Desk(ledger, clock)
    ledger.close()
