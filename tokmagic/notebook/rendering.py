"""A running call in a notebook's cell: warnings on top, one line of status, the answer, then the receipt.

What is finished is never sent again: an answer grows as frozen pieces and one live tail, drawn at most ``hz`` times a
second however fast it comes. When it is complete and the cell is the call's own, the pieces are replaced by one output,
so that the saved notebook holds the answer once.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Protocol, assert_never

from tokmagic.core.events import (
    Compacted,
    Completed,
    Event,
    Notice,
    Planned,
    ReasoningDelta,
    Retrying,
    Started,
    TextDelta,
    ToolCallDelta,
    Truncated,
    Waiting,
)
from tokmagic.core.replies import Reply
from tokmagic.notebook import markup, wording
from tokmagic.notebook.markup import Bundle
from tokmagic.notebook.pieces import Pieces


class View(Protocol):
    """Shows one call."""

    def show(self, event: Event) -> None:
        """Take in one event."""

    def tick(self) -> None:
        """Time has passed without an event: a countdown moves on."""

    def finish(self, reply: Reply | None, body: Bundle) -> None:
        """The call ended: show ``body`` as the answer and its receipt; None if there is no reply."""


class Screen(Protocol):
    """The part of IPython's display publisher that is used."""

    def publish(self, data: Bundle, *, transient: dict[str, str] | None = None, update: bool = False) -> None:
        """Show a bundle, or show it in place of the one with the same display id."""

    def clear_output(self, wait: bool = False) -> None:
        """Empty the cell's output, with ``wait`` when the next output comes."""


class Area:
    """One output of a cell that can be drawn again."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._id = ""

    @property
    def drawn(self) -> bool:
        """Whether there is anything of it in the cell."""
        return bool(self._id)

    def draw(self, data: Bundle) -> None:
        """Show the bundle in place of what the area showed."""
        update = self.drawn
        self._id = self._id or uuid.uuid4().hex
        self._screen.publish(data, transient={"display_id": self._id}, update=update)


class Status:
    """What a running call is doing, in one line; a countdown moves on by itself.

    Args:
        draw: shows a line; the empty line takes it away.
        clock: seconds, rising.
    """

    def __init__(self, draw: Callable[[str], None], clock: Callable[[], float]) -> None:
        self._draw = draw
        self._clock = clock
        self._shown = ""
        self._drawn_at = 0.0
        self._wait: tuple[Waiting, float] | None = None

    def show(self, event: Event) -> None:
        """Follow the call: what makes it wait or try again is shown, whatever moves it on takes that away."""
        self._wait = None
        if isinstance(event, Waiting):
            self._wait = (event, self._clock() + event.seconds)
            self.tick()
        elif isinstance(event, Retrying):
            self._line(wording.retrying(event))
        elif isinstance(event, ReasoningDelta):
            self._line("Thinking")
        else:
            self.clear()

    def tick(self) -> None:
        """Count down, at most once a second."""
        if self._wait is None or (self._shown and self._clock() - self._drawn_at < 1.0):
            return
        event, until = self._wait
        self._line(wording.waiting(event, until - self._clock()))

    def clear(self) -> None:
        """Take the line away."""
        self._line("")

    def _line(self, text: str) -> None:
        if text != self._shown:
            self._draw(text)
            self._shown, self._drawn_at = text, self._clock()


class NotebookView:
    """Shows one call through a display publisher.

    Args:
        screen: where outputs go.
        own_cell: whether the cell is nothing but this call, so that its output may be replaced as a whole.
        live: show the answer as it comes.
        hz: at most so many drawings of the answer per second.
        clock: seconds, rising.
    """

    def __init__(
        self,
        screen: Screen,
        *,
        own_cell: bool,
        live: bool = True,
        hz: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._screen = screen
        self._own_cell = own_cell
        self._live = live
        self._pause = 1.0 / hz
        self._clock = clock
        self._status_area = Area(screen)
        self._status = Status(lambda text: self._status_area.draw(markup.status(text)), clock)
        self._notes: list[str] = []
        self._notes_area = Area(screen)
        self._pieces = Pieces()
        self._tail = Area(screen)
        self._frozen = 0
        self._unseen = ""
        self._drawn_at = float("-inf")

    def show(self, event: Event) -> None:
        """Take in one event."""
        self._status.show(event)
        match event:
            case TextDelta():
                self._grow(event.text)
            case Truncated():
                self._note(wording.truncated(event.cuts))
            case Notice():
                self._note(wording.one_line(event.text))
            case Compacted():
                self._note(f"Earlier turns compacted: {event.tokens_before:,} to {event.tokens_after:,} tokens")
            case Planned() | Started() | Waiting() | Retrying() | ReasoningDelta() | ToolCallDelta() | Completed():
                pass
            case _:
                assert_never(event)

    def tick(self) -> None:
        """Count down; show what has come since the last drawing."""
        self._status.tick()
        self._grow("")

    def finish(self, reply: Reply | None, body: Bundle) -> None:
        """Show the answer once and whole, where that is possible, and its receipt."""
        self._status.clear()
        if reply is None:
            return
        if self._own_cell and (self._frozen or self._status_area.drawn):
            self._replace_all(body)
        elif self._frozen:
            self._draw()
        elif body["text/plain"]:
            self._tail.draw(body)
        self._screen.publish(markup.receipt(reply.receipt))

    def _replace_all(self, body: Bundle) -> None:
        self._screen.clear_output(wait=True)
        if self._notes:
            self._screen.publish(markup.notes(self._notes))
        if body["text/plain"]:
            self._screen.publish(body)

    def _note(self, line: str) -> None:
        self._notes.append(line)
        self._notes_area.draw(markup.notes(self._notes))

    def _grow(self, text: str) -> None:
        self._unseen += text
        if self._live and self._unseen and self._clock() - self._drawn_at >= self._pause:
            self._draw()

    def _draw(self) -> None:
        finished = self._pieces.feed(self._unseen)
        self._unseen = ""
        for piece in finished:
            self._tail.draw(markup.markdown(piece))
            self._tail = Area(self._screen)
        self._frozen += len(finished)
        if self._pieces.tail.strip():
            self._tail.draw({"text/markdown": self._pieces.tail})
        self._drawn_at = self._clock()
