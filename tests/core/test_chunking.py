"""Chunks fit, rebuild the text, end where sentences and lines do, and split no grapheme, whatever the text."""

from itertools import accumulate

import pytest
import regex
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.soak import share
from tokmagic.core.breaks import STRENGTHS, pauses_before
from tokmagic.core.chunking import chunk
from tokmagic.core.errors import ConfigurationError
from tokmagic.core.rulers import Ruler
from tokmagic.tokenizers import counter

NAMES = ("o200k_base", "cl100k_base", "estimate")
PARTS = (
    "A sentence. ", "What? ", "A line\n", "\r\n\r\n", "    indented = 'so'\n", "中文。", "हिन्दी ", "word ",
    "👨‍👩‍👧", "🇩🇪", "e\u0301", "can't stop ", "3.14", "  ", "\t", "```\n", "//\n/", "שלום ", "\x00", "\ud800",
    "aBcD", "\ud83d\ude00 ", "<|endoftext|>", "0:", "0\u0300",
)  # fmt: skip
TEXTS = st.one_of(
    st.lists(st.sampled_from(PARTS), max_size=60).map("".join),
    st.builds(str.__mul__, st.sampled_from(PARTS), st.integers(1, 300)),
    st.text(max_size=80),
)


@settings(max_examples=share(50_000, 300))
@given(text=TEXTS, most=st.integers(30, 80), name=st.sampled_from(NAMES))
def test_chunks_fit_and_joined_are_the_text(text, most, name):
    counted = counter(name)
    chunks = chunk(text, most, counted)
    assert "".join(chunks) == text
    assert all(one and counted.count(one) <= most for one in chunks)
    ends = {match.end() for match in regex.finditer(r"\X", text)}
    assert set(accumulate(map(len, chunks))) <= ends


@settings(max_examples=share(20_000, 150))
@given(text=TEXTS, most=st.integers(60, 90), overlap=st.integers(1, 20), name=st.sampled_from(NAMES))
def test_each_chunk_begins_with_the_end_of_the_one_before(text, most, overlap, name):
    counted = counter(name)
    chunks = chunk(text, most, counted, overlap=overlap)
    assert all(counted.count(one) <= most for one in chunks)
    places = {0}
    for before, one in zip(("", *chunks), chunks, strict=False):
        places = {
            end - shared + len(one)
            for end in places
            for shared in range(len(one))
            if before.endswith(one[:shared]) and text.startswith(one, end - shared)
            if counted.count(one[:shared]) <= overlap
        }
    assert len(text) in places


@settings(max_examples=share(20_000, 200))
@given(text=TEXTS, data=st.data(), name=st.sampled_from(["o200k_base", "cl100k_base"]))
def test_a_ruler_tells_the_tokens_of_any_part(text, data, name):
    counted = counter(name)
    assume((widths := counted.widths(text)) is not None)
    ruler = Ruler(text, widths, counted)
    ends = [0, *(match.end() for match in regex.finditer(r"\X", text))]
    start, end = sorted((data.draw(st.sampled_from(ends)), data.draw(st.sampled_from(ends))))
    assert ruler.tokens(start, end) == counted.count(text[start:end])
    assert 0 <= ruler.reach(start, 5) <= len(text)


@settings(max_examples=share(20_000, 200))
@given(text=TEXTS, data=st.data())
def test_all_pauses_are_found_the_last_first(text, data):
    low, high = sorted((data.draw(st.integers(1, 60)), data.draw(st.integers(1, 60))))
    _, line, sentence, _ = STRENGTHS
    ends = {match.end() for match in regex.finditer(r"\X", text)}
    places = [match.start() for match in regex.finditer(f"{line}|{sentence}", text)]
    expected = [place for place in places if low <= place <= min(high, len(text)) and place in ends]
    assert list(pauses_before(text, low, min(high, len(text)))) == expected[::-1]


def test_a_chunk_ends_with_a_sentence_or_a_line():
    counted = counter("o200k_base")
    assert chunk("One two three. Four five six? Seven eight", 5, counted) == (
        "One two three.",
        " Four five six?",
        " Seven eight",
    )
    assert chunk("one two\nthree four\nfive", 5, counted) == ("one two\n", "three four\nfive")
    assert chunk("第一句。第二句。", 5, counted) == ("第一句。", "第二句。")


def test_a_sentence_longer_than_a_chunk_is_split_between_words():
    chunks = chunk("word " * 100 + "end.", 20, counter("o200k_base"))
    assert len(chunks) > 4
    assert all(one.strip("word en.") == "" and one.split()[-1] in {"word", "end."} for one in chunks)


def test_a_word_longer_than_a_chunk_is_split():
    chunks = chunk("x" * 1_000, 20, counter("o200k_base"))
    assert "".join(chunks) == "x" * 1_000
    assert len(chunks) > 1


def test_a_grapheme_longer_than_a_chunk_is_refused_with_the_numbers():
    with pytest.raises(ConfigurationError, match=r"takes 11 tokens and a chunk may have 3: allow at least 11"):
        chunk("a 👨‍👩‍👧‍👦 family", 3, counter("o200k_base"))


@pytest.mark.parametrize(("most", "overlap"), [(0, 0), (-1, 0), (5, 5), (5, -1)])
def test_impossible_limits_are_refused(most, overlap):
    with pytest.raises(ConfigurationError, match=r"allow at least 1|use 0 to 4"):
        chunk("text", most, counter("estimate"), overlap=overlap)


def test_an_empty_text_has_no_chunks():
    assert chunk("", 5, counter("o200k_base")) == ()
