"""The file the book lies in: one connection, one transaction at a time, and every failure in one line.

Every transaction passes the gate first, then SQLite. What is committed survives its process, however that dies; what is
committed by ``transaction`` survives a power cut as well. A book that was removed or replaced is opened anew, without
the log of the one before it, which SQLite would write into the new one. However a book is named, it has one path: its
gate and its log lie beside the file itself. A forked child never uses its parent's handle: no transaction is open while
a process forks, and the child opens the file anew.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from threading import Lock
from weakref import WeakSet, finalize

from tokmagic.core.errors import LedgerError

from .journals import set_journal
from .locks import Gate, identity
from .schema import migrate

MEMORY = ":memory:"
#: Seconds to wait for another process.
PATIENCE = 30.0

#: What went wrong and the way out, by the beginning of SQLite's name for it.
TROUBLES = {
    "SQLITE_NOTADB": "is no book of tokmagic: move it away, or set TOKMAGIC_HOME to another folder",
    "SQLITE_CORRUPT": "is damaged: move it away to begin a new one, or restore it from a backup",
    "SQLITE_FULL": "cannot be written, the disk is full: free some space and try again",
    "SQLITE_IOERR": "cannot be read or written: see that its disk works and has space, and try again",
    "SQLITE_READONLY": "may not be written: allow it, or set TOKMAGIC_HOME to a folder that may",
    "SQLITE_CANTOPEN": "cannot be opened: make its folder writable, or set TOKMAGIC_HOME to one that is",
    "SQLITE_BUSY": "is in use by another process: end that one, or try again",
}
_sync = getattr(os, "fdatasync", os.fsync)
_NO_GATE = nullcontext()
UNKNOWN_TROUBLE = "cannot be used: try again, or set TOKMAGIC_HOME to another folder"


class BookFile:
    """The book's file and this process's connection to it; safe from any thread.

    Args:
        path: of the file, or ``:memory:`` for a book of this process alone.

    Raises:
        LedgerError: the file cannot be made, opened or understood.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = MEMORY if path == MEMORY else os.path.realpath(path)
        self._at = Path(self.path)
        self._lock = Lock()
        self._closed = False
        self._db: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._log: Log | None = None
        self._gate = None if self.path == MEMORY else Gate(self._at, PATIENCE)
        self._one_line = OneLine(self.path)
        _opened.add(self)
        with self.transaction():
            pass

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """The connection, in a transaction that is committed when the block ends and undone when it raises.

        The sync comes after the gate, so that those of several processes are one for the disk.

        Raises:
            LedgerError: in one line, for whatever SQLite or the file system reports. Nothing has happened then; only
                where the sync itself failed it has, and a power cut can still undo it.
        """
        with self.sparing_transaction() as db:
            yield db
            log = self._log
        if log is not None:
            with self._one_line:
                log.sync()

    @contextmanager
    def sparing_transaction(self) -> Iterator[sqlite3.Connection]:
        """The same without a sync of its own where the journal allows it: only a power cut can undo it, whole.

        The next ``transaction``, of any process, makes it survive that, too.
        """
        with self._lock, self._one_line, self._passed():
            db = self._connection()
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the connection. Closing twice is a no-op."""
        with self._lock, self._one_line:
            self._closed = True
            there = self._db is not None and self._at.exists()
            with self._gate if self._gate is not None and there else _NO_GATE:
                self._drop_connection()
            self._drop()

    def _passed(self) -> AbstractContextManager[None]:
        if self._closed:
            raise LedgerError(f"the book {self.path} was closed: open it again.")
        return self._gate or _NO_GATE

    def _connection(self) -> sqlite3.Connection:
        if self._db is not None and self._identity != self._identify():
            self._drop_connection()
        if self._db is None:
            self._db = self._open()
            self._identity = self._identify()
        return self._db

    def _identify(self) -> tuple[int, int] | None:
        return None if self.path == MEMORY else identity(self._at)

    def _open(self) -> sqlite3.Connection:
        if self._gate is not None:
            self._remove_strange_log(self._gate.note())
            _make(self._at)
        logged = False
        db = sqlite3.connect(self.path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
        try:
            if self.path != MEMORY:
                logged = set_journal(db, self._at) == "WAL"
            db.execute("BEGIN IMMEDIATE")
            migrate(db, self.path)
            db.execute("COMMIT")
            if logged:
                self._log = Log(f"{self.path}-wal")
                self._log.sync()
            _sync_folder(self._at)
            if self._gate is not None:
                self._gate.leave_note(f"{identity(self._at)} {identity(Path(f'{self.path}-wal'))}")
        except BaseException:
            self._log = None
            db.close()
            raise
        return db

    def _remove_strange_log(self, last: str) -> None:
        """Remove the log that is there where it was of another book when one was opened ``last``."""
        book, log = identity(self._at), identity(Path(f"{self.path}-wal"))
        if log is not None and last.endswith(f" {log}") and last != f"{book} {log}":
            _remove_log(self._at)

    def _drop_connection(self) -> None:
        self._log = None
        if self._db is not None:
            self._db.close()
            self._db = None

    def _drop(self) -> None:
        self._drop_connection()
        if self._gate is not None:
            self._gate.close()

    def before_fork(self) -> None:
        """Let the running transaction end, and begin no other."""
        self._lock.acquire()

    def after_fork_in_parent(self) -> None:
        """Go on."""
        self._lock.release()

    def after_fork_in_child(self) -> None:
        """Forget the parent's handles; the next use opens the book anew."""
        self._drop()
        self._lock.release()


class OneLine:
    """Whatever SQLite or the file system reports within it is a ``LedgerError`` in one line.

    Args:
        book: what the line names.
    """

    def __init__(self, book: str) -> None:
        self._book = book

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, sqlite3.Error):
            name = getattr(error, "sqlite_errorname", "")
            trouble = next((text for start, text in TROUBLES.items() if name.startswith(start)), UNKNOWN_TROUBLE)
            raise LedgerError(f"the book {self._book} {trouble} ({error}).") from error
        if isinstance(error, TimeoutError):
            raise LedgerError(f"the book {self._book} {TROUBLES['SQLITE_BUSY']} ({error}).") from error
        if isinstance(error, OverflowError | UnicodeError):
            raise LedgerError(f"the book {self._book} can keep no such value ({error}).") from None
        if isinstance(error, OSError):
            raise LedgerError(f"the book {self._book} {TROUBLES['SQLITE_CANTOPEN']} ({error.strerror}).") from error


class Log:
    """The write-ahead log of an open book, held open, so that a sync needs no look for it.

    Whoever committed syncs the log it has committed to, also where the book was closed or replaced since. It lives as
    long as somebody needs it.
    """

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_RDWR)
        finalize(self, os.close, self._file).atexit = False  # a process that ends still settles its calls

    def sync(self) -> None:
        """Let what was committed reach the disk."""
        _sync(self._file)


def _make(path: Path) -> None:
    """Make the file if it is missing, and let nothing of a removed book be taken for its log."""
    if not path.exists():
        _remove_log(path)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


def _remove_log(path: Path) -> None:
    for rest in ("-wal", "-shm", "-journal"):
        path.with_name(path.name + rest).unlink(missing_ok=True)


def _sync_folder(path: Path) -> None:
    """Let the names of the book and its log reach the disk."""
    if os.name == "posix" and str(path) != MEMORY:
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


_opened: WeakSet[BookFile] = WeakSet()
_forking: list[BookFile] = []
_one_fork = Lock()


def _before_fork() -> None:
    _one_fork.acquire()
    for file in list(_opened):
        file.before_fork()
        _forking.append(file)


def _after_fork_in_parent() -> None:
    while _forking:
        _forking.pop().after_fork_in_parent()
    _one_fork.release()


def _after_fork_in_child() -> None:
    while _forking:
        _forking.pop().after_fork_in_child()
    _one_fork.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
