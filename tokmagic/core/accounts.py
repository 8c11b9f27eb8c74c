"""Which accounts of the book a call touches: one for each limit that covers its model.

The key names when its window began, so a hold belongs to the window it was reserved in; a waiting limit is a bucket
that refills and has no such window. Play money keeps accounts of its own. Times are passed in, with the user's zone on
them: days end at midnight there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from .errors import ConfigurationError
from .limits import Account, Limit
from .models import Model
from .units import Scope, Window


def accounts_for(
    limits: Iterable[Limit], model: Model, scopes: Mapping[Scope, str], now: datetime
) -> tuple[Account, ...]:
    """The accounts of a call of ``model`` at ``now`` (with its zone); ``scopes`` names who calls, scope by scope.

    A limit covers a model by any of its names. Of several limits on the same account only the tightest is kept: the
    others can never be met before it.

    Raises:
        ConfigurationError: a limit's scope has no name in ``scopes``.
    """
    tightest: dict[str, Account] = {}
    for limit in limits:
        if any(limit.covers(name) for name in model.names):
            account = account_of(limit, model.play, scopes, now)
            known = tightest.setdefault(account.key, account)
            if limit.amount < known.limit.amount:
                tightest[account.key] = account
    return tuple(tightest.values())


def account_of(limit: Limit, play: bool, scopes: Mapping[Scope, str], now: datetime) -> Account:
    """The account of one limit at ``now``.

    Raises:
        ConfigurationError: the limit's scope has no name in ``scopes``.
    """
    if limit.scope not in scopes:
        raise ConfigurationError(
            f"the limit {limit} is by {limit.scope}, and no {limit.scope} is named: name one in the configuration."
        )
    scope_id = scopes[limit.scope]
    start, end = window_of(limit.window, now) if limit.full == "refuse" else (None, None)
    since = start.timestamp() if start is not None else 0.0
    parts = (limit.full, limit.unit, limit.window, limit.scope, scope_id, limit.models, f"{since:.0f}")
    return Account(
        limit=limit,
        key="|".join(map(_escape, (*parts, "play" if play else ""))),
        scope_id=scope_id,
        since=since,
        until=end.timestamp() if end is not None else None,
        play=play,
    )


def _escape(part: str) -> str:
    return part.replace("%", "%25").replace("|", "%7C")


def window_of(window: Window, now: datetime) -> tuple[datetime | None, datetime | None]:
    """Start and end of the window ``now`` lies in; None where the window has no bound in time.

    Days and months run from midnight to midnight on the wall, so a day may have 23 or 25 hours. Minutes and hours are
    always as long as their name says.
    """
    if window == "minute":
        return _span(now, timedelta(seconds=now.second, microseconds=now.microsecond), timedelta(minutes=1))
    if window == "hour":
        past = timedelta(minutes=now.minute, seconds=now.second, microseconds=now.microsecond)
        return _span(now, past, timedelta(hours=1))
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if window == "day":
        return midnight, midnight + timedelta(days=1)
    if window == "month":
        first = midnight.replace(day=1)
        return first, (first + timedelta(days=32)).replace(day=1)
    return None, None


def _span(now: datetime, past: timedelta, length: timedelta) -> tuple[datetime, datetime]:
    start = now.astimezone(UTC) - past
    return start.astimezone(now.tzinfo), (start + length).astimezone(now.tzinfo)
