"""Who waits for what, and who is let go first, in invented time."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from tokmagic.queues.gate import FEW, Gate
from tokmagic.queues.turns import Turns

from .clock import run

near = partial(pytest.approx, abs=1e-3)


def test_few_calls_pass_before_the_first_reply_and_all_after_it() -> None:
    async def main() -> list[int]:
        gate, inside, seen = Gate(), 0, list[int]()

        async def call(number: int) -> None:
            nonlocal inside
            async with gate.passage():
                inside += 1
                seen.append(inside)
                await asyncio.sleep(1 + number)
                gate.open()
                await asyncio.sleep(5)
                inside -= 1

        await asyncio.gather(*(call(number) for number in range(9)))
        return seen

    assert run(main()) == [*range(1, FEW + 1), *range(FEW + 1, 10)]


def test_a_failed_call_makes_way_for_the_next_although_the_gate_is_narrow() -> None:
    async def main() -> float:
        gate = Gate(few=1)

        async def failing() -> None:
            async with gate.passage():
                await asyncio.sleep(2)
                raise ConnectionError

        async def next_one() -> float:
            await asyncio.sleep(1)
            assert gate.narrow
            async with gate.passage():
                return asyncio.get_running_loop().time()

        return (await asyncio.gather(failing(), next_one(), return_exceptions=True))[1]  # type: ignore[return-value]

    assert run(main()) == near(2)


def test_a_refusal_closes_an_open_gate_for_as_long_as_it_asked() -> None:
    async def main() -> float:
        gate = Gate(clock=asyncio.get_running_loop().time)
        gate.open()
        gate.close_for(7)
        gate.close_for(3)
        async with gate.passage():
            return asyncio.get_running_loop().time()

    assert run(main()) == near(7)


def test_the_first_asks_half_way_until_little_is_left() -> None:
    async def main() -> list[float]:
        asked, end = list[float](), 60.0
        with Turns().place() as place:
            while (now := asyncio.get_running_loop().time()) < end:
                asked.append(now)
                await place.sleep(end - now)
        return asked

    assert run(main()) == near([0, 30, 45, 52.5, 56.25, 58.125])


async def ends(turns: Turns, waits: dict[str, tuple[float, ...]], wake_at: float | None) -> dict[str, float]:
    """When each sleeper was through with its waits, one after the other; all queue in the order given."""
    ended: dict[str, float] = {}

    async def one(name: str) -> None:
        with turns.place() as place:
            for seconds in waits[name]:
                await place.sleep(seconds)
        ended[name] = asyncio.get_running_loop().time()

    async with asyncio.TaskGroup() as group:
        for name in waits:
            group.create_task(one(name))
        if wake_at is not None:
            await asyncio.sleep(wake_at)
            turns.wake()
    return ended


def test_room_that_comes_back_wakes_the_first_and_each_that_goes_wakes_the_next() -> None:
    assert run(ends(Turns(), {"a": (50,), "b": (60,), "c": (70, 2)}, wake_at=10)) == near({"a": 10, "b": 10, "c": 12})


def test_who_is_not_the_first_is_not_woken() -> None:
    assert run(ends(Turns(), {"a": (50, 2), "b": (60,)}, wake_at=10)) == near({"a": 12, "b": 12})


def test_who_goes_out_of_turn_wakes_nobody() -> None:
    waits = {"a": (50, 25, 2), "b": (20,), "c": (60,)}
    assert run(ends(Turns(), waits, wake_at=None)) == near({"b": 20, "a": 39.5, "c": 39.5})


def test_a_sleeper_that_is_cancelled_leaves_its_place_to_the_next() -> None:
    async def main() -> dict[str, float]:
        turns = Turns()
        cancelled = asyncio.create_task(ends(turns, {"a": (90,)}, None))
        rest = asyncio.create_task(ends(turns, {"b": (80,)}, None))
        await asyncio.sleep(30)
        cancelled.cancel()
        return await rest

    assert run(main()) == near({"b": 30})
