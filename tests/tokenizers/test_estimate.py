"""Estimates are near where they can be checked, and their bound is never passed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokmagic.tokenizers import counter

ESTIMATE = counter("estimate")
SAMPLES = {
    "prose": "The committee met again on Tuesday to discuss how the new rules would change what people do at work. "
    * 20,
    "code": "def total(items):\n    return sum(item.price * item.count for item in items if item.count > 0)\n\n" * 20,
    "json": '{"id": 17, "name": "Ada", "tags": ["x", "y"], "at": "2021-03-04"}, ' * 20,
    "german": "Die Größe der Bücher überrascht die jüngeren Schüler, während die Lehrerin über früher erzählt. " * 20,
    "russian": "Комитет снова собрался во вторник, чтобы обсудить новые правила работы. " * 20,
    "chinese": "委员会星期二再次开会，讨论新规则将如何改变人们的工作方式。" * 20,
    "japanese": "委員会は火曜日に再び集まり、新しい規則について話し合った。" * 20,
    "emoji": "😀🎉🚀" * 50,
}


@pytest.mark.parametrize("kind", SAMPLES)
def test_an_estimate_lies_between_or_near_the_counts_of_two_public_tokenizers(kind):
    counts = sorted(counter(name).count(SAMPLES[kind]) for name in ("o200k_base", "cl100k_base"))
    assert 0.75 * counts[0] <= ESTIMATE.count(SAMPLES[kind]) <= 1.25 * counts[1]


@settings(max_examples=300)
@given(text=st.text(max_size=200))
def test_no_tokenizer_makes_more_tokens_than_the_bound(text):
    assert all(counter(name).count(text) <= ESTIMATE.bound(text) for name in ("o200k_base", "cl100k_base"))


@given(text=st.text(max_size=50), more=st.text(max_size=5))
def test_a_longer_text_has_no_smaller_estimate(text, more):
    assert ESTIMATE.count(text) <= ESTIMATE.count(text + more)


def test_lone_surrogates_are_plain_text():
    assert ESTIMATE.bound("a\ud800") == 4
    assert ESTIMATE.count("a\ud800") >= 1


def test_it_says_that_it_is_an_estimate():
    assert not ESTIMATE.exact
    assert ESTIMATE.count("") == 0
