"""The book among real processes: never past a limit, never locked, and nothing lost with a process that dies."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.soak import share
from tokmagic.core.accounts import account_of
from tokmagic.core.words import parse_limit
from tokmagic.ledgers import Ledger
from tokmagic.ledgers.registry import open_ledger

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
CAP = 1_000_000
CALL = 7_000

COMMON = """
import os, random, signal, sys, uuid
from dataclasses import replace
from datetime import UTC, datetime
from tokmagic.core.accounts import account_of
from tokmagic.core.book import Entry, Lessons
from tokmagic.core.limits import Admitted, Amounts, Charge
from tokmagic.core.words import parse_limit
from tokmagic.ledgers.registry import open_ledger

import redis  # once, before the children

where, cap, call = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
noon = datetime(2026, 11, 20, 12, tzinfo=UTC)
account = account_of(parse_limit(f"{cap} tokens/day"), False, {"user": "u"}, noon)
charge = Charge(Amounts(tokens=call), Amounts(tokens=call))

def entry():
    id = uuid.uuid4().hex
    return Entry(id, id, noon.timestamp(), "m", user="u", lease_until=noon.timestamp() + 60, charge=charge)
"""

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

#: Each child says what it did, a line before each step that matters and one after, until it is killed.
DIE = """
def say(*words):
    os.write(say.to, (" ".join(map(str, words)) + chr(10)).encode())

def work(steps):
    ledger = open_ledger(where, clock=noon.timestamp)
    if steps:
        def die_at(statement, left=[steps]):
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
        ledger._file._db.set_trace_callback(die_at)
    say("open")
    while True:
        one = entry()
        if not isinstance(ledger.reserve(one, [account], one.id), Admitted):
            raise SystemExit("the budget is too small for this test")
        say("held", one.id)
        truth = random.randint(0, call)
        used = Charge(Amounts(tokens=truth), Amounts(tokens=truth))
        say("used", one.id, truth)
        ledger.settle(replace(one, used=used), Lessons(notes={"n": lambda old: old[-9:] + "x"}))
        say("done", one.id)

def kill(child, heard):
    # A moment after it has said some words; what it said.
    said = [heard.readline() for _ in range(random.randint(1, 12))]
    signal.sigtimedwait([], random.expovariate(1000))
    os.kill(child, signal.SIGKILL)
    return said

open_ledger(where, clock=noon.timestamp).close()
random.seed(1)
for number in range(int(sys.argv[4])):
    hear, say.to = os.pipe()
    child = os.fork()
    if child == 0:
        random.seed(number)
        work(number + 1 if sys.argv[5] == "steps" else 0)
    os.close(say.to)
    with open(hear) as heard:
        said = kill(child, heard) if sys.argv[5] != "steps" else []
        print(*said, heard.read(), sep="", end="", flush=True)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
"""


def start(program: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", COMMON + program, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture(params=["sqlite", "redis"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a new book is, as a setting says it."""
    return str(tmp_path / "book") if request.param == "sqlite" else str(request.getfixturevalue("redis_url"))


def spent_and_held(ledger: Ledger, cap: int = CAP) -> tuple[int, int]:
    (level,) = ledger.levels([account_of(parse_limit(f"{cap} tokens/day"), False, {"user": "u"}, NOON)])
    return level.spent, level.held


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


def check_after_kills(where: str, said: str) -> None:
    """What the dead said they did is in the book: every settled truth, and a hold for everything that was under way."""
    lines = [line.split() for line in said.splitlines()]
    truths = {words[1]: int(words[2]) for words in lines if words[0] == "used"}
    done = {words[1] for words in lines if words[0] == "done"}
    began = {words[1] for words in lines if words[0] == "held"}
    ledger = open_ledger(where, clock=NOON.timestamp)
    entries = {entry.id: entry for entry in ledger.entries(most=100_000)}
    assert began <= entries.keys()
    for id, entry in entries.items():
        settled = entry.used.ceiling.tokens if entry.state == "settled" else None
        assert settled == truths[id] if id in done or settled is not None else entry.state == "held"
    cap = 2**50
    held = sum(CALL for entry in entries.values() if entry.state == "held")
    settled = sum(entry.used.ceiling.tokens for entry in entries.values())
    assert spent_and_held(ledger, cap) == (settled, held)
    assert sum(truths.values()) <= settled + held
    ledger.close()
    later = open_ledger(where, clock=lambda: NOON.timestamp() + 61)
    later.sweep()
    assert spent_and_held(later, cap) == (settled + held, 0)
    later.close()


def test_nothing_is_lost_with_processes_killed_at_any_moment(where: str) -> None:
    said, trouble = start(DIE, where, 2**50, CALL, share(1_000, 15), "moments").communicate(timeout=900)
    assert trouble == ""
    assert said.count("done") > 5
    check_after_kills(where, said)


def test_nothing_is_lost_with_a_process_killed_before_each_statement_of_a_call(tmp_path: Path) -> None:
    path = tmp_path / "book"
    said, trouble = start(DIE, path, 2**50, CALL, 70, "steps").communicate(timeout=120)
    assert trouble == ""
    assert said.count("held") > said.count("done") > 5
    check_after_kills(str(path), said)
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()
