"""A program that enqueues at a steady rate until it is killed: `python -m tests.faults.flip_producer NAME RATE [blocking]`.

It writes down what it asks before each call, and what it was told behind it: what was asked and not told is open.
"""

from __future__ import annotations

import asyncio
import sys
import time
from itertools import count
from random import Random
from typing import TYPE_CHECKING, Any, Final

from headway.errors import BrokerError
from tests.faults.flip_app import app, note

if TYPE_CHECKING:
    from collections.abc import Iterator

TICK: Final = 0.05  # seconds
_UNDER_WAY: Final = 40  # ticks whose calls are not answered
_KEYS: Final = 5


class Wanted:
    """One job that is to be asked for."""

    def __init__(self, tag: str, rng: Random, minute: int) -> None:
        """`minute` counts seconds: names come again for some of them, across flips."""
        self.tag = tag
        self.options: dict[str, Any] = {}
        self.args: tuple[Any, ...] = (tag,)
        self.noted: dict[str, str] = {}
        match rng.randrange(10):
            case 0 | 1:
                self.task = "quick"
                self.options = {"key": f"key-{minute // 6}-{rng.randrange(40)}"}
                self.noted = {"key": self.options["key"]}
            case 2:
                self.task = "alone"
                who = f"who-{rng.randrange(_KEYS)}"
                self.args = (tag, who)
                self.noted = {"who": who}
            case 3:
                self.task, self.options = "quick", {"delay": rng.uniform(0.5, 4.0)}
            case 4:
                self.task = "flaky"
            case 5 | 6:
                self.task, self.args = "slow", (tag, rng.choice([0.05, 0.2]))
            case _:
                self.task = "quick"

    @property
    def call(self) -> Any:
        """The task with its options."""
        found: Any = app.find_task(self.task)
        return found.options(**self.options) if self.options else found

    @property
    def asks(self) -> dict[str, str]:
        """The line to write before the call."""
        return {"what": "ask", "tag": self.tag, **self.noted}

    def told(self, handle: Any) -> dict[str, Any]:
        """Return the line to write behind it."""
        return {"what": "told", "tag": self.tag, "id": handle.id, "duplicate": handle.duplicate}


def _wanted(name: str) -> Iterator[Wanted]:
    rng = Random(name)
    for number in count():
        yield Wanted(f"{name}.{number}", rng, int(time.time()))


async def _singly(one: Wanted) -> None:
    try:
        handle = await one.call.enqueue(*one.args)
    except BrokerError as error:
        note([{"what": "failed", "tag": one.tag, "why": str(error)}])
    else:
        note([one.told(handle)])


async def _together(some: list[Wanted]) -> None:
    try:
        handles = await app.enqueue_many([one.call.job(*one.args) for one in some])
    except BrokerError as error:
        note([{"what": "failed", "tag": one.tag, "why": str(error)} for one in some])
    else:
        note([one.told(handle) for one, handle in zip(some, handles, strict=True)])


async def produce(name: str, rate: float) -> None:
    """Ask for `rate` jobs a second, half of them in batches."""
    wanted, under_way, owed = _wanted(name), set[asyncio.Task[None]](), 0.0
    async with app:
        for tick in count():
            owed += rate * TICK
            some = [next(wanted) for _ in range(int(owed))]
            owed -= len(some)
            note(one.asks for one in some)
            calls = [_together(some)] if tick % 2 else [_singly(one) for one in some]
            for call in calls:
                task = asyncio.create_task(call)
                under_way.add(task)
                task.add_done_callback(under_way.discard)
            await asyncio.sleep(TICK)
            while len(under_way) > _UNDER_WAY * max(1, len(some)):
                await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)


def produce_blocking(name: str, rate: float) -> None:
    """Ask for one job after the other, as code without a loop does."""
    begun = time.monotonic()
    for number, one in enumerate(_wanted(name)):
        note([one.asks])
        try:
            handle = one.call.sync.enqueue(*one.args)
        except BrokerError as error:
            note([{"what": "failed", "tag": one.tag, "why": str(error)}])
        else:
            note([one.told(handle)])
        time.sleep(max(0.0, begun + number / rate - time.monotonic()))


if __name__ == "__main__":
    if sys.argv[3:] == ["blocking"]:
        produce_blocking(sys.argv[1], float(sys.argv[2]))
    else:
        asyncio.run(produce(sys.argv[1], float(sys.argv[2])))
