"""Splitting a text into chunks of at most so many tokens, at the ends of sentences and lines.

Without overlap the chunks joined are the text. A sentence longer than a chunk is split between words, and a word longer
than one between graphemes; a grapheme is never split.
"""

from __future__ import annotations

from collections.abc import Iterator

import regex

from .counters import Counter
from .cutting import End, Span, Start, longest
from .errors import ConfigurationError
from .graphemes import boundaries

#: Characters looked at for each token of a chunk, to begin with.
REACH = 8
_BREAKS = (
    regex.compile(
        r"""(?r)(?<=\n)(?!\s*\n)|(?<=[.!?…]["'”’)\]]{0,2})(?=\s)|(?<=[。！？][」』”’）]?)(?![」』”’）。！？])"""
    ),
    regex.compile(r"(?r)(?<=\S)(?=\s)"),
)


def chunk(text: str, max_tokens: int, counter: Counter, *, overlap: int = 0) -> tuple[str, ...]:
    """Split a text into chunks of at most ``max_tokens`` tokens.

    Args:
        text: of any length and content; an empty text has no chunks.
        max_tokens: of each chunk, 1 or more.
        counter: of the tokenizer to count with.
        overlap: each chunk but the first begins with the end of the one before: the longest that has at most so many
            tokens.

    Raises:
        ConfigurationError: ``max_tokens`` is below 1, ``overlap`` is negative or not below it, or a single grapheme
            (with the overlap before it) takes more tokens than a chunk may have.
    """
    if max_tokens < 1:
        raise ConfigurationError(f"A chunk cannot have {max_tokens:,} tokens: allow at least 1.")
    if not 0 <= overlap < max_tokens:
        raise ConfigurationError(
            f"Chunks of {max_tokens:,} tokens cannot overlap by {overlap:,}: use 0 to {max_tokens - 1:,}."
        )
    return tuple(text[span.start : span.end] for span in _spans(text, max_tokens, counter, overlap))


def _spans(text: str, most: int, counter: Counter, overlap: int) -> Iterator[Span]:
    start = end = 0
    while end < len(text):
        end = _fitting(text, start, end, most, counter)
        yield Span(start, end)
        start = end - longest(End(text[start:end], counter), overlap)[0] if overlap else end


def _fitting(text: str, start: int, done: int, most: int, counter: Counter) -> int:
    """The end of the chunk from ``start`` that goes beyond ``done``."""
    reach = most * REACH
    while True:
        window = text[start : start + reach]
        size, _ = longest(Start(window, counter), most)
        if size < len(window) or start + size == len(text):
            break
        reach *= 2
    if start + size == len(text):
        return len(text)
    for pattern in _BREAKS:
        for match in pattern.finditer(text, done + 1, start + size + 1):
            place = match.start()
            whole = place <= start + size and boundaries(text, place, place) == [place]
            if whole and counter.count(text[start:place]) <= most:
                return place
    while (place := start + size) > done:
        if boundaries(text, place, place) == [place]:
            return place
        size -= 1
    taken = counter.count(text[start : boundaries(text, done, done + 1)[-1]])
    raise ConfigurationError(
        f"A grapheme of the text takes {taken:,} tokens and a chunk may have {most:,}: allow at least {taken:,}."
    )
