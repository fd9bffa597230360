"""The loads that a producer can be asked for. Times are monotonic seconds, the clock that workers record with."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from array import array
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.inside.producer import Producer

_BATCH = 1000
_TICK = 0.001


class Loads:
    """One method a load; each takes what the harness sent and returns what it wants to know."""

    def __init__(self, producer: Producer) -> None:
        self._producer = producer
        self._queues = producer.settings.queues
        self._folder = Path(producer.settings.folder)

    def _of(self, number: int) -> str:
        return self._queues[number % len(self._queues)]

    async def bulk(self, first: int, count: int, text: str) -> dict[str, Any]:
        """Enqueue `count` jobs, a thousand at a time, spread over the queues."""
        begin, cpu = time.monotonic(), time.process_time()
        for start in range(first, first + count, _BATCH * len(self._queues)):
            end = min(first + count, start + _BATCH * len(self._queues))
            for index, queue in enumerate(self._queues):
                numbers = range(start + index, end, len(self._queues))
                if numbers:
                    await self._producer.many(numbers, text, queue)
        return {
            "count": count,
            "seconds": time.monotonic() - begin,
            "cpu": time.process_time() - cpu,
        }

    async def single(self, first: int, count: int, seconds: float, text: str) -> dict[str, Any]:
        """Enqueue one job after the other until either limit."""
        begin = time.monotonic()
        number = first
        while number < first + count and time.monotonic() < begin + seconds:
            await self._producer.one(number, text, self._of(number))
            number += 1
        return {"count": number - first, "seconds": time.monotonic() - begin}

    async def blocking(self, first: int, count: int, seconds: float, text: str) -> dict[str, Any]:
        """As `single`, from code without an event loop: in a thread that has none."""

        def loop() -> dict[str, Any]:
            begin = time.monotonic()
            number = first
            while number < first + count and time.monotonic() < begin + seconds:
                self._producer.one_blocking(number, text, self._of(number))
                number += 1
            return {"count": number - first, "seconds": time.monotonic() - begin}

        return await asyncio.to_thread(loop)

    async def concurrent(self, first: int, count: int, seconds: float, text: str) -> dict[str, Any]:
        """Enqueue single jobs from many tasks at once until either limit."""
        begin = time.monotonic()
        numbers = iter(range(first, first + count))
        done = 0

        async def one_client(mine: Iterator[int]) -> None:
            nonlocal done
            while time.monotonic() < begin + seconds and (number := next(mine, None)) is not None:
                await self._producer.one_of_many(number, text, self._of(number))
                done += 1

        await asyncio.gather(*(one_client(numbers) for _ in range(self._producer.at_once)))
        return {"count": done, "seconds": time.monotonic() - begin, "at_once": self._producer.at_once}

    async def paced(self, first: int, count: int, rate: float, text: str) -> dict[str, Any]:
        """Enqueue single jobs at a steady rate; stamp each before its enqueue."""
        stamps = array("d", bytes(8 * count))
        begin = time.monotonic()
        under_way: set[asyncio.Task[None]] = set()

        async def send(index: int) -> None:
            stamps[index] = time.monotonic()
            await self._producer.one_of_many(first + index, text, self._of(index))

        index = 0
        while index < count:
            due = min(count, int((time.monotonic() - begin) * rate) + 1)
            for each in range(index, due):
                # Behind schedule and with many under way: the peer cannot take this rate, and more would only pile up.
                while len(under_way) >= self._producer.at_once:
                    await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                task = asyncio.create_task(send(each))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
            index = max(index, due)
            await asyncio.sleep(max(_TICK, begin + index / rate - time.monotonic()))
        await asyncio.gather(*under_way)
        return {
            "count": count,
            "seconds": time.monotonic() - begin,
            "stamps": self._write(stamps, f"paced-{first}"),
        }

    async def results(self, first: int, count: int, text: str) -> dict[str, Any]:
        """Enqueue a job, wait for its result, and again."""
        spent: list[float] = []
        for number in range(first, first + count):
            begin = time.monotonic()
            await self._producer.result(number, text, self._of(number))
            spent.append(time.monotonic() - begin)
        return {"count": count, "spent": spent}

    async def delayed(self, first: int, count: int, at: float, spread: float, text: str) -> dict[str, Any]:
        """Enqueue jobs that come due from `at` (monotonic) on, spread at random over `spread` seconds."""
        chance = random.Random(first)
        due = array("d", (at + chance.random() * spread for _ in range(count)))
        begin = time.monotonic()
        for numbers in _batches(range(first, first + count)):
            now = time.monotonic()
            delays = [due[number - first] - now for number in numbers]
            await self._producer.many_later(numbers, text, self._queues[0], delays)
        return {
            "count": count,
            "seconds": time.monotonic() - begin,
            "stamps": self._write(due, f"delayed-{first}"),
        }

    def _write(self, stamps: array[float], name: str) -> str:
        path = self._folder / f"{name}.stamps"
        path.write_bytes(stamps.tobytes())
        return str(path)


def _batches(numbers: range) -> Iterator[Sequence[int]]:
    for start in itertools.count(0, _BATCH):
        batch = numbers[start : start + _BATCH]
        if not batch:
            return
        yield batch
