"""What a running call is doing, in one line: why it waits and for how long, what failed and is tried again."""

from __future__ import annotations

from collections.abc import Callable

from tokmagic.core.events import (
    Completed,
    Connecting,
    Event,
    Progress,
    ReasoningDelta,
    Retrying,
    TextDelta,
    ToolStarted,
    Waiting,
)
from tokmagic.notebook import wording


class Status:
    """What a running call is doing, in one line; a countdown moves on by itself.

    How many parts of a split are answered stands before the rest, until the answer begins.

    Args:
        draw: shows a line; the empty line takes it away.
        clock: seconds, rising.
    """

    def __init__(self, draw: Callable[[str], None], clock: Callable[[], float]) -> None:
        self._draw = draw
        self._clock = clock
        self._shown = ""
        self._drawn_at = 0.0
        self._progress = ""
        self._wait: tuple[Waiting, float] | None = None

    def show(self, event: Event) -> None:
        """Follow the call: what makes it wait or try again is shown, whatever moves it on takes that away."""
        self._wait = None
        if isinstance(event, Waiting):
            self._wait = (event, self._clock() + event.seconds)
            self.tick()
        elif isinstance(event, Retrying):
            self._line(wording.retrying(event))
        elif isinstance(event, Connecting):
            self._line(wording.connecting(event))
        elif isinstance(event, Progress):
            self._progress = wording.progress(event)
            self._line("")
        elif isinstance(event, ToolStarted):
            self._line(wording.running(event))
        elif isinstance(event, ReasoningDelta):
            self._line("Thinking")
        elif isinstance(event, TextDelta | Completed):
            self.clear()
        else:
            self._line("")

    def tick(self) -> None:
        """Count down, at most once a second."""
        if self._wait is None or (self._shown and self._clock() - self._drawn_at < 1.0):
            return
        event, until = self._wait
        self._line(wording.waiting(event, until - self._clock()))

    def clear(self) -> None:
        """Take the line away."""
        self._progress = ""
        self._line("")

    def _line(self, doing: str) -> None:
        text = " · ".join(filter(None, (self._progress, doing)))
        if text != self._shown:
            self._draw(text)
            self._shown, self._drawn_at = text, self._clock()
