"""How the book reaches the disk, and who is let in to it: its journal, its syncs, its gate."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tokmagic.core.book import Entry, Lessons
from tokmagic.ledgers import files, journals
from tokmagic.ledgers.journals import CHECKPOINT, file_system, journal_for
from tokmagic.ledgers.locks import TURN, Gate, LockFile
from tokmagic.ledgers.sqlite import SQLiteLedger

if TYPE_CHECKING:
    from conftest import Desk

MOUNTS = """/dev/vda / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
/dev/vdb /home/my\\040disk xfs rw 0 0
tmpfs /run tmpfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind", "journal"),
    [
        ("/var/book", "ext4", "WAL"),
        ("/home/me/book", "nfs4", "TRUNCATE"),
        ("/home/my disk/book", "xfs", "WAL"),
        ("/runs/book", "ext4", "WAL"),
    ],
)
def test_a_write_ahead_log_is_used_only_where_no_other_machine_writes(path: str, kind: str, journal: str) -> None:
    assert file_system(Path(path), MOUNTS) == kind
    assert journal_for(kind) == journal


@pytest.mark.parametrize("shared", [False, True])
def test_a_book_is_used_by_two_at_once_with_either_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: bool
) -> None:
    path = tmp_path / "book"
    if shared:
        monkeypatch.setattr(journals, "SHARED", ("",))
    ledgers = [SQLiteLedger(path), SQLiteLedger(path)]
    for number in range(10):
        ledgers[number % 2].reserve(Entry(str(number), "", 1.0, "m", lease_until=9e9), (), "")
    assert len(ledgers[0].entries()) == 10
    assert (tmp_path / "book-wal").exists() != shared
    for ledger in ledgers:
        ledger.close()
    assert len(SQLiteLedger(path).entries()) == 10


def test_the_log_is_brought_into_the_book_only_when_it_has_grown_long(tmp_path: Path) -> None:
    path = tmp_path / "book"
    ledger = SQLiteLedger(path)

    def write(pages: int) -> int:
        ledger.learn(Lessons(notes={str(pages): lambda _: "x" * pages * 4096}))
        return path.stat().st_size

    assert write(CHECKPOINT // 2) < CHECKPOINT // 2 * 4096
    assert write(CHECKPOINT // 2 + 1) > CHECKPOINT * 4096
    ledger.close()


def test_what_a_settlement_promises_is_in_the_files_when_they_are_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, copy = tmp_path / "book", tmp_path / "after" / "book"
    ledger = SQLiteLedger(path)
    synced: list[int] = []

    def cut_power(log: int) -> None:
        synced.append(log)
        copy.parent.mkdir()
        for rest in ("", "-wal"):
            shutil.copy(f"{path}{rest}", f"{copy}{rest}")
        os.fsync(log)

    monkeypatch.setattr(files, "_sync", cut_power)
    entry = Entry("one", "", 1.0, "m", lease_until=9e9)
    ledger.reserve(entry, (), "")
    assert synced == []
    ledger.settle(replace(entry, nanousd=7, quality="exact"))
    assert len(synced) == 1
    monkeypatch.undo()
    ledger.close()
    survived = SQLiteLedger(copy)
    assert [(entry.id, entry.state, entry.nanousd) for entry in survived.entries()] == [("one", "settled", 7)]
    survived.close()


def test_a_call_under_four_limits_takes_few_statements_and_leaves_buckets_alone_that_guessed_right(
    memory_desk: Desk,
) -> None:
    words = ("9 usd/day", "900 tokens/session", "90 requests/minute", "900 input_tokens/minute")
    told: list[str] = []
    for _ in range(2):
        told.clear()
        memory_desk.ledger._file._db.set_trace_callback(told.append)  # type: ignore[attr-defined]
        entry = memory_desk.entry(1, tokens=1)
        memory_desk.reserve(entry, *words)
        reserved = len(told)
        memory_desk.settle(entry, 1, tokens=1)
    assert (reserved, len(told) - reserved) == (5 + 2 * len(words), 11 + 2)


def test_the_gate_lets_one_in_at_a_time_and_says_how_long_it_waited(tmp_path: Path) -> None:
    first, second = Gate(tmp_path / "book", patience=0), Gate(tmp_path / "book", patience=0)
    with first, pytest.raises(TimeoutError, match="another process has kept it for 0 s"), second:
        pass
    with second:
        pass
    first.close()
    second.close()


def test_who_was_let_in_may_come_back_before_who_is_next_while_its_turn_lasts(tmp_path: Path) -> None:
    now = [0.0]
    gate, next_one = (
        Gate(tmp_path / "book", patience=0, clock=lambda: now[0]),
        LockFile(tmp_path / "book.queue", pace=0),
    )
    with gate:
        next_one.take(0)
    now[0] += 0.9 * TURN
    with gate:
        pass
    now[0] += 0.2 * TURN
    with pytest.raises(TimeoutError), gate:
        pass
    next_one.give()
    with gate:
        pass
    gate.close()
    next_one.close()


def test_a_turn_ends_where_another_is_inside(tmp_path: Path) -> None:
    first, second = Gate(tmp_path / "book", patience=0, clock=lambda: 0.0), Gate(tmp_path / "book", patience=0)
    with first:
        pass
    with second, pytest.raises(TimeoutError), first:
        pass
    first.close()
    second.close()


def test_a_lock_file_that_was_removed_is_made_anew_and_locks_for_all(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    early, late = LockFile(path, pace=0), LockFile(path, pace=0)
    early.take(0)
    early.give()
    path.unlink()
    late.take(0)
    with pytest.raises(TimeoutError):
        early.take(0)
    early.close()
    late.close()
