"""What a peer's producer can do: the adapters implement what the peer offers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from bench.inside.configuration import read_configuration

if TYPE_CHECKING:
    from collections.abc import Sequence


class UnsupportedError(Exception):
    """The peer does not offer this; the message says why."""


class Producer:
    """Enqueues jobs `(number, text)`. What is not overridden is reported as not offered.

    In tests of payloads `text` is an object of JSON in its place; adapters hand it on as it is.
    """

    # Calls of `one` at once: threads of a blocking peer are dearer than coroutines.
    at_once = 100

    def __init__(self) -> None:
        self.settings = read_configuration()
        self.queue = self.settings.queues[0]

    async def open(self) -> None:
        """Connect."""

    async def close(self) -> None:
        """Disconnect."""

    async def one(self, number: int, text: str, queue: str) -> None:
        """Enqueue one job and return when it is accepted."""
        msg = "it has no asynchronous API"
        raise UnsupportedError(msg)

    async def many(self, numbers: Sequence[int], text: str, queue: str) -> None:
        """Enqueue jobs by the peer's fastest documented way."""
        for number in numbers:
            await self.one(number, text, queue)

    def one_blocking(self, number: int, text: str, queue: str) -> None:
        """Enqueue one job without an event loop."""
        msg = "it has no blocking API"
        raise UnsupportedError(msg)

    async def one_of_many(self, number: int, text: str, queue: str) -> None:
        """Enqueue one job while others do the same."""
        await self.one(number, text, queue)

    async def later(self, number: int, text: str, queue: str, seconds: float) -> None:
        """Enqueue one job that is due in `seconds`."""
        msg = "it has no delayed jobs, or the adapter does not use them"
        raise UnsupportedError(msg)

    async def many_later(
        self, numbers: Sequence[int], text: str, queue: str, seconds: Sequence[float]
    ) -> None:
        """Enqueue delayed jobs by the fastest way."""
        for number, delay in zip(numbers, seconds, strict=True):
            await self.later(number, text, queue, delay)

    async def result(self, number: int, text: str, queue: str) -> None:
        """Enqueue one job and wait for its result."""
        msg = "it keeps no results, or the adapter does not wait for them"
        raise UnsupportedError(msg)


class BlockingProducer(Producer):
    """Of a peer that has no asynchronous API: many at once are threads."""

    at_once = 16

    async def many(self, numbers: Sequence[int], text: str, queue: str) -> None:
        """Enqueue through `many_blocking`."""
        self.many_blocking(numbers, text, queue)

    async def one_of_many(self, number: int, text: str, queue: str) -> None:
        """Enqueue in a thread."""
        await asyncio.to_thread(self.one_blocking, number, text, queue)

    async def later(self, number: int, text: str, queue: str, seconds: float) -> None:
        """Enqueue through `later_blocking`."""
        self.later_blocking(number, text, queue, seconds)

    async def result(self, number: int, text: str, queue: str) -> None:
        """Wait through `result_blocking`."""
        self.result_blocking(number, text, queue)

    def many_blocking(self, numbers: Sequence[int], text: str, queue: str) -> None:
        """Enqueue jobs by the peer's fastest documented way."""
        for number in numbers:
            self.one_blocking(number, text, queue)

    def later_blocking(self, number: int, text: str, queue: str, seconds: float) -> None:
        """Enqueue one job that is due in `seconds`."""
        msg = "it has no delayed jobs, or the adapter does not use them"
        raise UnsupportedError(msg)

    def result_blocking(self, number: int, text: str, queue: str) -> None:
        """Enqueue one job and wait for its result."""
        msg = "it keeps no results, or the adapter does not wait for them"
        raise UnsupportedError(msg)
