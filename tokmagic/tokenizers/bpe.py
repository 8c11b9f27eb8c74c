"""Exact counts with a published vocabulary, for any text at all.

A **seam** is a place between two characters where the counts of both sides always add up, because no piece of either
vocabulary's pattern reaches over it and none looks back: a blank after anything but white space, a number's start or
end, a letter followed by no letter, mark or apostrophe, the start of a line. Text is encoded from seam to seam in
blocks. So no text is too long for the encoder (a million spaces make it panic), a count keeps no list of a million
tokens, and a cut needs only the kept side.

A stretch without a seam (a megabyte of one letter) is walked piece by piece. A piece too long to encode at once is
encoded in windows: byte pairs merge locally, and a list of tokens is the encoding of its bytes if and only if each two
neighbours are the encoding of theirs, so windows that meet in such a pair are exact.

Lone surrogates count as U+FFFD, as ``tiktoken`` has it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

import regex

from tokmagic.core.counters import PLAIN_CHAT, Chat, Threads

from .encodings import encoding, pattern
from .memory import CountMemory

if TYPE_CHECKING:
    import tiktoken

#: Characters encoded at once, about; up to twice as many if the next seam is far. More gains no speed.
BLOCK = 16_384
#: Bytes of one piece encoded at once.
WINDOW = 16_384

_SEAM = regex.compile(
    r"(?<=\S)(?=[ \t])"
    r"|(?<=\p{N})(?=[^\p{N}\p{Cs}])"
    r"|(?<=[^\s\p{N}\p{Cs}])(?=\p{N})"
    r"|(?<=\p{L})(?=[^\p{L}\p{M}\p{Cs}'])"
    r"|(?<=[\r\n])(?=[^\s/])"
)
#: Seams lie only where such a run ends, so that a search leaps over runs.
_RUN = r"[\p{L}\p{M}']++|\p{N}++|\s++|[^\s\p{L}\p{N}]++"
_NEXT_RUN = regex.compile(_RUN)
_LAST_RUN = regex.compile(f"(?r){_RUN}")


class BpeCounter:
    """Counts with one of the encodings, which is loaded by the first count."""

    exact = True

    def __init__(self, name: str, chat: Chat = PLAIN_CHAT) -> None:
        self.name, self.chat, self.threads = name, chat, Threads()
        self._memory = CountMemory()

    def count(self, text: str) -> int:
        """Tokens of the text, as its publisher's encoder counts them; known at once the second time."""
        return self._memory.recall(text, self._count)

    def bound(self, text: str) -> int:
        """The count itself: it is exact."""
        return self.count(text)

    def seam_after(self, text: str, position: int) -> int:
        """The first seam at or after ``position``; the end of the text if there is none."""
        if 0 < position < len(text) and _SEAM.match(text, position):
            return position
        ends = (run.end() for run in _NEXT_RUN.finditer(text, position))
        return next((end for end in ends if _SEAM.match(text, end)), len(text))

    def seam_before(self, text: str, position: int) -> int:
        """The last seam at or before ``position``; 0 if there is none."""
        if 0 < position < len(text) and _SEAM.match(text, position):
            return position
        starts = (run.start() for run in _LAST_RUN.finditer(text, 0, position))
        return next((start for start in starts if _SEAM.match(text, start)), 0)

    def clear(self) -> None:
        """Forget what was counted."""
        self._memory.clear()
        self.threads.clear()

    def _count(self, text: str) -> int:
        total = start = 0
        while start < len(text):
            end = self.seam_after(text, start + BLOCK)
            block = text[start:end]
            total += self._plain(block) if len(block) <= 2 * BLOCK else sum(self._seamless(block))
            start = end
        return total

    def _plain(self, text: str) -> int:
        return len(encoding(self.name).encode_ordinary(text))

    def _seamless(self, text: str) -> Iterator[int]:
        """Counts that add up to that of ``text``, which has no seam.

        Short pieces are encoded in groups; white space goes alone, for what it is depends on what follows it.
        """
        position = 0
        while position < len(text):
            group = _groups(self.name).match(text, position)
            end = group.end() if group else position + 1
            if group and end - position <= 2 * BLOCK:
                yield self._plain(group[0])
                position = end
                continue
            for piece in _pieces(self.name).finditer(text, position):
                yield count_piece(as_utf8(piece[0]), encoding(self.name))
                position = piece.end()
                if position >= end:
                    break


@cache
def _pieces(name: str) -> regex.Pattern[str]:
    return regex.compile(pattern(name))


@cache
def _groups(name: str) -> regex.Pattern[str]:
    pieces = rf"(?:(?>{pattern(name)})(?<!\s)){{1,4096}}+"
    return regex.compile(rf"\p{{N}}{{12288}}|{pieces}")  # digits go by threes


def as_utf8(text: str) -> bytes:
    """The bytes of a text; lone surrogates become U+FFFD, pairs the character they stand for."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def count_piece(data: bytes, encoding: tiktoken.Encoding, window: int = WINDOW) -> int:
    """Tokens of one piece, encoded in windows of ``window`` bytes.

    A window starts where the settled tokens end. If its first token and the last settled one are no neighbours, a merge
    reaches over that place: some settled tokens are given back and windows grow, in the end to the whole piece.
    """
    settled: list[int] = []
    position = 0
    while True:
        tokens = encoding._encode_single_piece(data[position : position + window])
        if settled and not _neighbours(settled[-1], tokens[0], encoding):
            goal = position - window // 4
            while settled and position > goal:
                position -= len(encoding.decode_single_token_bytes(settled.pop()))
            window *= 2
        elif position + window >= len(data):
            return len(settled) + len(tokens)
        else:
            sure = tokens[: len(tokens) - len(tokens) // 8]
            settled += sure
            position += len(encoding.decode_bytes(sure))


def _neighbours(left: int, right: int, encoding: tiktoken.Encoding) -> bool:
    joined = encoding.decode_single_token_bytes(left) + encoding.decode_single_token_bytes(right)
    return encoding._encode_single_piece(joined) == [left, right]
