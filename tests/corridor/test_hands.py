"""Asking the book from an event loop: in threads that are kept, to the end whatever is cancelled meanwhile."""

import asyncio
import os
import threading

import anyio
import pytest

from tests.patience import PATIENCE
from tokmagic.corridor.hands import MOST, Hands, hands
from tokmagic.corridor.shield import to_the_end


@pytest.fixture
def run(runner):
    return runner.run


def ended(act, fleet):
    """What it did in one of the threads, after it has."""
    found, done = [], threading.Event()
    fleet.do(lambda: found.append(act()), done.set)
    assert done.wait(PATIENCE)
    return found[0]


def test_a_thread_that_is_free_is_used_again():
    fleet = Hands()
    assert len({ended(threading.get_ident, fleet) for _ in range(20)}) == 1


def test_there_are_never_more_threads_than_there_may_be_and_all_work_is_done():
    fleet, busy, hold, done = Hands(), set(), threading.Event(), threading.Semaphore(0)

    def act():
        busy.add(threading.get_ident())
        hold.wait(PATIENCE)

    for _ in range(3 * MOST):
        fleet.do(act, done.release)
    hold.set()
    assert all(done.acquire(timeout=PATIENCE) for _ in range(3 * MOST))
    assert len(busy) <= MOST


def test_a_forked_child_has_threads_of_its_own():
    here = hands()
    assert hands() is here
    child = os.fork()
    if child == 0:
        os._exit(ended(lambda: 7, hands()) if hands() is not here else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_what_the_book_raises_is_raised_to_who_asked(run):
    def fails():
        raise LookupError("not there")

    with pytest.raises(LookupError, match="not there"):
        run(to_the_end(fails))


def test_the_loop_goes_on_while_the_book_is_asked(run):
    async def walk():
        loop, free = asyncio.get_running_loop(), threading.Event()
        loop.call_later(0.001, free.set)
        return await to_the_end(free.wait, PATIENCE)

    assert run(walk())


def test_a_cancelled_caller_ends_its_work_first_and_is_cancelled_then(run):
    async def walk():
        free, begun, told = threading.Event(), threading.Event(), []

        def act():
            begun.set()
            free.wait(PATIENCE)
            return "done"

        async def ask():
            told.append(await to_the_end(act))
            await asyncio.sleep(PATIENCE)

        task = asyncio.create_task(ask())
        await asyncio.to_thread(begun.wait, PATIENCE)
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0)
        assert not task.done()
        free.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        return told

    assert run(walk()) == ["done"]


def test_a_scope_that_is_cancelled_while_the_book_is_asked_ends_with_it(run):
    async def walk():
        loop, scope, told = asyncio.get_running_loop(), anyio.CancelScope(), threading.Event()

        def act():
            loop.call_soon_threadsafe(lambda: (scope.cancel(), told.set()))
            return told.wait(PATIENCE)

        with scope:
            done = await to_the_end(act)
        await asyncio.sleep(0)
        return done

    assert run(walk())
