"""Many texts are acted on by all cores with the results of one, and no thread ever keeps anybody waiting."""

import os
import subprocess
import sys
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tokenizers.test_counters import EXACT, TEXTS
from tokmagic.core.truncation import truncate
from tokmagic.tokenizers import bpe, cores, counter
from tokmagic.tokenizers.bpe import BpeCounter
from tokmagic.tokenizers.cores import each

PATIENCE = 60


@pytest.fixture(autouse=True, scope="module")
def two_cores_for_any_text():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cores, "cores", lambda: 2)
        patch.setattr(cores, "WORTH", 1)
        patch.setattr(cores, "MOST", 1)
        cores._crew.cache_clear()
        yield
    cores._crew.cache_clear()


@settings(max_examples=25)
@given(texts=st.lists(st.text(max_size=9), max_size=200))
def test_results_come_in_the_order_of_the_texts(texts):
    assert each(len, texts) == list(map(len, texts))


def test_two_texts_are_acted_on_at_once():
    meeting, met = threading.Barrier(2), threading.Event()

    def act(text):
        if not met.is_set():  # else it is done again, for the helper was not heard of in time
            meeting.wait(PATIENCE)
            met.set()
        return len(text)

    assert each(act, ["a", "bc"]) == [1, 2]


@pytest.mark.parametrize(("name", "value"), [("cores", lambda: 1), ("WORTH", 7)])
def test_one_core_or_little_text_is_left_to_the_caller(name, value, monkeypatch):
    monkeypatch.setattr(cores, name, value)
    assert set(each(lambda _: threading.get_ident(), ["one", "two"])) == {threading.get_ident()}


def test_a_busy_crew_keeps_nobody_waiting():
    free = threading.Event()
    busy = cores._crew().submit(free.wait, PATIENCE)
    assert set(each(lambda _: threading.get_ident(), ["one", "two"])) == {threading.get_ident()}
    free.set()
    assert busy.result()


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_what_interrupts_the_caller_lets_nobody_begin_anything_more(error):
    caller, begun, begin, go_on = threading.get_ident(), [], threading.Event(), threading.Event()

    def act(text):
        if threading.get_ident() == caller:
            assert begin.wait(PATIENCE)
            raise error
        begun.append(text)
        begin.set()
        return int(go_on.wait(PATIENCE))

    with pytest.raises(error):
        each(act, ["text"] * 9)
    go_on.set()
    assert cores._crew().submit(len, begun).result(PATIENCE) == 1


def test_a_helper_that_comes_to_no_end_is_not_waited_for():
    caller, begun, go_on = threading.get_ident(), threading.Event(), threading.Event()

    def act(text):
        if threading.get_ident() == caller:
            assert begun.wait(PATIENCE)
        else:
            begun.set()
            assert go_on.wait(PATIENCE)
        return len(text)

    assert each(act, ["a", "bc"]) == [1, 2]
    go_on.set()


def test_what_a_helper_raises_is_raised():
    begun = threading.Event()

    def act(text):
        if text == "good":
            return int(begun.wait(PATIENCE))
        begun.set()
        raise ValueError(text)

    with pytest.raises(ValueError, match="bad"):
        each(act, ["good", "bad"])


@pytest.mark.parametrize("name", EXACT)
@settings(max_examples=40)
@given(texts=st.lists(TEXTS, min_size=1, max_size=6), times=st.sampled_from([1, 30]), together=st.integers(1, 400))
def test_counts_of_many_texts_are_those_of_each(name, texts, times, together):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bpe, "TOGETHER", together)
        patch.setattr(bpe, "BLOCK", 64)
        assert BpeCounter(name).counts([text * times for text in texts]) == [
            counter(name).count(text * times) for text in texts
        ]


@pytest.mark.parametrize("strategy", ["end", "start", "middle", "smart"])
def test_a_cut_is_that_of_one_core(strategy, monkeypatch):
    text = "".join(f"Line {number} says: {number * number} is a square, élève!\n" for number in range(9_000))
    helped = truncate(text, 60_000, strategy, BpeCounter("o200k_base"))
    monkeypatch.setattr(cores, "cores", lambda: 1)
    alone = truncate(text, 60_000, strategy, BpeCounter("o200k_base"))
    assert (helped.text, helped.tokens) == (alone.text, alone.tokens)


PROGRAM = """
import sys
from tokmagic.tokenizers import cores
from tokmagic.tokenizers.bpe import BpeCounter
cores.cores, cores.WORTH = lambda: 2, 1
text = "The quick brown fox. " * 20_000
def right():
    return BpeCounter("o200k_base").count(text) == 100_001
assert right()
"""
FORKED = """
import os, signal
child = os.fork()
if not child:
    signal.alarm(60)
    os._exit(0 if right() else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert right()
print("right")
"""
ENDING = """
import atexit
def late():
    print("right" if right() else "wrong")
atexit.register(late)
"""


@pytest.mark.parametrize(
    "ending",
    [
        pytest.param(FORKED, marks=pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here"), id="forked"),
        pytest.param(ENDING, id="ending"),
    ],
)
def test_a_forked_process_and_one_that_ends_count_as_well(ending):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM + ending], capture_output=True, text=True, check=True, timeout=PATIENCE
    )
    assert done.stdout == "right\n"
