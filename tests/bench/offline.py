"""The published ranks in a folder where ``tiktoken`` looks before it downloads, rebuilt from our packed ones."""

from __future__ import annotations

import hashlib
import tempfile
from functools import cache
from pathlib import Path
from unittest import mock

from tiktoken_ext import openai_public

from tokmagic.tokenizers.packed import VOCABULARIES, _content, published_text, unpack


@cache
def cache_dir() -> Path:
    """The folder, for ``TIKTOKEN_CACHE_DIR``; made once a process, of files that their publisher's hash confirms."""
    folder = Path(tempfile.mkdtemp(prefix="tokmagic-bench-"))
    for name in VOCABULARIES:
        (folder / _file_name(name)).write_bytes(published_text(unpack(_content(name))))
    return folder


def _file_name(name: str) -> str:
    """What ``tiktoken`` calls the file: the SHA-1 of the address it would be downloaded from."""
    asked: list[str] = []

    def load(address: str, **_: object) -> dict[bytes, int]:
        asked.append(address)
        return {}

    with mock.patch.object(openai_public, "load_tiktoken_bpe", load):
        getattr(openai_public, name)()
    return hashlib.sha1(asked[0].encode()).hexdigest()  # noqa: S324
