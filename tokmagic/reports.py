"""What the book says, asked in the reader's words: usage by group, every entry, the end of one that hangs.

Nothing here holds the whole book: groups are summed by the ledger, and entries are read page by page.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from tokmagic import hooks
from tokmagic.core.book import Entry, Total
from tokmagic.core.errors import ConfigurationError
from tokmagic.core.limits import Amounts, Charge
from tokmagic.core.money import Cost, nanousd
from tokmagic.core.prices import cost as cost_of
from tokmagic.core.reports import BY, By, Group, ModelTable, Since, UsageTable, moment, natural, usage_rows
from tokmagic.core.usage import Usage, checked_usage
from tokmagic.keys import has_key
from tokmagic.ledgers import Ledger
from tokmagic.parts import Parts

#: Entries read from the book at once.
PAGE = 1_000
#: Entries of a session in which its notebook is looked for.
LOOKED_AT = 20
#: Seconds a record's hold may take to be settled; it is charged in full where that never happens.
RECORD_LEASE = 60.0


def usage_table(parts: Parts, since: Since | None, by: By | None) -> UsageTable:
    """What was used since a moment, by group, with the rates of the last minute.

    Raises:
        ConfigurationError: words that name no moment or no group.
    """
    if by is not None and by not in BY:
        raise ConfigurationError(f"Usage by {by!r} is not kept: use one of {', '.join(BY)}.")
    ledger, now = parts.ledger, parts.now()
    start = moment(since, now)
    sessions = _sessions(ledger, start) if by in ("cell", "session") else {}
    if by == "day":
        totals = _by_day(ledger, start)
    elif by == "cell":
        totals = [found for session in sessions.values() for found in _cells(ledger, start, session)]
    else:
        totals = [(sessions.get(total.group, Group(total.group)), total) for total in ledger.totals(since=start, by=by)]
        places = {session: place for place, session in enumerate(sessions)}
        totals.sort(key=lambda found: places.get(found[0].name, 0))
    recent = pages(ledger, since=max(start, now.timestamp() - 60.0))
    return UsageTable(usage_rows(totals, ((_group(entry, by, sessions), entry) for entry in recent)), by)


def pages(ledger: Ledger, *, since: float = 0.0, until: float | None = None, size: int = PAGE) -> Iterator[Entry]:
    """Every entry since a moment, the newest first, read ``size`` at a time."""
    most = size
    while True:
        page = ledger.entries(since=since, until=until, most=most)
        if len(page) < most:
            yield from page
            return
        oldest = page[-1].at
        whole = [entry for entry in page if entry.at > oldest]
        yield from whole
        until = math.nextafter(oldest, math.inf)
        most = size if whole else 2 * most


def record(parts: Parts, name: str, usage: Usage, price: Cost | float | None) -> Entry:
    """Book a call that was made elsewhere. It has happened, so it is booked even where it passes a budget.

    Args:
        parts: whose book it is.
        name: of the model.
        usage: what it used.
        price: what it cost, in US dollars; None takes the model's price.

    Raises:
        ConfigurationError: a price that is no amount of 0 or more, or a usage that is none.
        UnknownModel: naming the nearest models.
    """
    model, now, usage = parts.model(name), parts.clock(), checked_usage(usage)
    paid = cost_of(model.price, usage) if price is None else _paid(price, play=model.play)
    spent = Amounts(1, usage.input_tokens, usage.output_tokens, usage.total_tokens, paid.nanousd)
    scopes = parts.scopes(model, "")
    entry = Entry(
        id=uuid.uuid4().hex,
        call=uuid.uuid4().hex,
        at=now,
        model=model.name,
        kind="record",
        owner=parts.epoch,
        lease_until=now + RECORD_LEASE,
        **{str(scope): name for scope, name in scopes.items()},  # type: ignore[arg-type]
        charge=Charge(spent, spent),
        used=Charge(spent, spent),
        usage=usage,
        nanousd=paid.nanousd,
        quality=paid.quality,
        play=model.play,
    )
    parts.ledger.reserve(entry, (), entry.call)
    ended = replace(entry, state="settled", settled_at=now)
    parts.ledger.settle(ended)
    hooks.ended(ended)
    return ended


def release(parts: Parts, id: str) -> Entry:
    """Give back what an unsettled entry was charged, because someone knows that it did not run; the entry as it was.

    Args:
        parts: whose book it is.
        id: as ``short_id`` has it, longer, or as much of the beginning as no other open entry has.

    Raises:
        ConfigurationError: no open entry, several, or one of a call that is still running.
    """
    start, dash, row = id.lower().partition("-")
    found = [entry for entry in parts.ledger.open_entries(start) if not dash or _row(entry) == row] if start else []
    if len(found) != 1:
        said = f"{len(found):,} open entries of the book begin" if found else "No open entry of the book begins"
        such = f", such as {short_id(found[0])}" if found else ""
        raise ConfigurationError(f"{said} with {id!r}: %tokens history shows the ids{such}.")
    (entry,) = found
    if entry.state != "unsettled":
        raise ConfigurationError(f"{short_id(entry)} is {entry.state} by a running call: stop that first.")
    parts.ledger.release(replace(entry, error="released by hand", settled_at=parts.clock()))
    return entry


def short_id(entry: Entry) -> str:
    """As much of an entry's id as people need; a row of a batch keeps its number, which alone tells it from others."""
    start, dash, row = entry.id.partition("-")
    return f"{start[:8]}{dash}{row}"


def _row(entry: Entry) -> str:
    return entry.id.partition("-")[2]


def model_table(parts: Parts, pattern: str) -> ModelTable:
    """The models whose name contains ``pattern``, and which keys are set."""
    keys = [name for name, service in parts.services().items() if has_key(service)]
    return ModelTable(parts.models(pattern), ["demo", *keys])


def _paid(price: Cost | float, *, play: bool) -> Cost:
    if isinstance(price, Cost):
        return replace(price, play=play)
    try:
        amount = nanousd(price)
    except (ValueError, ArithmeticError):
        amount = -1
    if amount < 0:
        raise ConfigurationError(f"cost={price!r} is no amount of US dollars: use a finite number of 0 or more.")
    return Cost(amount, "exact", play)


def _sessions(ledger: Ledger, since: float) -> dict[str, Group]:
    """The sessions that booked something, the one that did so last at the end."""
    names = {total.group for total in ledger.totals(since=since, by="session")}
    newest = [entries for name in names if (entries := ledger.entries(session=name, most=LOOKED_AT))]
    newest.sort(key=lambda entries: entries[0].at)
    return {entries[0].session: _session(entries) for entries in newest}


def _session(entries: Sequence[Entry]) -> Group:
    """The session of these entries, with its notebook; where that is unknown they have the session's name for it."""
    name = entries[0].session
    notebooks = (entry.notebook for entry in entries if entry.notebook != name)
    return Group(name, name, next(notebooks, ""))


def _cells(ledger: Ledger, since: float, session: Group) -> list[tuple[Group, Total]]:
    """The cells of a session, in their order."""
    found = ledger.totals(since=since, session=session.name, by="cell")
    return [(replace(session, name=total.group), total) for total in sorted(found, key=lambda t: natural(t.group))]


def _by_day(ledger: Ledger, since: float) -> list[tuple[Group, Total]]:
    """A group for each day on which something was booked, from midnight to midnight where the user is."""
    found: list[tuple[Group, Total]] = []
    until: float | None = None
    while newest := ledger.entries(since=since, until=until, most=1):
        midnight = _midnight(newest[0].at)
        day, start = midnight.strftime("%Y-%m-%d"), max(since, midnight.timestamp())
        found += [(Group(day), total) for total in reversed(ledger.totals(since=start, until=until))]
        until = start
    return found[::-1]


def _midnight(at: float) -> datetime:
    day = datetime.fromtimestamp(at)
    return day.replace(hour=0, minute=0, second=0, microsecond=0).astimezone()


def _group(entry: Entry, by: By | None, sessions: Mapping[str, Group]) -> Group:
    if by is None:
        return Group("")
    name = _midnight(entry.at).strftime("%Y-%m-%d") if by == "day" else str(getattr(entry, by))
    return replace(sessions[entry.session], name=name) if entry.session in sessions else Group(name)
