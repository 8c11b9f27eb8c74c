"""The book among real processes: never past a limit, never locked, and nothing lost with a process that dies."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from tokmagic.core.accounts import account_of
from tokmagic.core.words import parse_limit
from tokmagic.ledgers.sqlite import SQLiteLedger

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
CAP = 1_000_000
CALL = 7_000

WORKER = """
import sys, uuid
from dataclasses import replace
from datetime import UTC, datetime
from tokmagic.core.accounts import account_of
from tokmagic.core.book import Entry
from tokmagic.core.limits import Admitted, Amounts, Charge
from tokmagic.core.words import parse_limit
from tokmagic.ledgers.sqlite import SQLiteLedger

path, cap, call, then = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
noon = datetime(2026, 11, 20, 12, tzinfo=UTC)
account = account_of(parse_limit(f"{cap} tokens/day"), False, {"user": "u"}, noon)
ledger = SQLiteLedger(path, clock=noon.timestamp)
print("open", flush=True)
sys.stdin.readline()
amounts = Amounts(tokens=call)
charge = Charge(amounts, amounts)
while then != "open":
    id = uuid.uuid4().hex
    entry = Entry(id, id, noon.timestamp(), "m", user="u", lease_until=noon.timestamp() + 60, charge=charge)
    if not isinstance(ledger.reserve(entry, [account], id), Admitted):
        break
    if then == "hold":
        print("held", flush=True)
        sys.stdin.readline()
    ledger.settle(replace(entry, used=charge))
"""


def start(path: Path, then: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WORKER, str(path), str(CAP), str(CALL), then]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def spent_and_held(path: Path, now: float = NOON.timestamp()) -> tuple[int, int]:
    ledger = SQLiteLedger(path, clock=lambda: now)
    (level,) = ledger.levels([account_of(parse_limit(f"{CAP} tokens/day"), False, {"user": "u"}, NOON)])
    ledger.close()
    return level.spent, level.held


def test_eight_processes_spend_one_limit_to_its_end_and_never_past_it(tmp_path: Path) -> None:
    workers = [start(tmp_path / "book", "spend") for _ in range(8)]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "open\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("\n")
        worker.stdin.flush()
    assert [worker.communicate(timeout=60)[1] for worker in workers] == [""] * 8
    spent, held = spent_and_held(tmp_path / "book")
    assert CAP - CALL < spent <= CAP
    assert held == 0


def test_sixteen_processes_open_a_new_book_at_once(tmp_path: Path) -> None:
    workers = [start(tmp_path / "new" / "book", "open") for _ in range(16)]
    ends = [worker.communicate("\n", timeout=60) for worker in workers]
    assert ends == [("open\n", "")] * 16
    db = sqlite3.connect(tmp_path / "new" / "book")
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


def test_what_a_killed_process_held_stays_held_and_is_charged_when_its_lease_ends(tmp_path: Path) -> None:
    path = tmp_path / "book"
    worker = start(path, "hold")
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write("\n")
    worker.stdin.flush()
    assert [worker.stdout.readline() for _ in range(2)] == ["open\n", "held\n"]
    worker.kill()
    worker.communicate(timeout=60)
    assert worker.returncode == -signal.SIGKILL
    assert spent_and_held(path) == (0, CALL)
    ledger = SQLiteLedger(path, clock=lambda: NOON.timestamp() + 61)
    assert ledger.sweep() == 1
    assert [entry.state for entry in ledger.entries()] == ["unsettled"]
    ledger.close()
    assert spent_and_held(path) == (CALL, 0)
