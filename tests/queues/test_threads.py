"""The gate and the turns as threads use them beside event loops: who passes, who is woken, who is let go."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from queue import SimpleQueue

import pytest

from tests.patience import PATIENCE
from tokmagic.queues.bells import LoopBell, ThreadBell
from tokmagic.queues.gate import FEW, Gate
from tokmagic.queues.turns import Turns

LONG = 600.0


class Counted(ThreadBell):
    """A bell that says when its owner lies down."""

    def __init__(self, asleep: threading.Semaphore) -> None:
        super().__init__()
        self.asleep = asleep

    def sleep(self, seconds: float) -> None:
        self.asleep.release()
        super().sleep(seconds)


def through(gate: Gate, bell: ThreadBell) -> ThreadBell:
    """Wait at the gate in this thread until it lets pass."""
    while seconds := gate.ask(bell):
        bell.sleep(seconds)
    return bell


def started(act: Callable[[], object], count: int) -> list[threading.Thread]:
    threads = [threading.Thread(target=act, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads


def test_threads_pass_the_gate_few_at_a_time_until_a_reply_opens_it() -> None:
    gate, asleep, inside = Gate(), threading.Semaphore(0), SimpleQueue[ThreadBell]()
    started(lambda: inside.put(through(gate, Counted(asleep))), FEW + 5)
    for _ in range(5):
        assert asleep.acquire(timeout=PATIENCE)
    first = [inside.get(timeout=PATIENCE) for _ in range(FEW)]
    assert inside.empty()
    gate.leave(first[0])
    inside.get(timeout=PATIENCE)
    assert gate.narrow
    assert inside.empty()
    gate.open()
    for _ in range(4):
        inside.get(timeout=PATIENCE)


def test_a_task_at_the_gate_is_woken_by_a_thread_that_leaves_it(runner: asyncio.Runner) -> None:
    gate, thread = Gate(few=1), ThreadBell()
    assert gate.ask(thread) == 0.0

    async def main() -> None:
        async def call() -> None:
            async with gate.passage():
                pass

        waiting = asyncio.create_task(call())
        while not gate._waiting:
            await asyncio.sleep(0)
        started(lambda: gate.leave(thread), 1)
        await asyncio.wait_for(waiting, PATIENCE)

    runner.run(main())
    assert not gate.narrow


def test_a_thread_that_runs_an_event_loop_waits_for_no_reply_that_may_come_in_it(runner: asyncio.Runner) -> None:
    gate = Gate(few=1)

    async def main() -> None:
        async with gate.passage():
            assert gate.narrow
            assert gate.ask(ThreadBell()) == 0.0

    runner.run(main())


def test_a_pause_that_the_service_asked_for_holds_whoever_comes() -> None:
    now = [100.0]
    gate, bell = Gate(clock=lambda: now[0]), ThreadBell()
    gate.open()
    gate.close_for(7)
    assert gate.ask(bell) == 7.0
    now[0] += 7
    assert gate.ask(bell) == 0.0


def test_the_first_thread_in_line_is_woken_and_then_the_next() -> None:
    turns, asleep, woken = Turns(), threading.Semaphore(0), list[int]()
    bells = [Counted(asleep) for _ in range(3)]

    def wait(number: int) -> None:
        bells[number].sleep(turns.patience(bells[number], LONG))
        woken.append(number)
        turns.leave(bells[number])

    for bell in bells:
        turns.join(bell)
    threads = [started(lambda number=number: wait(number), 1)[0] for number in range(3)]  # type: ignore[misc]
    for _ in bells:
        assert asleep.acquire(timeout=PATIENCE)
    turns.wake()
    for thread in threads:
        thread.join(PATIENCE)
    assert woken == [0, 1, 2]
    assert turns.first is None


def test_only_the_first_asks_half_way_and_only_where_the_wait_is_long() -> None:
    turns, first, second = Turns(), ThreadBell(), ThreadBell()
    turns.join(first)
    turns.join(second)
    assert [turns.patience(bell, 60.0) for bell in (first, second)] == [30.0, 60.0]
    assert turns.patience(first, 1.5) == 1.5


def test_a_bell_that_rings_before_its_owner_sleeps_ends_the_next_sleep_at_once(runner: asyncio.Runner) -> None:
    bell = ThreadBell()
    bell.ring()
    bell.sleep(LONG)

    async def main() -> None:
        bell = LoopBell()
        bell.ring()
        await bell.sleep(LONG)

    runner.run(main())


def test_a_bell_of_a_loop_that_is_closed_can_be_rung() -> None:
    async def main() -> LoopBell:
        return LoopBell()

    asyncio.run(main()).ring()


def test_an_interrupt_ends_the_sleep_of_the_main_thread() -> None:
    asleep = threading.Semaphore(0)

    def interrupt() -> None:
        asleep.acquire()
        os.kill(os.getpid(), signal.SIGINT)

    started(interrupt, 1)
    with pytest.raises(KeyboardInterrupt):
        Counted(asleep).sleep(LONG)
