"""Counts where no tokenizer is public: an estimate by kinds of UTF-8 bytes, and the hard bound of one token a byte.

Byte-level tokenizers spend about a fifth of a token on an ASCII letter, half of one on a punctuation mark, and so on up
to two on an emoji; four bytes to a token, the usual rule, is right for none of them. The weights below were fitted to
the mean of ``o200k_base`` and ``cl100k_base`` over source code, English prose and texts in 30 languages.
"""

from __future__ import annotations

import string

from tokmagic.core.counters import PLAIN_CHAT, Threads

from .utf8 import as_utf8

#: Thousandths of a token for each byte of a kind. Beyond ASCII a character weighs by its first byte alone.
WEIGHTS: tuple[tuple[int, bytes], ...] = (
    (200, string.ascii_letters.encode()),
    (800, string.digits.encode()),
    (550, string.punctuation.encode()),
    (30, b" \t"),
    (1_600, bytes(byte for byte in range(32) if byte != ord("\t")) + b"\x7f"),
    (1_500, bytes(range(0xC2, 0xCD))),  # accented Latin
    (500, bytes(range(0xCD, 0xE0))),  # Greek, Cyrillic, Hebrew, Arabic
    (1_300, b"\xe0\xe1"),  # scripts of India and South-East Asia
    (700, b"\xe2\xef"),  # typographic signs, full-width forms
    (900, bytes(range(0xE3, 0xEF))),  # Chinese, Japanese, Korean
    (1_800, bytes(range(0xF0, 0xF5))),  # emoji
)


class EstimateCounter:
    """Estimates; never exact."""

    name = "estimate"
    exact = False
    chat = PLAIN_CHAT

    def __init__(self) -> None:
        self.threads = Threads()

    def count(self, text: str) -> int:
        """The likely number of tokens, rounded up."""
        data = as_utf8(text)
        weight = sum(weight * (len(data) - len(data.translate(None, kind))) for weight, kind in WEIGHTS)
        return -(-weight // 1_000)

    def bound(self, text: str) -> int:
        """The UTF-8 bytes: no byte-level tokenizer makes more tokens."""
        return len(as_utf8(text))

    def seam_after(self, text: str, position: int) -> int:
        """The end of the text: rounding makes no place inside certain."""
        return len(text)

    def seam_before(self, text: str, position: int) -> int:
        """The start of the text."""
        return 0

    def widths(self, text: str) -> None:
        """None: there are no seams."""

    def clear(self) -> None:
        """Forget what was counted."""
        self.threads.clear()
