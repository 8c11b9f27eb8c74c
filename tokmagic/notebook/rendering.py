"""A running call in a notebook's cell: warnings on top, one line of status, the answer, then the receipt.

What is finished is never sent again: an answer grows as frozen pieces and one live tail, drawn at most ``hz`` times a
second however fast it comes. When it is complete and the cell is the call's own, the pieces are replaced by one output,
so that the saved notebook holds the answer once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from tokmagic.core.events import Event, TextDelta
from tokmagic.core.replies import Reply
from tokmagic.notebook import markup, wording
from tokmagic.notebook.live import Area, Live, Screen
from tokmagic.notebook.markup import Bundle
from tokmagic.notebook.status import Status


class View(Protocol):
    """Shows one call."""

    def show(self, event: Event) -> None:
        """Take in one event."""

    def tick(self) -> None:
        """Time has passed without an event: a countdown moves on."""

    def finish(self, reply: Reply | None, body: Bundle) -> None:
        """The call ended: show ``body`` as the answer and its receipt; None if there is no reply."""


class NotebookView:
    """Shows one call through a display publisher.

    Args:
        screen: where outputs go.
        own_cell: whether the cell is nothing but this call, so that its output may be replaced as a whole.
        above: shows once more what stood in the cell before the call, where its output is replaced.
        live: shows the answer as it comes; None shows it when it is complete.
        hz: at most so many drawings of the answer per second.
        clock: seconds, rising.
    """

    def __init__(
        self,
        screen: Screen,
        live: Live | None,
        *,
        own_cell: bool,
        above: Callable[[], None] = lambda: None,
        hz: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._screen = screen
        self._own_cell = own_cell
        self._above = above
        self._live = live
        self._pause = 1.0 / hz
        self._clock = clock
        self._status_area = Area(screen)
        self._status = Status(lambda text: self._status_area.draw(markup.status(text)), clock)
        self._notes: list[markup.Note] = []
        self._notes_area = Area(screen)
        self._unseen = ""
        self._drawn_at = float("-inf")

    def show(self, event: Event) -> None:
        """Take in one event."""
        self._status.show(event)
        if isinstance(event, TextDelta):
            self._grow(event.text)
        elif line := wording.note(event):
            self._note(line, quiet=wording.is_quiet(event))

    def tick(self) -> None:
        """Count down; show what has come since the last drawing."""
        self._status.tick()
        self._grow("")

    def finish(self, reply: Reply | None, body: Bundle) -> None:
        """Show the answer once and whole, where that is possible, and its receipt."""
        self._status.clear()
        if reply is None:
            if self._own_cell and self._status_area.drawn:
                self._replace_all(body)
            return
        scattered = self._status_area.drawn or (self._live is not None and self._live.scattered)
        if self._own_cell and scattered:
            self._replace_all(body)
        elif self._live is not None:
            self._live.grow(self._unseen)
            self._live.finish(body)
        elif body["text/plain"]:
            self._screen.publish(body)
        self._screen.publish(markup.receipt(reply.receipt))

    def _replace_all(self, body: Bundle) -> None:
        self._screen.clear_output(wait=True)
        self._above()
        if self._notes:
            self._screen.publish(markup.notes(self._notes))
        if body["text/plain"]:
            self._screen.publish(body)

    def _note(self, line: str, *, quiet: bool) -> None:
        self._notes.append((line, quiet))
        self._notes_area.draw(markup.notes(self._notes))

    def _grow(self, text: str) -> None:
        self._unseen += text
        now = self._clock()
        if self._live is not None and self._unseen and now - self._drawn_at >= self._pause:
            self._live.grow(self._unseen)
            self._unseen, self._drawn_at = "", now
