"""Limits learned from replies: what a provider states of its per-minute limits, kept in the book and obeyed.

The provider's word is the truth: it replaces what the catalogue says, in both directions, and a configured limit can
only be tighter. Levels are only ever lowered by it, and only by what is certain: calls of ours that the provider had
not counted yet are never mistaken for its own. What was not seen for a day is forgotten.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache, partial

from .book import Lessons
from .errors import ProviderError
from .limits import MAX_AMOUNT, NONE, Account, Amounts, Limit, rate
from .models import Model
from .rates import RateState
from .units import Unit
from .usage import Usage

UNITS: tuple[Unit, ...] = ("requests", "input_tokens", "output_tokens", "tokens")
#: Seconds after which a limit that is not stated any more is forgotten.
FORGET = 86_400.0
#: How far the rest of a token limit may be stated too low: it is rounded to thousands.
ROUNDING = 500
#: A minute's limit with room left is full again sooner than this, in seconds; what takes longer covers a longer window.
LONGEST_RESET = 65.0
#: A bucket takes no longer than this to fill, in seconds; who states more has a clock that is off.
LONGEST_DEBT = 300.0
#: The longest pause a refusal may impose on the other calls, in seconds.
LONGEST_PAUSE = 60.0


def note_name(key: str, model: str) -> str:
    """The name of the note about the limits of ``provider/model`` under one provider key."""
    return f"limits/{key}/{model}"


def limits_of(note: str, model: str, now: float) -> tuple[Limit, ...]:
    """The limits a note holds, at ``now`` in seconds of the epoch."""
    return tuple(_limit(unit, amount, model) for unit, (amount, _) in _read(note, now).items())


def known_limits(model: Model, learned: Iterable[Limit]) -> tuple[Limit, ...]:
    """The provider's limits of a model: those it stated itself, and the catalogue's for the other units."""
    learned = tuple(learned)
    stated = {limit.unit for limit in learned}
    return (*learned, *(limit for limit in model.rates if limit.unit not in stated))


def revised(note: str, states: Iterable[RateState], now: float) -> str:
    """The note with what was just stated in it."""
    known = dict(_read(note, now))
    for state in states:
        if state.limit is not None and _by_minute(state):
            known[state.unit] = (state.limit, now)
    return json.dumps({unit: {"amount": amount, "seen": round(seen)} for unit, (amount, seen) in known.items()})


def credible(states: Iterable[RateState], used: Usage) -> tuple[RateState, ...]:
    """Without the limits that a call which passed them refutes: it ``used`` more at once than they give a minute."""
    read = used.input_tokens - used.cache_read_tokens
    passed = Amounts(1, read, used.output_tokens, read + used.output_tokens)
    return tuple(state for state in states if state.limit is None or state.limit >= (passed.of(state.unit) or 0))


def learn_rates(
    model: str,
    key: str,
    states: Iterable[RateState],
    accounts: Iterable[Account],
    asked_at: float,
    now: float,
    beside: Amounts = NONE,
) -> Lessons:
    """What a reply's stated limits teach.

    Args:
        model: ``provider/model``.
        key: the fingerprint of the provider key.
        states: what it stated.
        accounts: those of the call.
        asked_at: when the call was reserved, in seconds of the epoch.
        now: when the reply came; the levels were stated in between.
        beside: expected of other calls under way that the accounts do not count; the levels may be from before them.
    """
    states = tuple(state for state in states if _by_minute(state))
    if not states:
        return Lessons()
    since = max(0.0, now - asked_at)
    rooms = {
        account.key: _room(state, account.limit) + since * rate(account.limit) - (beside.of(state.unit) or 0)
        for state in states
        for account in _mirrors(accounts, model, state.unit)
    }
    return Lessons({note_name(key, model): partial(revised, states=states, now=now)}, rooms)


def learn_refusal(
    model: str, key: str, error: ProviderError, needed: Amounts, accounts: Iterable[Account], now: float
) -> Lessons:
    """What a 429 teaches: its stated limits, and that what was short is so until ``retry_after`` is over.

    The limit that was short has room for this call then, and not before. Where none is named, no call passes before.
    """
    accounts = tuple(accounts)
    stated = learn_rates(model, key, error.rates, accounts, now, now)
    pause = min(error.retry_after or 0.0, LONGEST_PAUSE)
    short = [state for state in error.rates if state.remaining <= _least(state.unit, needed) + _slack(state.unit)]
    unit = min(short, key=_share_left).unit if short else "requests"
    least = _least(unit, needed) if short else 1
    rooms = {account.key: least - pause * rate(account.limit) for account in _mirrors(accounts, model, unit)}
    return together(stated, Lessons(rooms=rooms if pause else {}))


def together(*lessons: Lessons) -> Lessons:
    """All of them as one; of several rooms of one account the least."""
    notes = {name: change for lesson in lessons for name, change in lesson.notes.items()}
    rooms: dict[str, float] = {}
    for lesson in lessons:
        for key, room in lesson.rooms.items():
            rooms[key] = min(room, rooms.get(key, room))
    return Lessons(notes, rooms)


def _mirrors(accounts: Iterable[Account], model: str, unit: Unit) -> list[Account]:
    """The accounts that count what the provider counts: one model's calls under one key, minute by minute."""
    return [
        account
        for account in accounts
        if (account.limit.full, account.limit.window, account.limit.scope) == ("wait", "minute", "key")
        and (account.limit.unit, account.limit.models) == (unit, _exactly(model))
    ]


def _limit(unit: Unit, amount: int, model: str) -> Limit:
    return Limit(amount, unit, "minute", "key", "wait", _exactly(model), "provider")


def _exactly(model: str) -> str:
    """The pattern of one model's name alone."""
    return re.sub(r"([*?[])", r"[\1]", model)


def _by_minute(state: RateState) -> bool:
    return not (state.remaining > 0 and state.reset is not None and state.reset > LONGEST_RESET)


def _room(state: RateState, limit: Limit) -> float:
    """The most the provider's bucket can have left; below zero where it needs more than its window to be full."""
    if state.remaining == 0 and state.limit == limit.amount and 0 < (state.reset or 0) <= LONGEST_DEBT:
        return min(float(_slack(state.unit)), limit.amount - ((state.reset or 0) - 1) * rate(limit))
    return float(state.remaining + _slack(state.unit))


def _slack(unit: Unit) -> int:
    return 0 if unit == "requests" else ROUNDING


def _least(unit: Unit, needed: Amounts) -> int:
    """What of a unit must be left for a call to be taken."""
    return (needed.of(unit) or 0) if unit != "output_tokens" else 1


def _share_left(state: RateState) -> float:
    return state.remaining / (state.limit or MAX_AMOUNT)


def _read(note: str, now: float) -> Mapping[Unit, tuple[int, float]]:
    """Amount and when it was seen, by unit; what makes no sense or is too old is not there."""
    known = _parsed(note)
    return {unit: (amount, seen) for unit, (amount, seen) in known.items() if amount > 0 and now - seen <= FORGET}


@lru_cache(256)
def _parsed(note: str) -> Mapping[Unit, tuple[int, float]]:
    """All that a note holds. A call reads the same one again and again."""
    try:
        values = json.loads(note)
        return {unit: (int(values[unit]["amount"]), float(values[unit]["seen"])) for unit in UNITS if unit in values}
    except (ValueError, TypeError, KeyError, OverflowError):
        return {}
