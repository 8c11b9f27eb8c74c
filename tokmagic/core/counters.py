"""The seam to the tokenizers: what ``core`` needs of one, whoever built it."""

from __future__ import annotations

from typing import Protocol


class Counter(Protocol):
    """Counts the tokens of plain text for one tokenizer.

    Any text is plain: a literal ``<|endoftext|>`` is counted as the characters it is.
    """

    @property
    def name(self) -> str:
        """The tokenizer's name, such as ``o200k_base`` or ``estimate``."""

    @property
    def exact(self) -> bool:
        """Whether the tokenizer is the model's own, so that its counts are the provider's."""

    def count(self, text: str) -> int:
        """Tokens of the text: exact, or the best estimate."""

    def bound(self, text: str) -> int:
        """A number the true count never passes; equal to ``count`` where that is exact."""

    def seam_after(self, text: str, position: int) -> int:
        """The first seam at or after ``position``: a place where the counts of both sides add up to that of the whole.

        It stays one in any shorter part of the text that reaches over it. The end of the text is one.
        """

    def seam_before(self, text: str, position: int) -> int:
        """The last seam at or before ``position``; the start of the text is one."""
