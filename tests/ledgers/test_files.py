"""The book's file: made with care, migrated, and every trouble in one line."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pytest

from tokmagic.core.book import BOOK_VERSION, Entry
from tokmagic.core.errors import ConfigurationError, LedgerError
from tokmagic.ledgers.entries import COLUMNS, LASTING
from tokmagic.ledgers.memory import MemoryLedger
from tokmagic.ledgers.registry import open_ledger
from tokmagic.ledgers.schema import APPLICATION_ID, MIGRATIONS, migrate
from tokmagic.ledgers.sqlite import SQLiteLedger


def refusal(path: Path) -> str:
    with pytest.raises(LedgerError) as refused:
        SQLiteLedger(path)
    text = str(refused.value)
    assert str(path) in text
    assert "\n" not in text
    return text


def test_folder_and_file_are_for_their_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "home" / "book.sqlite"
    SQLiteLedger(path).close()
    if os.name == "posix":
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}


def test_a_new_book_says_what_it_is_and_its_version(tmp_path: Path) -> None:
    SQLiteLedger(tmp_path / "book").close()
    db = sqlite3.connect(tmp_path / "book")
    assert db.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    assert db.execute("PRAGMA user_version").fetchone() == (BOOK_VERSION,)
    assert {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")} >= {
        *("entries", "accounts", "holds", "tickets", "notes")
    }
    db.close()


def test_the_tables_have_a_column_for_every_field_of_an_entry(tmp_path: Path) -> None:
    SQLiteLedger(tmp_path / "book").close()
    db = sqlite3.connect(tmp_path / "book")
    assert tuple(row[1] for row in db.execute("PRAGMA table_info (entries)")) == COLUMNS
    db.close()
    assert {field.name for field in fields(Entry)} >= LASTING


def test_the_version_of_the_book_is_the_number_of_its_migrations() -> None:
    assert len(MIGRATIONS) == BOOK_VERSION


def test_an_older_book_is_migrated_once_and_keeps_what_it_has() -> None:
    db = sqlite3.connect(":memory:", isolation_level=None)
    newer = (*MIGRATIONS, ("ALTER TABLE notes ADD COLUMN author TEXT",))
    migrate(db, "book")
    db.execute("INSERT INTO notes VALUES ('n', 'm')")
    migrate(db, "book", newer)
    migrate(db, "book", newer)
    assert db.execute("PRAGMA user_version").fetchone() == (BOOK_VERSION + 1,)
    assert db.execute("SELECT text, author FROM notes").fetchall() == [("m", None)]
    db.close()


def test_a_newer_book_is_refused_with_both_versions(tmp_path: Path) -> None:
    path = tmp_path / "book"
    SQLiteLedger(path).close()
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version = {BOOK_VERSION + 7}")
    db.close()
    text = refusal(path)
    assert f"has version {BOOK_VERSION + 7}" in text
    assert f"reads up to {BOOK_VERSION}: upgrade tokmagic" in text


def test_another_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "photos.sqlite"
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE photos (name)")
    db.commit()
    assert "not a book of tokmagic: move it away" in refusal(path)
    assert db.execute("SELECT name FROM sqlite_master").fetchall() == [("photos",)]
    db.close()


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("remember the milk\n" * 100)
    assert "is no book of tokmagic: move it away" in refusal(path)
    assert path.read_text().startswith("remember the milk")


def test_a_damaged_book_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "book"
    SQLiteLedger(path).close()
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    with pytest.raises(LedgerError, match="is damaged: move it away"):
        SQLiteLedger(path).sweep()


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "make its folder writable" in refusal(tmp_path / "file" / "book")


def test_a_folder_in_the_place_of_the_book_is_refused(tmp_path: Path) -> None:
    (tmp_path / "book").mkdir()
    assert "cannot be opened" in refusal(tmp_path / "book")


@pytest.mark.parametrize("what", ["book", "folder"])
def test_a_book_that_was_removed_is_begun_anew_by_all_who_used_it(tmp_path: Path, what: str) -> None:
    path = tmp_path / "home" / "book"
    ledgers = [SQLiteLedger(path), SQLiteLedger(path)]
    ledgers[0].reserve(Entry("old", "", 1.0, "m", lease_until=9e9), (), "")
    path.unlink() if what == "book" else shutil.rmtree(path.parent)
    for ledger, id in zip(ledgers, "ab", strict=True):
        ledger.reserve(Entry(id, "", 1.0, "m", lease_until=9e9), (), "")
    assert [entry.id for entry in ledgers[0].entries()] == ["b", "a"]
    for ledger in ledgers:
        ledger.close()


def restore(other: Path, path: Path) -> None:
    """Put another book, with one entry of its own, in the place of the book."""
    ledger = SQLiteLedger(other)
    ledger.reserve(Entry("restored", "", 1.0, "m", lease_until=9e9), (), "")
    ledger.close()
    other.replace(path)


@pytest.mark.parametrize("users", [1, 2])
def test_a_book_that_was_replaced_is_read_as_it_is_now_without_the_log_of_the_one_before(
    tmp_path: Path, users: int
) -> None:
    path = tmp_path / "book"
    ledgers = [SQLiteLedger(path) for _ in range(users)]
    for number in range(100):
        ledgers[-1].reserve(Entry(f"old-{number}", "", 1.0, "m", lease_until=9e9), (), "")
    restore(tmp_path / "other", path)
    newcomer = SQLiteLedger(path)
    newcomer.reserve(Entry("new", "", 1.0, "m", lease_until=9e9), (), "")
    for ledger in (*ledgers, newcomer):
        assert [entry.id for entry in ledger.entries()] == ["new", "restored"]
    for ledger in (*ledgers, newcomer):
        ledger.close()
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


def test_a_copy_of_a_book_with_its_log_and_locks_loses_nothing(tmp_path: Path) -> None:
    ledger = SQLiteLedger(tmp_path / "home" / "book")
    ledger.reserve(Entry("kept", "", 1.0, "m", lease_until=9e9), (), "")
    shutil.copytree(tmp_path / "home", tmp_path / "copy")
    ledger.close()
    copy = SQLiteLedger(tmp_path / "copy" / "book")
    assert [entry.id for entry in copy.entries()] == ["kept"]
    copy.close()


def test_a_book_whose_folder_was_removed_closes_all_the_same(tmp_path: Path) -> None:
    ledger = SQLiteLedger(tmp_path / "home" / "book")
    shutil.rmtree(tmp_path / "home")
    ledger.close()
    assert not (tmp_path / "home").exists()


def test_a_book_that_is_closed_keeps_no_file_open(tmp_path: Path) -> None:
    def cycle(number: int) -> int:
        ledger = SQLiteLedger(tmp_path / f"{number}.sqlite")
        entry = Entry("one", "", 1.0, "m", lease_until=9e9)
        ledger.reserve(entry, (), "")
        ledger.settle(replace(entry, state="settled"))
        ledger.close()
        return len(list(Path("/dev/fd").iterdir()))

    assert len({cycle(number) for number in range(3)}) == 1


def test_a_book_is_one_by_all_its_names_and_keeps_its_log_and_its_gate_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, link = tmp_path / "real" / "book", tmp_path / "link"
    real.parent.mkdir()
    link.symlink_to(real)
    monkeypatch.chdir(real.parent)
    ledgers = [SQLiteLedger(path) for path in ("book", link, real)]
    monkeypatch.chdir(tmp_path)
    for ledger, id in zip(ledgers, "abc", strict=True):
        ledger.reserve(Entry(id, "", 1.0, "m", lease_until=9e9), (), "")
    assert [entry.id for entry in ledgers[0].entries()] == ["c", "b", "a"]
    assert {file.name for file in tmp_path.iterdir()} == {"real", "link"}
    for ledger in ledgers:
        ledger.close()


FULL_DISK = """
import resource, sys
from tokmagic.core.book import Entry
from tokmagic.core.errors import LedgerError
from tokmagic.ledgers.sqlite import SQLiteLedger

ledger = SQLiteLedger(sys.argv[1])
free = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, free[1]))
admitted = 0
try:
    while True:
        ledger.reserve(Entry(str(admitted), "", 1.0, "m", lease_until=9e9, error="x" * 5000), (), "")
        admitted += 1
except LedgerError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, free)
assert len(ledger.entries()) == admitted > 0
ledger.reserve(Entry("last", "", 1.0, "m", lease_until=9e9), (), "")
"""


@pytest.mark.skipif(os.name != "posix", reason="a file size limit is POSIX")
def test_a_disk_that_takes_no_more_is_one_line_and_loses_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path / "book")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1
    assert "has space, and try again" in done.stdout


FORK = """
import os, sys
from tokmagic.core.book import Entry
from tokmagic.ledgers.memory import MemoryLedger
from tokmagic.ledgers.sqlite import SQLiteLedger

ledger, memory = SQLiteLedger(sys.argv[1]), MemoryLedger()
for each in (ledger, memory):
    each.reserve(Entry("before", "", 1.0, "m", lease_until=9e9), (), "")
child = os.fork()
if child == 0:
    assert memory.entries() == ()
    for number in range(50):
        ledger.reserve(Entry(f"child-{number}", "", 2.0, "m", lease_until=9e9), (), "")
    os._exit(0)
for number in range(50):
    ledger.reserve(Entry(f"parent-{number}", "", 2.0, "m", lease_until=9e9), (), "")
assert os.waitpid(child, 0)[1] == 0
assert len(ledger.entries()) == 101
assert len(memory.entries()) == 1
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_and_its_parent_go_on_side_by_side(tmp_path: Path) -> None:
    path = tmp_path / "book"
    subprocess.run([sys.executable, "-c", FORK, str(path)], check=True, timeout=60)
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


@pytest.mark.parametrize(
    ("where", "made"),
    [
        (lambda folder: folder / "book", "book"),
        (lambda folder: str(folder / "book"), "book"),
        (lambda folder: f"sqlite://{folder}/book", "book"),
        (lambda folder: "memory:", None),
        (lambda folder: "memory", None),
    ],
    ids=["path", "text", "sqlite", "memory:", "memory"],
)
def test_a_setting_opens_its_ledger(tmp_path: Path, where: Callable[[Path], str | Path], made: str | None) -> None:
    ledger = open_ledger(where(tmp_path))
    assert isinstance(ledger, MemoryLedger) == (made is None)
    assert (tmp_path / "book").exists() == (made is not None)
    ledger.close()


@pytest.mark.parametrize("where", ["redis", "rediss", "sqlite"])
def test_a_scheme_without_a_place_is_no_name_of_a_file(where: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"use {where}://..., or ./{where} for such a file"):
        open_ledger(where)


@pytest.mark.parametrize("where", ["etcd://localhost", "postgres://x/y"])
def test_an_unsupported_scheme_is_refused_with_what_would_do(where: str) -> None:
    with pytest.raises(ConfigurationError, match="is not supported: use a path"):
        open_ledger(where)
