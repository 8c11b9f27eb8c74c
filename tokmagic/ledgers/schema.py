"""The tables of the book, and how an older book becomes a newer one.

``entries`` is the truth. ``accounts`` keeps what the entries in a window and scope add up to, so that a reservation
never sums; ``holds`` says on which accounts an entry stands, and with how much, so that its end adjusts exactly these.
A migration is a tuple of statements; the version of a book is the number of migrations it has had.
"""

from __future__ import annotations

import sqlite3

from tokmagic.core.errors import LedgerError
from tokmagic.core.money import QUALITIES

from .sums import DAILY, DAY, DIMENSIONS, MEASURES, PARTS, SLOT, UNITS

#: "tokm": what tells a book from any other SQLite file.
APPLICATION_ID = 0x746F6B6D
STRICT = "STRICT" if sqlite3.sqlite_version_info >= (3, 37) else ""
KEYED = "STRICT, WITHOUT ROWID" if STRICT else "WITHOUT ROWID"


def _amounts(name: str) -> str:
    units = ("requests", "input_tokens", "output_tokens", "tokens")
    counted = ", ".join(f"{name}_{unit} INTEGER NOT NULL" for unit in units)
    return f"{counted}, {name}_nanousd INTEGER"


FIRST = (
    f"""CREATE TABLE entries (
        id TEXT NOT NULL UNIQUE, call TEXT NOT NULL, at REAL NOT NULL, model TEXT NOT NULL, kind TEXT NOT NULL,
        attempt INTEGER NOT NULL, state TEXT NOT NULL, settled_at REAL, owner TEXT NOT NULL, lease_until REAL NOT NULL,
        session TEXT NOT NULL, notebook TEXT NOT NULL, cell TEXT NOT NULL, thread TEXT NOT NULL, user TEXT NOT NULL,
        team TEXT NOT NULL, key TEXT NOT NULL,
        {_amounts("charge_ceiling")}, {_amounts("charge_expected")},
        {_amounts("used_ceiling")}, {_amounts("used_expected")},
        usage_input_tokens INTEGER NOT NULL, usage_cache_read_tokens INTEGER NOT NULL,
        usage_cache_write_tokens INTEGER NOT NULL, usage_cache_write_1h_tokens INTEGER NOT NULL,
        usage_output_tokens INTEGER NOT NULL, usage_reasoning_tokens INTEGER NOT NULL,
        nanousd INTEGER, quality TEXT NOT NULL, play INTEGER NOT NULL, stop_reason TEXT NOT NULL,
        request_id TEXT NOT NULL, waited REAL NOT NULL, first_token REAL, duration REAL,
        dropped_tokens INTEGER NOT NULL, error TEXT NOT NULL) {STRICT}""",
    "CREATE INDEX entries_by_time ON entries (at)",
    "CREATE INDEX entries_by_session ON entries (session, at)",
    "CREATE INDEX entries_by_lease ON entries (lease_until) WHERE state = 'held'",
    f"""CREATE TABLE accounts (
        key TEXT NOT NULL PRIMARY KEY, scope TEXT NOT NULL, scope_id TEXT NOT NULL, since REAL NOT NULL,
        until REAL NOT NULL, play INTEGER NOT NULL, amount INTEGER NOT NULL, unit TEXT NOT NULL,
        "window" TEXT NOT NULL, "full" TEXT NOT NULL, models TEXT NOT NULL, spent INTEGER NOT NULL,
        held INTEGER NOT NULL, room REAL NOT NULL, updated_at REAL NOT NULL) {KEYED}""",
    "CREATE INDEX accounts_by_scope ON accounts (scope, scope_id, until)",
    f"""CREATE TABLE holds (
        entry TEXT NOT NULL, account TEXT NOT NULL, ceiling INTEGER NOT NULL, expected INTEGER NOT NULL,
        PRIMARY KEY (entry, account)) {KEYED}""",
    f"""CREATE TABLE tickets (
        ticket TEXT NOT NULL, account TEXT NOT NULL, place INTEGER NOT NULL, needed INTEGER NOT NULL,
        asked_at REAL NOT NULL, lease_until REAL NOT NULL, PRIMARY KEY (ticket, account)) {KEYED}""",
    f"""CREATE TABLE learned (
        key TEXT NOT NULL, model TEXT NOT NULL, unit TEXT NOT NULL, amount INTEGER, remaining INTEGER, resets_at REAL,
        seen_at REAL NOT NULL, PRIMARY KEY (key, model, unit)) {KEYED}""",
    f"""CREATE TABLE calibration (
        model TEXT NOT NULL PRIMARY KEY, calls INTEGER NOT NULL, counted_tokens INTEGER NOT NULL,
        reported_tokens INTEGER NOT NULL) {KEYED}""",
)

#: What replies teach is kept as notes: small texts by name, whose content ``core`` reads and writes.
NOTES = (
    "DROP TABLE learned",
    "DROP TABLE calibration",
    f"CREATE TABLE notes (name TEXT NOT NULL PRIMARY KEY, text TEXT NOT NULL) {KEYED}",
)

_ENDED = "state IN ('settled', 'unsettled')"
_SUMMED = ", ".join(
    (
        *(f"sum(coalesce(used_ceiling_{unit}, charge_ceiling_{unit}, 0))" for unit in UNITS),
        *(f"sum(usage_{part})" for part in PARTS),
        *(f"sum(quality = '{quality}')" for quality in QUALITIES),
        "sum(coalesce(nanousd, 0)), sum(nanousd IS NULL), sum(CAST(round(waited * 1e6) AS INTEGER))",
        "sum(waited > 0), sum(dropped_tokens)",
    )
)
_WHERE_SUMMED = f"CAST(at / {SLOT} AS INTEGER), {', '.join(DIMENSIONS)}"
#: What ended is added up as it ends, and what is still open is found without reading the rest.
SUMS = (
    f"""CREATE TABLE sums (
        id INTEGER PRIMARY KEY, slot INTEGER NOT NULL, {"".join(f"{name} TEXT NOT NULL, " for name in DIMENSIONS[:-1])}
        play INTEGER NOT NULL, calls INTEGER NOT NULL, {", ".join(f"{name} INTEGER NOT NULL" for name in MEASURES)},
        UNIQUE (session, slot, cell, model, notebook, key, user, team, play)) {STRICT}""",
    "CREATE INDEX sums_by_time ON sums (slot)",
    f"""CREATE TABLE calls (
        call TEXT NOT NULL, sum INTEGER NOT NULL, entries INTEGER NOT NULL, PRIMARY KEY (call, sum)) {KEYED}""",
    f"CREATE TABLE spanning (call TEXT NOT NULL PRIMARY KEY) {KEYED}",
    "CREATE INDEX entries_open ON entries (id) WHERE state IN ('held', 'unsettled')",
    f"""INSERT INTO sums (slot, {", ".join(DIMENSIONS)}, calls, {", ".join(MEASURES)})
        SELECT {_WHERE_SUMMED}, count(DISTINCT call), {_SUMMED} FROM entries WHERE {_ENDED}
        GROUP BY {_WHERE_SUMMED}""",  # noqa: S608
    f"""INSERT INTO calls SELECT e.call, s.id, count(*) FROM entries AS e JOIN sums AS s
        ON s.slot = CAST(e.at / {SLOT} AS INTEGER) AND {" AND ".join(f"s.{name} = e.{name}" for name in DIMENSIONS)}
        WHERE {_ENDED} GROUP BY 1, 2""",  # noqa: S608
    "INSERT INTO spanning SELECT call FROM calls GROUP BY call HAVING count(*) > 1",
)

#: What ended long ago is read by the day.
DAYS = (
    f"""CREATE TABLE days (
        day INTEGER NOT NULL, {"".join(f"{name} TEXT NOT NULL, " for name in DAILY[:-1])}play INTEGER NOT NULL,
        calls INTEGER NOT NULL, {", ".join(f"{name} INTEGER NOT NULL" for name in MEASURES)},
        PRIMARY KEY (day, {", ".join(DAILY)})) {KEYED}""",
    f"""INSERT INTO days SELECT slot / {DAY}, {", ".join(DAILY)}, sum(calls),
        {", ".join(f"sum({name})" for name in MEASURES)} FROM sums
        GROUP BY slot / {DAY}, {", ".join(DAILY)}""",  # noqa: S608
)

Migrations = tuple[tuple[str, ...], ...]
MIGRATIONS: Migrations = (FIRST, NOTES, SUMS, DAYS)


def migrate(db: sqlite3.Connection, path: str, migrations: Migrations = MIGRATIONS) -> None:
    """Bring the book up to the newest version, within the running transaction.

    Raises:
        LedgerError: the file is no book, or a newer version of tokmagic made it.
    """
    version = _version(db, path)
    if version > len(migrations):
        raise LedgerError(
            f"the book {path} has version {version}, and this tokmagic reads up to {len(migrations)}: "
            "upgrade tokmagic, or set TOKMAGIC_HOME to another folder."
        )
    if version == len(migrations):
        return
    for statements in migrations[version:]:
        for statement in statements:
            db.execute(statement)
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {len(migrations)}")


def _version(db: sqlite3.Connection, path: str) -> int:
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != APPLICATION_ID and (application or version or tables):
        raise LedgerError(
            f"{path} is a database, and not a book of tokmagic: move it away, or set TOKMAGIC_HOME to another folder."
        )
    return int(version)
