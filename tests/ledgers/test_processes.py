"""The book among real processes: never past a limit, never locked, and nothing lost with a process that dies."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tokmagic.ledgers.registry import open_ledger

from .kills import CALL, CAP, DIE, NOON, check_after_kills, kill_in, spent_and_held, start

#: So many children do the same at once.
TOGETHER = """
def together(many, work):
    ready, go = os.pipe()
    children = []
    for _ in range(many):
        children.append(os.fork())
        if not children[-1]:
            os.close(go)
            os.read(ready, 1)
            work()
            os._exit(0)
    os.close(go)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * many
"""

SPEND = """
def spend():
    ledger = open_ledger(where, clock=noon.timestamp)
    while isinstance(ledger.reserve(one := entry(), [account], one.id), Admitted):
        ledger.settle(replace(one, used=charge))
    ledger.close()

together(8, spend)
"""

OPEN = """
together(32, lambda: open_ledger(where, clock=noon.timestamp).close())
"""


@pytest.fixture(params=["sqlite", "redis"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a new book is, as a setting says it."""
    return str(tmp_path / "book") if request.param == "sqlite" else str(request.getfixturevalue("redis_url"))


def test_eight_processes_spend_one_limit_to_its_end_and_never_past_it(where: str) -> None:
    assert start(TOGETHER + SPEND, where, CAP, CALL).communicate(timeout=120) == ("", "")
    ledger = open_ledger(where, clock=NOON.timestamp)
    spent, held = spent_and_held(ledger)
    ledger.close()
    assert CAP - CALL < spent <= CAP
    assert held == 0


def test_thirty_two_processes_open_a_new_book_at_once(tmp_path: Path) -> None:
    assert start(TOGETHER + OPEN, tmp_path / "new" / "book", CAP, CALL).communicate(timeout=120) == ("", "")
    db = sqlite3.connect(tmp_path / "new" / "book")
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


def test_nothing_is_lost_with_processes_killed_at_any_moment(where: str) -> None:
    counts = kill_in(where, range(15))
    assert counts["held"] >= counts["settled"] > 5


def test_nothing_is_lost_with_a_process_killed_before_each_statement_of_a_call(tmp_path: Path) -> None:
    path = tmp_path / "book"
    said, trouble = start(DIE, path, 2**50, CALL, 0, 70, "steps").communicate(timeout=120)
    assert trouble == ""
    assert said.count("held") > said.count("done") > 5
    check_after_kills(str(path), said)
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()
