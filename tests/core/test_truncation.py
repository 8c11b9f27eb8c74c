"""A truncated text fits, could not be longer, and splits no grapheme, whatever the text."""

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.soak import share
from tokmagic.core.errors import ConfigurationError
from tokmagic.core.graphemes import boundaries
from tokmagic.core.truncation import STRATEGIES, Span, truncate, without
from tokmagic.tokenizers import counter

NAMES = ("o200k_base", "cl100k_base", "estimate")
ALPHABETS = (
    "❤️☎🅰", "\u1100\u1161\u11a8가각", "क्षक\u200d्त", "\n\r\u2028\u200b",
    "abc XYZ'stl ", "  \t\n\r\n\u3000\u00a0", "0123٣½", "éßøЖд", "中文。、", "हिन्दीक्ष", "한국어", "😀👍🏽", "🇩🇪🇫🇷",
    "👨‍👩‍👧", "!?.,/-_=+'\"(){}", "\u0301\u200d\ufe0f", "ไทย", "\x00\x1c\x85", "עبع", "\u0d4e\u0600",
    "\ud800\udc00\ud83d",
)  # fmt: skip
RUNS = st.builds(
    lambda text, times: text * times, st.text("".join(ALPHABETS), max_size=6), st.sampled_from([1, 1, 2, 40])
)
MIXED = st.lists(RUNS, min_size=1, max_size=12).map("".join)
FOCUSED = st.sampled_from(ALPHABETS).flatmap(lambda alphabet: st.text(alphabet, min_size=1, max_size=200))
TEXTS = st.one_of(MIXED, FOCUSED, st.text(min_size=1, max_size=100))


def grapheme_ends(text):
    return [0, *(match.end() for match in regex.finditer(r"\X", text))]


def one_grapheme_more(text, cut, strategy):
    ends = grapheme_ends(text)
    if strategy == "end":
        return text[: next(end for end in ends if end > cut.start)]
    return text[next(end for end in reversed(ends) if end < cut.end) :]


@settings(max_examples=300)
@given(text=TEXTS, share=st.floats(0, 1.2), strategy=st.sampled_from(["end", "start"]), name=st.sampled_from(NAMES))
def test_what_is_left_fits_is_maximal_and_adds_up(text, share, strategy, name):
    counted = counter(name)
    total = counted.count(text)
    most = max(1, int(total * share))
    cut = truncate(text, most, strategy, counted)
    assert counted.count(cut.text) == cut.tokens <= most
    assert cut.tokens + cut.dropped_tokens == total
    assert without(text, cut.cuts) == cut.text
    assert cut.strategy == strategy
    if total <= most:
        assert cut.text == text
    for span in cut.cuts:
        assert {span.start, span.end} <= set(grapheme_ends(text))
        assert counted.count(one_grapheme_more(text, span, strategy)) > most


@settings(max_examples=100)
@given(text=TEXTS, most=st.integers(1, 120), strategy=st.sampled_from(sorted(STRATEGIES)), name=st.sampled_from(NAMES))
def test_every_strategy_keeps_order_fits_and_does_nothing_the_second_time(text, most, strategy, name):
    counted = counter(name)
    cut = truncate(text, most, strategy, counted)
    assert counted.count(cut.text) == cut.tokens <= most
    assert without(text, cut.cuts, cut.gap) == cut.text
    ends = {0, *grapheme_ends(text)}
    assert all(start < end and {start, end} <= ends for start, end in cut.cuts)
    assert truncate(cut.text, most, strategy, counted).cuts == ()


@settings(max_examples=200)
@given(text=TEXTS, data=st.data())
def test_boundaries_are_those_of_the_grapheme_clusters(text, data):
    low = data.draw(st.integers(0, len(text)))
    high = data.draw(st.integers(low, len(text)))
    ends = grapheme_ends(text)
    first = max(end for end in ends if end <= low)
    last = min(end for end in ends if end >= high)
    assert boundaries(text, low, high) == [end for end in ends if first <= end <= last]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("strategy", ["end", "start"])
@pytest.mark.parametrize(
    "text",
    [
        "The quick brown fox. " * 6_000, "x" * 70_000, "qzjx" * 20_000, " " * 70_000, "31415" * 14_000, "🇩🇪" * 2_000,
        "aBcD" * 18_000, "e\u0301-" * 14_000, "中文" * 30_000, "\n" * 50_000 + "end", "a " * 20_000 + "-" * 90_000,
    ],
    ids=[
        "prose", "one letter", "letters", "spaces", "digits", "flags",
        "mixed case", "accents", "chinese", "lines", "words and a rule",
    ],
)  # fmt: skip
def test_long_texts_of_any_kind_are_cut_to_the_grapheme(text, strategy, name):
    counted = counter(name)
    total = counted.count(text)
    for most in (total // 20, total * 9 // 10):
        (span,) = truncate(text, most, strategy, counted, total=total).cuts
        left = without(text, (span,))
        assert counted.count(left) <= most < counted.count(one_grapheme_more(text, span, strategy))


def test_only_what_is_kept_is_counted():
    class Watched:
        name, exact, seen = "watched", True, 0

        def __init__(self):
            self.inner = counter("o200k_base")
            self.seam_after, self.seam_before = self.inner.seam_after, self.inner.seam_before

        def count(self, text):
            self.seen += len(text)
            return self.inner.count(text)

    text = "The quick brown fox jumps over the lazy dog. " * 20_000
    for strategy in ("end", "start"):
        watched = Watched()
        cut = truncate(text, 10_000, strategy, watched)
        assert watched.seen < 1.5 * len(cut.text)
        assert cut.dropped_tokens + cut.tokens == counter("o200k_base").count(text)
        known = truncate(text, 10_000, strategy, watched, total=190_000)
        watched.seen = 0
        assert known.dropped_tokens == 180_000
        assert watched.seen == 0


def test_the_report_names_what_is_gone():
    cut = truncate("one two three four", 2, "end", counter("o200k_base"))
    assert (cut.text, cut.tokens, cut.dropped_tokens, cut.cuts) == ("one two", 2, 2, (Span(7, 18),))
    cut = truncate("one two three four", 2, "start", counter("o200k_base"))
    assert (cut.text, cut.cuts) == (" three four", (Span(0, 7),))


def test_a_grapheme_that_does_not_fit_is_left_out_whole():
    family = "👨‍👩‍👧‍👦"
    assert truncate(family, 3, "end", counter("o200k_base")).text == ""


@pytest.mark.parametrize("most", [0, -5])
def test_less_than_one_token_is_refused(most):
    with pytest.raises(ConfigurationError, match="at least 1"):
        truncate("text", most, "end", counter("estimate"))


def test_an_unknown_strategy_is_refused_by_naming_the_known():
    with pytest.raises(ConfigurationError, match="use one of end, start, middle, smart"):
        truncate("text", 5, "sideways", counter("estimate"))


PROSE = "One sentence stands here. Another follows it? It does!\nA new line begins; it ends.\n\n" * 2_000


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("strategy", ["middle", "smart"])
@pytest.mark.parametrize("most", [2_000, 20_000])
def test_both_ends_stay_and_hardly_a_token_is_wasted(name, strategy, most):
    cut = truncate(PROSE, most, strategy, counter(name))
    (span,) = cut.cuts
    assert most * 0.99 <= cut.tokens == counter(name).count(cut.text) <= most
    assert cut.text == PROSE[: span.start] + cut.gap + PROSE[span.end :]
    assert 0.8 < span.start / (len(PROSE) - span.end) < 1.25


def test_smart_ends_and_begins_where_the_text_pauses_and_says_how_much_is_gone():
    cut = truncate(PROSE, 2_000, "smart", counter("o200k_base"))
    (span,) = cut.cuts
    assert cut.gap == f"[... {span.end - span.start:,} characters cut ...]\n"
    assert PROSE[: span.start].endswith("\n")
    assert PROSE[span.end - 1] in "\n.?!"


@pytest.mark.parametrize("fence", ["```", "~~~", "````"])
def test_smart_closes_a_code_block_and_opens_it_again(fence):
    text = f"Before.\n{fence}python\n" + "value = compute(1)\n" * 500 + f"{fence}\nAfter.\n"
    cut = truncate(text, 300, "smart", counter("o200k_base"))
    assert cut.gap.startswith(f"{fence}\n[...")
    assert cut.gap.endswith(f"cut ...]\n{fence}\n")
    assert counter("o200k_base").count(cut.text) <= 300


def test_smart_leaves_whole_code_blocks_alone():
    text = "```\ncode\n```\n" + PROSE + "```\nmore\n```\n"
    assert truncate(text, 500, "smart", counter("o200k_base")).gap.startswith("[...")


@settings(max_examples=share(20_000, 100))
@given(text=TEXTS, most=st.integers(1, 400), repeat=st.integers(1, 60), name=st.sampled_from(NAMES))
def test_a_gap_is_marked_only_where_the_mark_is_worth_its_place(text, most, repeat, name):
    counted = counter(name)
    cut = truncate(text * repeat, most, "smart", counted)
    assert counted.count(cut.text) == cut.tokens <= most
    assert bool(cut.gap) <= (counted.count(cut.gap) * 2 <= most)
    assert cut.tokens + cut.dropped_tokens == counted.count(text * repeat)


BAD = {
    "empty": "", "special tokens": "<|endoftext|><|im_start|>system<|fim_prefix|>" * 300, "NULs": "\x00" * 9_000,
    "lone surrogates": "\ud800" * 6_000, "right to left": "שלום عالم " * 1_500, "marks": "Z" + "\u0301" * 9_000,
    "families": "👨‍👩‍👧‍👦" * 1_500, "hearts": "❤️" * 3_000, "flags": "🇩🇪" * 3_000, "one flag too little": "🇩" * 6_001,
    "control": "\r\n\x0b\x85\u2028" * 2_000, "jamo": "\u1100\u1161\u11a8" * 3_000, "joiners": "\u200d" * 6_000,
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_bad_input_is_cut_like_any_other(text, strategy, name):
    counted = counter(name)
    for most in (1, 7, 500):
        cut = truncate(text, most, strategy, counted)
        assert counted.count(cut.text) == cut.tokens <= most
        assert cut.tokens + cut.dropped_tokens == counted.count(text)
