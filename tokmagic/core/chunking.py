"""Splitting a text into chunks of at most so many tokens, at the ends of sentences and lines.

Without overlap the chunks joined are the text. A sentence longer than a chunk is split between words, and a word longer
than one between graphemes; a grapheme is never split.

A chunk is filled by guesses of how many characters a token has, each guess counted from the seam where the one before
ended; so the text is encoded little more than once.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from .breaks import pauses_after, pauses_before, words_before
from .counters import Counter
from .cutting import CONTEXT, End, Span, Start, longest
from .errors import ConfigurationError
from .graphemes import boundaries

#: Characters of a token to begin with, guesses for a chunk, and the part of it that is full enough.
WIDTH, GUESSES, FULL = 3.0, 6, 15 / 16
#: A guess aims somewhat lower, for one too many is counted in vain.
CAUTION = 0.92
#: Characters in which a seam is looked for.
NEAR = 256


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
    width = WIDTH
    while end < len(text):
        full, used = _filled(text, start, most, counter, width)
        if full <= end:
            full, used = _longest(text, start, end, most, counter)
        width = (full - start) / max(1, used)
        end = full if full == len(text) else _at_a_pause(text, Span(start, full), end, (used, most), counter)
        yield Span(start, end)
        start = end - longest(End(text[start:end], counter), overlap)[0] if overlap else end


def _filled(text: str, start: int, most: int, counter: Counter, width: float) -> tuple[int, int]:
    """A place up to which the text fits, most likely nearly as much as fits, and its tokens."""
    seam, known = start, 0
    best = start, 0
    for _ in range(GUESSES):
        aim = seam + max(1, int((most - known) * width * CAUTION))
        place, is_seam = _stop(text, aim, counter)
        if place <= seam:
            break
        tokens = known + counter.count(text[seam:place])
        if tokens > most:
            width *= CAUTION * (most - known) / (tokens - known)
            continue
        best = place, tokens
        if place == len(text) or tokens >= most * FULL:
            break
        width = (place - start) / max(1, tokens)
        if is_seam:
            seam, known = best
    return best


def _stop(text: str, aim: int, counter: Counter) -> tuple[int, bool]:
    """A seam at or soon after ``aim``, or else a place there that splits no grapheme; and whether it is a seam."""
    if aim >= len(text):
        return len(text), True
    low = max(0, aim - CONTEXT)
    window = text[low : aim + NEAR]
    seam = low + counter.seam_after(window, aim - low)
    if seam < aim + NEAR or seam == len(text):
        whole = boundaries(text, seam, seam)[0]
        return whole, whole == seam
    return boundaries(text, aim, aim)[0], False


def _longest(text: str, start: int, done: int, most: int, counter: Counter) -> tuple[int, int]:
    """The farthest place that fits, and its tokens, found with patience."""
    after = boundaries(text, done, done + 1)[-1]
    end = max(after, start + most * CONTEXT)
    size, tokens = longest(Start(text[start:end], counter), most)
    place = boundaries(text, start + size, start + size)[0]
    if place > done:
        return place, counter.count(text[start:place]) if place < start + size else tokens
    tokens = counter.count(text[start:after])
    raise ConfigurationError(
        f"A grapheme of the text takes {tokens:,} tokens and a chunk may have {most:,}: allow at least {tokens:,}."
    )


def _at_a_pause(text: str, full: Span, done: int, counts: tuple[int, int], counter: Counter) -> int:
    """The last end of a sentence or line that fits, else of a word, else all that fits."""
    used, most = counts
    start = _seam_before(text, full.start, full.end, counter)
    before = used - counter.count(text[start : full.end])
    found = 0
    for place in pauses_after(text, full.end, full.end + (most - used + 1) * CONTEXT):
        if before + counter.count(text[start:place]) > most:
            break
        found = place
    if found:
        return found
    for place in chain(pauses_before(text, done + 1, full.end), words_before(text, done + 1, full.end)):
        seam = _seam_before(text, full.start, place, counter)
        if used - counter.count(text[seam : full.end]) + counter.count(text[seam:place]) <= most:
            return place
    return full.end


def _seam_before(text: str, start: int, place: int, counter: Counter) -> int:
    """A seam a little before ``place``, or ``start``."""
    low = max(start, place - NEAR)
    seam = low + counter.seam_before(text[low : place + CONTEXT], max(0, place - CONTEXT - low))
    return seam if seam > low else start
