"""A faster counter of the same encodings, where ``tokmagic[fast]`` is installed.

``gigatoken`` agreed with ``tiktoken`` on 100,000 fuzzed texts for each of the encodings below, and on every character
there is beside letters, digits, blanks and marks, but for those that Unicode 17 brought: it knows them for letters and
``tiktoken`` does not. Texts that have one of them are left to ``tiktoken``. ``test_fuzzed.py`` holds it to that.

To load it takes as long as ``tiktoken`` takes for some sixteen million characters. So a process loads it that has
counted as many: one that counts little never waits for it, and no other waits more than twice as long as it had to.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sized
from pathlib import Path
from tempfile import TemporaryDirectory

from .package_files import installed
from .packed import published_text, tokens_of
from .utf8 import as_utf8

PACKAGE = "gigatoken"
#: The package's name for the pattern of each encoding.
SCHEMES = {"o200k_base": "o200k", "cl100k_base": "cl100k"}
#: Characters of text after which it is loaded.
WORTH = 16_000_000
_UNICODE_17 = re.compile(
    "[\u088f\u0c5c\u0cdc\u1acf-\u1add\u1ae0-\u1aeb\ua7ce-\ua7cf\ua7d2\ua7d4\ua7f1"
    "\U00010940-\U00010959\U00010ec5-\U00010ec7\U00010efa-\U00010efb\U00011b60-\U00011b67\U00011db0-\U00011ddb"
    "\U00011de0-\U00011de9\U00016ea0-\U00016eb8\U00016ebb-\U00016ed3\U00016ff2-\U00016ff6\U000187f8-\U000187ff"
    "\U00018d09-\U00018d1e\U00018d80-\U00018df2\U0001e6c0-\U0001e6de\U0001e6e0-\U0001e6f5\U0001e6fe-\U0001e6ff"
    "\U0002b73a-\U0002b73f\U0002cea2-\U0002cead\U000323b0-\U00033479]"
)


def fast_count(name: str, otherwise: Callable[[str], int]) -> Callable[[str], int] | None:
    """What counts the tokens of a text fast once that is worth it; ``otherwise`` counts the rest.

    None where the package or the encoding is not there.
    """
    if name not in SCHEMES or not installed(PACKAGE):
        return None
    seen, encode = 0, None

    def count(text: str) -> int:
        nonlocal seen, encode
        if encode is None:
            seen += len(text)
            if seen < WORTH:
                return otherwise(text)
            encode = _loaded(name)
        if not text.isascii() and _UNICODE_17.search(text):
            return otherwise(text)
        return len(encode(as_utf8(text)))

    return count


def _loaded(name: str) -> Callable[[bytes], Sized]:
    from gigatoken.gigatoken_rs import BPETokenizer

    with TemporaryDirectory() as folder:
        file = Path(folder) / f"{name}.tiktoken"
        file.write_bytes(published_text(tokens_of(name)))
        encode: Callable[[bytes], Sized] = BPETokenizer.from_tiktoken(str(file), SCHEMES[name], {}).encode
    return encode
