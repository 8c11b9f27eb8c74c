"""Finds the longest part of a text that keeps one side of it and has at most so many tokens.

Sizes are characters kept. From the kept side, counts of stretches between seams (see ``Counter``) are added up until
one is too many, with ever shorter stretches, so that the work is bound by what is kept. A stretch without a seam is
probed at sizes guessed from its rate. The last few characters are searched grapheme by grapheme.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from typing import NamedTuple

from .counters import Counter
from .graphemes import boundaries

#: A seam is told by at most so many characters around it, and stays one whatever stands beyond them.
CONTEXT = 8
#: Characters of a stretch, from coarse to fine.
STRIDES = (16_384, 1_024, 64)
#: Characters that are searched grapheme by grapheme, at most.
NARROW = 128
#: Characters beyond a fitting part in which a longer one is looked for, if counting takes this many or fewer.
AHEAD, CHEAP = 16, 512
#: A multiple of the usual lengths of tokens in a run of one character, and of digits.
PERIOD = 12_288
#: Characters probed first to learn the rate of a stretch without seams.
SAMPLE = 4_096


class Span(NamedTuple):
    """Characters ``start`` to ``end`` (exclusive) of a text."""

    start: int
    end: int


class Kept(NamedTuple):
    """What a strategy decides: the spans to cut out, in order, the tokens of what is left, and the mark of a gap."""

    cuts: tuple[Span, ...]
    tokens: int
    gap: str = ""


class Side(ABC):
    """The parts of a text that keep one side of it, known by their sizes."""

    def __init__(self, text: str, counter: Counter) -> None:
        self.text, self.counter = text, counter
        self.length = len(text)
        self._marks = [(0, 0)]

    @abstractmethod
    def stretch(self, low: int, high: int) -> str:
        """The text between two sizes."""

    @abstractmethod
    def seam(self, size: int) -> int:
        """The first seam at ``size`` or beyond."""

    @abstractmethod
    def graphemes(self, low: int, high: int) -> list[int]:
        """Sizes that split no grapheme, in order: the last up to ``low``, the first from ``high``, all between."""

    @property
    def mark(self) -> tuple[int, int]:
        """The largest seam whose tokens are known to fit, and its tokens."""
        return self._marks[-1]

    def add_mark(self, seam: int, tokens: int) -> None:
        """Note the tokens of a seam."""
        self._marks.append((seam, tokens))

    def tokens(self, size: int) -> int:
        """Tokens of the part of this size, counted from the last marked seam before it."""
        mark, tokens = next(known for known in reversed(self._marks) if known[0] <= size)
        return tokens + self.counter.count(self.stretch(mark, size))


class Start(Side):
    """Parts that keep the start."""

    def stretch(self, low: int, high: int) -> str:
        """The text between two sizes."""
        return self.text[low:high]

    def seam(self, size: int) -> int:
        """The first seam at ``size`` or beyond."""
        return self.counter.seam_after(self.text, min(size, self.length))

    def graphemes(self, low: int, high: int) -> list[int]:
        """Sizes that split no grapheme."""
        return boundaries(self.text, low, high)


class End(Side):
    """Parts that keep the end."""

    def stretch(self, low: int, high: int) -> str:
        """The text between two sizes."""
        return self.text[self.length - high : self.length - low]

    def seam(self, size: int) -> int:
        """The first seam at ``size`` or beyond."""
        return self.length - self.counter.seam_before(self.text, max(0, self.length - size))

    def graphemes(self, low: int, high: int) -> list[int]:
        """Sizes that split no grapheme."""
        return [self.length - place for place in reversed(boundaries(self.text, self.length - high, self.length - low))]


def longest(side: Side, most: int) -> tuple[int, int]:
    """The size of the longest part of at most ``most`` tokens, and its tokens: one grapheme more would be too many."""
    size = _guess(side, side.graphemes(*_bracket(side, most)), most)
    while side.tokens(size) > most:
        size = side.graphemes(size - 1, size)[0]
    while size < side.length and side.tokens(longer := side.graphemes(size, size + 1)[-1]) <= most:
        size = longer
    return _further(side, size, most)


def _guess(side: Side, sizes: list[int], most: int) -> int:
    """Most likely the longest size that fits, told by counting no more than the characters just before it."""
    mark = min(side.mark[0], sizes[0])
    near = sizes[0] - (sizes[0] - mark) % PERIOD
    before = side.tokens(sizes[0]) - side.counter.count(side.stretch(near, sizes[0]))
    place = bisect_right(sizes, most - before, key=lambda size: side.counter.count(side.stretch(near, size)))
    return sizes[max(0, place - 1)]


def _further(side: Side, size: int, most: int) -> tuple[int, int]:
    """The longest of the next few parts that has at most ``most`` tokens: to end a word may take fewer of them."""
    while size - side.mark[0] <= CHEAP:
        ahead = side.graphemes(size, min(size + AHEAD, side.length))[1:]
        fitting = next((longer for longer in reversed(ahead) if side.tokens(longer) <= most), None)
        if fitting is None:
            break
        size = fitting
    return size, side.tokens(size)


def _bracket(side: Side, most: int) -> tuple[int, int]:
    """A size that fits and one that does not, close together; twice the whole if all of it fits."""
    level = 0
    while side.mark[0] < side.length:
        level = max(level, _level(*side.mark, most))
        size, stride = side.mark[0], STRIDES[level]
        seam = side.seam(size + stride)
        far, last = seam - size > 4 * stride, level == len(STRIDES) - 1
        if far and last:
            low, high = _probe(side, seam, most)
            if low < seam:
                return low, high
            level = 0
        elif not far and (tokens := side.tokens(seam)) <= most:
            side.add_mark(seam, tokens)
        elif last:
            return size, seam
        else:
            level += 1
    return side.length, side.length


def _level(size: int, tokens: int, most: int) -> int:
    """Where in ``STRIDES`` the first is that likely fits into what is left, by the rate so far."""
    room = (most - tokens) * size
    return next((level for level, stride in enumerate(STRIDES) if stride * tokens <= room), len(STRIDES) - 1)


def _probe(side: Side, seam: int, most: int) -> tuple[int, int]:
    """The bracket within a stretch without seams, from the mark to ``seam``; twice ``seam``, marked, if all fits."""
    start, base = fits, used = side.mark
    probe = min(seam, start + SAMPLE)
    while (tokens := side.tokens(probe)) <= most:
        if probe == seam:
            side.add_mark(seam, tokens)
            return seam, seam
        fits, used = probe, tokens
        room = (most - used) * (probe - start) // max(1, used - base)
        probe = min(seam, fits + room * 51 // 50 + NARROW // 2)
    return _narrow(side, (fits, used), (probe, tokens), most)


def _narrow(side: Side, fitting: tuple[int, int], failing: tuple[int, int], most: int) -> tuple[int, int]:
    """Close in on the limit between two sizes with their tokens, by interpolation."""
    stride = NARROW // 2
    while (gap := failing[0] - fitting[0]) > NARROW:
        guess = fitting[0] + gap * (most - fitting[1]) // max(1, failing[1] - fitting[1])
        step = min(stride, gap // 2)
        guess = max(fitting[0] + step, min(failing[0] - step, guess))
        tokens = side.tokens(guess)
        fitting, failing = ((guess, tokens), failing) if tokens <= most else (fitting, (guess, tokens))
        stride *= 2
    return fitting[0], failing[0]
