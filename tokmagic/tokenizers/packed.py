"""The published BPE ranks, vendored: unpacked, verified and built into an encoding once per process, never downloaded.

Ranks are contiguous ids, so a vocabulary is the byte lengths of its tokens in order of rank, then their bytes; xz packs
that to a quarter. The unpacked content must have the SHA-256 pinned here. ``pack.py``, which makes the files, proves
that this very content rebuilds the published ``.tiktoken`` text byte for byte.

The encodings know no special tokens: to a counter, ``<|endoftext|>`` is the characters it is.
"""

from __future__ import annotations

import base64
import hashlib
import lzma
from dataclasses import dataclass
from functools import cache
from importlib import resources
from threading import Lock
from typing import TYPE_CHECKING

from tokmagic.core.errors import ConfigurationError

if TYPE_CHECKING:
    import tiktoken

_COUNT_BYTES = 4
_ONE_BUILDER = Lock()


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A published vocabulary.

    Attributes:
        published_sha256: of the ``.tiktoken`` text, as its publisher states it.
        unpacked_sha256: of the content of our packed file.
        pattern: splits text into the pieces that are encoded one by one.
    """

    published_sha256: str
    unpacked_sha256: str
    pattern: str


_CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"

VOCABULARIES = {
    "o200k_base": Vocabulary(
        published_sha256="446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
        unpacked_sha256="2f451f31d7403017d0b0dc6319ded23a09f33f573b1635c001fc6b91a1c21302",
        pattern="|".join(
            (
                rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{_CONTRACTION}",
                rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{_CONTRACTION}",
                r"\p{N}{1,3}",
                r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
                r"\s*[\r\n]+",
                r"\s+(?!\S)",
                r"\s+",
            )
        ),
    ),
    "cl100k_base": Vocabulary(
        published_sha256="223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
        unpacked_sha256="9ef8402c916638b4e5896df1b798958e6377ae5ee9ecce199388d117f2a44973",
        pattern="|".join(
            (
                r"'(?i:[sdmt]|ll|ve|re)",
                r"[^\r\n\p{L}\p{N}]?+\p{L}++",
                r"\p{N}{1,3}+",
                r" ?[^\s\p{L}\p{N}]++[\r\n]*+",
                r"\s++$",
                r"\s*[\r\n]",
                r"\s+(?!\S)",
                r"\s",
            )
        ),
    ),
}


def encoding(name: str) -> tiktoken.Encoding:
    """The encoding of a vocabulary; the first caller builds it, all others wait for that.

    Raises:
        ConfigurationError: the packed file is missing or damaged.
    """
    with _ONE_BUILDER:
        return _built(name)


@cache
def _built(name: str) -> tiktoken.Encoding:
    import tiktoken

    ranks = {token: rank for rank, token in enumerate(tokens_of(name))}
    return tiktoken.Encoding(
        f"tokmagic/{name}", pat_str=VOCABULARIES[name].pattern, mergeable_ranks=ranks, special_tokens={}
    )


def tokens_of(name: str) -> list[bytes]:
    """The tokens of a vocabulary in order of rank.

    Raises:
        ConfigurationError: the packed file is missing or damaged.
    """
    return unpack(_content(name))


def _content(name: str) -> bytes:
    file = resources.files(__package__) / "data" / f"{name}.xz"
    try:
        content = lzma.decompress(file.read_bytes())
    except (OSError, lzma.LZMAError, EOFError) as error:
        raise ConfigurationError(
            f"The tokenizer data of {name} cannot be read ({error}): install tokmagic again."
        ) from None
    found = hashlib.sha256(content).hexdigest()
    if found != VOCABULARIES[name].unpacked_sha256:
        raise ConfigurationError(f"The tokenizer data of {name} is damaged (SHA-256 {found}): install tokmagic again.")
    return content


def pack(tokens: list[bytes]) -> bytes:
    """The content of a packed file, before compression; ``tokens`` are in order of rank, each of 1 to 255 bytes."""
    return b"".join((len(tokens).to_bytes(_COUNT_BYTES, "big"), bytes(map(len, tokens)), *tokens))


def unpack(content: bytes) -> list[bytes]:
    """The tokens in order of rank."""
    start = _COUNT_BYTES + int.from_bytes(content[:_COUNT_BYTES], "big")
    tokens = []
    for length in content[_COUNT_BYTES:start]:
        tokens.append(content[start : start + length])
        start += length
    return tokens


def published_text(tokens: list[bytes]) -> bytes:
    """The ``.tiktoken`` text of a vocabulary: one line for each token, in base64, with its rank."""
    return b"".join(b"%s %d\n" % (base64.b64encode(token), rank) for rank, token in enumerate(tokens))
