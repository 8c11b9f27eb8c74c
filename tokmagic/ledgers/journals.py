"""How SQLite writes the book: a write-ahead log where the file system allows one, else a rollback journal.

A write-ahead log takes one sync, which can wait until the gate is free again; a rollback journal takes four, while all
others wait. What is committed lasts as soon as the log is synced, and SQLite syncs the log before it writes the book.
SQLite before 3.51.3 can damage a log when a checkpoint and a commit of two connections meet; here they cannot, because
every transaction, and with it every checkpoint, passes the gate of the book alone. Over a network two machines do not
see each other's index of the log, so there the rollback journal stays.
"""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path
from typing import Literal, TypeAlias

Journal: TypeAlias = Literal["WAL", "TRUNCATE"]

#: File systems that machines share, by the beginning of their names.
SHARED = (
    *(
        "nfs",
        "cifs",
        "smb",
        "9p",
        "afs",
        "afp",
        "ceph",
        "lustre",
        "gpfs",
        "gluster",
        "beegfs",
        "fuse.",
        "ncpfs",
        "ocfs2",
    ),
    *("gfs2", "orangefs", "virtiofs", "vboxsf", "prl_fs", "drvfs", "vmhgfs"),
)
MOUNTS = Path("/proc/self/mounts")
#: Pages in the log after which they are brought into the book. That takes three syncs while all others wait, so it is
#: rare, but not so rare that the log is long to read: SQLite finds a page at once among the first 4,000.
CHECKPOINT = 4_000


def set_journal(db: sqlite3.Connection, path: Path) -> Journal:
    """Set the journal of a book that was just opened, and say which it has."""
    wanted = journal_for(file_system(path, MOUNTS.read_text() if sys.platform == "linux" else ""))
    (got,) = db.execute(f"PRAGMA journal_mode = {wanted}").fetchone()
    if got != "wal" and wanted == "WAL":
        (got,) = db.execute("PRAGMA journal_mode = TRUNCATE").fetchone()
    db.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT}")
    db.execute(f"PRAGMA synchronous = {'NORMAL' if got == 'wal' else 'FULL'}")
    return "WAL" if got == "wal" else "TRUNCATE"


def journal_for(file_system: str) -> Journal:
    """The journal for a book on that kind of file system."""
    return "TRUNCATE" if file_system.startswith(SHARED) else "WAL"


def file_system(path: Path, mounts: str) -> str:
    """The kind of file system a path lies on, by a table of mounts; empty where the table does not say."""
    places = {path.resolve(), *path.resolve().parents}
    found = ""
    longest = -1
    for line in mounts.splitlines():
        _, where, kind, *_ = line.split(" ")
        place = where.replace("\\040", " ")
        if Path(place) in places and len(place) >= longest:
            found, longest = kind, len(place)
    return found
