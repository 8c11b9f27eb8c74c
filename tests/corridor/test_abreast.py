"""Calls side by side: what has no room beside the others is asked again, and what has none by itself is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable

import pytest

from tokmagic.core.errors import BudgetExceeded
from tokmagic.core.events import Event, Notice, TextDelta
from tokmagic.corridor.abreast import Abreast, Work
from tokmagic.corridor.passage import Passage


class Scripted(Passage):
    """A call that a limit may refuse for what others hold: it asks whether there are any, as the booking does."""

    def __init__(self, refused: bool = False, until: asyncio.Event | None = None) -> None:
        self._refused, self._until = refused, until

    def go_beside(self, others: Callable[[], bool]) -> None:
        self._others = others

    async def run(self) -> AsyncGenerator[Event]:
        if self._refused:
            self._others()
        if self._until is not None:
            await self._until.wait()
        if self._refused:
            raise BudgetExceeded("No room.", limit="9 tokens/day", needed=8, left=7)
        yield TextDelta("not told")
        yield Notice("told")


async def events(abreast: Abreast, work: Work) -> list[Event]:
    return [event async for event in abreast.run(work)]


def test_rows_refused_together_are_asked_again_although_who_held_the_rest_has_ended_meanwhile() -> None:
    asked, all_began, first_ended = list[int](), asyncio.Event(), asyncio.Event()
    abreast = Abreast(range(3), 3)

    async def work(row: int) -> None:
        asked.append(row)
        again = len(asked) > 3
        if len(asked) == 3:
            all_began.set()
        if row == 0:
            await all_began.wait()
            first_ended.set()
        await abreast.ask(Scripted() if again or row == 0 else Scripted(True, first_ended))

    told = asyncio.run(events(abreast, work))
    assert asked[:3] == [0, 1, 2]
    assert sorted(asked[3:]) == [1, 2]
    assert told == [Notice("told")] * 3


def test_a_row_that_is_refused_by_itself_ends_them_all() -> None:
    abreast = Abreast(range(3), 1)

    async def work(row: int) -> None:
        await abreast.ask(Scripted(row == 1))

    with pytest.raises(BudgetExceeded):
        asyncio.run(events(abreast, work))


def test_no_row_begins_after_a_stop_not_even_one_that_was_refused_before() -> None:
    asked, stopped, began = list[int](), asyncio.Event(), asyncio.Event()
    abreast = Abreast(range(4), 2)

    async def work(row: int) -> None:
        asked.append(row)
        if row == 1:
            began.set()
            await abreast.ask(Scripted(True, stopped))
        await began.wait()
        abreast.stop()
        stopped.set()

    assert asyncio.run(events(abreast, work)) == []
    assert asked == [0, 1]
