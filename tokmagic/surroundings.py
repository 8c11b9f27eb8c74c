"""The notebook in which this process makes its calls: its name, and the limits that hold in all of it.

The notebook says them when it loads tokmagic, and a client asks when it calls. So a call in plain Python stands under
the limits set in its notebook and is counted for it, as a cell is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokmagic.core.limits import Limit


@dataclass(frozen=True, slots=True)
class Notebook:
    """What a notebook says of the calls made in it.

    Attributes:
        name: its name; empty where it has none.
        limits: those of every call.
    """

    name: Callable[[], str] = str
    limits: Callable[[], Sequence[Limit]] = tuple


NONE = Notebook()
_around = NONE


def enter(notebook: Notebook) -> None:
    """Make calls in that notebook from now on; ``NONE`` makes them in none."""
    global _around  # noqa: PLW0603 - one notebook per process
    _around = notebook


def notebook() -> Notebook:
    """The notebook in which calls are made now."""
    return _around
