"""Exact counts with a published vocabulary, for any text at all.

Text is encoded in blocks from seam to seam (see ``seams.py``), where counts add up. So no text is too long for the
encoder (a million spaces make it panic), a count keeps no list of a million tokens, and a cut needs only the kept side.

A stretch without a seam is walked piece by piece, a very long piece (a megabyte of one letter) in windows.

Lone surrogates count as U+FFFD, as ``tiktoken`` has it.
"""

from __future__ import annotations

from functools import cache

import regex

from tokmagic.core.counters import PLAIN_CHAT, Chat, Threads

from .encodings import encoding, pattern, plain_count
from .memory import CountMemory
from .seams import seams
from .windows import PieceCounter

#: Characters encoded at once, about; up to twice as many if the next seam is far. More gains no speed.
BLOCK = 16_384
#: Characters from which on a piece is counted in windows.
LONG = 4_096
#: Each group of digits that a pattern splits off is one token; there are whole groups in so many.
_DIGITS = regex.compile("(?:[0-9]{6144})+")


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

    def clear(self) -> None:
        """Forget what was counted."""
        self._memory.clear()
        self._pieces.clear()
        self.threads.clear()

    def _count(self, text: str) -> int:
        find = seams(self.name).after
        total = start = 0
        while start < len(text):
            far = start + 2 * BLOCK
            end = find(text, start + BLOCK, far)
            if end < far or far >= len(text):
                total += self._plain(text[start:end])
            else:
                end, tokens = self._seamless(text, start)
                total += tokens
            start = end
        return total

    def _plain(self, text: str) -> int:
        return plain_count(self.name)(text)

    def _seamless(self, text: str, start: int) -> tuple[int, int]:
        """The end of the next pieces, from the start of one, and their tokens.

        They end where no white space does, for what that is depends on what follows it.
        """
        if digits := _DIGITS.match(text, start):
            return digits.end(), len(digits[0]) // _digits_of_a_token(self.name)
        end = start
        for piece in _pieces(self.name).finditer(text, start):
            if piece.end() - piece.start() > LONG:
                return (end, self._plain(text[start:end])) if end > start else (piece.end(), self._long(piece[0]))
            if not text[piece.end() - 1].isspace():
                end = piece.end()
            elif end == start:
                return piece.end(), len(encoding(self.name)._encode_single_piece(as_utf8(piece[0])))
            if end - start > BLOCK:
                break
        return end, self._plain(text[start:end])

    def _long(self, piece: str) -> int:
        return self._pieces.count(encoding(self.name), as_utf8(piece))


@cache
def _digits_of_a_token(name: str) -> int:
    return 3 if r"\p{N}{1,3}" in pattern(name) else 1


@cache
def _pieces(name: str) -> regex.Pattern[str]:
    return regex.compile(pattern(name))


def as_utf8(text: str) -> bytes:
    """The bytes of a text; lone surrogates become U+FFFD, pairs the character they stand for."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()
