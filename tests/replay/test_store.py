"""The store: texts by key in one private file that never grows past its bound and forgets what is used least."""

import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from tokmagic.core.errors import ReplayError
from tokmagic.replay import MEGABYTE, USE_NOTED, ReplayStore


class Clock:
    def __init__(self):
        self.now = 1_000_000.0

    def __call__(self):
        self.now += 1
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(tmp_path, clock):
    return ReplayStore(tmp_path / "home" / "answers.sqlite", MEGABYTE, clock)


def test_what_is_kept_is_found_by_its_key_alone(store):
    store.keep("a", "first")
    store.keep("b", "second")
    assert (store.find("a"), store.find("b"), store.find("c")) == ("first", "second", None)


def test_a_newer_text_takes_the_place_of_the_older(store):
    store.keep("a", "first")
    store.keep("a", "second")
    assert store.find("a") == "second"


def test_looking_makes_no_file(store):
    assert store.find("a") is None
    assert store.clear() == 0
    assert not store.path.exists()


def test_others_cannot_read_it(store):
    store.keep("a", "first")
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.path.parent.stat().st_mode) == 0o700


def test_it_stays_within_its_bound_and_forgets_what_was_not_used_for_longest(store, clock):
    for number in range(20):
        store.keep(f"old {number}", "x" * 20_000)
    clock.now += 2 * USE_NOTED
    assert store.find("old 0")
    for number in range(35):
        store.keep(f"new {number}", "y" * 20_000)
    assert store.find("old 1") is None
    assert store.find("old 0") is not None
    assert store.find("new 34") is not None
    assert store.path.stat().st_size < 1.2 * MEGABYTE


def test_a_text_larger_than_all_room_is_not_kept(store):
    store.keep("a", "x" * 2 * MEGABYTE)
    assert store.find("a") is None
    store.keep("b", "small")
    assert store.find("b") == "small"


def test_clearing_says_how_many_there_were_and_gives_the_room_back(store):
    for number in range(20):
        store.keep(str(number), "x" * 20_000)
    assert store.clear() == 20
    assert store.find("3") is None
    assert store.path.stat().st_size < 50_000


def test_many_threads_keep_and_find_at_once(store):
    def work(name):
        for number in range(20):
            store.keep(f"{name}{number}", f"text {name}{number}")
        return [store.find(f"{name}{number}") for number in range(20)]

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(work, "abcd"))
    assert found == [[f"text {name}{number}" for number in range(20)] for name in "abcd"]


def test_a_removed_file_is_made_anew(store):
    store.keep("a", "first")
    store.path.unlink()
    assert store.find("a") is None
    store.keep("a", "second")
    assert store.find("a") == "second"


def test_a_file_that_is_something_else_is_refused_in_one_line(store):
    store.path.parent.mkdir()
    store.path.write_bytes(b"something else" * 100)
    with pytest.raises(ReplayError, match=r"answers\.sqlite cannot be used .*move it away"):
        store.find("a")
