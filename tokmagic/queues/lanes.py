"""Where the calls of one process wait: a queue for each event loop, and in it a gate for each model and key."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from tokmagic.queues.gate import Gate
from tokmagic.queues.turns import Turns


@dataclass(frozen=True, slots=True)
class Lane:
    """The way of one model's calls: the gate they pass first, and the queue in which they wait for the book."""

    gate: Gate
    turns: Turns


@dataclass(slots=True)
class _Loop:
    turns: Turns = field(default_factory=Turns)
    gates: dict[str, Gate] = field(default_factory=dict)


class Lanes:
    """The lanes of every event loop of this process; each is used by its own loop only."""

    def __init__(self) -> None:
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _Loop] = WeakKeyDictionary()

    def lane(self, loop: asyncio.AbstractEventLoop, line: str) -> Lane:
        """The lane of one line of a service in that loop."""
        here = self._loops.setdefault(loop, _Loop())
        return Lane(here.gates.setdefault(line, Gate()), here.turns)
