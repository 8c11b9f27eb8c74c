"""Which accounts of the book a call touches: one for each limit that covers its model.

The key names the window it began in, so a hold belongs to the window it was reserved in. Play money keeps accounts of
its own. Times are passed in, with the user's zone on them: days end at midnight there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from .limits import Account, Limit, Scope, Window
from .models import Model


def accounts_for(
    limits: Iterable[Limit], model: Model, scopes: Mapping[Scope, str], now: datetime
) -> tuple[Account, ...]:
    """The accounts of a call of ``model`` at ``now`` (with its zone); ``scopes`` names who calls, scope by scope."""
    found = (account_of(limit, model.play, scopes, now) for limit in limits if limit.covers(model.name))
    return tuple({account.key + str(account.limit.amount): account for account in found}.values())


def account_of(limit: Limit, play: bool, scopes: Mapping[Scope, str], now: datetime) -> Account:
    """The account of one limit at ``now``."""
    scope_id = scopes[limit.scope]
    start, end = window_of(limit.window, now)
    began = start.isoformat() if start is not None and limit.full == "refuse" else ""
    parts = (limit.full, limit.unit, limit.window, limit.scope, scope_id, limit.models, began, "play" if play else "")
    return Account(
        limit=limit,
        key="|".join(parts),
        scope_id=scope_id,
        since=start.timestamp() if start is not None else 0.0,
        until=end.timestamp() if end is not None else None,
        play=play,
    )


def window_of(window: Window, now: datetime) -> tuple[datetime | None, datetime | None]:
    """Start and end of the calendar window ``now`` lies in; None where the window has no bound in time."""
    if window == "minute":
        start = now.replace(second=0, microsecond=0)
        return start, start + timedelta(minutes=1)
    if window == "hour":
        start = now.replace(minute=0, second=0, microsecond=0)
        return start, start + timedelta(hours=1)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if window == "day":
        return midnight, midnight + timedelta(days=1)
    if window == "month":
        first = midnight.replace(day=1)
        return first, (first + timedelta(days=32)).replace(day=1)
    return None, None
