"""Splitting a text into chunks of at most so many tokens, at the ends of sentences and lines.

Without overlap the chunks joined are the text. A sentence longer than a chunk is split between words, and a word longer
than one between graphemes; a grapheme is never split.

The text is measured once (see ``rulers.py``), so that it is encoded little more than once.
"""

from __future__ import annotations

from collections.abc import Iterator

from .breaks import pauses_before, words_before
from .counters import Counter
from .cutting import CONTEXT, End, Span, Start, longest
from .errors import ConfigurationError
from .graphemes import boundaries
from .rulers import Guesses, Ruler, seam_after


def chunk(text: str, max_tokens: int, counter: Counter, *, overlap: int = 0) -> tuple[str, ...]:
    """Split a text into chunks of at most ``max_tokens`` tokens.

    Args:
        text: of any length and content; an empty text has no chunks.
        max_tokens: of each chunk, 1 or more.
        counter: of the tokenizer to count with.
        overlap: each chunk but the first begins with the last words of the one before, as many as have at most so many
            tokens; where no words are, with its last graphemes.

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
    widths = counter.widths(text)
    measure = Guesses(text, counter) if widths is None else Ruler(text, widths, counter)
    start = end = 0
    while end < len(text):
        done, full = end, measure.reach(start, most)
        fitting = (place for place in _ends(text, done + 1, full) if measure.tokens(start, place) <= most)
        end = next(fitting, 0) or _longest(text, start, done, most, counter)
        yield Span(start, end)
        start = _overlapping(text, Span(start, end), overlap, measure, counter) if overlap else end


def _ends(text: str, low: int, high: int) -> Iterator[int]:
    """Where a chunk may end, the best first: the end of the text, of a sentence or line, of a word, of a grapheme."""
    if high == len(text):
        yield high
    yield from pauses_before(text, low, high)
    yield from words_before(text, low, high)
    if (place := boundaries(text, high, high)[0]) >= low:
        yield place


def _overlapping(text: str, before: Span, most: int, measure: Ruler | Guesses, counter: Counter) -> int:
    """Where the next chunk begins: with the last words of the one before, where none are known the last graphemes."""
    if isinstance(measure, Ruler):
        place = seam_after(text, max(before.start, measure.reach(before.end, -most)), counter)
        whole = place < before.end and boundaries(text, place, place)[0] == place
        if whole and measure.tokens(place, before.end) <= most:
            return place
    return before.end - longest(End(text[before.start : before.end], counter), most)[0]


def _longest(text: str, start: int, done: int, most: int, counter: Counter) -> int:
    """The farthest place that fits, found with patience."""
    after = boundaries(text, done, done + 1)[-1]
    end = max(after, start + most * CONTEXT)
    size, _ = longest(Start(text[start:end], counter), most)
    place = boundaries(text, start + size, start + size)[0]
    if place > done:
        return place
    tokens = counter.count(text[start:after])
    raise ConfigurationError(
        f"A grapheme of the text takes {tokens:,} tokens and a chunk may have {most:,}: allow at least {tokens:,}."
    )
