"""The book: reserve and settle, pairs per second, by 1, 4 and 8 processes, on SQLite and on Redis; and with a million
entries in it. Beside SQLite stands what the disk allows: small writes, each synced, by one process that does no more;
and the same on a newer SQLite. Beside Redis stands what a pair costs both sides, and what one core of its server, which
does one thing at a time, sustains.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tokmagic.core.book import Entry
from tokmagic.ledgers.entries import COLUMNS, PATHS
from tokmagic.ledgers.schema import MIGRATIONS, migrate
from tokmagic.ledgers.sqlite import SQLiteLedger

from .load import PEER
from .machines import repeated
from .measure import ms

SECONDS = 2.0
MILLION = 1_000_000
YEAR = 365 * 86_400

PAIRS = """
import json, os, sys, time, uuid
from dataclasses import replace
from datetime import UTC, datetime
from tokmagic.core.accounts import account_of
from tokmagic.core.book import Entry
from tokmagic.core.limits import Admitted, Amounts, Charge
from tokmagic.core.words import parse_limit
from tokmagic.ledgers.registry import open_ledger

scopes = {"session": f"s{os.getpid()}", "user": "u", "key": "k", "notebook": "n"}
words = ("1000000 usd/day", "1G tokens/session", "1G requests/minute", "1G input tokens/minute")
accounts = [account_of(parse_limit(each), False, scopes, datetime.now(UTC)) for each in words]
charge = Charge(*[Amounts(1, 100, 100, 200, 5)] * 2)
ledger = open_ledger(sys.argv[1])
ledger.levels(accounts)
print("ready", flush=True)
sys.stdin.readline()
spent, pairs, longest, end = time.process_time(), 0, 0.0, time.perf_counter() + float(sys.argv[2])
while (began := time.perf_counter()) < end:
    id, now = uuid.uuid4().hex, time.time()
    entry = Entry(id, id, now, "demo/claude", lease_until=now + 600, charge=charge, **scopes)
    assert isinstance(ledger.reserve(entry, accounts, id), Admitted)
    held = time.perf_counter()
    ledger.settle(replace(entry, used=charge, nanousd=5, quality="exact"))
    longest = max(longest, held - began, time.perf_counter() - held)
    pairs += 1
print(json.dumps((pairs, longest, time.process_time() - spent)))
"""

#: What goes before, for the SQLite of a package in another environment.
NEWER = """
import sys
sys.path.append(sys.argv[3])
import pysqlite3
sys.path.pop()
sys.modules["sqlite3"] = pysqlite3
"""


class Pairs(NamedTuple):
    """Pairs per second of all processes together, the longest single wait, and what a pair costs its process.

    The times are seconds, the last one of processor time.
    """

    rate: float
    longest: float
    cost: float


def pairs(where: str, processes: int, newer: str = "") -> Pairs:
    """Let processes reserve and settle for ``SECONDS``.

    Args:
        where: the book, as a setting says it.
        processes: how many.
        newer: the folder of the package with a newer SQLite; that of this Python where it is empty.
    """
    program = (NEWER if newer else "") + PAIRS.replace("1G", f"{10**9}")
    command = [sys.executable, "-c", program, where, str(SECONDS), newer]
    workers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(processes)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("\n")
        worker.stdin.flush()
    ends = [json.loads(worker.communicate()[0]) for worker in workers]
    made, longest, spent = zip(*ends, strict=True)
    return Pairs(sum(made) / SECONDS, max(longest), sum(spent) / sum(made))


def synced_writes(folder: Path) -> float:
    """How many writes of one page, each synced, the disk takes in a second."""
    file = os.open(folder / "page", os.O_RDWR | os.O_CREAT)
    os.pwrite(file, bytes(4096), 0)
    os.fsync(file)
    made, end = 0, time.perf_counter() + 1
    while time.perf_counter() < end:
        os.pwrite(file, bytes([made % 256]) * 4096, 0)
        os.fdatasync(file)
        made += 1
    os.close(file)
    return made


@contextmanager
def redis_server() -> Iterator[str | None]:
    """The URL of a server of our own, or None where there is none."""
    program = shutil.which("redis-server")
    if program is None:
        yield None
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [program, "--bind", "127.0.0.1", "--port", str(port), "--save", ""]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
    try:
        yield f"redis://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def fill(path: Path) -> None:
    """A year of a million settled entries, as an older version of the book would have kept them."""
    now = time.time()
    entry = Entry("", "", 0.0, "", state="settled", user="u", key="k", notebook="n", nanousd=5, quality="exact")
    values = dict(zip(COLUMNS, (getattr(entry, path) if "." not in path else 0 for path in PATHS), strict=True))
    varied = {
        "id": "printf('%032x', n)",
        "call": "printf('%032x', n)",
        "at": f"{now - YEAR} + n * {YEAR / MILLION}",
        "model": "'demo/' || (n % 5)",
        "session": "'s' || (n / 500)",
        "cell": "'c' || (n / 20)",
    }
    columns = [varied.get(name, f":{name}") for name in COLUMNS]
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA synchronous = OFF")
    db.execute("BEGIN")
    migrate(db, str(path), MIGRATIONS[:2])
    db.execute(
        f"""WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {MILLION})
            INSERT INTO entries SELECT {", ".join(columns)} FROM numbers""",  # noqa: S608
        values,
    )
    db.execute("COMMIT")
    db.close()


def reading(path: Path) -> None:
    """Print how long the panel's and the reports' questions to a book take."""
    began = time.perf_counter()
    ledger = SQLiteLedger(path)
    opened = time.perf_counter() - began
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
    asks = {
        "the session's totals": lambda: ledger.totals(session="s1999"),
        "today's totals": lambda: ledger.totals(since=midnight),
        "all totals by model": lambda: ledger.totals(by="model"),
        "the last entries": lambda: ledger.entries(most=50),
    }
    told = []
    for name, ask in asks.items():
        seconds = []
        for _ in range(5):
            began = time.perf_counter()
            ask()
            seconds.append(time.perf_counter() - began)
        told.append(f"{name} {ms(median(seconds))}")
    print(f"          brought up to date in {opened:.1f} s; {', '.join(told)}")
    ledger.close()


def show(name: str, where: str, counts: tuple[int, ...] = (1, 4, 8), newer: str = "") -> None:
    """Print the pairs per second and the longest wait by number of processes."""
    for processes in counts:
        found = pairs(where, processes, newer)
        told = f"{found.rate:,.0f} pairs/s, longest wait {ms(found.longest)}"
        print(f"book on {name}, processes: {processes}: {told}", flush=True)


def show_newer(folder: Path) -> None:
    """Print the same for the SQLite among the peers."""
    python = os.environ.get(PEER, "")
    if not Path(python).is_file():
        print(f"book on a newer SQLite: no peer; {PEER} names no Python")
        return
    asks = "import pysqlite3; print(pysqlite3.sqlite_version, pysqlite3.__file__)"
    version, module = subprocess.run([python, "-c", asks], capture_output=True, text=True, check=True).stdout.split(
        maxsplit=1
    )
    show(f"SQLite {version}", str(folder / "newer"), newer=str(Path(module).parent.parent))


def show_redis(where: str) -> None:
    """Print the same for Redis, with the processor time a pair costs both sides, and what that lets the server do."""
    from redis import Redis

    server = Redis.from_url(where)

    def used() -> float:
        told = server.info("cpu")
        return float(told["used_cpu_user"] + told["used_cpu_sys"])

    def sustained(rate: float, before: float) -> str:
        cost = (used() - before) / (rate * SECONDS)
        return f"{cost * 1e6:.0f} us of the server, of which one core sustains {1 / cost:,.0f} pairs/s"

    for processes in (1, 4, 8):
        before = used()
        found = pairs(where, processes)
        print(
            f"book on Redis, processes: {processes}: {found.rate:,.0f} pairs/s, longest wait {ms(found.longest)}; "
            f"a pair takes {found.cost * 1e6:.0f} us of its process and {sustained(found.rate, before)}",
            flush=True,
        )
    before = used()
    rate = repeated(where, 8, SECONDS)
    print(f"book on Redis, as 8 machines ask it: {rate:,.0f} pairs/s; a pair takes {sustained(rate, before)}")
    server.close()


def run() -> None:
    """Print all of it."""
    state = Path(".state")
    state.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=state) as name:
        folder = Path(name)
        print(f"disk: {synced_writes(folder):,.0f} synced writes/s by one process")
        show(f"SQLite {sqlite3.sqlite_version}", str(folder / "book"))
        show_newer(folder)
        fill(folder / "full")
        reading(folder / "full")
        show("SQLite with a million entries", str(folder / "full"), (1, 8))
    with redis_server() as where:
        if where is None:
            print("book on Redis: redis-server is missing")
        else:
            show_redis(where)
