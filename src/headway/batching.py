"""Calls that travel together: what is asked in one loop turn, or while enough calls are under way, becomes one call."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence
    from typing import Any

T = TypeVar("T")
A = TypeVar("A")


class Batcher(Generic[T, A]):
    """Collects items until the loop's next turn and hands them over in one call of at most `limit` items.

    At most `parallel` calls are under way; what comes meanwhile waits and leaves in bigger batches. So a lone item is
    never delayed, and a thousand concurrent ones cost one call.
    """

    def __init__(
        self,
        call: Callable[[Sequence[T]], Coroutine[Any, Any, Sequence[A]]],
        *,
        limit: int = 1000,
        parallel: int = 4,
    ) -> None:
        self._call = call
        self._limit = limit
        self._parallel = parallel
        self._waiting: list[tuple[T, asyncio.Future[A]]] = []
        self._calls: set[asyncio.Task[None]] = set()
        self._direct = 0  # calls made by their callers themselves
        self._flush_is_due = False

    def add(self, item: T) -> asyncio.Future[A]:
        """Take the item; the future has the answer, or the error that its whole call met."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[A] = loop.create_future()
        self._waiting.append((item, answer))
        if not self._flush_is_due:
            self._flush_is_due = True
            loop.call_soon(self._flush)
        return answer

    def submit(self, item: T) -> Awaitable[A]:
        """Take the item, whose answer must be awaited at once: a lone one is handed over by whoever awaits it."""
        if self._waiting or self._calls or self._direct:
            return self.add(item)
        return self._hand_over_alone(item)

    async def _hand_over_alone(self, item: T) -> A:
        self._direct += 1
        try:
            (answer,) = await self._call([item])
        finally:
            self._direct -= 1
            if self._waiting:
                self._flush()
        return answer

    @property
    def idle(self) -> bool:
        """True when nothing waits and no call is under way."""
        return not self._waiting and not self._calls and not self._direct

    async def finish(self) -> None:
        """Wait until all that was added is answered."""
        while not self.idle:
            self._flush()
            if self._calls:
                await asyncio.wait(self._calls, return_when=asyncio.FIRST_COMPLETED)
            else:
                await asyncio.sleep(0.001)  # a call that its own caller makes

    def _flush(self) -> None:
        self._flush_is_due = False
        while self._waiting and len(self._calls) < self._parallel:
            batch, self._waiting = self._waiting[: self._limit], self._waiting[self._limit :]
            call = asyncio.create_task(self._hand_over(batch))
            self._calls.add(call)
            call.add_done_callback(self._ended)

    def _ended(self, call: asyncio.Task[None]) -> None:
        self._calls.discard(call)
        if self._waiting:
            self._flush()

    async def _hand_over(self, batch: list[tuple[T, asyncio.Future[A]]]) -> None:
        try:
            answers = await self._call([item for item, _ in batch])
        except asyncio.CancelledError:
            for _, answer in batch:
                answer.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - every waiter gets it
            for _, answer in batch:
                if not answer.done():
                    answer.set_exception(error)
            return
        for (_, answer), result in zip(batch, answers, strict=True):
            if not answer.done():
                answer.set_result(result)
