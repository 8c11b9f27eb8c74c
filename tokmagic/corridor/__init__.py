"""The corridor: the one way from a prompt to a settled receipt. ``passage.py`` shows its steps in order.

A ``Passage`` is one call; its attempts are in ``sending.py``, what the book hears of them in ``booking.py``, and a call
in several parts in ``splitting.py``. Calls that go side by side are in ``abreast.py``.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Protocol, runtime_checkable

from tokmagic.core.events import Event
from tokmagic.core.replies import Reply


class Walk(Protocol):
    """A call on its way through the corridor, or several that are used as one."""

    @property
    def reply(self) -> Reply | None:
        """The reply; None while nothing was sent."""

    def run(self) -> AsyncGenerator[Event]:
        """Its events; the last is ``Completed``."""


@runtime_checkable
class Sociable(Protocol):
    """A call that can go beside others."""

    def go_beside(self, others: Callable[[], bool]) -> None:
        """While ``others`` says that calls are under way which end by themselves, be refused rather than shortened."""
