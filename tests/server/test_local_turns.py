"""Who may write, and with whom."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable

from tokmagic.server.local.turns import Turns


class Scene:
    """Tasks that each want a turn and hold it until they are let go."""

    def __init__(self) -> None:
        self.turns = Turns()
        self.inside: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self._ends: dict[str, asyncio.Event] = {}

    async def come(self, name: str, kind: Hashable) -> None:
        self._ends[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._hold(name, kind))
        await self.settled()

    async def go(self, name: str) -> None:
        self.let_go(name)
        await self.settled()

    def let_go(self, name: str) -> None:
        self._ends[name].set()

    async def leave(self, name: str) -> None:
        self.tasks[name].cancel()
        await self.settled()

    async def settled(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    async def _hold(self, name: str, kind: Hashable) -> None:
        async with self.turns.turn(kind):
            self.inside.append(name)
            try:
                await self._ends[name].wait()
            finally:
                self.inside.remove(name)


def test_who_wants_it_alone_has_it_alone_in_the_order_of_coming() -> None:
    async def play() -> None:
        scene = Scene()
        for name in ("a", "b", "c"):
            await scene.come(name, None)
        for name in ("a", "b", "c"):
            assert scene.inside == [name]
            await scene.go(name)
        assert scene.inside == []

    asyncio.run(play())


def test_those_of_a_kind_share_a_turn_and_others_wait_for_all_of_them() -> None:
    async def play() -> None:
        scene = Scene()
        for name, kind in (("a", "x"), ("b", "x"), ("c", "y"), ("d", "y")):
            await scene.come(name, kind)
        assert scene.inside == ["a", "b"]
        await scene.go("a")
        assert scene.inside == ["b"]
        await scene.go("b")
        assert scene.inside == ["c", "d"]

    asyncio.run(play())


def test_nobody_is_overtaken_by_one_who_could_share() -> None:
    async def play() -> None:
        scene = Scene()
        for name, kind in (("a", "x"), ("alone", None), ("b", "x"), ("c", "x")):
            await scene.come(name, kind)
        assert scene.inside == ["a"]
        await scene.go("a")
        assert scene.inside == ["alone"]
        await scene.go("alone")
        assert scene.inside == ["b", "c"]

    asyncio.run(play())


def test_who_leaves_the_line_lets_those_behind_it_share() -> None:
    async def play() -> None:
        scene = Scene()
        for name, kind in (("a", "x"), ("alone", None), ("b", "x")):
            await scene.come(name, kind)
        await scene.leave("alone")
        assert scene.inside == ["a", "b"]

    asyncio.run(play())


def test_who_is_called_and_cancelled_at_once_gives_its_turn_back() -> None:
    async def play() -> None:
        scene = Scene()
        for name in ("a", "b", "c"):
            await scene.come(name, None)
        scene.tasks["a"].cancel()
        await asyncio.sleep(0)
        scene.tasks["b"].cancel()
        await scene.settled()
        assert scene.inside == ["c"]
        await scene.come("d", None)
        assert scene.inside == ["c"]
        await scene.go("c")
        assert scene.inside == ["d"]

    asyncio.run(play())


def test_who_is_cancelled_in_the_moment_in_which_its_turn_comes_is_passed_over() -> None:
    async def play() -> None:
        scene = Scene()
        for name in ("a", "b", "c"):
            await scene.come(name, None)
        scene.let_go("a")
        await scene.leave("b")
        assert scene.inside == ["c"]
        await scene.go("c")
        assert scene.tasks["a"].exception() is None
        await scene.come("d", None)
        assert scene.inside == ["d"]
        await scene.go("d")

    asyncio.run(play())
