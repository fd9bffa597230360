"""Jobs that arrive while something breaks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from headway.errors import BrokerError

if TYPE_CHECKING:
    from random import Random
    from types import TracebackType
    from typing import Self

    from tests.faults.shop import Shop

MIX = (
    ("quick", ()),
    ("slow", (0.05,)),
    ("slow", (0.3,)),
    ("in_thread", (0.05,)),
    ("flaky", (1,)),
)


class Load:
    """An async context manager: inside, jobs of a random mix keep coming until `stop`, or the end of the block.

    A call that fails leaves it open whether its jobs were accepted: the ledger counts those that the carrier has.
    """

    def __init__(self, shop: Shop, rng: Random, *, batch: int = 5, pause: float = 0.02) -> None:
        self.refused = 0  # calls that raised
        self._shop = shop
        self._rng = rng
        self._batch = batch
        self._pause = pause
        self._task: asyncio.Task[None] | None = None
        self._stopped = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Let the call under way end, and make no more."""
        self._stopped.set()
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        while not self._stopped.is_set():
            task, args = self._rng.choice(MIX)
            try:
                await self._shop.enqueue(task, *args, count=self._rng.randint(1, self._batch))
            except BrokerError:
                self.refused += 1
            try:
                async with asyncio.timeout(self._pause):
                    await self._stopped.wait()
            except TimeoutError:
                pass
