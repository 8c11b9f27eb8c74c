"""A text measured once, so that the tokens of any part of it are known by looking at its two ends.

Between seams (see ``Counter``) tokens add up, so a part has those from the first seam in it to the last, and what is
counted anew on the outer sides of the two.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import lru_cache
from itertools import accumulate

from .counters import Counter
from .cutting import CONTEXT

#: Characters of a token to begin with, guesses at how far some reach, and the part of them that is near enough.
WIDTH, GUESSES, FULL = 3.0, 6, 15 / 16
#: A guess aims somewhat lower, for one too many is counted in vain.
CAUTION = 0.92
#: Tokens between the marks of a ruler.
EVERY = 64
#: Characters in which a seam is looked for.
NEAR = 256


class Ruler:
    """Tells the tokens of the parts of a text, given the ``widths`` of all its tokens (see ``Counter``)."""

    def __init__(self, text: str, widths: bytes, counter: Counter) -> None:
        self._text, self._widths, self._counter = text, widths, counter
        self._count = lru_cache(maxsize=1_024)(counter.count)  # how lines begin and end is much the same
        sums = (sum(widths[start : start + EVERY]) for start in range(0, len(widths), EVERY))
        self._marks = list(accumulate(sums, initial=0))
        self._index = lru_cache(maxsize=8)(self._found)

    def tokens(self, start: int, end: int) -> int:
        """Tokens of the characters ``start`` to ``end`` (exclusive), exactly."""
        text, count = self._text, self._count
        first, last = seam_after(text, start, self._counter), seam_before(text, end, self._counter)
        if first >= last:
            return count(text[start:end])
        outside = (count(text[start:first]) if first > start else 0) + (count(text[last:end]) if end > last else 0)
        return outside + self._index(last) - self._index(first)

    def reach(self, start: int, tokens: int) -> int:
        """About how far so many tokens go from ``start`` on, or back from it if they are negative."""
        index = min(max(0, self._index(start) + tokens), len(self._widths))
        mark = index // EVERY
        return self._marks[mark] + sum(self._widths[mark * EVERY : index])

    def _found(self, place: int) -> int:
        """The tokens before a seam."""
        mark = bisect_right(self._marks, place) - 1
        first = min(mark * EVERY, len(self._widths))
        ends = accumulate(self._widths[first : first + EVERY], initial=self._marks[mark])
        return first - 1 + bisect_right(list(ends), place)


class Guesses:
    """The same where no seams are known: every part is counted by itself, and how far tokens go is found by trying."""

    def __init__(self, text: str, counter: Counter) -> None:
        self._text, self._counter, self._width = text, counter, WIDTH

    def tokens(self, start: int, end: int) -> int:
        """Tokens of the characters ``start`` to ``end`` (exclusive)."""
        return self._counter.count(self._text[start:end])

    def reach(self, start: int, tokens: int) -> int:
        """How far so many tokens go at least from ``start`` on, most likely nearly as far as they do."""
        best = start
        for _ in range(GUESSES):
            place = min(len(self._text), start + max(1, int(tokens * self._width * CAUTION)))
            used = self.tokens(start, place)
            self._width = (place - start) / max(1, used)
            best = max(best, place) if used <= tokens else best
            if place == len(self._text) or tokens * FULL <= used <= tokens:
                break
        return best


def seam_after(text: str, place: int, counter: Counter) -> int:
    """A seam at ``place`` or a little after it; the end of the text if there is none near."""
    low = max(0, place - CONTEXT)
    high = place + NEAR
    seam = low + counter.seam_after(text[low : high + CONTEXT], place - low)
    return seam if seam < high else len(text)


def seam_before(text: str, place: int, counter: Counter) -> int:
    """A seam at ``place`` or a little before it; the start of the text if there is none near."""
    low = max(0, place - NEAR)
    base = max(0, low - CONTEXT)
    seam = base + counter.seam_before(text[base : place + CONTEXT], place - base)
    return seam if seam > low else 0
