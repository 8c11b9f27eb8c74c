"""Counters count any text at all, exactly where they say so, and load nothing before they count."""

import re
import subprocess
import sys
import threading
from bisect import bisect_right
from itertools import accumulate
from random import Random

import pytest
import tiktoken
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.soak import share
from tokmagic.core.errors import ConfigurationError
from tokmagic.core.graphemes import boundaries
from tokmagic.tokenizers import counter
from tokmagic.tokenizers.memory import CountMemory
from tokmagic.tokenizers.packed import VOCABULARIES, encoding, unpack
from tokmagic.tokenizers.packed import _content as packed_content
from tokmagic.tokenizers.windows import PieceCounter, walked

EXACT = sorted(VOCABULARIES)
POOLS = (
    "abcdefghijklmnop ", "ABC xyz'stlreSTve ", "def f(x):\n\treturn {1: [x]}\r\n", " \t\n\r\u00a0\u3000",
    "0123456789.,-", "éßøñœЖдαω ", "中文。、的日本語かな", "हिन्दी क्ष", "한국어 ", "😀👍🏽👨‍👩‍👧🇩🇪❤️",
    "!?.,/-_=+'\"(){}", "\u0301\u200d\ufe0f", "ſK'S'LL", "ไทย", "\x00\x1c\x1f\x85", "עבריתعرب", "\ud800\udc00\ud83d",
    "½Ⅷ٣²",
)  # fmt: skip
RUNS = st.builds(
    lambda character, times: character * times, st.sampled_from("".join(POOLS)), st.sampled_from([1, 1, 2, 9])
)
TEXTS = st.one_of(
    st.lists(st.sampled_from(POOLS), min_size=1, max_size=3).flatmap(lambda p: st.text("".join(p), max_size=80)),
    st.lists(RUNS, max_size=30).map("".join),
    st.text(max_size=60),
)


@pytest.fixture(scope="module", params=EXACT)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def reference(name):
    """An encoding built from the ranks, with the special tokens it must not see."""
    ranks = {token: rank for rank, token in enumerate(unpack(packed_content(name)))}
    special = {"<|endoftext|>": len(ranks) + 10}
    return tiktoken.Encoding(
        "reference", pat_str=VOCABULARIES[name].pattern, mergeable_ranks=ranks, special_tokens=special
    )


def number(reference, text):
    return len(reference.encode(text, disallowed_special=()))


@settings(max_examples=400)
@given(text=TEXTS)
@example(text="")
@example(text="<|endoftext|> and <|im_start|>")
@example(text="a\x00b\ud800c\udc00 \ud83d\ude00")
def test_counts_are_those_of_the_publishers_encoder(name, reference, text):
    assert counter(name).count(text) == counter(name).bound(text) == number(reference, text)


@settings(max_examples=500)
@given(text=TEXTS)
def test_counts_on_both_sides_of_a_seam_add_up_in_every_part_of_the_text(name, text):
    counted = counter(name)
    seams = {counted.seam_after(text, position) for position in range(len(text))} - {0, len(text)}
    assert seams == {counted.seam_before(text, position) for position in range(len(text))} - {0, len(text)}
    for seam in seams:
        before = boundaries(text, seam - 1, seam - 1)[0]
        for part, left in ((text, seam), (text[: seam + 1], seam), (text[before:], seam - before)):
            assert counted.count(part[:left]) + counted.count(part[left:]) == counted.count(part)


@settings(max_examples=share(20_000, 200))
@given(text=TEXTS, times=st.sampled_from([1, 1, 400]))
def test_between_seams_the_widths_are_the_tokens_and_add_up_to_the_characters(name, text, times):
    counted, text = counter(name), text * times
    seams = {0, len(text), counted.seam_after(text, len(text) // 3), counted.seam_before(text, len(text) * 2 // 3)}
    widths = counted.widths(text)
    if widths is None:
        assert re.search("[\ud800-\udbff][\udc00-\udfff]", text)
        return
    ends = [0, *accumulate(widths)]
    for seam in sorted(seams):
        before = bisect_right(ends, seam) - 1
        assert ends[before] == seam
        assert before == counted.count(text[:seam])
    assert len(widths) == counted.count(text)


def test_a_seam_is_searched_from_either_side():
    counted = counter("o200k_base")
    assert counted.seam_after("one two three", 1) == 3
    assert counted.seam_after("one two three", 3) == 3
    assert counted.seam_after("one two three", 9) == 13
    assert counted.seam_before("one two three", 9) == 7
    assert counted.seam_before("one two three", 2) == 0


@pytest.mark.parametrize(
    "text",
    [
        "x" * 60_000, "qzjxkw" * 9_000, "31415926" * 6_000 + "5", " " * 50_000 + "end", "\n \n" * 15_000, "é" * 40_000,
        "-=" * 25_000, "aBcD" * 12_000, "中文" * 25_000, "😀" * 20_000, "a'b" * 15_000, "e\u0301-" * 12_000,
        "words " * 9_000 + "-" * 50_000 + " words" * 9_000, "\ud800" * 40_000,
    ],
    ids=[
        "one letter", "letters", "digits", "spaces", "lines", "accents", "rule", "mixed case", "chinese", "emoji",
        "apostrophes", "combining", "words and a rule", "surrogates",
    ],
)  # fmt: skip
def test_long_stretches_without_a_seam_are_exact_too(name, reference, text):
    assert counter(name).count(text) == number(reference, text)


@settings(max_examples=300)
@given(
    data=st.one_of(
        st.builds(bytes.__mul__, st.binary(min_size=1, max_size=7), st.integers(1, 200)),
        st.text("abcdefgh the", min_size=1, max_size=800).map(str.encode),
        st.text("中文的一是不", min_size=1, max_size=300).map(str.encode),
    ),
    window=st.sampled_from([32, 100, 256]),
)
def test_a_piece_encoded_in_windows_has_the_tokens_of_the_whole(name, data, window):
    whole = encoding(name)._encode_single_piece(data)
    assert walked(encoding(name), data, [], window).tokens == len(whole)


LONG_PIECES = st.one_of(
    st.builds(bytes.__mul__, st.sampled_from([b"x", b"ab", b" ", b"-=", "é".encode(), "🇩🇪".encode()]), st.just(6_000)),
    st.integers(0, 2**32).map(lambda seed: "".join(Random(seed).choices("abcdefghijk", k=12_000)).encode()),  # noqa: S311
    st.integers(0, 2**32).map(lambda seed: "".join(Random(seed).choices("中文的一是不了", k=4_000)).encode()),  # noqa: S311
)


@settings(max_examples=share(5_000, 30))
@given(data=LONG_PIECES, cuts=st.lists(st.tuples(st.booleans(), st.integers(1, 12_000)), min_size=1, max_size=8))
def test_pieces_that_begin_or_end_alike_have_their_own_counts(name, data, cuts):
    pieces = PieceCounter()
    for at_start, size in cuts:
        part = data[:size] if at_start else data[-size:]
        assert pieces.count(encoding(name), part) == len(encoding(name)._encode_single_piece(part))
        part = data[: size // 2] + data[-size // 2 :]
        assert pieces.count(encoding(name), part) == len(encoding(name)._encode_single_piece(part))


def test_a_million_spaces_are_plain_success(name):
    assert counter(name).count(" " * 1_000_000) > 1_000


def test_equal_texts_are_counted_once():
    memory, asked = CountMemory(), []
    for text in ("one", "two", "".join(("o", "ne")), "two"):
        memory.recall(text, lambda text: asked.append(text) or len(text))
    assert asked == ["one", "two"]


def test_the_memory_is_bounded_and_forgets_what_was_not_asked_for_longest():
    memory, asked = CountMemory(most=2), []
    for text in ("a", "b", "a", "c", "a", "b"):
        memory.recall(text, lambda text: asked.append(text) or 1)
    assert len(memory) == 2
    assert asked == ["a", "b", "c", "b"]


def test_there_is_one_counter_for_the_process_and_threads_may_share_it():
    found = []
    threads = [threading.Thread(target=lambda: found.append(counter("cl100k_base").count("Hello"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [1] * 8
    assert counter("cl100k_base") is counter("cl100k_base")


def test_an_unknown_tokenizer_is_refused_by_naming_the_known():
    with pytest.raises(ConfigurationError, match="o200k_base, cl100k_base, estimate, deepseek, tekken, or the path"):
        counter("p50k_base")


PROGRAM = """
import sys
opened = []
sys.addaudithook(lambda event, args: opened.append(event) if event.startswith(("socket.", "urllib.")) else None)
from tokmagic.tokenizers import counter
made = [counter(name) for name in ("o200k_base", "cl100k_base", "estimate")]
assert sys.modules.keys().isdisjoint({"tiktoken", "gigatoken"}), "the import loads an encoder"
assert [one.count("Hello, world <|endoftext|>") for one in made] == [10, 9, 7]
assert "tiktoken" in sys.modules or "gigatoken" in sys.modules
print("opened", opened)
"""


def test_counting_opens_no_socket_and_loads_the_encoder_only_then():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("opened []\n", "")


def test_every_short_number_is_one_token(name):
    numbers = [f"{number:0{digits}}" for digits in (1, 2, 3) for number in range(10**digits)]
    assert {len(encoding(name)._encode_single_piece(number.encode())) for number in numbers} == {1}
