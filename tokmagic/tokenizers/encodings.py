"""The byte-pair encodings by name: OpenAI's, which are vendored, and Mistral's, which its own package carries.

A seam (see ``bpe.py``) is one in each of them: Mistral's pattern is OpenAI's newer one without contractions and with
digits one by one. A file with another pattern is refused.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING

from tokmagic.core.errors import ConfigurationError

from . import packed
from .fast import fast_count
from .package_files import package_file

if TYPE_CHECKING:
    import tiktoken

TEKKEN = "tekken"
TEKKEN_PACKAGE, _TEKKEN_FILE = "mistral_common", "data/tekken_240911.json"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_TEKKEN_PATTERN = "|".join(
    (
        rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+",
        rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*",
        r"\p{N}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    )
)
_ONE_BUILDER = Lock()


def pattern(name: str) -> str:
    """What splits text into the pieces that are encoded one by one."""
    return _TEKKEN_PATTERN if name == TEKKEN else packed.VOCABULARIES[name].pattern


def encoding(name: str) -> tiktoken.Encoding:
    """The encoding; the first caller builds it, all others wait for that.

    Raises:
        ConfigurationError: its file is missing, damaged or of another kind.
    """
    if name != TEKKEN:
        return packed.encoding(name)
    with _ONE_BUILDER:
        return _tekken()


@cache
def plain_count(name: str) -> Callable[[str], int]:
    """What counts the tokens of a text of moderate length: the fast counter where it is installed."""

    def vendored(text: str) -> int:
        return len(encoding(name).encode_ordinary(text))

    return fast_count(name, vendored) or vendored


@cache
def begun(name: str) -> bytes:
    """How many characters begin in each token of the vocabulary, by its number."""
    later = bytes(range(0x80, 0xC0))
    token = encoding(name).decode_single_token_bytes
    return bytes(len(token(number).translate(None, later)) for number in range(encoding(name).n_vocab))


@cache
def _tekken() -> tiktoken.Encoding:
    import tiktoken

    file = package_file(TEKKEN_PACKAGE, _TEKKEN_FILE)
    try:
        content = json.loads(file.read_bytes())
        config = content["config"]
        most = config["default_vocab_size"] - config["default_num_special_tokens"]
        ranks = {base64.b64decode(token["token_bytes"]): token["rank"] for token in content["vocab"][:most]}
        found = config["pattern"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"{file.name} of {TEKKEN_PACKAGE} cannot be read ({error}): install it again."
        ) from None
    if found != _TEKKEN_PATTERN:
        raise ConfigurationError(f"{file.name} of {TEKKEN_PACKAGE} splits text in a new way: update tokmagic.")
    return tiktoken.Encoding(f"tokmagic/{TEKKEN}", pat_str=found, mergeable_ranks=ranks, special_tokens={})
