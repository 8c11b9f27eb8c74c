"""How far many rows are, as a bar in the cell that waits for them; its output stays one output."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

from tokmagic.notebook import markup
from tokmagic.notebook.live import Area, Screen


class BarDisplay:
    """Shows one run through a display publisher.

    Args:
        screen: where outputs go.
        pulse: called with each drawing, for displays outside the cell.
    """

    def __init__(self, screen: Screen, pulse: Callable[[], None] = lambda: None) -> None:
        self._screen = screen
        self._pulse = pulse
        self._bar = Area(screen)
        self._notes: list[markup.Note] = []
        self._notes_area = Area(screen)

    def show(self, done: int, total: int, text: str) -> None:
        """Draw the bar in place of what it was."""
        share = 100 * done // total if total else 100
        bar = (
            f'<progress value="{done}" max="{max(total, 1)}" aria-label="{escape(text, quote=True)}"'
            ' style="width:240px;vertical-align:middle"></progress>'
        )
        line = markup.status(text)
        self._bar.draw({"text/html": f"{bar} {line['text/html']}", "text/plain": f"{share:3d} % {line['text/plain']}"})
        self._pulse()

    def note(self, text: str) -> None:
        """Show it beside the bar, with those before."""
        self._notes.append((text, False))
        self._notes_area.draw(markup.notes(self._notes))
