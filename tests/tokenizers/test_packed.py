"""The vendored vocabularies are the published ones, byte for byte, and a damaged file is refused."""

import hashlib

import pytest

from tokmagic.core.errors import ConfigurationError
from tokmagic.tokenizers import packed
from tokmagic.tokenizers.pack import pack_file
from tokmagic.tokenizers.packed import VOCABULARIES, Vocabulary, pack, published_text, unpack


@pytest.mark.parametrize("name", VOCABULARIES)
def test_the_packed_file_rebuilds_the_published_one(name):
    text = published_text(unpack(packed._content(name)))
    assert hashlib.sha256(text).hexdigest() == VOCABULARIES[name].published_sha256


def test_what_is_packed_comes_back():
    tokens = [b"a", b"b", b"ab", b"\x00\xff", b"x" * 255]
    assert unpack(pack(tokens)) == tokens


def test_only_the_published_file_is_packed(tmp_path):
    (tmp_path / "o200k_base.tiktoken").write_bytes(b"YQ== 0\n")
    with pytest.raises(ConfigurationError, match="not the published o200k_base"):
        pack_file("o200k_base", tmp_path / "o200k_base.tiktoken", tmp_path / "o200k_base.xz")
    assert not (tmp_path / "o200k_base.xz").exists()


def test_packing_the_published_file_makes_the_vendored_content(tmp_path):
    source = tmp_path / "cl100k_base.tiktoken"
    source.write_bytes(published_text(unpack(packed._content("cl100k_base"))))
    digest = pack_file("cl100k_base", source, tmp_path / "cl100k_base.xz")
    assert digest == VOCABULARIES["cl100k_base"].unpacked_sha256


def test_a_damaged_or_missing_file_is_refused(monkeypatch):
    wrong = Vocabulary(published_sha256="", unpacked_sha256="0" * 64, pattern="")
    monkeypatch.setitem(VOCABULARIES, "cl100k_base", wrong)
    with pytest.raises(ConfigurationError, match="cl100k_base is damaged"):
        packed._content("cl100k_base")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        packed._content("no_such_base")
