"""Replies tighten an estimate, and the margin it then states holds: on generated data, for want of keys."""

import random
from math import exp

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.soak import share
from tokmagic.core.calibration import (
    SLACK,
    Calibration,
    calibrated,
    countable_room,
    lesson,
    note_name,
    read_calibration,
)
from tokmagic.core.messages import Image, Message, Text, user
from tokmagic.core.tokens import ESTIMATE_MARGIN_PERCENT, TokenCount, count_request
from tokmagic.tokenizers import counter

ESTIMATE, O200K, CL100K = (counter(name) for name in ("estimate", "o200k_base", "cl100k_base"))
TEXTS = {
    "prose": "The committee met again on Tuesday to discuss how the new rules would change what people do at work. ",
    "code": "def total(items):\n    return sum(item.price * item.count for item in items if item.count > 0)\n\n",
    "json": '{"id": 17, "name": "Ada", "tags": ["x", "y"], "at": "2021-03-04"}, ',
    "german": "Die Größe der Bücher überrascht die jüngeren Schüler, während die Lehrerin über früher erzählt. ",
    "russian": "Комитет снова собрался во вторник, чтобы обсудить новые правила работы. ",
    "chinese": "委员会星期二再次开会，讨论新规则将如何改变人们的工作方式。",
    "hindi": "समिति ने मंगलवार को फिर से बैठक की और नए नियमों पर चर्चा की। ",
    "emoji": "😀🎉🚀 ",
    "numbers": "3.14159, 2.71828, 1.41421\n",
}
#: The hidden tokenizers: those we have, shares of them, and one that counts bytes.
TRUTHS = {
    "o200k": O200K.count,
    "cl100k": CL100K.count,
    "a third more": lambda text: 13 * O200K.count(text) // 10,
    "much less": lambda text: 6 * O200K.count(text) // 10,
    "bytes": lambda text: len(text.encode()) // 3 + 1,
}
CALLS = 300


def cut_out(dice, kind):
    text, length = TEXTS[kind], int(10 ** dice.uniform(1, 4.3))
    start = dice.randrange(len(text))
    return (text * (length // len(text) + 2))[start : start + length]


def a_dice(seed):
    return random.Random(seed)  # noqa: S311 - repeatable data


def mixed(dice):
    return [dice.choice(list(TEXTS)) for _ in range(CALLS)]


def in_runs(dice):
    return [kind for _ in range(CALLS // 50) for kind in [dice.choice(list(TEXTS))] * 50]


def one_kind(dice):
    return [dice.choice(list(TEXTS))] * CALLS


def history(true, kinds, dice):
    """Reports call by call: how the calibrated count fared, and what was learned in the end."""
    known, fared, around = Calibration(), [], dice.randrange(12)
    for kind in kinds:
        text = cut_out(dice, kind)
        raw, reported = count_request([user(text)], (), ESTIMATE), true(text) + around
        stated = known.apply(raw)
        fared.append((abs(reported - stated) <= stated.margin, stated.margin / stated))
        known = known.learn(raw, reported)
    return fared, known


@pytest.mark.parametrize("mix", [mixed, in_runs, one_kind])
@pytest.mark.parametrize("truth", TRUTHS)
def test_the_stated_margin_covers_99_of_100_reports(truth, mix):
    fared = []
    for seed in range(share(40, 4)):
        dice = a_dice(f"{truth}{mix.__name__}{seed}")
        fared += history(TRUTHS[truth], mix(dice), dice)[0]
    assert sum(covered for covered, _ in fared) >= 0.99 * len(fared)


@pytest.mark.parametrize("truth", TRUTHS)
def test_for_texts_of_one_kind_the_margin_tightens(truth):
    _, known = history(TRUTHS[truth], ["prose"] * CALLS, a_dice(truth))
    assert exp(known.margin) - 1 < 0.18
    stated = known.apply(count_request([user(TEXTS["prose"] * 100)], (), ESTIMATE))
    assert stated.margin < 0.18 * stated + SLACK


def loosely(tokens):
    return TokenCount(
        tokens, exact=False, margin=tokens * ESTIMATE_MARGIN_PERCENT // 100, tokenizer="estimate", loose=tokens
    )


def taught(*reports, known=None):
    known = known or Calibration()
    for counted, reported in reports:
        known = known.learn(loosely(counted), reported)
    return known


def test_without_a_report_a_count_stays_as_it_is():
    count = loosely(1_000)
    stated = Calibration().apply(count)
    assert (stated, stated.margin) == (1_000, 350)


def test_a_model_that_changes_is_followed():
    steady = taught(*[(5_000, 5_000)] * 200)
    after = taught(*[(5_000, 6_500)] * 200, known=steady)
    count = after.apply(loosely(5_000))
    assert abs(count - 6_500) < 200
    assert taught((5_000, 6_500), known=steady).margin > 1.5 * steady.margin


def test_one_report_of_nonsense_moves_the_count_little():
    steady = taught(*[(5_000, 5_500)] * 100)
    for nonsense in (1, 5_000_000):
        count = taught((5_000, nonsense), known=steady).apply(loosely(5_000))
        assert abs(count - 5_500) < 0.02 * 5_500
        assert count.margin < 0.35 * 5_500


def test_a_first_report_of_nonsense_is_outlived():
    count = taught((5_000, 5_000_000), *[(5_000, 5_500)] * 100).apply(loosely(5_000))
    assert abs(count - 5_500) <= count.margin


def test_short_requests_say_little_about_long_ones():
    count = taught((12, 24), (5_000, 5_000), (11, 23), (5_000, 5_000)).apply(loosely(5_000))
    assert abs(count - 5_000) < 0.1 * 5_000


def test_only_what_was_counted_loosely_is_corrected():
    message = Message("user", (Text("word " * 1_000), Image("image/png", b"")))
    raw = count_request([message], (), O200K)
    known = Calibration()
    for _ in range(30):
        known = known.learn(raw, raw - raw.loose // 2)
    assert abs(known.apply(raw) - (raw - raw.loose // 2)) < 30
    exact = count_request([user("word " * 1_000)], (), O200K)
    assert known.apply(exact) is exact
    assert known.learn(exact, 5) is known


def test_applying_twice_corrects_once():
    known = taught(*[(5_000, 6_000)] * 20)
    once = known.apply(loosely(5_000))
    assert known.apply(once) == once
    assert known.learn(once, 6_000) == known.learn(loosely(5_000), 6_000)


def test_a_note_carries_it_from_call_to_call():
    assert note_name("anthropic/claude-opus-5-5") == "calibration/anthropic/claude-opus-5-5"
    note = ""
    for _ in range(40):
        note = lesson(loosely(5_000), 6_000)(note)
    known = taught(*[(5_000, 6_000)] * 40)
    assert read_calibration(note) == known
    count = calibrated(loosely(1_000), note)
    assert (count, count.margin, count.exact) == (
        known.apply(loosely(1_000)),
        known.apply(loosely(1_000)).margin,
        False,
    )


@pytest.mark.parametrize(
    "note",
    ["", "[]", "nonsense", "{}", '{"reports": NaN, "bias": 0, "deviation": 0}',
     '{"reports": 3, "bias": 1e9, "deviation": 0}', '{"reports": -1, "bias": 0, "deviation": 0}', "null", "7"],
)  # fmt: skip
def test_a_note_that_is_none_of_ours_teaches_nothing(note):
    assert read_calibration(note) == Calibration()


@given(st.lists(st.tuples(st.integers(1, 10**7), st.integers(0, 10**8)), max_size=60))
def test_whatever_is_reported_the_margin_stays_finite_and_the_note_believable(reports):
    known = taught(*reports)
    assert read_calibration(known.to_text()) == known
    count = known.apply(loosely(1_000))
    assert count >= 0
    assert count.margin >= 20 * bool(known.reports)


@given(st.integers(0, 10**6), st.lists(st.tuples(st.integers(1, 10**6), st.integers(1, 10**6)), max_size=20))
def test_what_is_counted_up_to_the_room_stays_within_it_with_its_margin(room, reports):
    known = taught(*reports)
    most = countable_room(room, known.apply(loosely(2_000_000)))
    if known.reports and most:
        count = known.apply(loosely(most))
        assert count + count.margin <= room + 2
