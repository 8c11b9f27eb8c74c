"""Exact counts with a Hugging Face ``tokenizer.json``, by the ``tokenizers`` package.

What the file marks as special is plain text to a counter. What such a tokenizer joins is not known beforehand, so it
has no seams: a text is always encoded whole.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from tokmagic.core.counters import PLAIN_CHAT, Chat, Threads
from tokmagic.core.errors import ConfigurationError

from .memory import CountMemory
from .utf8 import as_utf8

if TYPE_CHECKING:
    from tokenizers import Tokenizer

#: What reads the files.
PACKAGE = "tokenizers"


class HuggingFaceCounter:
    """Counts with the file that ``find`` finds; it is loaded by the first count."""

    exact = True

    def __init__(self, name: str, find: Callable[[], Path], chat: Chat = PLAIN_CHAT) -> None:
        self.name, self.chat, self.threads = name, chat, Threads()
        self._find = find
        self._memory = CountMemory()
        self._one_loader = Lock()
        self._tokenizer: Tokenizer | None = None

    def count(self, text: str) -> int:
        """Tokens of the text; known at once the second time."""
        return self._memory.recall(text, self._count)

    def bound(self, text: str) -> int:
        """The count itself: it is exact."""
        return self.count(text)

    def seam_after(self, text: str, position: int) -> int:
        """The end of the text."""
        return len(text)

    def seam_before(self, text: str, position: int) -> int:
        """The start of the text."""
        return 0

    def widths(self, text: str) -> None:
        """None: there are no seams."""

    def clear(self) -> None:
        """Forget what was counted."""
        self._memory.clear()
        self.threads.clear()

    def _count(self, text: str) -> int:
        plain = text if text.isascii() else as_utf8(text).decode()
        return len(self._loaded().encode_batch_fast([plain], add_special_tokens=False)[0])

    def _loaded(self) -> Tokenizer:
        with self._one_loader:
            if self._tokenizer is None:
                self._tokenizer = load(self._find())
            return self._tokenizer


def load(file: Path) -> Tokenizer:
    """The tokenizer of a file, which neither cuts nor pads.

    Raises:
        ConfigurationError: there is no such file, or it is no tokenizer.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # noqa: BLE001 - the package raises nothing more specific
        what = str(error).splitlines()[0]
        raise ConfigurationError(f"{file} is no tokenizer.json that can be read ({what}): name another file.") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True
    return tokenizer
