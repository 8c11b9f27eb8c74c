"""How far many rows are, while a caller waits: one line that is written over, or the display that takes its place."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Protocol, Self, TextIO

from tokmagic import displays
from tokmagic.core.errors import Interrupted
from tokmagic.core.events import Event, Notice, Progress, Retrying, Waiting
from tokmagic.core.redaction import redact
from tokmagic.core.spans import show_seconds
from tokmagic.displays import Display

#: Seconds between drawings.
PAUSE = 0.2
WIDTH = 24


class Follower:
    """Turns the events of a run into a display, a few times a second. What is to know is said once.

    Args:
        display: what shows it.
        clock: seconds, rising.
    """

    def __init__(self, display: Display, clock: Callable[[], float] = time.monotonic) -> None:
        self._display = display
        self._clock = clock
        self._began = clock()
        self._drawn = float("-inf")
        self._progress = Progress(0, 0)
        self._reason = ""
        self._said: set[str] = set()

    def take(self, event: Event | None) -> None:
        """Take in one event; None says that time has passed without one."""
        match event:
            case Progress():
                self._progress, self._reason = event, ""
            case Waiting() | Retrying():
                self._reason = event.reason
            case Notice() if event.text not in self._said:
                self._said.add(event.text)
                self._display.note(_line(event.text))
        if self._progress.done == self._progress.total or self._clock() - self._drawn >= PAUSE:
            self.draw()

    def end(self) -> None:
        """Show how far it came, where it stopped before its end."""
        if self._progress.done < self._progress.total:
            self.draw()

    def draw(self) -> None:
        """Show how far it is now."""
        self._drawn = self._clock()
        self._display.show(self._progress.done, self._progress.total, self._text(self._drawn - self._began))

    def _text(self, seconds: float) -> str:
        done, total = self._progress.done, self._progress.total
        text = f"{done:,} of {total:,} rows · {show_seconds(seconds)}"
        if 0 < done < total:
            text += f" · about {show_seconds(seconds / done * (total - done))} left"
        return f"{text} · waiting: {_line(self._reason)}" if self._reason else text


class LineDisplay:
    """One line that is written over, where that works; else nothing but the notes.

    Args:
        out: a terminal, or a notebook's output.
        rewrites: whether a line can be written over there.
    """

    def __init__(self, out: TextIO, *, rewrites: bool) -> None:
        self._out = out
        self._rewrites = rewrites
        self._width = 0

    def show(self, done: int, total: int, text: str) -> None:
        """Write the line over what it was; the last one stays."""
        if not self._rewrites:
            return
        full = WIDTH * done // total if total else WIDTH
        line = f"{'━' * full}{'─' * (WIDTH - full)} {text}"
        self._out.write(f"\r{line.ljust(self._width)}{chr(10) if done == total else ''}")
        self._out.flush()
        self._width = len(line)

    def note(self, text: str) -> None:
        """Write it on a line of its own."""
        self._out.write(f"\r{f'! {text}'.ljust(self._width)}\n" if self._rewrites else f"! {text}\n")


def line_display() -> Display:
    """On a terminal the error stream; in a notebook its output."""
    in_notebook = type(sys.stdout).__module__.startswith("ipykernel.")
    return LineDisplay(sys.stdout if in_notebook else sys.stderr, rewrites=in_notebook or sys.stderr.isatty())


class Watched(Protocol):
    """What is used of a stream of events on the caller's thread."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, if it has not ended."""

    def ticks(self, seconds: float) -> Iterator[Event | None]:
        """Its events, and None whenever none came for so long."""


def watch(stream: Watched, so_far: Callable[[], str]) -> None:
    """Show how far a run is until it has ended.

    Args:
        stream: its events.
        so_far: what to say of it when it is stopped by hand.

    Raises:
        Interrupted: with that.
    """
    shown = Follower((displays.given() or line_display)())
    try:
        with stream as events:
            for event in events.ticks(PAUSE):
                shown.take(event)
        shown.end()
    except Interrupted:
        raise Interrupted(so_far()) from None


def _line(text: str) -> str:
    return " ".join(redact(text).split())
