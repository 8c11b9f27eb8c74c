"""A counter that is told what a text has where that is known already, so that no text is encoded a second time.

It lives as long as one call is planned: it keeps the texts themselves.
"""

from __future__ import annotations

from .counters import Counter


class Known:
    """Counts with ``counter`` what it was not told and did not count before."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._counts: dict[str, int] = {}
        self.name, self.exact, self.chat, self.threads = counter.name, counter.exact, counter.chat, counter.threads

    def note(self, text: str, tokens: int) -> None:
        """Take it that ``text`` has so many tokens."""
        self._counts[text] = tokens

    def count(self, text: str) -> int:
        """See ``Counter``."""
        if text not in self._counts:
            self._counts[text] = self._counter.count(text)
        return self._counts[text]

    def bound(self, text: str) -> int:
        """See ``Counter``."""
        return self.count(text) if self.exact else self._counter.bound(text)

    def seam_after(self, text: str, position: int) -> int:
        """See ``Counter``."""
        return self._counter.seam_after(text, position)

    def seam_before(self, text: str, position: int) -> int:
        """See ``Counter``."""
        return self._counter.seam_before(text, position)

    def widths(self, text: str) -> bytes | None:
        """See ``Counter``."""
        return self._counter.widths(text)


def known(counter: Counter) -> Known:
    """The counter itself if it remembers, else one that does."""
    return counter if isinstance(counter, Known) else Known(counter)
