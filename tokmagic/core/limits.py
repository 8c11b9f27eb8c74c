"""One idea for budgets and rate limits: an amount of a unit over a window, and what *full* means.

A limit that **refuses** reads the worst case of a call (its ceiling): what was spent and what is held may never pass
the amount. A limit that **waits** is a bucket that refills continuously and reads the expected use, as the provider
counts it. ``decide()`` is the only place where a call is admitted, and it is pure: ledgers count and insert.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TypeAlias

from .errors import ConfigurationError
from .money import show_nanousd
from .units import Full, Scope, Source, Unit, Window

#: The windows over which a waiting limit refills.
SECONDS: dict[str, float] = {"minute": 60.0, "hour": 3600.0, "day": 86400.0}
#: The largest amount of a limit, so that every sum stays within 64 bits.
MAX_AMOUNT = 2**62
#: A wait shorter than this is none: it is finer than the clocks that would measure it.
SHORTEST_WAIT = 0.001
#: Seconds within which a call that was admitted reaches its provider.
REACH = 1.0


@dataclass(frozen=True, slots=True)
class Amounts:
    """So much of each unit. ``nanousd`` is None where the price is unknown."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    tokens: int = 0
    nanousd: int | None = 0

    def of(self, unit: Unit) -> int | None:
        """The amount in that unit."""
        amount: int | None = getattr(self, unit)
        return amount


NONE = Amounts()


@dataclass(frozen=True, slots=True)
class Charge:
    """What is booked for a call, twice over.

    ``ceiling`` is the most it can use, which refusing limits read; ``expected`` is its use under the provider's own
    rule, which waiting limits read. Once settled, both hold the truth.
    """

    ceiling: Amounts = NONE
    expected: Amounts = NONE


@dataclass(frozen=True, slots=True)
class Limit:
    """So much of a unit in a window.

    Attributes:
        amount: in the unit; nano-dollars for money.
        unit: what is counted.
        window: over what time. ``call`` looks at one call alone.
        scope: what shares the limit.
        full: whether a full limit refuses or waits.
        models: a pattern over ``provider/model`` names; upper and lower case are one.
        source: who set it.
        warn_percent: the share of a budget from which on its use is warned of.

    Raises:
        ConfigurationError: the amount is no whole number from 0 to ``MAX_AMOUNT``, or it waits over a window that does
            not refill.
    """

    amount: int
    unit: Unit
    window: Window
    scope: Scope
    full: Full
    models: str = "*"
    source: Source = "notebook"
    warn_percent: int = 80

    def __post_init__(self) -> None:
        if type(self.amount) is not int or not 0 <= self.amount <= MAX_AMOUNT:
            raise ConfigurationError(
                f"a limit of {self.amount!r} {self.unit} cannot be kept: use a whole number from 0 to {MAX_AMOUNT:,}."
            )
        if self.full == "wait" and self.window not in SECONDS:
            raise ConfigurationError(
                f"a limit per {self.window} cannot wait, for it does not refill: use one of {', '.join(SECONDS)}."
            )

    def covers(self, model: str) -> bool:
        """Whether it counts calls of that model."""
        return covers(self.models, model)

    def __str__(self) -> str:
        what = f"{show_amount(self.amount, self.unit)}/{self.window}"
        return what if self.models == "*" else f"{what} for {self.models}"


def covers(pattern: str, model: str) -> bool:
    """Whether a pattern over ``provider/model`` names, such as ``anthropic/*``, means that model."""
    return fnmatchcase(model.lower(), pattern.lower())


@dataclass(frozen=True, slots=True)
class Account:
    """Where a limit's running total stands in the book. The key does not hold the amount, so a changed limit goes on.

    ``since`` and ``until`` bound the window in seconds of the epoch (0.0 and None where there is no bound).
    """

    limit: Limit
    key: str
    scope_id: str
    since: float = 0.0
    until: float | None = None
    play: bool = False


@dataclass(frozen=True, slots=True)
class Level:
    """How full an account is.

    A refusing limit has ``spent`` (settled) and ``held`` (reserved). A waiting one has ``room`` in its bucket, which
    may be negative after a settle, and ``ahead``: what earlier waiters will take first.
    """

    account: Account
    spent: int = 0
    held: int = 0
    room: float = 0.0
    ahead: int = 0

    @property
    def left(self) -> int:
        """What it has left now, never below 0."""
        limit = self.account.limit
        free = self.room if limit.full == "wait" else limit.amount - self.spent - self.held
        return max(0, int(free))

    @property
    def over(self) -> int:
        """By how much a budget was passed, which only a call that used more than was held for it can do."""
        limit = self.account.limit
        return max(0, self.spent - limit.amount) if limit.full == "refuse" else 0


@dataclass(frozen=True, slots=True)
class Admitted:
    """The call may be sent; its charge is held. ``levels`` are those it was admitted to, as they were before."""

    levels: tuple[Level, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing was taken; ask again in ``seconds``."""

    seconds: float
    level: Level
    needed: int


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was taken. ``never`` means that no waiting helps; ``needed`` is None where the price is unknown."""

    level: Level
    needed: int | None
    never: bool = False


Decision: TypeAlias = Admitted | Wait | Refused


def decide(levels: Iterable[Level], charge: Charge) -> Decision:
    """Whether a call with that charge may go now. Refusals come first; of several waits the longest counts."""
    longest: Wait | None = None
    levels = tuple(levels)
    for level in sorted(levels, key=lambda level: level.account.limit.full):
        limit = level.account.limit
        verdict = _refuse(level, charge.ceiling.of(limit.unit)) if limit.full == "refuse" else _wait(level, charge)
        if isinstance(verdict, Refused):
            return verdict
        if verdict is not None and (longest is None or verdict.seconds > longest.seconds):
            longest = verdict
    return longest or Admitted(levels)


def _refuse(level: Level, needed: int | None) -> Refused | None:
    if needed is None:
        return Refused(level, None, never=True)
    free = level.account.limit.amount - level.spent - level.held
    return Refused(level, needed, never=needed > level.account.limit.amount) if needed > free else None


def _wait(level: Level, charge: Charge) -> Refused | Wait | None:
    limit = level.account.limit
    needed = charge.expected.of(limit.unit)
    if needed is None or needed > limit.amount:
        return Refused(level, needed, never=True)
    if needed == 0:
        return None
    seconds = (needed + level.ahead - level.room) / rate(limit)
    return Wait(seconds, level, needed) if seconds > SHORTEST_WAIT else None


def rate(limit: Limit) -> float:
    """How fast a waiting limit refills, in units per second."""
    return limit.amount / SECONDS[limit.window]


def refill(limit: Limit, room: float, seconds: float) -> float:
    """The room in a bucket after so many seconds; a clock that stepped back refills nothing."""
    return min(float(limit.amount), room + max(0.0, seconds) * rate(limit))


def take(limit: Limit, room: float, needed: int) -> float:
    """The room of a bucket once a call was admitted to it.

    A provider's bucket that is full stays so until the call reaches it, and gains nothing meanwhile; the book's must
    not either. So the fill of the last ``REACH`` seconds before full is good for one call at a time.
    """
    if limit.source != "provider" or not needed:
        return room - needed
    return min(room, limit.amount - REACH * rate(limit)) - needed


def show_amount(amount: int, unit: Unit) -> str:
    """An amount with its unit, for people: ``200k tokens``, ``$5.00``."""
    if unit == "nanousd":
        return show_nanousd(amount)
    return f"{short(amount)} {unit.replace('_', ' ')}"


def short(number: int) -> str:
    """A whole number without losing digits that matter: ``950``, ``40k``, ``1,234``, ``1.5M``."""
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if abs(number) >= 10 * size and number % size == 0:
            return f"{number // size:,}{letter}"
        if abs(number) >= size and number % (size // 10) == 0:
            return f"{number / size:g}{letter}"
    return f"{number:,}"
