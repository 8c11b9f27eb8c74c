"""Spans of time for people, and texts that count down.

A display that counts down by itself writes a span as ``show_seconds`` does; ``tests/core/spans.json`` holds both to it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Countdown:
    """A text with a time span in it that runs out at ``until`` (seconds of the epoch)."""

    before: str
    until: float
    after: str = ""

    def text(self, at: float) -> str:
        """What it says at that moment."""
        return f"{self.before}{show_seconds(self.until - at)}{self.after}"


def show_seconds(seconds: float) -> str:
    """A time span for people, in its two largest units: ``12 s``, ``5 min 10 s``, ``3 h 12 min``, ``2 d 4 h``."""
    whole = max(0, int(seconds + 0.5))
    for size, unit, part, part_unit in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {unit} {rest} {part_unit}" if rest else f"{whole // size} {unit}"
    return f"{whole} s"
