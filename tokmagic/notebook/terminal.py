"""A running call in a plain terminal: the answer streams on stdout, status and warnings on stderr, the receipt ends it.

Control characters in an answer are dropped: a model can write text, and nothing that a terminal would obey.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from shutil import get_terminal_size
from typing import TextIO

from tokmagic.core.events import Event, TextDelta
from tokmagic.core.replies import Reply
from tokmagic.notebook import wording
from tokmagic.notebook.markup import Bundle, printable
from tokmagic.notebook.status import Status

ERASE_LINE = "\r\x1b[K"


class TerminalView:
    """Shows one call on two text streams.

    Args:
        out: for the answer and the receipt.
        err: for status and warnings; on a terminal the status is one line that is written over, so
            it is cut to the terminal's width.
        live: write the answer as it comes.
        clock: seconds, rising.
    """

    def __init__(
        self, out: TextIO, err: TextIO, *, live: bool = True, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._out = out
        self._err = err
        self._live = live
        self._wrote = ""
        self._status = Status(self._draw_over if err.isatty() else self._draw_below, clock)

    def show(self, event: Event) -> None:
        """Take in one event."""
        self._status.show(event)
        if self._live and isinstance(event, TextDelta):
            self._write(event.text)
        elif line := wording.note(event):
            self._note(line if wording.is_quiet(event) else f"! {line}")

    def tick(self) -> None:
        """Count down, where a line can be written over."""
        if self._err.isatty():
            self._status.tick()

    def finish(self, reply: Reply | None, body: Bundle) -> None:
        """Write the answer, unless it is there already, and its receipt."""
        self._status.clear()
        if reply is not None and not self._live:
            self._write(body["text/plain"])
        if self._wrote and not self._wrote.endswith("\n"):
            self._write("\n")
        if reply is not None:
            self._write(f"[{wording.receipt_line(reply.receipt)}]\n")

    def _write(self, text: str) -> None:
        self._out.write(printable(text))
        self._out.flush()
        self._wrote = text or self._wrote

    def _note(self, line: str) -> None:
        self._err.write(f"{line}\n")
        self._err.flush()

    def _draw_over(self, line: str) -> None:
        room = get_terminal_size().columns - 1
        shown = line if len(line) <= room else f"{line[: room - 1]}…"
        self._err.write(f"{ERASE_LINE}{shown}")
        self._err.flush()

    def _draw_below(self, line: str) -> None:
        if line:
            self._err.write(f"{line}\n")
            self._err.flush()
