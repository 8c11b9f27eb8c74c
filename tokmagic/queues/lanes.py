"""Where the calls of one process wait: a gate for each model and key, and one queue before the book."""

from __future__ import annotations

from dataclasses import dataclass

from tokmagic.queues.gate import Gate
from tokmagic.queues.turns import Turns


@dataclass(frozen=True, slots=True)
class Lane:
    """The way of one model's calls: the gate they pass first, and the queue in which they wait for the book."""

    gate: Gate
    turns: Turns


class Lanes:
    """The lanes of every thread and event loop of this process."""

    def __init__(self) -> None:
        self._turns = Turns()
        self._gates: dict[str, Gate] = {}

    def lane(self, line: str) -> Lane:
        """The lane of one line of a service."""
        return Lane(self._gates.setdefault(line, Gate()), self._turns)
