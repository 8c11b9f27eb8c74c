"""Exact counts with a published vocabulary, for any text at all.

Text is encoded in blocks from seam to seam (see ``seams.py``), where counts add up. So no text is too long for the
encoder (a million spaces make it panic), a count keeps no list of a million tokens, and a cut needs only the kept side.

A stretch without a seam is walked piece by piece, a very long piece (a megabyte of one letter) in windows.

Lone surrogates count as U+FFFD, as ``tiktoken`` has it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from operator import itemgetter
from typing import NamedTuple

import regex

from tokmagic.core.counters import PLAIN_CHAT, Chat, Threads

from .encodings import begun, encoding, pattern, plain_count
from .memory import CountMemory
from .seams import seams
from .utf8 import as_utf8
from .windows import PieceCounter

#: Characters encoded at once, about; up to twice as many if the next seam is far. More gains no speed.
BLOCK = 16_384
#: Characters from which on a piece is counted in windows.
LONG = 4_096
#: Each group of digits that a pattern splits off is one token; there are whole groups in so many.
_DIGITS = regex.compile("(?:[0-9]{6144})+")


class Part(NamedTuple):
    """Characters ``start`` to ``end`` (exclusive) of a text, and their tokens, or None where they are to be encoded."""

    start: int
    end: int
    tokens: int | None = None


class BpeCounter:
    """Counts with one of the encodings, which is loaded by the first count."""

    exact = True

    def __init__(self, name: str, chat: Chat = PLAIN_CHAT) -> None:
        self.name, self.chat, self.threads = name, chat, Threads()
        self._memory, self._pieces = CountMemory(), PieceCounter()

    def count(self, text: str) -> int:
        """Tokens of the text, as its publisher's encoder counts them; known at once the second time."""
        return self._memory.recall(text, self._count)

    def bound(self, text: str) -> int:
        """The count itself: it is exact."""
        return self.count(text)

    def seam_after(self, text: str, position: int) -> int:
        """The first seam at or after ``position``; the end of the text if there is none."""
        return seams(self.name).after(text, position)

    def seam_before(self, text: str, position: int) -> int:
        """The last seam at or before ``position``; 0 if there is none."""
        return seams(self.name).before(text, position)

    def widths(self, text: str) -> bytes | None:
        """How many characters begin in each token; in a piece too long to encode at once they are made even.

        None of a text in which two surrogates stand for one character.
        """
        widths = b"".join(
            _widths(self.name, text[start:end]) if tokens is None else _even(end - start, tokens)
            for start, end, tokens in self._parts(text)
        )
        return widths if text.isascii() or sum(widths) == len(text) else None

    def clear(self) -> None:
        """Forget what was counted."""
        self._memory.clear()
        self._pieces.clear()
        self.threads.clear()

    def _count(self, text: str) -> int:
        plain = plain_count(self.name)
        return sum(plain(text[start:end]) if tokens is None else tokens for start, end, tokens in self._parts(text))

    def _parts(self, text: str) -> Iterator[Part]:
        find = seams(self.name).after
        start = 0
        while start < len(text):
            far = start + 2 * BLOCK
            end = find(text, start + BLOCK, far)
            part = Part(start, end) if end < far or far >= len(text) else self._seamless(text, start)
            yield part
            start = part.end

    def _seamless(self, text: str, start: int) -> Part:
        """The next pieces, from the start of one.

        They end where no white space does, for what that is depends on what follows it.
        """
        if digits := _DIGITS.match(text, start):
            return Part(start, digits.end(), len(digits[0]) // _digits_of_a_token(self.name))
        end = start
        for piece in _pieces(self.name).finditer(text, start):
            if piece.end() - piece.start() > LONG:
                return Part(start, end) if end > start else Part(start, piece.end(), self._long(piece[0]))
            if not text[piece.end() - 1].isspace():
                end = piece.end()
            elif end == start:
                tokens = encoding(self.name)._encode_single_piece(as_utf8(piece[0]))
                return Part(start, piece.end(), len(tokens))
            if end - start > BLOCK:
                break
        return Part(start, end)

    def _long(self, piece: str) -> int:
        return self._pieces.count(encoding(self.name), as_utf8(piece))


def _widths(name: str, text: str) -> bytes:
    tokens = encoding(name).encode_ordinary(text)
    return bytes(itemgetter(0, *tokens)(begun(name)))[1:]  # one number alone would come without a tuple


def _even(characters: int, tokens: int) -> bytes:
    """As many widths as tokens, which add up to the characters; the first is not 0."""
    ends = [-(-characters * number // tokens) for number in range(tokens + 1)]
    return bytes(end - start for start, end in pairwise(ends))


@cache
def _digits_of_a_token(name: str) -> int:
    return 3 if r"\p{N}{1,3}" in pattern(name) else 1


@cache
def _pieces(name: str) -> regex.Pattern[str]:
    return regex.compile(pattern(name))
