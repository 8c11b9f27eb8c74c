"""The replay store: answers that were paid for, under the hash of what was asked, in one file beside the book.

It is a convenience and no book: it can be removed at any time, and then costs nothing but the same calls once more. No
connection is kept open, so threads, forks and a removed file need no care; each method is one transaction.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tokmagic.core.errors import ReplayError

#: Seconds to wait for another process.
PATIENCE = 10.0
#: Seconds after which a use is written down again; what was not used for longest goes first.
USE_NOTED = 86_400.0
MEGABYTE = 2**20
_TABLE = """
CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, used REAL NOT NULL, text TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS answers_by_use ON answers (used);
"""
#: A tenth of all answers, those that were not used for longest.
_OLDEST = """
DELETE FROM answers WHERE key IN (SELECT key FROM answers ORDER BY used LIMIT (SELECT count(*) / 10 + 1 FROM answers))
"""


class ReplayStore:
    """Answers by key.

    Args:
        path: of the file; it is made with the first answer that is kept.
        most_bytes: of the file, about; 0 keeps nothing.
        clock: seconds of the epoch.
    """

    def __init__(self, path: Path, most_bytes: int, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self._most = most_bytes
        self._clock = clock

    def find(self, key: str) -> str | None:
        """The text that is kept under the key.

        Raises:
            ReplayError: the file cannot be read.
        """
        if not self.path.exists():
            return None
        with self._transaction() as db:
            row = db.execute("SELECT text, used FROM answers WHERE key = ?", (key,)).fetchone()
            if row is None:
                return None
            if row[1] < self._clock() - USE_NOTED:
                db.execute("UPDATE answers SET used = ? WHERE key = ?", (self._clock(), key))
        return str(row[0])

    def keep(self, key: str, text: str) -> None:
        """Keep the text under the key, in place of what was there.

        Raises:
            ReplayError: the file cannot be written.
        """
        if not self._most:
            return
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", (key, self._clock(), text))
            while self._bytes(db) > self._most and db.execute(_OLDEST).rowcount > 0:
                pass

    def clear(self) -> int:
        """Forget every answer; how many there were.

        Raises:
            ReplayError: the file cannot be written.
        """
        if not self.path.exists():
            return 0
        with self._transaction() as db:
            found = db.execute("DELETE FROM answers").rowcount
        with self._open() as db:
            db.execute("VACUUM")
        return found

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._open() as db:
            db.execute("BEGIN IMMEDIATE")
            yield db
            db.execute("COMMIT")

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """A connection of its own; what is not committed when it closes has not happened."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
            with closing(sqlite3.connect(self.path, timeout=PATIENCE, isolation_level=None)) as db:
                db.executescript(_TABLE)
                yield db
        except (sqlite3.Error, OSError) as error:
            raise ReplayError(f"the replay store {self.path} cannot be used ({error}): move it away.") from None

    def _bytes(self, db: sqlite3.Connection) -> int:
        (pages,), (free,), (size,) = (
            db.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)
