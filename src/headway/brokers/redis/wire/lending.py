"""What a link has lent: when it may, how it gets it back, and in which state."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from headway.brokers.redis.wire.blocking import Loan, Stage
    from headway.brokers.redis.wire.connection import Pipe


class Lending:
    """The loan of one link at a time. All on the loop's thread but `loan`, which any thread may read."""

    def __init__(self, back: Callable[[Stage], None]) -> None:
        """`back` is told once for each loan that it is back, and what the last borrower left behind."""
        self._back = back
        self.loan: Loan | None = None
        self._recalled_at: float | None = None
        self._home = asyncio.Event()
        self._home.set()

    def lend(self, pipe: Pipe) -> None:
        """Lend the connection, if it can be."""
        loop = asyncio.get_running_loop()

        def returned() -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self.recall)

        self.loan = pipe.lend(returned)
        if self.loan is not None:
            self._home.clear()

    def recall(self) -> None:
        """Ask for it back; it is at once, or when its borrower is done."""
        loan = self.loan
        if loan is None:
            return
        if self._recalled_at is None:
            self._recalled_at = asyncio.get_running_loop().time()
        if loan.recall():
            self.forget()
            self._back(loan.stage)

    def forget(self) -> None:
        """Nothing is lent: it is back, or its connection has ended."""
        self.loan = self._recalled_at = None
        self._home.set()

    def overdue(self, now: float, patience: float) -> bool:
        """Tell whether it was recalled that many seconds ago: its borrower may be stopped, or was interrupted."""
        return self._recalled_at is not None and now - self._recalled_at > patience

    async def bring_home(self, patience: float) -> None:
        """Recall it and wait for it, at most so many seconds."""
        if self.loan is None:
            return
        self.recall()
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):  # before 3.12 `wait_for` may lose a cancellation
                await self._home.wait()
