"""The lending of the command connection to blocking callers: when it may be lent, and in which state it comes back."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from headway.brokers.redis.wire.blocking import Loan, Stage
    from headway.brokers.redis.wire.connection import Connection


class Lending:
    """One loan at a time. All on the loop's thread but `loan`, which any thread may read."""

    def __init__(self, back: Callable[[Stage], None]) -> None:
        """`back` is called when a loan has ended, with the state in which its last borrower left the connection."""
        self._back = back
        self.loan: Loan | None = None
        self._recalled_at: float | None = None
        self._returned = asyncio.Event()
        self._returned.set()

    def lend(self, connection: Connection) -> None:
        """Lend the connection, if it can be."""
        loop = asyncio.get_running_loop()

        def returned() -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self.recall)

        self.loan = connection.lend(returned)
        if self.loan is not None:
            self._returned.clear()

    def recall(self) -> None:
        """Ask for the connection: it comes back at once, or when its borrower is done."""
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
        self._returned.set()

    def overdue(self, now: float, patience: float) -> bool:
        """Tell whether it was recalled more than `patience` seconds ago: its borrower may have been stopped."""
        return self._recalled_at is not None and now - self._recalled_at > patience

    async def bring_back(self, patience: float) -> None:
        """Recall the connection and wait for it, at most `patience` seconds."""
        if self.loan is None:
            return
        self.recall()
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):  # before 3.12 `wait_for` may lose a cancellation
                await self._returned.wait()
