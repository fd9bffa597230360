"""A few things at once that go through the same steps, none overtaking another in any step."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType
    from typing import Any, Self, TypeAlias

    Turn: TypeAlias = Callable[[str], AbstractAsyncContextManager[Any]]
    """Returns what is held while a step lasts, by its name: one thing is in it at a time, in the order of beginning."""


class InTurn:
    """Runs things beside its caller. What one raises is raised to the caller; those behind it end where they are."""

    def __init__(self, most: int) -> None:
        """So many are under way at once, then `begin` waits for the first."""
        self._most = most
        self._tasks: deque[asyncio.Task[None]] = deque()
        self._steps: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)  # whose waiters come in order

    async def __aenter__(self) -> Self:
        """Nothing is under way yet."""
        return self

    async def begin(self, work: Callable[[Turn], Coroutine[Any, Any, None]]) -> None:
        """Begin it, when there is room."""
        while len(self._tasks) >= self._most:
            await self._first_ended()
        self._tasks.append(asyncio.create_task(work(self._turn)))

    @asynccontextmanager
    async def _turn(self, step: str) -> AsyncGenerator[None]:
        async with self._steps[step]:
            try:
                yield
            except BaseException:
                self._stop_behind(asyncio.current_task())  # before one of them comes in
                raise

    def _stop_behind(self, task: asyncio.Task[Any] | None) -> None:
        behind = False
        for one in self._tasks:
            if behind:
                one.cancel()
            behind = behind or one is task

    async def _first_ended(self) -> None:
        await self._tasks[0]
        del self._tasks[0]

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for all; whoever leaves by an error ends them where they are."""
        try:
            while error is None and self._tasks:
                await self._first_ended()
        finally:
            for task in self._tasks:
                task.cancel()
            await _all_ended(self._tasks)


async def _all_ended(tasks: deque[asyncio.Task[None]]) -> None:
    waiting: Awaitable[Any] = asyncio.gather(*tasks, return_exceptions=True)
    await waiting
