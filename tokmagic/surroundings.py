"""The notebook in which this process makes its calls: its name, the cell that runs, and the limits of every call in it.

The notebook says them when it loads tokmagic, and every client asks when it calls, ours and a guarded one alike. So a
call in plain Python stands under the limits set in its notebook and is counted for its cell, as a cell of its own is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokmagic.core.limits import Limit


@dataclass(frozen=True, slots=True)
class Notebook:
    """What a notebook says of the calls made in it.

    Attributes:
        name: its name; empty where it has none.
        cell: the label of the cell that calls, as it is seen from here.
        limits: those of every call.
        pulse: is called whenever a guarded call has something new to show.
    """

    name: Callable[[], str] = str
    cell: Callable[[], str] = str
    limits: Callable[[], Sequence[Limit]] = tuple
    pulse: Callable[[], object] = bool

    def over(self, limits: Iterable[Limit]) -> list[Limit]:
        """The limits of a client that calls here: its own, and those of the notebook that are not among them."""
        own = list(limits)
        return [*own, *(limit for limit in self.limits() if limit not in own)]


NONE = Notebook()
_around = NONE


def enter(notebook: Notebook) -> None:
    """Make calls in that notebook from now on; ``NONE`` makes them in none."""
    global _around  # noqa: PLW0603 - one notebook per process
    _around = notebook


def notebook() -> Notebook:
    """The notebook in which calls are made now."""
    return _around
