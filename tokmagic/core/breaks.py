"""Where a text pauses: between paragraphs, lines, sentences and words, never inside a grapheme; and its code blocks."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence

import regex

from .graphemes import boundaries

_BLANKS = r"[^\S\n]{0,80}"
_PARAGRAPH = rf"(?<=\n{_BLANKS}\n)(?=\S)"
_LINE = rf"(?<=\n)(?!{_BLANKS}\n)"
_SENTENCE = r"""(?<=[.!?…]["'”’)\]]{0,2})(?=\s)|(?<=[。！？][」』”’）]?)(?![」』”’）。！？])"""
_WORD = r"(?<=\S)(?=\s)"

#: From the strongest to the weakest.
STRENGTHS = (_PARAGRAPH, _LINE, _SENTENCE, _WORD)
_FORWARD = tuple(regex.compile(pattern) for pattern in STRENGTHS)
_BACKWARD = tuple(regex.compile(f"(?r){pattern}") for pattern in STRENGTHS)
_PAUSE = regex.compile(f"{_LINE}|{_SENTENCE}")
#: What a line or sentence ends with, and how many characters that close a quotation may follow it.
ENDINGS, CLOSERS = "\n.!?…。！？", 2
_FENCE = regex.compile(r" {0,3}(`{3,}|~{3,})([^\n]*)")


def breaks_before(text: str, low: int, high: int) -> Iterator[int]:
    """Places from ``high`` down to ``low``, of every strength in turn, the strongest first."""
    for pattern in _possible(_BACKWARD, text, low, high):
        yield from _whole(text, pattern.finditer(text, low, min(high + 1, len(text))), low, high)


def breaks_after(text: str, low: int, high: int) -> Iterator[int]:
    """Places from ``low`` up to ``high``, of every strength in turn, the strongest first."""
    for pattern in _possible(_FORWARD, text, low, high):
        yield from _whole(text, pattern.finditer(text, low, min(high + 1, len(text))), low, high)


def _possible(patterns: Sequence[regex.Pattern[str]], text: str, low: int, high: int) -> Sequence[regex.Pattern[str]]:
    """Without those of paragraphs and lines where no line ends: to search for them takes its time."""
    return patterns if text.find("\n", max(0, low - 1), high) >= 0 else patterns[2:]


def pauses_before(text: str, low: int, high: int) -> Iterator[int]:
    """Ends of sentences and lines from ``high`` down to ``low``."""
    for ending in _endings_before(text, low - 1 - CLOSERS, high):
        near = min(ending + 1 + CLOSERS, high)
        matches = (_PAUSE.match(text, place) for place in range(near, max(low, ending + 1) - 1, -1))
        yield from _whole(text, filter(None, matches), low, near)
        high = ending


def _endings_before(text: str, low: int, high: int) -> Iterator[int]:
    """Where lines and sentences may end, from ``high`` down: each kind of sign is found fast, they seldom are."""
    low = max(0, low)
    last = {sign: text.rfind(sign, low, high) for sign in ENDINGS}
    while (place := max(last.values())) >= 0:
        yield place
        last[text[place]] = text.rfind(text[place], low, place)


def words_before(text: str, low: int, high: int) -> Iterator[int]:
    """Ends of words from ``high`` down to ``low``."""
    return _whole(text, _BACKWARD[-1].finditer(text, low, min(high + 1, len(text))), low, high)


def _whole(text: str, found: Iterator[regex.Match[str]], low: int, high: int) -> Iterator[int]:
    for match in found:
        if low <= (place := match.start()) <= high and boundaries(text, place, place) == [place]:
            yield place


def open_fence(text: str, start: int, end: int) -> str:
    """The fence, such as three backticks, of the Markdown code block that ``start`` to ``end`` leaves open, if any."""
    opened = ""
    for place in heapq.merge(_lines_with(text, "```", start, end), _lines_with(text, "~~~", start, end)):
        fence = _FENCE.match(text, place, end)
        if fence and not opened:
            opened = fence[1]
        elif fence and fence[1].startswith(opened) and not fence[2].strip():
            opened = ""
    return opened


def _lines_with(text: str, mark: str, start: int, end: int) -> Iterator[int]:
    first = text.find(mark[0], start, end)  # one character is found much faster than three
    place = text.find(mark, first, end) if first >= 0 else -1
    while place >= 0:
        yield text.rfind("\n", start, place) + 1 or start
        line_end = text.find("\n", place, end)
        place = text.find(mark, line_end, end) if line_end >= 0 else -1
