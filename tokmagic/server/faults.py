"""A fault plan: what the embedded server does wrong, on purpose, and to which requests. Pure, and the same every time.

A plan is a TOML file with a table per fault, or the same as a value. Each fault counts the requests that its route and
model match; ``nth`` and ``probability`` choose among those. The chance of the nth request is drawn from the plan's seed
and from n, so that it does not depend on what else is asked meanwhile::

    seed = 7

    [[fault]]
    kind = "refuse"
    status = 429
    retry_after = 2
    nth = [1, 2]

    [[fault]]
    kind = "cut"
    after = 5
    model = "claude*"
    probability = 0.1
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from random import Random
from typing import Any, Literal, TypeAlias, get_args

from tokmagic.core.errors import ConfigurationError

Kind: TypeAlias = Literal["latency", "refuse", "error", "cut", "end", "stall", "drip", "malformed", "html", "unstated"]
#: What is said of a fault of each kind, beside which requests it is for.
_SAID: Mapping[Kind, frozenset[str]] = {
    "latency": frozenset({"seconds"}),
    "refuse": frozenset({"status", "retry_after"}),
    "error": frozenset({"after"}),
    "cut": frozenset({"after"}),
    "end": frozenset({"after"}),
    "stall": frozenset({"after"}),
    "drip": frozenset({"after", "seconds"}),
    "malformed": frozenset({"after"}),
    "html": frozenset(),
    "unstated": frozenset(),
}
_CHOSEN = frozenset({"kind", "route", "model", "nth", "probability"})


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        kind: ``latency`` answers late, ``refuse`` with an error status, ``html`` with a page; ``error`` breaks the
            answer off with an error event, ``cut`` with the connection, ``end`` as if it were complete; ``stall`` is
            silent from there on and ``drip`` sends nothing but keep-alives; ``malformed`` cuts one event's JSON;
            ``unstated`` leaves out the usage.
        route, model: patterns of the path and of the model's name.
        nth: which of the requests that match, counted from 1; all of them if empty.
        probability: how likely each of those is to meet it.
        status: of a refusal.
        retry_after: seconds that a refusal asks to wait; None says nothing.
        seconds: how late, or between two keep-alives.
        after: events of the stream that come before it; an answer in one piece is broken in its middle.
    """

    kind: Kind
    route: str = "*"
    model: str = "*"
    nth: tuple[int, ...] = ()
    probability: float = 1.0
    status: int = 500
    retry_after: float | None = None
    seconds: float = 1.0
    after: int = 0

    def matches(self, route: str, model: str) -> bool:
        """Whether it is for requests like that."""
        return fnmatchcase(route, self.route) and fnmatchcase(model, self.model)


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """What goes wrong; of several faults that meet one request, the first of each kind acts."""

    faults: tuple[Fault, ...] = ()
    seed: int = 0


NO_FAULTS = FaultPlan()


@dataclass(slots=True)
class Faults:
    """A plan at work: it counts what was asked."""

    plan: FaultPlan
    _asked: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self._asked = [0] * len(self.plan.faults)

    def of(self, route: str, model: str) -> Sequence[Fault]:
        """The faults that the next request of that route and model meets."""
        return [
            fault
            for place, fault in enumerate(self.plan.faults)
            if fault.matches(route, model) and self._meets(place, fault)
        ]

    def _meets(self, place: int, fault: Fault) -> bool:
        self._asked[place] += 1
        number = self._asked[place]
        if fault.nth and number not in fault.nth:
            return False
        return Random(f"{self.plan.seed}/{place}/{number}").random() < fault.probability  # noqa: S311 - no secret


def parse_plan(text: str, place: str) -> FaultPlan:
    """The plan in a TOML text; ``place`` names it in errors.

    Raises:
        ConfigurationError: naming the place, the fault and what would do.
    """
    try:
        said = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{place} is no TOML: {error}") from None
    tables, seed = said.get("fault", []), said.get("seed", 0)
    if said.keys() - {"fault", "seed"} or not isinstance(tables, list) or not isinstance(seed, int):
        raise ConfigurationError(f"{place}: a plan has a whole number `seed` and tables [[fault]], nothing else.")
    return FaultPlan(tuple(_fault(table, f"{place}: fault {n}") for n, table in enumerate(tables, 1)), seed)


def _fault(table: Any, place: str) -> Fault:
    kind: Any = table.get("kind") if isinstance(table, dict) else None
    if kind not in get_args(Kind):
        raise ConfigurationError(f"{place}: the kind is one of {', '.join(get_args(Kind))}, not {kind!r}.")
    for name, value in table.items():
        if name not in _CHOSEN | _SAID[kind]:
            known = ", ".join(sorted(_CHOSEN | _SAID[kind]))
            raise ConfigurationError(f"{place}: {kind} has no {name!r}; it has {known}.")
        if not _fits(name, value):
            raise ConfigurationError(f"{place}: {name} is {_WANTED[name]}, not {value!r}.")
    nth = table.get("nth", ())
    return Fault(**{**table, "nth": (nth,) if isinstance(nth, int) else tuple(nth)})


_WANTED: Mapping[str, str] = {
    "kind": "a word",
    "route": "a pattern such as '/v1/messages'",
    "model": "a pattern such as 'claude*'",
    "nth": "a number from 1, or a list of such",
    "probability": "a number from 0 to 1",
    "status": "a status from 400 to 599",
    "retry_after": "a number of seconds",
    "seconds": "a number of seconds",
    "after": "a number of events",
}


def _fits(name: str, value: Any) -> bool:
    match name:
        case "kind" | "route" | "model":
            return isinstance(value, str)
        case "nth":
            return all(_number(n, 1, whole=True) for n in (value if isinstance(value, list) else [value]))
        case "probability":
            return _number(value, 0, 1)
        case "status":
            return _number(value, 400, 599, whole=True)
        case "after":
            return _number(value, 0, whole=True)
        case _:
            return _number(value, 0)


def _number(value: Any, least: float, most: float = 1e9, *, whole: bool = False) -> bool:
    fits = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    return fits and least <= value <= most
