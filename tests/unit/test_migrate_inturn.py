"""Batches that are on their way at once: none overtakes another, and an error ends those behind it."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import pytest

from headway.migrate.inturn import InTurn

if TYPE_CHECKING:
    from headway.migrate.inturn import Turn


class Ways:
    """Notes who is in which step; a step lasts until its gate is opened."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}
        self.begun = asyncio.Condition()

    def gate(self, name: str) -> asyncio.Event:
        return self.gates.setdefault(name, asyncio.Event())

    async def go(self, number: int, turn: Turn) -> None:
        for step in ("take", "send"):
            async with turn(step):
                await self._in(f"{step} {number}")

    async def fail(self, number: int, turn: Turn) -> None:
        async with turn("take"):
            await self._in(f"take {number}")
            raise OSError(number)

    async def _in(self, name: str) -> None:
        async with self.begun:
            self.seen.append(name)
            self.begun.notify_all()
        await self.gate(name).wait()

    async def until(self, *names: str) -> None:
        async with self.begun, asyncio.timeout(10):
            await self.begun.wait_for(lambda: self.seen == list(names))


async def test_one_is_sent_while_the_next_is_taken_and_none_overtakes() -> None:
    ways = Ways()
    async with InTurn(3) as turns:
        for number in (1, 2, 3):
            await turns.begin(partial(ways.go, number))
        await ways.until("take 1")
        ways.gate("take 1").set()
        await ways.until("take 1", "send 1", "take 2")
        ways.gate("take 2").set()  # two is through before one, and waits for it
        await ways.until("take 1", "send 1", "take 2", "take 3")
        ways.gate("take 3").set()
        ways.gate("send 1").set()
        await ways.until("take 1", "send 1", "take 2", "take 3", "send 2")
        ways.gate("send 2").set()
        ways.gate("send 3").set()
    assert ways.seen[-1] == "send 3"


async def test_no_more_than_so_many_are_under_way() -> None:
    ways = Ways()
    async with InTurn(2) as turns:
        await turns.begin(partial(ways.go, 1))
        await turns.begin(partial(ways.go, 2))
        third = asyncio.create_task(turns.begin(partial(ways.go, 3)))
        ways.gate("take 1").set()
        await ways.until("take 1", "send 1", "take 2")
        assert not third.done()
        for name in ("send 1", "take 2", "send 2", "take 3", "send 3"):
            ways.gate(name).set()
        await third
    assert ways.seen[-1] == "send 3"


async def test_what_is_behind_a_failure_goes_no_further_and_what_is_before_it_ends() -> None:
    ways = Ways()

    async def run() -> None:
        async with InTurn(3) as turns:
            await turns.begin(partial(ways.go, 1))
            await turns.begin(partial(ways.fail, 2))
            await turns.begin(partial(ways.go, 3))
            ways.gate("take 1").set()
            await ways.until("take 1", "send 1", "take 2")
            ways.gate("take 2").set()
            ways.gate("send 1").set()

    with pytest.raises(OSError, match="2"):
        await run()
    assert ways.seen == ["take 1", "send 1", "take 2"]


async def test_whoever_leaves_by_an_error_ends_all_of_them() -> None:
    ways = Ways()

    async def run() -> None:
        async with InTurn(2) as turns:
            await turns.begin(partial(ways.go, 1))
            await ways.until("take 1")
            raise KeyError

    with pytest.raises(KeyError):
        await run()
    assert ways.seen == ["take 1"]
