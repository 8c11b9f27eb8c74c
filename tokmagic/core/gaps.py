"""Strategies that take out the middle: both ends of the text stay, and ``smart`` marks the gap between them.

Head and tail are counted each for itself. Where they meet they are counted once more together, from a seam before to a
seam after, so that the count of the whole is known without encoding it again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from .breaks import breaks_after, breaks_before, open_fence
from .counters import Counter
from .cutting import CONTEXT, End, Kept, Span, Start, longest
from .graphemes import boundaries

#: A limit must be so many times what the mark takes, or the mark is not worth its place.
WORTH = 4
#: A gap that is such a part of the text, or so few characters, may be none at all: then the whole is counted.
NARROW_PART, NARROW = 16, 4_096
#: How far back a good end of the head is looked for, as a part of it and in characters; what it leaves is the tail's.
LOOK_BACK, FARTHEST = 4, 4_096
#: What the tail may leave unused to begin well: such a part of the limit, of a low limit so many tokens.
LOSS, LEAST_LOSS = 256, 8


@dataclass(frozen=True, slots=True)
class _Halves:
    """Both ends of a text: the head up to ``end`` and the tail from ``start``, and the tokens of each for itself."""

    text: str
    counter: Counter
    end: int
    head: int
    start: int
    tail: int

    def ending(self, end: int) -> _Halves:
        """With a shorter head."""
        seam = self.counter.seam_before(self.text, max(0, end - CONTEXT))
        return replace(self, end=end, head=self.head - self._count(seam, self.end) + self._count(seam, end))

    def starting(self, start: int) -> _Halves:
        """With a shorter tail."""
        seam = self.counter.seam_after(self.text, min(len(self.text), start + CONTEXT))
        return replace(self, start=start, tail=self.tail - self._count(self.start, seam) + self._count(start, seam))

    def tokens(self, gap: str) -> int:
        """Tokens of the head, the gap and the tail, joined."""
        before = self.counter.seam_before(self.text, max(0, self.end - CONTEXT))
        after = self.counter.seam_after(self.text, min(len(self.text), self.start + CONTEXT))
        meeting = self.text[before : self.end] + gap + self.text[self.start : after]
        apart = self._count(before, self.end) + self._count(self.start, after)
        return self.head + self.tail - apart + self.counter.count(meeting)

    def nothing(self) -> str:
        """No mark."""
        return ""

    def mark(self) -> str:
        """The mark; it closes the code block that the head leaves open, and reopens that in which the tail begins.

        The tail begins in one if its own fences do not pair up.
        """
        lead = "" if self.text.endswith("\n", 0, self.end) or not self.end else "\n"
        opened = open_fence(self.text, 0, self.end)
        reopened = open_fence(self.text, self.start, len(self.text))
        return _mark(self.start - self.end, lead + _line(opened), _line(reopened))

    def _count(self, start: int, end: int) -> int:
        return self.counter.count(self.text[start:end])


def cut_middle(text: str, max_tokens: int, counter: Counter) -> Kept:
    """Keep both ends, as much of them as fits, about half of it each."""
    halves = _with_tail(_head(text, max_tokens // 2, counter), max_tokens)
    if _may_be_whole(halves) and (total := counter.count(text)) <= max_tokens:
        return Kept((), total)
    return _fitted(halves, max_tokens, _Halves.nothing)


def cut_smart(text: str, max_tokens: int, counter: Counter) -> Kept:
    """Keep both ends, end and begin them where the text pauses, and mark the gap.

    Where the mark would take too much of what is kept, the end is cut off and nothing is marked.
    """
    reserve = counter.count(_mark(len(text), "\n", ""))
    if max_tokens < WORTH * reserve:
        size, tokens = longest(Start(text, counter), max_tokens)
        return Kept((Span(size, len(text)),) if size < len(text) else (), tokens)
    room = max_tokens - reserve
    halves = _with_tail(_well_ended(_head(text, room // 2, counter)), room)
    if _may_be_whole(halves) and (total := counter.count(text)) <= max_tokens:
        return Kept((), total)
    return _fitted(_well_begun(halves, max_tokens), max_tokens, _Halves.mark)


def _head(text: str, most: int, counter: Counter) -> _Halves:
    end, tokens = longest(Start(text, counter), most) if most else (0, 0)
    return _Halves(text, counter, end, tokens, len(text), 0)


def _with_tail(halves: _Halves, most: int) -> _Halves:
    """With as long a tail as fits beside the head, apart from it."""
    size, tokens = longest(End(halves.text, halves.counter), most - halves.head)
    start = len(halves.text) - size
    if start > halves.end:
        return replace(halves, start=start, tail=tokens)
    start = boundaries(halves.text, halves.end, min(halves.end + 1, len(halves.text)))[-1]
    return replace(halves, start=start, tail=halves.counter.count(halves.text[start:]))


def _may_be_whole(halves: _Halves) -> bool:
    return halves.start - halves.end <= max(NARROW, len(halves.text) // NARROW_PART)


def _well_ended(halves: _Halves) -> _Halves:
    low = halves.end - min(halves.end // LOOK_BACK, FARTHEST)
    return halves.ending(next(breaks_before(halves.text, low, halves.end), halves.end))


def _well_begun(halves: _Halves, most: int) -> _Halves:
    loss = max(LEAST_LOSS, most // LOSS)
    window = halves.text[halves.start : halves.start + loss * CONTEXT]
    farthest = halves.start + longest(Start(window, halves.counter), loss)[0]
    return halves.starting(next(breaks_after(halves.text, halves.start, farthest), halves.start))


def _fitted(halves: _Halves, most: int, gap_of: Callable[[_Halves], str]) -> Kept:
    """With a tail as much shorter as it takes."""
    step = 1
    while (tokens := halves.tokens(gap := gap_of(halves))) > most:
        place = min(len(halves.text), halves.start + step)
        halves, step = halves.starting(boundaries(halves.text, place, place)[-1]), 2 * step
    return Kept((Span(halves.end, halves.start),), tokens, gap)


def _mark(characters: int, before: str, after: str) -> str:
    return f"{before}[... {characters:,} characters cut ...]\n{after}"


def _line(text: str) -> str:
    return f"{text}\n" if text else ""
