"""Where a plan is made: at once where that takes less time than a thread, and in a thread wherever it may take more."""

import threading
import time

import pytest

from tokmagic.client import AsyncClient
from tokmagic.corridor.drafting import BRIEF
from tokmagic.learning import FRESH
from tokmagic.parts import Parts

PROMPT = "The sea is deep. The sea is blue. Whales live in the sea."


class Watched(Parts):
    """Parts that note in which thread a call is planned."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.threads = []

    def model(self, name):
        self.threads.append(threading.current_thread())
        return super().model(name)


@pytest.fixture
def later():
    """Seconds by which the clock is ahead, to be changed."""
    return [0.0]


@pytest.fixture
def parts(make_parts, server, later):
    return make_parts(kind=Watched, server=server, clock=lambda: time.time() + later[0])


@pytest.fixture
def planned(runner, parts):
    """Whether the call was planned in the loop's own thread."""
    client = AsyncClient("demo/claude", parts=parts, max_tokens=20)

    def call(prompt, **options):
        parts.threads.clear()
        runner.run(client.send(prompt, **options))
        return parts.threads == [threading.current_thread()]

    return call


def test_the_first_plan_for_a_model_is_made_in_a_thread_and_the_next_at_once(planned):
    assert [planned(PROMPT) for _ in range(3)] == [False, True, True]


def test_a_plan_that_has_much_to_count_is_made_in_a_thread(planned):
    planned(PROMPT)
    assert planned("a" * BRIEF)
    assert not planned("a" * (BRIEF + 1))


def test_a_plan_is_made_in_a_thread_where_the_notes_of_the_book_have_to_be_read(planned, later):
    planned(PROMPT)
    later[0] = FRESH + 1
    assert [planned(PROMPT) for _ in range(2)] == [False, True]
