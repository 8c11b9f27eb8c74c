"""Which display shows how far a run is: the notebook gives its own, and nothing of it is loaded before a run begins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Display(Protocol):
    """Shows one run."""

    def show(self, done: int, total: int, text: str) -> None:
        """So many of all are done; ``text`` says it, with what else there is to say, in one line."""

    def note(self, text: str) -> None:
        """Something to know, in one line."""


_given: Callable[[], Display] | None = None


def use(make: Callable[[], Display] | None) -> None:
    """Make displays by that function from now on; None makes the ordinary ones again."""
    global _given  # noqa: PLW0603 - one screen per process
    _given = make


def given() -> Callable[[], Display] | None:
    """What makes displays, if something other than the ordinary ones is wanted."""
    return _given
