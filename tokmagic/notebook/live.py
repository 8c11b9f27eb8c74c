"""An answer that grows in a notebook's cell, so drawn that what is finished is never sent again.

As Markdown it grows as frozen pieces and one live tail, each an output of its own; as plain text it is appended to
standard output.
"""

from __future__ import annotations

import uuid
from typing import Protocol, TextIO

from tokmagic.notebook import markup
from tokmagic.notebook.markup import Bundle
from tokmagic.notebook.pieces import Pieces


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


class Live(Protocol):
    """Shows an answer while it comes."""

    @property
    def scattered(self) -> bool:
        """Whether the answer stands in several outputs."""

    def grow(self, text: str) -> None:
        """Show more of the answer."""

    def finish(self, body: Bundle) -> None:
        """Everything was shown; ``body`` is the answer as a whole."""


class LiveMarkdown:
    """Grows in frozen pieces and one live tail."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._pieces = Pieces()
        self._tail = Area(screen)
        self._frozen = False

    @property
    def scattered(self) -> bool:
        """Whether the answer stands in several outputs."""
        return self._frozen

    def grow(self, text: str) -> None:
        """Show more: the finished pieces once and for all, the tail until it grows again."""
        for piece in self._pieces.feed(text):
            self._tail.draw(markup.markdown(piece))
            self._tail = Area(self._screen)
            self._frozen = True
        if self._pieces.tail.strip():
            self._tail.draw({"text/markdown": self._pieces.tail})

    def finish(self, body: Bundle) -> None:
        """Put the whole answer where it grew, or give the last piece its plain text."""
        last = markup.markdown(self._pieces.tail) if self._frozen else body
        if last["text/plain"].strip():
            self._tail.draw(last)


class LiveText:
    """Grows on standard output."""

    scattered = False

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def grow(self, text: str) -> None:
        """Append to what stands there."""
        self._out.write(markup.printable(text))

    def finish(self, body: Bundle) -> None:
        """Nothing is left to do: it is all there."""
