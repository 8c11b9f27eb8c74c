"""Processes that work in one book and are killed at any moment, and what must be in it afterwards."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from tokmagic.core.accounts import account_of
from tokmagic.core.words import parse_limit
from tokmagic.ledgers import Ledger
from tokmagic.ledgers.registry import open_ledger

from .redis_servers import redis_server

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
first, end, mode = int(sys.argv[4]), int(sys.argv[5]), sys.argv[6]
random.seed(first)
for number in range(first, end):
    hear, say.to = os.pipe()
    child = os.fork()
    if child == 0:
        random.seed(number)
        work(number + 1 if mode == "steps" else 0)
    os.close(say.to)
    with open(hear) as heard:
        said = kill(child, heard) if mode != "steps" else []
        print(*said, heard.read(), sep="", end="", flush=True)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
"""


def start(program: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", COMMON + program, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def spent_and_held(ledger: Ledger, cap: int = CAP) -> tuple[int, int]:
    (level,) = ledger.levels([account_of(parse_limit(f"{cap} tokens/day"), False, {"user": "u"}, NOON)])
    return level.spent, level.held


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


def kill_in(where: str, kills: range) -> Counter[str]:
    """Kill so many processes, each at a moment of its own, in one book; what they did until then."""
    said, trouble = start(DIE, where, 2**50, CALL, kills.start, kills.stop, "moments").communicate(timeout=900)
    assert trouble == "", trouble
    check_after_kills(where, said)
    return Counter(kills=len(kills), held=said.count("held"), settled=said.count("done"))


def kill_with_sqlite(kills: range) -> Counter[str]:
    """Kill processes that share a book of their own in a file."""
    with tempfile.TemporaryDirectory() as folder:
        return kill_in(str(Path(folder) / "book"), kills)


def kill_with_redis(kills: range) -> Counter[str]:
    """Kill processes that share a book of their own in a Redis of its own."""
    with redis_server() as url:
        return kill_in(url, kills)
